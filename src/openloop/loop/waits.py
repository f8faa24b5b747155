"""Agents that are unavailable: when to wait, when to use the fallback, and when to give up.

The clock is the time of the latest event, `state.time`. A finished wait counts as over even if a
clock was set back meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from openloop.config.config import Config
from openloop.core.vocabulary import CHANGES, Decision, Refusal, Step
from openloop.loop.state import AgentRefusal, State

FIRST_PAUSE = 60.0  # seconds: where no time of a reset is given, doubled each time
LONGEST_PAUSE = 3600.0  # seconds
_FIX = {
    Refusal.CREDIT: "add credit or change the plan, then run again",
    Refusal.AUTH: "log in or renew the key, then run again",
}


class RunStep(NamedTuple):
    """Run a step. fallback: use the fallback of its command."""

    step: Step
    confirm: bool = False
    fallback: bool = False


class Wait(NamedTuple):
    """until: UTC. seconds: an upper bound of the wait, by the monotonic clock."""

    step: Step
    agent: str
    until: str
    seconds: float
    why: str


def backoff_seconds(times: int) -> float:
    """Seconds to wait before an agent that was refused `times` times in a row is tried again."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 1, 10))


def run_or_wait(config: Config, state: State, step: Step) -> RunStep | Wait | None:
    """Run the change or its fallback, or wait for one of them; None when waiting cannot help."""
    refused = _refused(config, state, step)
    for fallback, one in enumerate(refused):
        if one is None or (one.kind.passes and one.until <= state.time):
            return RunStep(step, fallback=bool(fallback))
    waits = [one for one in refused if one is not None and one.kind.passes]
    soonest = min(waits, key=lambda one: one.until, default=None)
    if soonest is None or soonest.seconds > patience(config, state):
        return None
    return Wait(step, soonest.agent, soonest.until, soonest.seconds, soonest.why)


def patience(config: Config, state: State) -> float:
    """Seconds that the run may still wait."""
    left = config.limits.max_wait - state.waited
    longest = config.limits.max_runtime
    return left if longest is None else min(left, longest - state.elapsed)


def _refused(config: Config, state: State, step: Step) -> list[AgentRefusal | None]:
    """The refusals of the step's command and of its fallback, where there is one."""
    has_fallback = config.command(step).fallback is not None
    return [
        state.refused.get(refusal_key(step, fallback))
        for fallback in (False, True)[: 1 + has_fallback]
    ]


def refusal_key(step: Step, fallback: bool) -> str:
    """The key of a command in `State.refused`."""
    return f"{step} fallback" if fallback else str(step)


def ending_when_unavailable(config: Config, state: State) -> tuple[Decision, str] | None:
    """How the run ends because an agent is unavailable and no wait helps; None if it continues."""
    for step in CHANGES:
        if step in config.commands and run_or_wait(config, state, step) is None:
            refused = [one for one in _refused(config, state, step) if one is not None]
            waits = [one for one in refused if one.kind.passes]
            if not waits:
                one = refused[0]
                return Decision.BLOCKED, f"{one.agent} cannot work ({one.why}); {_FIX[one.kind]}"
            one = waits[0]
            until = f"{one.agent} is unavailable until {one.until} ({one.why})"
            limit = f"max_wait_seconds {config.limits.max_wait:g} would be exceeded"
            return Decision.EXHAUSTED, f"{until}; {limit}"
    return None
