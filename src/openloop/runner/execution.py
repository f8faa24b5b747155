"""The environment, the limits and the repetitions of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from openloop.config.config import Baseline, Command, Limits, fits_environment
from openloop.loop import gates
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import State
from openloop.process import watchdog
from openloop.record.mission import Mission
from openloop.record.workspace import ATTACHMENTS, CONFIG


class Repetitions(NamedTuple):
    """The verdict over all runs of a command, and how each ended."""

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
        verdicts.append(gates.verdict_of(command, end, facts))
        samples.append(facts)
        if gates.is_certain(verdicts, single_failure=baseline is not None):
            break
    if baseline is None:
        verdict = gates.combined_verdict(verdicts)
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
    """The variables that are added to a command's environment. root: the project's, when it is a
    copy; state: of the run that the command belongs to; prompt_file: absolute path of the latest
    prompt."""
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
