"""Rebuild artifacts that went missing from the record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, projections, reader, record_end
from openloop.record.workspace import ARTIFACTS

_LOOKED_AT = 100  # latest artifacts that every start checks; `audit` checks all


def rebuild_missing(folder: int, events: int) -> None:
    """Rebuild recorded artifacts of the latest rounds that are missing or changed; a changed one is
    kept beside its successor."""
    wanted = dict(_recorded(events))
    if not wanted:
        return
    place = files.open_or_make_folder(ARTIFACTS, folder=folder)
    try:
        missing = {name for name, digest in wanted.items() if _digest(place, name) != digest}
        if missing:
            _write_again(place, events, missing)
    finally:
        os.close(place)


def _recorded(events: int) -> list[tuple[str, str]]:
    """(file name, sha256) of the latest artifacts."""
    lines = record_end.window(events).lines
    found = [line for line in lines if chain.kind_of(line) == Kind.ROUND_FINISHED]
    records = [json.loads(line) for line in found[-_LOOKED_AT:]]
    return [(os.path.basename(r["artifact"]), r["artifact_sha256"]) for r in records]


def _digest(folder: int, name: str) -> str:
    try:
        return hashlib.sha256(files.read(name, folder=folder)).hexdigest()
    except OSError:
        return ""


def _write_again(folder: int, events: int, missing: set[str]) -> None:
    for before, event in replay(events):
        if event.kind is not Kind.ROUND_FINISHED:
            continue
        name = os.path.basename(event.data["artifact"])
        if name in missing:
            data = projections.to_bytes(projections.artifact_of(before, event))
            if files.exists(name, folder=folder):
                files.set_aside(name, folder=folder)
            files.replace(name, data, folder=folder)


def replay(events: int) -> Iterator[tuple[State, Event]]:
    """Every event with the state before it. Raises chain.BrokenChain."""
    state = State()
    for number, line in enumerate(reader.lines(events), 1):
        event = reader.decode_at(number, line)
        yield state, event
        state = reader.apply_at(number, state, event)
