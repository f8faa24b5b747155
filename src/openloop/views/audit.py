"""`openloop audit`: check that the whole record is intact, and that its files match it.

Everything is derived again from events.jsonl: the chain, the transitions, what each round
knew, every log's size and hash, every artifact. The first thing that is not intact is named.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from openloop.core.text import counted
from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.loop.state import State
from openloop.record import chain, integrity, reader, record_end
from openloop.record.chain import BrokenChain
from openloop.record.integrity import RecordMismatch
from openloop.record.workspace import EVENTS, HEARTBEAT, Workspace


@dataclass(slots=True)
class FirstBreak:
    """The first thing that is not intact: where, and why."""

    where: str
    why: str


@dataclass(slots=True)
class AuditReport:
    """The result of an audit. head: the hash of the chain's last event. notes: oddities that break
    nothing. is_whole: whether everything was checked, not only the latest rounds."""

    head: str = chain.FIRST_PREV
    events: int = 0
    runs: int = 0
    rounds: int = 0
    logs: int = 0
    artifacts: int = 0
    broken: FirstBreak | None = None
    notes: list[str] = field(default_factory=list)
    is_whole: bool = True

    def to_json(self) -> dict[str, Any]:
        broken = {"where": self.broken.where, "why": self.broken.why} if self.broken else None
        return {
            "intact": self.broken is None,
            "whole": self.is_whole,
            "broken": broken,
            "head": self.head,
            "events": self.events,
            "runs": self.runs,
            "rounds": self.rounds,
            "logs": self.logs,
            "artifacts": self.artifacts,
            "notes": self.notes,
        }


def examine(workspace: Workspace, *, head: str | None = None) -> AuditReport:
    """Audit a workspace. head: the expected hash of the chain's last event, as a run printed it."""
    report = AuditReport()
    beat = record_end.heartbeat(workspace)  # before the events: a live runner is ahead of it
    try:
        heads = _chain(workspace, report, {head, (beat or {}).get("event_head")})
        _heartbeat(workspace, report, beat, heads)
        if head is not None and report.head != head:
            raise RecordMismatch(workspace.shown(EVENTS), _wrong_head(head, report, heads))
        _replay(workspace, report)
    except RecordMismatch as found:
        report.broken = FirstBreak(found.where, found.why)
    return report


def examine_latest(workspace: Workspace, rounds: int) -> AuditReport:
    """Audit a short record whole, and of a long one what a report of its latest rounds shows: their
    events, the files that these name, and the heartbeat."""
    report = AuditReport()
    beat = record_end.heartbeat(workspace)
    try:
        if os.path.lexists(workspace.file(EVENTS)):
            with _opened(workspace) as events:
                if record_end.whole_size(events) > record_end.WINDOW:
                    report.is_whole = False
                    _replay_latest(workspace, events, rounds, report, beat)
                    return report
    except RecordMismatch as found:
        report.broken = FirstBreak(found.where, found.why)
        return report
    return examine(workspace)


def _replay_latest(
    workspace: Workspace, events: int, rounds: int, report: AuditReport, beat: dict[str, Any] | None
) -> None:
    end = record_end.window(events, count=rounds)
    begin = end.first + end.rounds[-rounds:][0]
    replay = _Replay(workspace, report)
    for number, line in chain.check_chain(end.lines, first=end.first, prev=end.prev):
        report.head = chain.head_of(line)
        if number >= begin:
            report.events += 1
            replay.take(number, line)
    if why := reader.lost(replay.state, report.head, beat):
        raise RecordMismatch(workspace.shown(EVENTS), why)
    replay.end()
    report.runs = replay.state.run - replay.first_run + 1
    report.rounds = len(end.rounds[-rounds:])


def _wrong_head(head: str, report: AuditReport, heads: dict[str, int]) -> str:
    if head in heads:
        later = report.events - heads[head]
        words = counted(later, "event")
        return f"its head is {report.head}; {head} was its head {words} ago"
    return f"its head is {report.head}, not {head}: this is another record or a rewritten one"


@contextlib.contextmanager
def _opened(workspace: Workspace) -> Iterator[int]:
    """The open events.jsonl; an error in one of its lines ends the audit."""
    try:
        descriptor = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except OSError as error:
        raise RecordMismatch(workspace.shown(EVENTS), str(error.strerror)) from None
    try:
        yield descriptor
    except BrokenChain as error:
        raise RecordMismatch(f"{workspace.shown(EVENTS)}, line {error.line}", error.why) from None
    finally:
        os.close(descriptor)


