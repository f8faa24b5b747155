"""Gates run outside of a mission, on the project or on a copy: nothing of it is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace

from openloop.config import template
from openloop.config.config import Baseline, Command
from openloop.core.vocabulary import Outcome, Step
from openloop.loop import gates
from openloop.loop.gates import Verdict
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.process.watchdog import Limits
from openloop.record.mission import Mission


class Trials:
    """Commands of one mission, run under one guard in one root."""

    def __init__(self, mission: Mission, processes: Processes, root: str) -> None:
        """root: the project root as the commands see it."""
        self._mission = mission
        self._processes = processes
        self._root = root

    def gate(self, step: Step, *, longest: float | None = None) -> Verdict:
        """A gate's verdict over its repetitions. longest: seconds for each, when shorter than
        its timeout. Raises KeyboardInterrupt on a signal."""
        config = self._mission.config
        command = config.command(step)
        if longest is not None:
            command = replace(command, timeout=min(command.timeout, longest))
        baseline = config.baseline if step is Step.BASELINE else None
        verdicts: list[Verdict] = []
        samples: list[tuple[str, ...]] = []
        for _ in range(baseline.repeat if baseline else command.repeat):
            verdict, values = self.once(step, command, baseline=baseline)
            verdicts.append(verdict)
            samples.append(values)
            if gates.settled(verdicts, single_failure=baseline is not None):
                break
        if baseline is None:
            return gates.repeated(verdicts)
        return gates.measure(baseline, samples) if verdicts[-1].outcome.passed else verdicts[-1]

    def once(
        self,
        step: Step,
        command: Command,
        *,
        baseline: Baseline | None = None,
        env: Mapping[str, str] | None = None,
    ) -> tuple[Verdict, tuple[str, ...]]:
        """One run: (verdict, matches of the baseline's regex). env: added for this run.
        Raises KeyboardInterrupt on a signal."""
        config = self._mission.config
        limits = Limits(command.timeout, command.stall_timeout, config.limits.kill_grace)
        text = template.render(command.run, round=0, step=step)
        with tempfile.TemporaryFile(buffering=0) as log:
            job = Job(text, self._root, {**self._environment(command, step), **(env or {})}, limits)
            end = self._processes.run(
                job, log.fileno(), on_start=lambda pid: None, on_beat=lambda log_bytes: None
            )
            reader = LogReader(log.fileno(), config.limits.oom_markers)
            facts = reader.read(command, baseline)
        verdict = gates.judge(command, end, facts)
        if verdict.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        return verdict, facts.values

    def _environment(self, command: Command, step: Step) -> Mapping[str, str]:
        return {
            **command.env,
            "OPENLOOP_WORKSPACE": self._mission.workspace.path,
            "OPENLOOP_PROJECT_ROOT": self._root,
            "OPENLOOP_ROUND": "0",
            "OPENLOOP_STEP": step,
            "OPENLOOP_LAST_ERROR": "",
            "OPENLOOP_PROMPT_FILE": "",
            "OPENLOOP_MISSION": self._mission.config.mission,
        }
