"""`openloop report`: the facts about a run, collected once for all formats.

A report is bounded however long the history is: the latest rounds are shown whole, the earlier
ones counted, and of each log only its end is read.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openloop.core import clock
from openloop.core.errors import OpenLoopError, OutputError, UsageError
from openloop.core.usage import RunUsage
from openloop.core.vocabulary import Status, Step
from openloop.fs import files
from openloop.loop.events import Metric, StepResult
from openloop.loop.state import GateResult, State, Violation
from openloop.record import chain, log_tail, reader
from openloop.record.log_tail import Excerpt
from openloop.record.workspace import (
    ARTIFACTS,
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    HEARTBEAT,
    LOGS,
    PROGRESS,
    Workspace,
)
from openloop.views import audit, console, history, status
from openloop.views.changes import Change
from openloop.views.history import History, Round

DETAILED = 30  # latest rounds that are shown whole
VERSION = 1
_LOG_END = 8000  # bytes of a failure's log in the JSON document
_OWN = (CONFIG, EVENTS, HEARTBEAT, PROGRESS, LOGS, ARTIFACTS, CHECKPOINTS)


@dataclass(frozen=True, slots=True)
class Gate:
    """The latest result of one gate, and whether a change has run since."""

    step: Step
    result: GateResult
    stale: bool


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that did not pass."""

    round: Round
    result: StepResult


@dataclass(frozen=True, slots=True)
class RunReport:
    """The facts about a run that every format shows.

    status, reason: as `openloop status` shows them. gates: () where no record can be read. next:
    advice for a person, "" while a runner lives.
    """

    workspace: Workspace
    generated_at: str
    status: str
    reason: str
    mission: str
    run: int
    host: str
    updated_at: str
    gates: tuple[Gate, ...]
    metric: Metric | None
    consecutive_failures: int
    usage: RunUsage
    history: History
    audit: audit.AuditReport
    problems: tuple[OpenLoopError, ...]
    next: str

    @property
    def name(self) -> str:
        """The workspace's name: that of its folder."""
        return os.path.basename(self.workspace.path)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The latest rounds, oldest first."""
        return self.history.rounds

    @property
    def run_rounds(self) -> tuple[Round, ...]:
        """The rounds of the latest run."""
        return tuple(one for one in self.rounds if one.run == self.run)

    @property
    def failures(self) -> tuple[FailedStep, ...]:
        """The failed steps of the rounds that are shown in full, the latest first."""
        return tuple(
            FailedStep(one, step.result)
            for one in reversed(self.rounds)
            for step in reversed(one.steps)
            if not step.result.outcome.passed
        )

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that were compared in the rounds that are shown whole, the latest first."""
        return tuple(
            Change(one.run, one.number, step.result)
            for one in reversed(self.rounds)
            for step in reversed(one.steps)
            if step.result.changes is not None
        )

    @property
    def undone(self) -> tuple[Violation, ...]:
        """The violations that were restored in the rounds shown in full, the latest first."""
        return tuple(found for one in reversed(self.rounds) for found in reversed(one.undone))

    @property
    def seconds(self) -> float:
        """How long the rounds of the latest run took that are shown whole."""
        return sum(one.seconds for one in self.run_rounds)

    def log_end(self, result: StepResult, size: int) -> Excerpt | None:
        """The end of a step's log, `size` bytes at most; None when it is not there."""
        if result.private:
            return Excerpt(("(this log is private)",), 0)
        return log_tail.end_of(self.workspace, result.log_path, size)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "generated_at": self.generated_at,
            "workspace": self.workspace.given,
            "mission": self.mission,
            "status": self.status,
            "reason": self.reason,
            "run": self.run,
            "host": self.host,
            "updated_at": self.updated_at,
            "next": self.next,
            "consecutive_failures": self.consecutive_failures,
            "metric": self.metric.to_json() if self.metric else None,
            "usage": self.usage.to_json() if self.usage.sessions else None,
            "gates": {
                gate.step: {
                    "outcome": gate.result.outcome,
                    "stale": gate.stale,
                    "error": gate.result.error,
                    "log_path": gate.result.log_path,
                }
                for gate in self.gates
            },
            "rounds": [_round_json(one) for one in self.rounds],
            "earlier_rounds": dict(self.history.earlier),
            "measurements": [
                {"round": one.round, **one.metric.to_json()} for one in self.history.measured
            ],
            "failures": [self._failure_json(one) for one in self.failures],
            "audit": self.audit.to_json(),
            "record_broken": self.history.broken,
            "problems": [{"what": p.what, "where": p.where, "fix": p.fix} for p in self.problems],
        }

    def _failure_json(self, failure: FailedStep) -> dict[str, Any]:
        end = self.log_end(failure.result, _LOG_END)
        return {
            "round": failure.round.number,
            "step": failure.result.step,
            "outcome": failure.result.outcome,
            "detail": failure.result.detail,
            "log_path": failure.result.log_path,
            "log_end": list(end.lines) if end else None,
            "log_bytes_before": end.before if end else None,
        }


