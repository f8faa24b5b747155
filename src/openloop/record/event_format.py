"""The format of events.jsonl: one event a line, each holding the hash of the line before."""

from __future__ import annotations

import json
from typing import Any

from openloop.core.vocabulary import Kind, Step
from openloop.loop.events import Event


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
