"""Rounds by pages, from the end of the record backwards: the first page costs the same after ten
rounds and after a hundred thousand."""

from __future__ import annotations

import os
from typing import Any

from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.loop.events import Event, StepResult
from openloop.record import chain, event_format, record_end
from openloop.record.workspace import EVENTS, Workspace
from openloop.views import changes

PAGE = 20  # rounds
_LONGEST = 16 << 20  # bytes that one page reads
Document = dict[str, Any]


def page(workspace: Workspace, before: int | None, *, limit: int = PAGE) -> Document:
    """The latest `limit` rounds that begin before byte `before` of events.jsonl, newest first, and
    `before` for the page behind this one (None when there is none). A record that does not exist
    has no rounds. Raises LookupError for a byte at which no line begins, OSError."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return {"rounds": [], "before": None}
    try:
        end = record_end.whole_size(events)
        if before is not None:
            if not 0 < before <= end or os.pread(events, 1, before - 1) != b"\n":
                raise LookupError("no line of the record begins there")
            end = before
        rounds: list[Document] = []
        collected: list[tuple[int, Event]] = []
        start = end
        for line in record_end.backward(events, end):
            start -= len(line) + 1
            event = _decoded(line)
            if event is None:
                continue
            collected.append((start, event))
            if event.kind is Kind.ROUND_STARTED:
                rounds.append(_round(collected[::-1]))
                collected = []
            if len(rounds) == limit or end - start > _LONGEST:
                break
        return {"rounds": rounds, "before": start if rounds and start > 0 else None}
    finally:
        os.close(events)


def _decoded(line: bytes) -> Event | None:
    try:
        return event_format.decode(line)
    except ValueError:
        return None  # the record's state says that it is not intact


def _round(events: list[tuple[int, Event]]) -> Document:
    first = events[0][1]
    found: Document = {
        "run": first.run,
        "round": first.round,
        "started_at": first.time,
        "steps": [],
        "violations": [],
        "restored": [],
        "notes": [],
        "outcome": None,
    }
    for offset, event in events:
        match event.kind:
            case Kind.STEP_STARTED:
                found["steps"].append(_started(offset, event))
            case Kind.STEP_FINISHED if found["steps"]:
                found["steps"][-1] |= _finished(event)
            case Kind.POLICY_VIOLATED:
                text = str(event.data.get("text", ""))
                found["violations"].append({"step": event.step, "text": text})
            case Kind.CHECKPOINT_RESTORED:
                found["restored"].append(str(event.data.get("text", "")))
            case Kind.NOTE if event.data.get("note") not in ("kept", "restoring"):
                found["notes"].append(str(event.data.get("text", "")))
            case Kind.ROUND_FINISHED:
                for name in ("outcome", "decision", "reason", "duration_seconds"):
                    found[name] = event.data.get(name)
    return found


def _started(offset: int, event: Event) -> Document:
    """A step that has begun; `id` identifies it in later requests."""
    data = event.data
    return {
        "id": offset,
        "step": event.step,
        "command": str(data.get("command", "")),
        "confirm": bool(data.get("confirm")),
        "log": _name_of_log(event),
        "outcome": None,
    }


def _finished(event: Event) -> Document:
    """The result of a finished step, or an error for an event that OpenLoop does not write."""
    try:
        result = _result(event)
    except ValueError as error:
        return {"outcome": "unknown", "detail": str(error)}
    measured = result.measurement.to_json() if result.measurement else None
    return {**result.to_json(), "metric": measured, "did": changes.diff_counts(result)}


class FoundStep:
    """One step, found by the place of its step_started in the record.

    log: its file's name. result: how it ended, None while it runs.
    """

    def __init__(self, workspace: Workspace, identifier: int) -> None:
        """Raises LookupError when no step begins at that byte, ValueError when its end is none that
        OpenLoop writes, OSError."""
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
        try:
            if identifier and os.pread(events, 1, identifier - 1) != b"\n":
                raise LookupError("no step begins there")
            data = os.pread(events, _LONGEST, identifier)
        finally:
            os.close(events)
        begun, *later = data.split(b"\n", 1000)
        event = _decoded(begun)
        if event is None or event.kind is not Kind.STEP_STARTED:
            raise LookupError("no step begins there")
        self.step = event.step
        self.round = event.round
        self.log = _name_of_log(event)
        ended = next((line for line in later if chain.kind_of(line) == Kind.STEP_FINISHED), None)
        self.result = None if ended is None else _result(event_format.decode(ended))


def _result(event: Event) -> StepResult:
    """Raises ValueError for a result that OpenLoop does not write."""
    try:
        return StepResult.of(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the end of a step: {error}") from None


def _name_of_log(event: Event) -> str:
    return os.path.basename(str(event.data.get("log_path", "")))
