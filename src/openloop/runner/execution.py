"""Run a command as often as it says, and judge what came of it: of a mission, or as a trial."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

from openloop.config import template
from openloop.config.config import Baseline, Command, Limits, fits_environment
from openloop.core.vocabulary import Outcome, Step
from openloop.loop import gates
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import State
from openloop.process import watchdog
from openloop.process.log_scan import LogReader
from openloop.process.supervisor import Job, Processes
from openloop.record.mission import Mission
from openloop.record.workspace import ATTACHMENTS, CONFIG


class Repetitions(NamedTuple):
    """What a command's runs amount to."""

    verdict: Verdict
    ends: tuple[Exit, ...]


def repeat(
    command: Command, baseline: Baseline | None, once: Callable[[], tuple[Exit, LogFacts]]
) -> Repetitions:
    """Call `once` until the verdict is certain. baseline: when the command is its own."""
    ends: list[Exit] = []
    verdicts: list[Verdict] = []
    samples: list[LogFacts] = []
    for _ in range(baseline.repeat if baseline else command.repeat):
        end, facts = once()
        ends.append(end)
        verdicts.append(gates.judge(command, end, facts))
        samples.append(facts)
        if gates.settled(verdicts, single_failure=baseline is not None):
            break
    if baseline is None:
        verdict = gates.repeated(verdicts)
    else:
        verdict = verdicts[-1]
        if verdict.outcome.passed:
            verdict = gates.measure(baseline, samples)
    return Repetitions(verdict, tuple(ends))


def limits_of(command: Command, limits: Limits) -> watchdog.CommandLimits:
    return watchdog.CommandLimits(
        command.timeout, command.stall_timeout, limits.kill_grace, limits.max_log_bytes
    )


def environment(
    mission: Mission,
    command: Command,
    step: str,
    *,
    root: str | None = None,
    state: State | None = None,
    prompt_file: str = "",
) -> dict[str, str]:
    """What is added to a command's environment. root: the project's, when it is a copy; state: of
    the run that the command belongs to; prompt_file: absolute path of the latest prompt."""
    text = mission.config.mission
    if not fits_environment(text):
        text = f"(too long for the environment: read it in {mission.workspace.file(CONFIG)})"
    return {
        **command.env,
        "OPENLOOP_WORKSPACE": mission.workspace.path,
        "OPENLOOP_PROJECT_ROOT": root or mission.root,
        "OPENLOOP_ROUND": str(state.round) if state else "0",
        "OPENLOOP_STEP": step,
        "OPENLOOP_LAST_ERROR": state.last_error if state else "",
        "OPENLOOP_PROMPT_FILE": prompt_file,
        "OPENLOOP_MISSION": text,
        "OPENLOOP_ATTACHMENTS": mission.workspace.file(ATTACHMENTS),
    }


class Trials:
    """Gates run outside of a mission, on the project or on a copy: nothing is recorded."""

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
            command = command._replace(timeout=min(command.timeout, longest))
        baseline = config.baseline if step is Step.BASELINE else None
        return repeat(command, baseline, lambda: self._run(step, command, baseline, {})).verdict

    def once(
        self, step: Step, command: Command, *, env: Mapping[str, str] | None = None
    ) -> Verdict:
        """The verdict of one run. env: added for this run. Raises KeyboardInterrupt on a signal."""
        return gates.judge(command, *self._run(step, command, None, env or {}))

    def _run(
        self, step: Step, command: Command, baseline: Baseline | None, env: Mapping[str, str]
    ) -> tuple[Exit, LogFacts]:
        config = self._mission.config
        added = environment(self._mission, command, step, root=self._root)
        text = template.render(command.run, round=0, step=step)
        with tempfile.TemporaryFile(buffering=0) as log, tempfile.TemporaryDirectory() as folder:
            env = {**added, "OPENLOOP_ATTACHMENTS": folder, **env}
            job = Job(text, self._root, env, limits_of(command, config.limits))
            end = self._processes.run(
                job, log.fileno(), on_start=lambda pid: None, on_beat=lambda log_bytes: None
            )
            if end.ended is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            return end, LogReader(log.fileno(), config.limits.oom_markers).read(command, baseline)
