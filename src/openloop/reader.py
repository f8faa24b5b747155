"""Read a workspace's record without writing: the state, the heartbeat, every event.

The state is rebuilt from the end of events.jsonl: each round_started carries what was known
before it, so that a start costs the same after ten rounds and after a hundred thousand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openloop import files, journal, transitions
from openloop.states import Event, Kind, State, Status
from openloop.workspace import EVENTS, HEARTBEAT, Workspace

WINDOW = 1 << 20  # bytes at the end of events.jsonl that every start checks
_HEARTBEAT_LIMIT = 1 << 20  # bytes
_ROUND_STARTED = f'"event": "{Kind.ROUND_STARTED}"'.encode()
_ENVELOPE = 120  # bytes in which a line names its event


@dataclass(frozen=True, slots=True)
class Record:
    """What events.jsonl says. size: bytes of its whole lines; torn: what follows them."""

    state: State
    head: str
    size: int
    torn: bytes
    events: tuple[Event, ...]  # of the latest round and after


def load(events: int) -> Record:
    """The record behind an open events.jsonl. Raises journal.Broken, naming the line."""
    end = _End(events)
    return _replay(end.lines, end.first, end.rounds[-1], end.size - len(end.torn), end.torn)


def latest_rounds(events: int, count: int) -> Iterator[tuple[int, State, Event]]:
    """(line number, the state before it, event) of the last `count` rounds, or as many as a start
    looks at. Raises journal.Broken."""
    end = _End(events)
    begin = end.rounds[-count:][0]
    state = State()
    for number, line in enumerate(end.lines[begin:], end.first + begin):
        event = decode_at(number, line)
        yield number, state, event
        state = apply_at(number, state, event)


class _End:
    """The last whole lines of events.jsonl, a round at least.

    first: number of the first line; rounds: where in them rounds begin, at least one position;
    torn: what follows the last whole line; size: bytes of the file.
    """

    def __init__(self, events: int) -> None:
        self.size = os.fstat(events).st_size
        window = WINDOW
        while True:
            start = max(0, self.size - window)
            data = _pread(events, self.size - start, start)
            whole, newline, self.torn = data.rpartition(b"\n")
            self.lines = whole.split(b"\n") if newline else []
            if start:
                self.lines = self.lines[1:]  # the window may begin in the middle of a line
            found = [n for n, line in enumerate(self.lines) if _begins_round(line)]
            if start == 0 or found:
                break
            window *= 4
        self.rounds = found or [0]
        self.first = 1 if start == 0 else _sequence(self.lines[0])


def _pread(descriptor: int, length: int, start: int) -> bytes:
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, start)):
        parts.append(part)
        length -= len(part)
        start += len(part)
    return b"".join(parts)


def _begins_round(line: bytes) -> bool:
    return line.find(_ROUND_STARTED, 0, _ENVELOPE) >= 0


def _sequence(line: bytes) -> int:
    try:
        return journal.decode(line).seq
    except ValueError as error:
        raise journal.Broken(0, f"near the end: {error}") from None


def _replay(lines: list[bytes], first: int, latest: int, size: int, torn: bytes) -> Record:
    state = State()
    head = journal.FIRST_PREV
    events: list[Event] = []
    prev = journal.FIRST_PREV if first == 1 else None
    for number, line in journal.check_chain(lines, first=first, prev=prev):
        head = journal.head_of(line)
        if number - first >= latest:
            event = decode_at(number, line)
            state = apply_at(number, state, event)
            events.append(event)
    return Record(state, head, size, torn, tuple(events))


def decode_at(number: int, line: bytes) -> Event:
    """The event of line `number`. Raises journal.Broken."""
    try:
        event = journal.decode(line)
    except ValueError as error:
        raise journal.Broken(number, str(error)) from None
    if event.seq != number:
        raise journal.Broken(number, f"carries seq {event.seq}: lines are missing or moved")
    return event


def apply_at(number: int, state: State, event: Event) -> State:
    """The state after line `number`. Raises journal.Broken for what cannot follow."""
    try:
        return transitions.apply(state, event)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise journal.Broken(number, f"cannot follow: {error}") from None


def load_path(workspace: Workspace) -> Record:
    """The record of a workspace that others may be writing; empty when there is none yet."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return Record(State(), journal.FIRST_PREV, 0, b"", ())
    try:
        return load(events)
    finally:
        os.close(events)


def lines(events: int, *, end: int | None = None) -> Iterator[bytes]:
    """Every whole line of an open events.jsonl up to byte `end`, read in pieces."""
    offset = 0
    kept = b""
    while data := os.pread(events, WINDOW if end is None else min(WINDOW, end - offset), offset):
        offset += len(data)
        *whole, kept = (kept + data).split(b"\n")
        yield from whole


def heartbeat(workspace: Workspace) -> dict[str, Any] | None:
    """heartbeat.json as it stands; None when it is missing or garbage."""
    try:
        data = files.read(workspace.file(HEARTBEAT), limit=_HEARTBEAT_LIMIT)
        document = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and isinstance(document.get("status"), str)
    return document if known else None


def lost(state: State, head: str, heartbeat: dict[str, Any] | None) -> str:
    """What the heartbeat knows that the record does not; "" for nothing.

    A power cut may lose the events after the latest durable one, which lie in one round.
    """
    if heartbeat is None or not isinstance(heartbeat.get("event_seq"), int):
        return ""
    seq: int = heartbeat["event_seq"]
    if seq == state.seq and seq > 0 and heartbeat.get("event_head") not in (head, None):
        return f"line {seq}: changed since the heartbeat of that moment was written"
    if seq <= state.seq:
        return ""
    rounds = (state.round,) if state.in_round else (state.round, state.round + 1)
    same = heartbeat.get("run") == state.run and heartbeat.get("round") in rounds
    if same and heartbeat["status"] == Status.RUNNING:
        return ""
    return f"{seq - state.seq} events at its end are missing"
