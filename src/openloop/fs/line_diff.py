"""How large a change is, in lines."""

from __future__ import annotations

from collections import Counter

LARGEST = 16 << 20  # bytes; of larger contents every line counts as changed


def changed_lines(before: bytes, after: bytes) -> int:
    """Lines removed plus lines added. A line that only moved does not count."""
    if before == after:
        return 0
    if len(before) + len(after) > LARGEST:
        return _count(before) + _count(after)
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    return max((old - new).total() + (new - old).total(), 1)


def _count(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
