"""Run one step's command, as often as it says, and judge what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openloop.config import template
from openloop.config.config import Baseline, Command
from openloop.core.vocabulary import CHANGES, Hook, Outcome, SandboxMode, Step
from openloop.loop import gates
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import State
from openloop.policy.withholding import Withholding
from openloop.process import log_scan
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.process.watchdog import Limits
from openloop.record.mission import Mission
from openloop.record.projections import Live
from openloop.record.store import Store

if TYPE_CHECKING:
    from openloop.policy.bubblewrap import Sandbox


class Steps:
    """Commands of one mission, run under one guard, their beats told to `show`."""

    def __init__(
        self,
        mission: Mission,
        store: Store,
        processes: Processes,
        show: Callable[[Live], None],
        sandbox: Sandbox | None,
        withholding: Withholding,
    ) -> None:
        """show: told, with the heartbeat written, of what runs now. sandbox: for changes."""
        self._mission = mission
        self._config = mission.config
        self._store = store
        self._processes = processes
        self._show = show
        self._sandbox = sandbox
        self._withholding = withholding
        self.prompt_file = ""  # absolute path of the latest one

    @property
    def _state(self) -> State:
        return self._store.state

    def measure(self, step: Step, command: Command, live: Live, log: int) -> dict[str, Any]:
        """Run the step's command as often as it says, and judge the repetitions as one."""
        baseline = self._config.baseline if step is Step.BASELINE else None
        limits = self._limits(step, command)
        reader = LogReader(log, self._config.limits.oom_markers)
        ends: list[Exit] = []
        verdicts: list[Verdict] = []
        samples: list[tuple[str, ...]] = []
        for _ in range(baseline.repeat if baseline else command.repeat):
            end = self._run(command, live, log, limits, str(step))
            facts = reader.read(command, baseline)
            ends.append(end)
            verdicts.append(gates.judge(command, end, facts))
            samples.append(facts.values)
            if gates.settled(verdicts, single_failure=baseline is not None):
                break
        verdict = verdicts[-1] if baseline else gates.repeated(verdicts)
        private = command.private or self._withholding.names_in(facts.last_line)
        if private or (not verdict.outcome.passed and self._is_quoting(step, facts.last_line)):
            facts = replace(facts, last_line=log_scan.counts(log))
        if baseline and verdict.outcome.passed:
            verdict = gates.measure(baseline, samples)
        finished = _finished(step, verdict, ends, facts, reader, live)
        walled = self._sandbox is not None and step.is_change
        where = SandboxMode.BWRAP if walled else SandboxMode.NONE
        return finished | {"sandbox": where, "private": private} | _metric(baseline, verdict)

    def _is_quoting(self, step: Step, line: str) -> bool:
        """Whether the line is from a gate, and from a file that is withheld."""
        return step.is_gate and any(self._withholding.quotes_in([line]))

    def _limits(self, step: Step, command: Command) -> Limits:
        """A change gets no more time than the run has left; a gate that was cut off would
        say nothing of the project."""
        timeout = command.timeout
        longest = self._config.limits.max_runtime
        if step.is_change and longest is not None:
            timeout = min(timeout, max(0.1, longest - self._store.elapsed))
        return Limits(timeout, command.stall_timeout, self._config.limits.kill_grace)

    def _run(self, command: Command, live: Live, log: int, limits: Limits, step: str) -> Exit:
        def on_start(pid: int) -> None:
            live.pid = pid
            self._show(live)

        def on_beat(log_bytes: int) -> None:
            live.log_bytes = log_bytes
            self._show(live)

        env = self._environment(command, step)
        wrapper = self._wrapper(step, live.command, command.env)
        job = Job(live.command, self._mission.root, env, limits, wrapper)
        return self._processes.run(job, log, on_start=on_start, on_beat=on_beat)

    def _wrapper(self, step: str, text: str, env: Mapping[str, str]) -> tuple[str, ...]:
        if self._sandbox is None or step not in CHANGES:
            return ()
        hidden = self._withholding.hidden
        return self._sandbox.wrapper(self._mission, command=text, env=env, hidden=hidden)

    def _environment(self, command: Command, step: str) -> Mapping[str, str]:
        return {
            **command.env,
            "OPENLOOP_WORKSPACE": self._mission.workspace.path,
            "OPENLOOP_PROJECT_ROOT": self._mission.root,
            "OPENLOOP_ROUND": str(self._state.round),
            "OPENLOOP_STEP": step,
            "OPENLOOP_LAST_ERROR": self._state.last_error,
            "OPENLOOP_PROMPT_FILE": self.prompt_file,
            "OPENLOOP_MISSION": self._config.mission,
        }

    def tell(self, hook: Hook, live: Live, log: int) -> Verdict:
        """Run a hook; only its own end counts."""
        command = self._config.hooks[hook]
        limits = Limits(command.timeout, command.stall_timeout, self._config.limits.kill_grace)
        return gates.judge(command, self._run(command, live, log, limits, hook), LogFacts())

    def text(self, command: Command, step: str) -> str:
        """What the shell is given."""
        return template.render(command.run, round=self._state.round, step=step)


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


def overruled(step: Step, result: dict[str, Any], broken: str) -> dict[str, Any]:
    """A step's fields once the policy has had its word. broken: what broke it, "" for nothing.

    A gate that rewrote what it is held to has measured nothing.
    """
    if not broken or result["outcome"] is Outcome.INTERRUPTED:
        return result
    verdict = Verdict(Outcome.POLICY, broken)
    said: dict[str, Any] = {"outcome": verdict.outcome, "detail": broken, "value": None}
    said["error"] = gates.error_line(step, verdict, "")
    if "metric" in result:
        said["metric"] = {**result["metric"], "value": None, "passed": False}
    return {**result, **said}
