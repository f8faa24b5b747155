"""Run one step's command, as often as it says, and return its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from openloop.config.config import Command
from openloop.core import clock
from openloop.core.text import printable
from openloop.core.vocabulary import CHANGES, Hook, Outcome, SandboxMode, Step
from openloop.loop import budget, gates
from openloop.loop.actions import RunStep
from openloop.loop.events import StepResult
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import State
from openloop.policy.withholding import Withholding
from openloop.process import watchdog
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.record import log_tail
from openloop.record.mission import Mission
from openloop.record.projections import LiveFacts
from openloop.record.writer.step_files import StepLog
from openloop.runner import agent_availability
from openloop.runner.execution import environment, limits_of, repeat

if TYPE_CHECKING:
    from openloop.agents.sessions import ConfiguredAgents, Session
    from openloop.fs.content import Tick
    from openloop.policy.bubblewrap import Sandbox


LONGEST = 300  # characters of an agent's words


class Execution(NamedTuple):
    """A command that is about to run. text: for the shell; live: for the heartbeat and the
    console; session: reads the output of a change."""

    command: Command
    text: str
    log: StepLog
    live: LiveFacts
    session: Session | None = None


class StepRunner:
    """Runs the commands of one mission under one guard."""

    def __init__(
        self,
        mission: Mission,
        processes: Processes,
        show: Callable[[LiveFacts], None],
        sandbox: Sandbox | None,
        withholding: Withholding,
        agents: ConfiguredAgents | None,
        tick: Tick,
    ) -> None:
        """show: called when a command starts and at every beat. tick: see `snapshot.scan`."""
        self._mission = mission
        self._config = mission.config
        self._processes = processes
        self._show = show
        self._sandbox = sandbox
        self._withholding = withholding
        self._agents = agents
        self._tick = tick
        self.prompt_file = ""  # absolute path of the latest one

    def run_step(self, action: RunStep, execution: Execution, state: State) -> StepResult:
        """Run a gate or a change, its command as often as `repeat` says; returns the result. state:
        of the run when the step starts."""
        step, command = action.step, execution.command
        log, session = execution.log, execution.session
        baseline = self._config.baseline if step is Step.BASELINE else None
        reader = LogReader(log.descriptor, self._config.limits.oom_markers)
        started_at = clock.utc()

        def once() -> tuple[Exit, LogFacts]:
            end = self._run(step, command, execution, state)
            return end, reader.read(command, baseline, end.code)

        runs = repeat(command, baseline, once)
        execution.live.log_bytes = reader.size
        verdict, last = runs.verdict, runs.ends[-1]
        line = log_tail.failure_line(log.descriptor)
        usage = refusal = None
        if step.is_change:
            verdict, line = self._reported(verdict, last, line, execution)
            usage = session.usage if session else None
        if verdict.outcome is Outcome.UNAVAILABLE:
            refusal = self._refused(action, execution, state, verdict.detail)
        elif session and self._agents:
            self._agents.share_result(command, None, None)
        private = command.private or self._withholding.is_named_in(line)
        line = log_tail.last_count(log.descriptor) if private else line
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
            error="" if verdict.outcome.passed else gates.error_line(step, verdict, line),
            value=verdict.value,
            sandbox=SandboxMode.BWRAP if enclosed else SandboxMode.NONE,
            private=private,
            measurement=gates.measurement(baseline, verdict) if baseline else None,
            usage=usage.to_json() if usage else None,
            refusal=refusal,
        )

    def _reported(
        self, verdict: Verdict, end: Exit, line: str, execution: Execution
    ) -> tuple[Verdict, str]:
        """The verdict and the error line, with the agent's own report taken into account."""
        session = execution.session
        if session is not None:
            session.end(execution.log.descriptor, end.code)
            if line.startswith("{"):  # a record of its output: its last words instead
                line = printable(" ".join(session.answer.split()))[:LONGEST]
        return agent_availability.judged(verdict, end, session, line), line

    def _refused(
        self, action: RunStep, execution: Execution, state: State, says: str
    ) -> dict[str, Any]:
        """Why the agent was unavailable, for the record and for other loops."""
        found = execution.session.refused if execution.session else None
        refused, delay = agent_availability.refused(self._config, state, action, found, says)
        if self._agents:
            self._agents.share_result(execution.command, found, delay)
        return refused.to_json()

    def run_hook(self, hook: Hook, execution: Execution, state: State) -> Verdict:
        """Run a hook; only its own end counts."""
        command = execution.command
        return gates.verdict_of(command, self._run(hook, command, execution, state), LogFacts())

    def _run(self, step: Step | Hook, command: Command, execution: Execution, state: State) -> Exit:
        text, log, live = execution.text, execution.log, execution.live

        def on_start(pid: int) -> None:
            live.pid = pid
            self._show(live)

        def on_beat(log_bytes: int) -> tuple[Outcome, str] | None:
            live.log_bytes = log_bytes
            over = self._read_agent_output(execution, state) if execution.session else None
            self._show(live)
            return over

        env = environment(self._mission, command, step, state=state, prompt_file=self.prompt_file)
        wrapper: tuple[str, ...] = ()
        if self._sandbox is not None and isinstance(step, Step) and self._sandbox.encloses(step):
            hidden = self._withholding.hidden
            wrapper = self._sandbox.wrapper(
                self._mission,
                step,
                command=text,
                env=command.env,
                hidden=hidden,
                state=self._agents.state(command) if self._agents else (),
                tick=self._tick,
            )
        job = Job(text, self._mission.root, env, self._limits(step, command, state), wrapper)
        return self._processes.run(job, log.descriptor, on_start=on_start, on_beat=on_beat)

    def _read_agent_output(self, execution: Execution, state: State) -> tuple[Outcome, str] | None:
        """Read the agent's output since the last beat. Returns why it must end, or None."""
        session, live = execution.session, execution.live
        assert session is not None
        session.read(execution.log.descriptor, live.log_bytes)
        if session.hopeless:
            return Outcome.UNAVAILABLE, session.hopeless
        live.usage, live.agent_waits = session.usage, session.retries
        if live.usage is None:
            return None
        over = budget.exceeded_limit(self._config, state.usage, live.usage.figures)
        return (Outcome.BUDGET, over) if over else None

    def _limits(self, step: Step | Hook, command: Command, state: State) -> watchdog.CommandLimits:
        """The limits of a command. A change gets no more time than the run has left; a gate keeps
        its own, as one that was cut off would say nothing about the project."""
        limits = limits_of(command, self._config.limits)
        longest = self._config.limits.max_runtime
        if step in CHANGES and longest is not None:
            return limits._replace(timeout=min(limits.timeout, max(0.1, longest - state.elapsed)))
        return limits
