"""Read a workspace's record without writing: the state, the heartbeat, every event.

The state is rebuilt from the end of events.jsonl: each round_started carries what was known
before it, so that a start costs the same after ten rounds and after a hundred thousand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from openloop.core.vocabulary import Status
from openloop.fs import files
from openloop.loop import transitions
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, event_format
from openloop.record.record_end import blocks, window
from openloop.record.workspace import EVENTS, Workspace


class Record(NamedTuple):
    """The content of events.jsonl. size: bytes of its whole lines; torn: an incomplete last
    line."""

    state: State
    head: str
    size: int
    torn: bytes
    events: tuple[Event, ...]  # of the latest round and after


def load(events: int) -> Record:
    """The record in an open events.jsonl. Raises chain.BrokenChain, which names the line."""
    end = window(events)
    state = State()
    head = chain.FIRST_PREV
    replayed: list[Event] = []
    for number, line in chain.check_chain(end.lines, first=end.first, prev=end.prev):
        head = chain.head_of(line)
        if number - end.first >= end.rounds[-1]:
            event = decode_at(number, line)
            state = apply_at(number, state, event)
            replayed.append(event)
    return Record(state, head, end.size, end.torn, tuple(replayed))


def latest_rounds(events: int, count: int) -> Iterator[tuple[int, State, Event]]:
    """(line number, the state before it, event) of the last `count` rounds, or as many as the start
    of a run reads. Raises chain.BrokenChain."""
    end = window(events)
    begin = end.rounds[-count:][0]
    state = State()
    for number, line in enumerate(end.lines[begin:], end.first + begin):
        event = decode_at(number, line)
        yield number, state, event
        state = apply_at(number, state, event)


def decode_at(number: int, line: bytes) -> Event:
    """The event of line `number`. Raises chain.BrokenChain."""
    try:
        event = event_format.decode(line)
    except ValueError as error:
        raise chain.BrokenChain(number, str(error)) from None
    if event.seq != number:
        raise chain.BrokenChain(number, f"carries seq {event.seq}: lines are missing or moved")
    return event


def apply_at(number: int, state: State, event: Event) -> State:
    """The state after line `number`. Raises chain.BrokenChain for an event that cannot follow."""
    try:
        return transitions.apply(state, event)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise chain.BrokenChain(number, f"cannot follow: {error}") from None


def load_path(workspace: Workspace) -> Record:
    """The record of a workspace that others may be writing; empty when there is none yet."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return Record(State(), chain.FIRST_PREV, 0, b"", ())
    try:
        return load(events)
    finally:
        os.close(events)


def lines(events: int, *, end: int | None = None) -> Iterator[bytes]:
    """Every whole line of an open events.jsonl up to byte `end`, read in pieces."""
    kept = b""
    for data in blocks(events, end=end):
        *whole, kept = (kept + data).split(b"\n")
        yield from whole


def lost(state: State, head: str, heartbeat: dict[str, Any] | None) -> str:
    """A sentence about events that the heartbeat knows and the record lacks; "" for none.

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
