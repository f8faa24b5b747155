"""What is printed."""

from spans.clock import write
from spans.merge import merge


def report(spans):
    merged = merge(spans)
    lines = [f"{write(start)}-{write(end)}" for start, end in merged]
    total = sum(end - start for start, end in merged)
    return "\n".join([*lines, f"total {write(total)}"])