def _round_json(one: Round) -> dict[str, Any]:
    running = one.running
    return {
        "run": one.run,
        "round": one.number,
        "started_at": one.started_at,
        "duration_seconds": round(one.seconds, 3),
        "outcome": one.outcome,
        "decision": one.decision,
        "reason": one.reason,
        "steps": [
            {**step.result.to_json(), "offset_seconds": round(step.offset, 3)} for step in one.steps
        ],
        "running": {"step": running.step, "log_path": running.log_path} if running else None,
        "undone": [
            {"step": found.step, "text": found.text, "paths": list(found.paths)}
            for found in one.undone
        ],
        "checkpoints": list(one.checkpoints),
        "notes": list(one.notes),
    }


def collect(path: str, *, detailed: int = DETAILED) -> RunReport:
    """The report of the workspace at `path`, whatever state it is in. Raises UsageError when
    there is none. detailed: how many rounds are shown whole."""
    seen = status.inspect(path)
    workspace = seen.workspace
    beat = seen.heartbeat
    state, head = _state(workspace)
    past = history.read(workspace, detailed=detailed)
    return RunReport(
        workspace=workspace,
        generated_at=clock.utc(),
        status=seen.status,
        reason=_running(seen.status, past) or _text(beat, "reason") or status.nothing_yet(seen),
        mission=_text(beat, "mission"),
        run=state.run if state else max((one.run for one in past.rounds), default=0),
        host=_text(beat, "host"),
        updated_at=_text(beat, "updated_at"),
        gates=_gates(state) if state else (),
        metric=past.measured[-1].metric if past.measured else None,
        consecutive_failures=state.consecutive_failures if state else 0,
        usage=state.usage if state else RunUsage(),
        history=past,
        audit=audit.examine_latest(workspace, detailed),
        problems=seen.problems,
        next=_next(workspace, state, head, seen.status),
    )


def _state(workspace: Workspace) -> tuple[State | None, str]:
    """The state that the record gives, and its head; (None, "") when it is not intact."""
    try:
        record = reader.load_path(workspace)
    except (chain.BrokenChain, OSError):
        return None, ""
    return record.state, record.head


def _text(beat: Mapping[str, Any], name: str) -> str:
    value = beat.get(name)
    return value if isinstance(value, str) else ""


def _gates(state: State) -> tuple[Gate, ...]:
    return tuple(
        Gate(step, result, result.seq < state.change_seq) for step, result in state.gates.items()
    )


def _running(word: str, past: History) -> str:
    """The current step of a live run; "" for any other."""
    latest = past.rounds[-1] if past.rounds else None
    if word != Status.RUNNING or latest is None:
        return ""
    step = latest.running.step if latest.running else "between steps"
    return f"round {latest.number}, {step}"


def _next(workspace: Workspace, state: State | None, head: str, word: str) -> str:
    if state is None or word == Status.RUNNING:
        return ""
    if state.status is Status.READY:
        return f"start it: openloop run {shlex.quote(workspace.given)}"
    return console.next_step(workspace, state, head)


def write(workspace: Workspace, path: str, document: bytes) -> bool:
    """Put a report into a file, whole; returns False for a device or a FIFO. Raises UsageError for
    a file of the workspace's own, OutputError when it cannot be written."""
    target = os.path.realpath(path)
    _refuse_own(workspace, path, target)
    try:
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            with open(target, "wb") as file:  # a device or a FIFO takes it as it comes
                file.write(document)
            return False
        folder = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
        try:
            files.replace(os.path.basename(target), document, folder=folder)
        finally:
            os.close(folder)
        return True
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _refuse_own(workspace: Workspace, path: str, target: str) -> None:
    inside = os.path.relpath(target, workspace.path).split(os.sep)[0]
    if inside in _OWN:
        fix = f"write the report elsewhere, for example to {workspace.shown('output/report.html')}"
        raise UsageError(f"{path} is one of the workspace's own files", fix=fix)
