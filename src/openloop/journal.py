"""The format of events.jsonl: one event a line, each holding the hash of the line before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from openloop.states import Event, Kind, Step

FIRST_PREV = "0" * 64
_PREV_LENGTH = 66  # `<64 hex digits>"}` ends every line


class Broken(ValueError):
    """A line that does not hold; `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def encode(event: Event, prev: str) -> bytes:
    """The event's line without its newline. prev: hash of the line before, or FIRST_PREV."""
    record: dict[str, Any] = {
        "seq": event.seq,
        "time": event.time,
        "event": event.kind,
        "run": event.run,
        "round": event.round,
        "step": event.step,
        "elapsed": event.elapsed,
        **event.data,
        "prev": prev,
    }
    return json.dumps(record).encode()


def decode(line: bytes) -> Event:
    """The event of one line. Raises ValueError for anything that `encode` did not write."""
    try:
        record = json.loads(line)
        for name, kinds in _KINDS.items():
            if type(record[name]) not in kinds:
                raise ValueError(f"{name} is {record[name]!r}")
        data = {name: value for name, value in record.items() if name not in _ENVELOPE}
        return Event(
            kind=Kind(record["event"]),
            time=record["time"],
            elapsed=record["elapsed"],
            run=record["run"],
            round=record["round"],
            step=Step(record["step"]) if record["step"] is not None else None,
            data=data,
            seq=record["seq"],
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {error}") from None


_KINDS: dict[str, tuple[type, ...]] = {
    "seq": (int,),
    "time": (str,),
    "event": (str,),
    "run": (int,),
    "round": (int,),
    "step": (str, type(None)),
    "elapsed": (int, float),
}
_ENVELOPE = frozenset({*_KINDS, "prev"})


def head_of(line: bytes) -> str:
    """The chain's head after this line: sha256 of its bytes, newline left out."""
    return hashlib.sha256(line).hexdigest()


def prev_of(line: bytes) -> str:
    """The hash that a line gives for the one before it, without parsing the line."""
    return line[-_PREV_LENGTH:-2].decode("ascii", errors="replace")


def check_chain(
    lines: Iterable[bytes], *, first: int = 1, prev: str | None = FIRST_PREV
) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) while each names the hash of the one before.

    prev: what the first line must name; None takes its word for it. Raises Broken.
    """
    for number, line in enumerate(lines, first):
        if prev is not None and prev_of(line) != prev:
            why = "does not follow from the line before: this line or that one was changed"
            raise Broken(number, why)
        prev = head_of(line)
        yield number, line
