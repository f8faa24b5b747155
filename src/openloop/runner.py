"""The runner joins the loop, the processes and the record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from openloop import clock, gates, loop, process, prompt, template
from openloop.config import Baseline, Command
from openloop.errors import ExitCode, TamperError, UsageError
from openloop.gates import Exit, LogFacts, Verdict
from openloop.interrupts import Interrupts
from openloop.lock import Lock
from openloop.logscan import LogReader
from openloop.loop import (
    Action,
    FinishRound,
    FinishRun,
    OpenRun,
    RunStep,
    StartRound,
    TripBreaker,
)
from openloop.mission import Mission
from openloop.process import Job, Processes
from openloop.projections import Live
from openloop.states import Event, Hook, Kind, State, Status, Step
from openloop.store import Store, refuse
from openloop.watchdog import Limits


class View(Protocol):
    """Who is shown what goes on. Must not raise."""

    def event(self, event: Event, state: State, line: bytes) -> None:
        """line: the event as events.jsonl holds it."""

    def beat(self, live: Live, state: State) -> None:
        """About once a second while a command runs, in the watchdog's thread."""


class Runner:
    """One process's part of a run, from opening it to its end."""

    def __init__(
        self,
        mission: Mission,
        store: Store,
        processes: Processes,
        interrupts: Interrupts,
        gaps: list[float],
        view: View,
    ) -> None:
        """gaps: seconds in which nothing could run, added by the watchdog's thread."""
        self._mission = mission
        self._config = mission.config
        self._store = store
        self._processes = processes
        self._interrupts = interrupts
        self._gaps = gaps
        self._view = view
        self._prompt_file = ""

    @property
    def state(self) -> State:
        return self._store.state

    def run(self, max_rounds: int | None) -> State:
        """Open a run, take it to its end, and return the state then."""
        self._open(max_rounds)
        while self.state.status is Status.RUNNING:
            self._notice()
            self._perform(loop.next_action(self._config, self.state))
        return self.state

    def _open(self, max_rounds: int | None) -> None:
        opened = False
        while not opened:
            action = loop.opening(
                self._config,
                self.state,
                max_rounds=max_rounds,
                config_sha256=self._mission.config_sha256,
            )
            self._perform(action)
            opened = isinstance(action, OpenRun)
            if self.state.status is Status.BLOCKED and not opened:
                return  # what cut the old run off has to be looked at first
        self._store.note_torn()

    def _perform(self, action: Action) -> None:
        match action:
            case OpenRun():
                self._open_run(action)
            case StartRound():
                carried = self.state.to_json()
                self._record(Kind.ROUND_STARTED, round=action.round, state=carried)
            case RunStep():
                self._step(action)
            case FinishRound():
                self._show(self._store.finish_round(action))
                self._hook(Hook.ROUND)
            case TripBreaker():
                self._record(Kind.BREAKER_TRIPPED, reason=action.reason)
            case FinishRun():
                self._finish_run(action)

    def _open_run(self, action: OpenRun) -> None:
        self._record(
            Kind.RUN_STARTED,
            run=action.run,
            durable=True,
            budget=action.budget,
            trial=action.trial,
            resumed=action.resumed,
            config_sha256=self._mission.config_sha256,
            mark=self._processes.mark,
            project_root=self._mission.root,
            runner_pid=os.getpid(),
        )
        self._store.beat()

    def _finish_run(self, action: FinishRun) -> None:
        self._record(Kind.RUN_FINISHED, durable=True, status=action.status, reason=action.reason)
        self._store.beat()
        if str(action.status) in tuple(Hook):
            self._hook(Hook(str(action.status)))

    # --- steps ---

    def _step(self, action: RunStep) -> None:
        step = action.step
        command = self._config.command(step)
        if step.is_change:
            text = prompt.build(self._mission, self.state, step)
            self._prompt_file = self._store.write_prompt(step, text)
        log, log_path = self._store.open_log(step)
        try:
            shell = template.render(command.run, round=self.state.round, step=step)
            live = Live(step, shell, None, log_path, 0, clock.utc())
            about: dict[str, Any] = {
                "command": shell,
                "confirm": action.confirm,
                "log_path": log_path,
            }
            self._record(Kind.STEP_STARTED, step=step, **about)
            self._show_live(live)
            result = self._measure(step, command, live, log)
            tampering = self._store.tampering()  # before anything is added to the record
            self._record(Kind.STEP_FINISHED, step=step, **about, **result)
            self._note_tampering(tampering)
            self._note_tampering(self._store.log_finished(log_path, log, result["log_sha256"]))
        finally:
            os.close(log)
        live.pid = None
        self._show_live(live)

    def _measure(self, step: Step, command: Command, live: Live, log: int) -> dict[str, Any]:
        """Run the step's command, a baseline's as often as it says, and judge the result."""
        baseline = self._config.baseline if step is Step.BASELINE else None
        limits = self._limits(step, command)
        reader = LogReader(log, self._config.limits.oom_markers)
        ends: list[Exit] = []
        samples: list[tuple[str, ...]] = []
        while True:
            end = self._run(command, live, log, limits, str(step))
            ends.append(end)
            facts = reader.read(command, baseline)
            verdict = gates.judge(command, end, facts)
            samples.append(facts.values)
            if not verdict.outcome.passed or len(ends) == (baseline.repeat if baseline else 1):
                break
        if baseline and verdict.outcome.passed:
            verdict = gates.measure(baseline, samples)
        return _finished(step, verdict, ends, facts, reader, live) | _metric(baseline, verdict)

    def _limits(self, step: Step, command: Command) -> Limits:
        """A change gets no more time than the run has left; a gate that was cut off would
        say nothing of the project."""
        timeout = command.timeout
        longest = self._config.limits.max_runtime
        if step.is_change and longest is not None:
            timeout = min(timeout, max(0.1, longest - self._store.elapsed))
        return Limits(timeout, command.stall_timeout, self._config.limits.kill_grace)

    def _run(self, command: Command, live: Live, log: int, limits: Limits, step: str) -> Exit:
        store = self._store

        def on_start(pid: int) -> None:
            live.pid = pid
            self._show_live(live)

        def on_beat(log_bytes: int) -> None:
            store.beat(log_bytes)
            self._view.beat(live, store.state)

        shell = template.render(command.run, round=self.state.round, step=step)
        job = Job(shell, self._mission.root, self._environment(command, step), limits)
        return self._processes.run(job, log, on_start=on_start, on_beat=on_beat)

    def _environment(self, command: Command, step: str) -> Mapping[str, str]:
        return {
            **command.env,
            "OPENLOOP_WORKSPACE": self._mission.workspace.path,
            "OPENLOOP_PROJECT_ROOT": self._mission.root,
            "OPENLOOP_ROUND": str(self.state.round),
            "OPENLOOP_STEP": step,
            "OPENLOOP_LAST_ERROR": self.state.last_error,
            "OPENLOOP_PROMPT_FILE": self._prompt_file,
            "OPENLOOP_MISSION": self._config.mission,
        }

    def _hook(self, hook: Hook) -> None:
        """Tell a person's own command; its failure is noted and changes nothing else."""
        command = self._config.hooks.get(hook)
        if command is None or self._interrupts.received:
            return
        log, log_path = self._store.open_log(f"hook-{hook}")
        try:
            shell = template.render(command.run, round=self.state.round, step=hook)
            live = Live(None, shell, None, log_path, 0, clock.utc())
            self._show_live(live)
            limits = Limits(command.timeout, command.stall_timeout, self._config.limits.kill_grace)
            end = self._run(command, live, log, limits, hook)
            verdict = gates.judge(command, end, LogFacts())
        finally:
            os.close(log)
        live.pid = None
        self._note_tampering(self._store.tampering())
        if not verdict.outcome.passed:
            text = f"hook {hook} {verdict.outcome}: {verdict.detail} ({log_path})"
            self._record(Kind.NOTE, note="hook", text=text)
        self._show_live(live)

    # --- what happens beside the steps ---

    def _note_tampering(self, found: str) -> None:
        if found:
            self._record(Kind.NOTE, note="tampered", text=found)

    def _notice(self) -> None:
        """Put on record what came from outside since the last look."""
        while self._gaps:
            text = f"nothing could run for {self._gaps.pop(0):.0f} s; limits were moved along"
            self._record(Kind.NOTE, note="gap", text=text)
        if self._interrupts.received and not self.state.interruption:
            name = self._interrupts.received[0].name
            self._record(Kind.NOTE, note="signal", signal=name, text=f"received {name}")

    def _record(self, kind: Kind, **fields: Any) -> None:
        self._show(self._store.record(kind, **fields))

    def _show(self, event: Event) -> None:
        self._view.event(event, self.state, self._store.line)

    def _show_live(self, live: Live) -> None:
        self._store.live = live
        self._store.beat()
        self._view.beat(live, self.state)


