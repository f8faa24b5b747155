"""Run gates outside of a mission, without recording anything."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping

from openloop.config import placeholders
from openloop.config.config import Baseline, Command
from openloop.core.vocabulary import Outcome, Step
from openloop.loop import gates
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.record.mission import Mission
from openloop.runner.execution import environment, limits_of, repeat


class GateRunner:
    """Runs gates on the project or on a copy of it."""

    def __init__(self, mission: Mission, processes: Processes, root: str) -> None:
        """root: the project root as the commands see it."""
        self._mission = mission
        self._processes = processes
        self._root = root

    def run(self, step: Step, *, longest: float | None = None) -> Verdict:
        """A gate's verdict over its repetitions. longest: seconds for each, when shorter than
        its timeout. Raises KeyboardInterrupt on a signal."""
        config = self._mission.config
        command = config.command(step)
        if longest is not None:
            command = command._replace(timeout=min(command.timeout, longest))
        baseline = config.baseline if step is Step.BASELINE else None
        return repeat(command, baseline, lambda: self._run(step, command, baseline, {})).verdict

    def run_once(
        self, step: Step, command: Command, *, env: Mapping[str, str] | None = None
    ) -> Verdict:
        """The verdict of one run. env: added for this run. Raises KeyboardInterrupt on a signal."""
        return gates.verdict_of(command, *self._run(step, command, None, env or {}))

    def _run(
        self, step: Step, command: Command, baseline: Baseline | None, env: Mapping[str, str]
    ) -> tuple[Exit, LogFacts]:
        config = self._mission.config
        added = environment(self._mission, command, step, root=self._root)
        text = placeholders.render(command.run, round=0, step=step)
        with tempfile.TemporaryFile(buffering=0) as log, tempfile.TemporaryDirectory() as folder:
            env = {**added, "OPENLOOP_ATTACHMENTS": folder, **env}
            job = Job(text, self._root, env, limits_of(command, config.limits))
            end = self._processes.run(
                job, log.fileno(), on_start=lambda pid: None, on_beat=lambda log_bytes: None
            )
            if end.ended is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            reader = LogReader(log.fileno(), config.limits.oom_markers)
            return end, reader.read(command, baseline, end.code)