def _chain(workspace: Workspace, report: AuditReport, asked: set[str | None]) -> dict[str, int]:
    """Check the chain before the events are applied, so that an edited line is not reported as a
    wrong file. Returns the line numbers of the given heads."""
    heads: dict[str, int] = {}
    if not os.path.lexists(workspace.file(EVENTS)):
        return heads
    with _opened(workspace) as events:
        torn = _Torn(events)
        for number, line in chain.check_chain(torn.whole_lines()):
            report.head, report.events = chain.head_of(line), number
            if report.head in asked:
                heads[report.head] = number
        if torn.bytes:
            words = f"the last line is torn ({torn.bytes} bytes)"
            report.notes.append(f"{words}: the next run drops it and keeps a copy")
    return heads


def _replay(workspace: Workspace, report: AuditReport) -> None:
    """Check the events of an intact chain by applying them again."""
    if report.events == 0:
        integrity.check_empty(workspace)
        return
    with _opened(workspace) as events:
        replay = _Replay(workspace, report)
        for number, line in zip(range(1, report.events + 1), reader.lines(events), strict=False):
            replay.take(number, line)
        replay.end()
        report.runs, report.rounds = replay.state.run, replay.state.round


class _Replay:
    """Applies the events in order, and checks each against the files that it names."""

    def __init__(self, workspace: Workspace, report: AuditReport) -> None:
        self._workspace = workspace
        self._report = report
        self._found: list[RecordMismatch] = []
        self.state = State()
        self.first_run = 0

    def take(self, number: int, line: bytes) -> None:
        event = reader.decode_at(number, line)
        try:
            integrity.check(self._workspace, number, self.state, event)
        except RecordMismatch as mismatch:
            self._found.append(mismatch)
        self.first_run = self.first_run or event.run
        self._report.logs += event.kind is Kind.STEP_FINISHED
        self._report.artifacts += event.kind is Kind.ROUND_FINISHED
        self.state = reader.apply_at(number, self.state, event)
        known = list(map(self._workspace.shown, self.state.accepted))
        accepted = [one for one in self._found if one.where in known]
        self._report.notes += [f"accepted by a person: {one}" for one in accepted]
        self._found = [one for one in self._found if one not in accepted]

    def end(self) -> None:
        """Raises RecordMismatch for the first file that does not fit."""
        if self._found:
            raise self._found[0]


class _Torn:
    """The whole lines of events.jsonl, and how many bytes follow them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size

    def whole_lines(self) -> Iterator[bytes]:
        for line in reader.lines(self._descriptor):
            self.bytes -= len(line) + 1
            yield line


def _heartbeat(
    workspace: Workspace, report: AuditReport, beat: dict[str, Any] | None, heads: dict[str, int]
) -> None:
    """Check that the heartbeat does not contradict the record."""
    if beat is None:
        report.notes.append(f"{HEARTBEAT} is missing or garbage; the next run writes it again")
        return
    seq, head = beat.get("event_seq"), beat.get("event_head")
    if not isinstance(seq, int) or seq == 0:
        return
    if seq > report.events:
        why = f"ends at event {report.events}, the heartbeat knows event {seq}: the end was cut"
        raise RecordMismatch(workspace.shown(EVENTS), why)
    if heads.get(str(head)) != seq:
        why = f"line {seq} is not the one that the heartbeat of that moment knew"
        raise RecordMismatch(workspace.shown(EVENTS), why)


def counts(report: AuditReport) -> str:
    """The numbers of checked events, logs and artifacts, in words."""
    return ", ".join(
        counted(getattr(report, thing), thing.removesuffix("s"))
        for thing in ("events", "runs", "rounds", "logs", "artifacts")
    )


def lines(report: AuditReport) -> list[str]:
    """The report for a person."""
    checked = counts(report)
    if report.broken:
        shown = [f"broken: {report.broken.where}: {report.broken.why}", f"  checked   {checked}"]
    else:
        shown = [f"intact: {checked}"]
    shown += [f"  note      {note}" for note in report.notes]
    shown.append(f"  head      {report.head}")
    return shown