def _finished(
    step: Step, verdict: Verdict, ends: list[Exit], facts: LogFacts, reader: LogReader, live: Live
) -> dict[str, Any]:
    """The fields of step_finished; repetitions share one entry."""
    passed = verdict.outcome.passed
    live.log_bytes = reader.size
    return {
        "outcome": verdict.outcome,
        "exit_code": ends[-1].code,
        "signal": ends[-1].signal,
        "pid": ends[-1].pid,
        "started_at": live.started_at,
        "duration_seconds": round(sum(end.seconds for end in ends), 3),
        "log_bytes": reader.size,
        "log_sha256": reader.sha256,
        "peak_rss_bytes": max(end.peak_rss_bytes or 0 for end in ends) or None,
        "cpu_seconds": round(sum(end.cpu_seconds or 0.0 for end in ends), 6),
        "detail": verdict.detail,
        "error": "" if passed else gates.error_line(step, verdict, facts.last_line),
        "value": verdict.value,
    }


def _metric(baseline: Baseline | None, verdict: Verdict) -> dict[str, Any]:
    if baseline is None:
        return {}
    metric = gates.metric_of(baseline, verdict.value, verdict.outcome.passed, None).to_json()
    del metric["best"]
    return {"metric": metric}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. head: of the chain then. signal: what interrupted it, if anything."""

    state: State
    head: str
    signal: int | None

    @property
    def exit_code(self) -> int:
        """What `openloop run` ends with."""
        if self.state.status is Status.INTERRUPTED and self.signal is not None:
            return 128 + self.signal
        codes = {
            Status.COMPLETE: ExitCode.OK,
            Status.EXHAUSTED: ExitCode.FAILED,
            Status.BLOCKED: ExitCode.BLOCKED,
        }
        return codes.get(self.state.status, ExitCode.RECORD)


def run(mission: Mission, *, max_rounds: int | None, view: View) -> Ending:
    """Run a mission in this process until it ends. Everything it started is gone then.

    max_rounds: lowers the configured budget; None leaves it.
    Raises HeldError when a live runner holds the workspace, TamperError when its record does
    not hold (the heartbeat says `blocked` then), RecordError when it cannot be kept.
    """
    lock = Lock(mission.workspace, patience=mission.config.limits.kill_grace + 10)
    try:
        try:
            store = Store(mission, lock)
        except TamperError as error:
            refuse(mission.workspace, lock, error.what)
            raise
        except OSError as error:
            raise _not_started(mission, error) from None
        try:
            with Interrupts() as interrupts:
                return _run(mission, store, interrupts, max_rounds, view)
        finally:
            store.close()
    finally:
        lock.release()


def _run(
    mission: Mission, store: Store, interrupts: Interrupts, max_rounds: int | None, view: View
) -> Ending:
    before = store.state
    if before.status is Status.RUNNING and before.mark:
        process.end_leftovers(before.mark, mission.config.limits.kill_grace)
    gaps: list[float] = []
    processes = Processes(store.lock.folder, interrupts, gaps.append)
    try:
        try:
            store.prepare()
        except OSError as error:
            raise _not_started(mission, error) from None
        state = Runner(mission, store, processes, interrupts, gaps, view).run(max_rounds)
        return Ending(state, store.head, next(iter(interrupts.received), None))
    finally:
        processes.close()


def _not_started(mission: Mission, error: OSError) -> UsageError:
    return UsageError(
        f"the record cannot be written: {error.strerror or error}",
        where=mission.workspace.shown(str(error.filename or "")),
        fix="make room, or the file system writable; nothing was started",
    )
