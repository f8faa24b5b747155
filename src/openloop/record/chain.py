"""The hash chain of events.jsonl, and the kind of each event, read without parsing the lines.

Each line holds the hash of the line before. Imports little, because `status` starts with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

FIRST_PREV = "0" * 64
_PREV_LENGTH = 66  # `<64 hex digits>"}` ends every line
_ENVELOPE = re.compile(
    rb'\{"seq": \d+, "time": "[^"]*", "event": "(\w+)", "run": \d+, "round": \d+, '
    rb'"step": (?:"(\w+)"|null)'
)


class BrokenChain(ValueError):
    """A line that is not intact; `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def head_of(line: bytes) -> str:
    """The chain's head after this line: sha256 of its bytes, newline left out."""
    return hashlib.sha256(line).hexdigest()


def prev_of(line: bytes) -> str:
    """The hash that a line gives for the one before it, without parsing the line."""
    return line[-_PREV_LENGTH:-2].decode("ascii", errors="replace")


def kind_of(line: bytes) -> str:
    """The kind of event that a line names; "" for none."""
    found = _ENVELOPE.match(line)
    return found[1].decode() if found else ""


def step_of(line: bytes) -> str:
    """The step that a line names; "" for none."""
    found = _ENVELOPE.match(line)
    return (found[2] or b"").decode() if found else ""


def check_chain(
    lines: Iterable[bytes], *, first: int = 1, prev: str | None = FIRST_PREV
) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) while each names the hash of the one before.

    prev: the hash that the first line must name; None accepts any. Raises BrokenChain.
    """
    for number, line in enumerate(lines, first):
        if prev is not None and prev_of(line) != prev:
            why = "does not follow from the line before: this line or that one was changed"
            raise BrokenChain(number, why)
        prev = head_of(line)
        yield number, line
