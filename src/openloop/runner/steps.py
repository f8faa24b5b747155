"""Run one step's command, as often as it says, and return its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openloop.config.config import Command
from openloop.core import clock
from openloop.core.vocabulary import CHANGES, Hook, SandboxMode, Step
from openloop.loop import gates
from openloop.loop.actions import RunStep
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import State, StepResult
from openloop.policy.withholding import Withholding
from openloop.process import log_scan, watchdog
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.record.mission import Mission
from openloop.record.projections import Live
from openloop.record.store import Log
from openloop.runner.execution import Repetitions, environment, limits_of, repeat

if TYPE_CHECKING:
    from openloop.policy.bubblewrap import Sandbox


@dataclass(frozen=True, slots=True)
class Execution:
    """A command that is about to run. text: what the shell is given; live: what is shown of it."""

    text: str
    log: Log
    live: Live


class Steps:
    """Commands of one mission, run under one guard."""

    def __init__(
        self,
        mission: Mission,
        processes: Processes,
        show: Callable[[Live], None],
        sandbox: Sandbox | None,
        withholding: Withholding,
    ) -> None:
        """show: called when a command starts and at every beat."""
        self._mission = mission
        self._config = mission.config
        self._processes = processes
        self._show = show
        self._sandbox = sandbox
        self._withholding = withholding
        self.prompt_file = ""  # absolute path of the latest one

    def measure(self, action: RunStep, execution: Execution, state: State) -> StepResult:
        """Run the step's command as often as it says. state: of the run when it starts."""
        step, command = action.step, self._config.command(action.step)
        log = execution.log
        baseline = self._config.baseline if step is Step.BASELINE else None
        reader = LogReader(log.descriptor, self._config.limits.oom_markers)
        started_at = clock.utc()

        def once() -> tuple[Exit, LogFacts]:
            end = self._run(step, command, execution, state)
            return end, reader.read(command, baseline)

        runs = repeat(command, baseline, once)
        execution.live.log_bytes = reader.size
        verdict, last = runs.verdict, runs.ends[-1]
        private = command.private or self._withholding.names_in(runs.facts.last_line)
        enclosed = self._sandbox is not None and self._sandbox.encloses(step)
        return StepResult(
            step=step,
            outcome=verdict.outcome,
            command=execution.text,
            confirm=action.confirm,
            exit_code=last.code,
            signal=last.signal,
            pid=last.pid,
            started_at=started_at,
            duration_seconds=round(sum(end.seconds for end in runs.ends), 3),
            log_path=log.path,
            log_bytes=reader.size,
            log_sha256=reader.sha256,
            peak_rss_bytes=max(end.peak_rss_bytes or 0 for end in runs.ends) or None,
            cpu_seconds=round(sum(end.cpu_seconds or 0.0 for end in runs.ends), 6),
            detail=verdict.detail,
            error="" if verdict.outcome.passed else self._error(step, runs, log, private),
            value=verdict.value,
            sandbox=SandboxMode.BWRAP if enclosed else SandboxMode.NONE,
            private=private,
            measurement=gates.measurement(baseline, verdict) if baseline else None,
        )

    def _error(self, step: Step, runs: Repetitions, log: Log, private: bool) -> str:
        """The `last_error` line, which does not quote a private log."""
        line = log_scan.counts(log.descriptor) if private else runs.facts.last_line
        return gates.error_line(step, runs.verdict, line)

    def run_hook(self, hook: Hook, execution: Execution, state: State) -> Verdict:
        """Run a hook; only its own end counts."""
        command = self._config.hooks[hook]
        return gates.judge(command, self._run(hook, command, execution, state), LogFacts())

    def _run(self, step: Step | Hook, command: Command, execution: Execution, state: State) -> Exit:
        text, log, live = execution.text, execution.log, execution.live

        def on_start(pid: int) -> None:
            live.pid = pid
            self._show(live)

        def on_beat(log_bytes: int) -> None:
            live.log_bytes = log_bytes
            self._show(live)

        env = environment(self._mission, command, step, state=state, prompt_file=self.prompt_file)
        wrapper: tuple[str, ...] = ()
        if self._sandbox is not None and isinstance(step, Step) and self._sandbox.encloses(step):
            hidden = self._withholding.hidden
            wrapper = self._sandbox.wrapper(
                self._mission, step, command=text, env=command.env, hidden=hidden
            )
        job = Job(text, self._mission.root, env, self._limits(step, command, state), wrapper)
        return self._processes.run(job, log.descriptor, on_start=on_start, on_beat=on_beat)

    def _limits(self, step: Step | Hook, command: Command, state: State) -> watchdog.Limits:
        """A change gets no more time than the run has left; a gate that was cut off would
        say nothing of the project."""
        limits = limits_of(command, self._config.limits)
        longest = self._config.limits.max_runtime
        if step in CHANGES and longest is not None:
            return replace(limits, timeout=min(limits.timeout, max(0.1, longest - state.elapsed)))
        return limits
