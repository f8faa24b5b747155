"""Rounds by pages, from the end of the record backwards: the first page costs the same after ten
rounds and after a hundred thousand."""

from __future__ import annotations

import os
from typing import Any

from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.loop.state import Event
from openloop.record import event_format, tail
from openloop.record.workspace import EVENTS, Workspace

PAGE = 20  # rounds
_LONGEST = 16 << 20  # bytes that one page reads
_STEP = (
    *("outcome", "confirm", "exit_code", "signal", "pid", "started_at", "duration_seconds"),
    *("log_bytes", "log_sha256", "peak_rss_bytes", "cpu_seconds", "detail", "error", "sandbox"),
    *("private", "usage", "changes", "attachments", "metric"),
)

Document = dict[str, Any]


def page(place: Workspace, before: int | None, *, limit: int = PAGE) -> Document:
    """The latest `limit` rounds that begin before byte `before` of events.jsonl, newest first, and
    `before` for the page behind this one (None when there is none). Raises OSError."""
    events = files.open_regular(place.file(EVENTS), os.O_RDONLY)
    try:
        end = tail.whole_size(events) if before is None else before
        rounds: list[Document] = []
        collected: list[tuple[int, Event]] = []
        start = end
        for line in tail.backward(events, end):
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
                step = found["steps"][-1]
                step |= {name: event.data.get(name) for name in _STEP if name in event.data}
            case Kind.POLICY_VIOLATED:
                paths = [str(path) for path in event.data.get("paths", [])][:100]
                text = str(event.data.get("text", ""))
                found["violations"].append({"step": event.step, "text": text, "paths": paths})
            case Kind.CHECKPOINT_RESTORED:
                found["restored"].append(str(event.data.get("text", "")))
            case Kind.NOTE:
                found["notes"].append(str(event.data.get("text", "")))
            case Kind.ROUND_FINISHED:
                for name in ("outcome", "decision", "reason", "duration_seconds"):
                    found[name] = event.data.get(name)
    return found


def _started(offset: int, event: Event) -> Document:
    """A step that has begun; `id` finds it again."""
    data = event.data
    log = os.path.basename(str(data.get("log_path", "")))
    return {
        "id": offset,
        "step": event.step,
        "command": str(data.get("command", "")),
        "confirm": bool(data.get("confirm")),
        "log": log,
        "outcome": None,
    }


class Step:
    """One step, found by the place of its step_started in the record. log: its file's name."""

    def __init__(self, place: Workspace, identifier: int) -> None:
        """Raises LookupError when no step begins at that byte, OSError."""
        events = files.open_regular(place.file(EVENTS), os.O_RDONLY)
        try:
            if identifier and os.pread(events, 1, identifier - 1) != b"\n":
                raise LookupError("no step begins there")
            data = os.pread(events, _LONGEST, identifier)
        finally:
            os.close(events)
        begun, *later = map(_decoded, data.split(b"\n")[:1000])
        if begun is None or begun.kind is not Kind.STEP_STARTED:
            raise LookupError("no step begins there")
        self.step = begun.step
        self.round = begun.round
        self.log = os.path.basename(str(begun.data.get("log_path", "")))
        ended = next((one for one in later if one and one.kind is Kind.STEP_FINISHED), None)
        self.private = bool(ended and ended.data.get("private"))
        self.attachments: list[Document] = list(ended.data.get("attachments", [])) if ended else []
