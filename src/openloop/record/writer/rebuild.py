"""Rebuild projections of the record: progress.md and artifacts that went missing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, event_format, projections, reader, record_end
from openloop.record.workspace import ARTIFACTS, PROGRESS

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


def rebuild_progress(folder: int, events: int, mission: str) -> int:
    """Open progress.md for appending, rebuilt when it does not match the events; the other one is
    kept beside it. Returns the descriptor."""
    try:
        descriptor = files.open_regular(PROGRESS, os.O_RDWR | os.O_APPEND, folder=folder)
        if _ends_well(descriptor, events):
            return descriptor
        os.close(descriptor)
    except (FileNotFoundError, files.NotRegular):
        pass
    if files.exists(PROGRESS, folder=folder):
        files.set_aside(PROGRESS, folder=folder)
    lines = [projections.progress_line(event) for _, event in replay(events)]
    text = projections.progress_title(mission) + "".join(lines)
    files.replace(PROGRESS, text.encode(errors="replace"), folder=folder)
    return files.open_regular(PROGRESS, os.O_RDWR | os.O_APPEND, folder=folder)


def _ends_well(progress: int, events: int) -> bool:
    """Whether progress.md ends with the latest event that it shows."""
    expected = b""
    for line in record_end.backward(events, record_end.whole_size(events)):
        try:
            expected = projections.progress_line(event_format.decode(line)).encode()
        except ValueError:
            continue
        if expected:
            break
    end = os.fstat(progress).st_size
    ending = os.pread(progress, len(expected) + 1, max(0, end - len(expected)))
    return ending.endswith(expected) and (end > 0)
