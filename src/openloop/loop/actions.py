"""The loop itself, pure: what to do next.

`next_opening_action` and `next_action` decide from the configuration and the state;
`transitions.apply` makes the next state from the result. None of them knows a process, a file or a
clock: a whole mission can be replayed from a table of outcomes."""

from __future__ import annotations

from typing import NamedTuple

from openloop.config.config import Baseline, Config
from openloop.core.vocabulary import CHANGES, Decision, Outcome, RoundOutcome, Status, Step
from openloop.loop import breaker, budget, gates, waits
from openloop.loop.events import StepResult
from openloop.loop.state import State
from openloop.loop.waits import RunStep, Wait


class OpenRun(NamedTuple):
    run: int
    budget: int
    trial: bool
    resumed: bool


class StartRound(NamedTuple):
    round: int


class FinishRound(NamedTuple):
    outcome: RoundOutcome
    decision: Decision
    reason: str
    consecutive_failures: int


class TripBreaker(NamedTuple):
    reason: str


class FinishRun(NamedTuple):
    status: Status
    reason: str


class KeepBest(NamedTuple):
    """The project as it is now is the best so far: keep a checkpoint of it."""

    value: float
    reason: str


class RestoreBest(NamedTuple):
    """Restore the best checkpoint: the changes since then did not help."""

    reason: str


Action = (
    OpenRun
    | StartRound
    | RunStep
    | Wait
    | KeepBest
    | RestoreBest
    | FinishRound
    | TripBreaker
    | FinishRun
)


# --- next_opening_action: from what the record says to a run that is going on ----------


def next_opening_action(
    config: Config, state: State, *, max_rounds: int | None, config_sha256: str
) -> Action:
    """The next thing to do until this process's run is open.

    A finished run is followed by a new one; an interrupted or killed one is resumed. A
    configuration edited while nobody ran closes the old run, and blocks it when a change was
    cut off, because then nobody knows who edited.
    """
    allowed = min(config.total_rounds, max_rounds or config.total_rounds)
    if state.status is Status.READY or state.status.is_over:
        trial = state.status is Status.BLOCKED
        return OpenRun(state.run + 1, 1 if trial else allowed, trial, resumed=False)
    if state.status is Status.RUNNING and state.decision not in (None, Decision.CONTINUE):
        return _after_round(state)
    if state.config_sha256 == config_sha256:
        total = min(config.total_rounds, state.rounds_used + allowed)
        return OpenRun(state.run, 1 if state.trial else total, state.trial, resumed=True)
    if state.status is Status.RUNNING:
        return _close_for_new_configuration(state)
    return OpenRun(state.run + 1, 1 if state.trial else allowed, state.trial, resumed=False)


def _close_for_new_configuration(state: State) -> Action:
    if state.tampering:
        status, decision, reason = Status.BLOCKED, Decision.BLOCKED, state.tampering
    elif state.changes_now:
        reason = f"openloop.json changed while {state.running} was cut off"
        status, decision = Status.BLOCKED, Decision.BLOCKED
    else:
        reason = "openloop.json was edited since; a new run begins"
        status, decision = Status.INTERRUPTED, Decision.CONTINUE
    if state.in_round:
        return FinishRound(RoundOutcome.INTERRUPTED, decision, reason, state.consecutive_failures)
    return FinishRun(status, reason)


# --- the round --------------------------------------------------------------------------


def next_action(config: Config, state: State) -> Action:
    """What an open run does next; the last action of a run is always FinishRun."""
    if not state.in_round:
        return _after_round(state)
    if state.tampering:
        return _finish_round(config, state)
    if state.interruption:
        reason = f"interrupted by {state.interruption}"
        return FinishRound(
            RoundOutcome.INTERRUPTED, Decision.CONTINUE, reason, state.consecutive_failures
        )
    if state.stopped:
        # `fail` ends the round at once, the last one too: no gate measures what is left of such a
        # change. The round is unhealthy whatever they would say, and the record says so.
        return _finish_round(config, state)
    if state.unanswered and (action := _repeat(config, state, state.unanswered)):
        return action
    return (
        _keep_or_restore(config, state) or _next_step(config, state) or _finish_round(config, state)
    )


def _repeat(config: Config, state: State, step: Step) -> Action | None:
    """Repeat the change whose agent was unavailable; None once that is given up."""
    ending = waits.ending_when_unavailable(config, state)
    if ending and ending[0] is Decision.BLOCKED:
        return _finish_round(config, state)
    return None if _work_is_over(config, state) else waits.run_or_wait(config, state, step)


def _after_round(state: State) -> Action:
    if state.tampering:
        return FinishRun(Status.BLOCKED, state.tampering)
    match state.decision:
        case Decision.COMPLETE:
            return FinishRun(Status.COMPLETE, state.reason)
        case Decision.EXHAUSTED:
            return FinishRun(Status.EXHAUSTED, state.reason)
        case Decision.BLOCKED:
            # A change cut off beside an edited configuration blocks by itself, and so does an
            # agent that no wait helps.
            if state.breaker_open or state.running or state.unanswered:
                return FinishRun(Status.BLOCKED, state.reason)
            return TripBreaker(state.reason)
    if state.interruption:
        return FinishRun(Status.INTERRUPTED, f"interrupted by {state.interruption}")
    return StartRound(state.round + 1)


def _next_step(config: Config, state: State) -> RunStep | Wait | None:
    """The next step of the round; None when the round is at its end."""
    done = {result.step for result in state.steps}
    if Step.VERIFY not in done:
        return _down_to_verify(config, state, done)
    since = _since_late_change(state)
    if since is None:
        return _after_verify(config, state, done)
    if since or not _round_follows(config, state):  # else the next round measures the change
        return _measure_again(config, state)
    return None


def _keep_or_restore(config: Config, state: State) -> KeepBest | RestoreBest | RunStep | None:
    """Hill climbing: what beats the best by min_delta is kept, anything else is restored."""
    baseline = config.baseline
    if baseline is None or not baseline.keep_best or gates.complete(config, state):
        return None
    if state.kept and state.kept.seq >= state.change_seq:
        return None
    # What an earlier round or run measured says nothing of the project as it is now.
    measured = {result.step for result in state.steps} & {*gates.fresh(config, state)}
    failing = [gate for gate in gates.outstanding(config, state) if gate is not Step.BASELINE]
    failed = [gate for gate in failing if gate in measured]
    if failed and state.kept:
        return RestoreBest(f"{failed[0]} {state.gates[failed[0]].outcome}")
    if failing or Step.BASELINE not in measured:
        return None
    if stale := gates.stale(config, state):
        return RunStep(stale[0], confirm=True)
    return _judge_metric(baseline, state)


def _judge_metric(baseline: Baseline, state: State) -> KeepBest | RestoreBest | None:
    value = state.metric.value if state.metric else None
    if state.kept is None:
        return None if value is None else KeepBest(value, f"first value {value:g}")
    best = state.kept.value
    if value is None:
        return RestoreBest(f"{baseline.metric_name} was not measured")
    least = f", min_delta {baseline.min_delta:g}" if baseline.min_delta else ""
    words = f"{baseline.metric_name} {value:g} against the best {best:g}{least}"
    if baseline.direction.better(value, best) and abs(value - best) >= baseline.min_delta:
        return KeepBest(value, words)
    return RestoreBest(words)


def _down_to_verify(config: Config, state: State, done: set[Step]) -> RunStep | Wait:
    for gate in (Step.PLAY, Step.SCAN):
        if gate in config.gates and gate not in done:
            return RunStep(gate)
    may_fix = Step.FIX in config.commands and Step.FIX not in done
    unanswered = gates.failures_without_a_change_since(config, state)
    if Step.IMPROVE in config.commands and unanswered == (Step.BASELINE,):
        unanswered = ()  # improve answers a missed baseline
    if may_fix and unanswered and not _work_is_over(config, state):
        return waits.run_or_wait(config, state, Step.FIX) or RunStep(Step.VERIFY)
    return RunStep(Step.VERIFY)


def _after_verify(config: Config, state: State, done: set[Step]) -> RunStep | Wait | None:
    if Step.BASELINE in config.gates and Step.BASELINE not in done and _passed(state, Step.VERIFY):
        return RunStep(Step.BASELINE)
    if not gates.outstanding(config, state) and (stale := gates.stale(config, state)):
        return RunStep(stale[0], confirm=True)
    missed = gates.failing(config, state) == (Step.BASELINE,)
    may_improve = missed and Step.BASELINE in done and not _work_is_over(config, state)
    if may_improve and config.improver:
        return waits.run_or_wait(config, state, config.improver)
    return None


def _measure_again(config: Config, state: State) -> RunStep | None:
    """Gates made stale by the last change of this round, when no round follows to measure them."""
    for gate in gates.stale(config, state):
        if gate is not Step.BASELINE or _passed(state, Step.VERIFY):
            return RunStep(gate, confirm=True)
    return None


def _since_late_change(state: State) -> tuple[StepResult, ...] | None:
    """Steps after the change that followed verify in this round; None without one."""
    verified = False
    for position, result in enumerate(state.steps):
        if verified and result.step.is_change:
            return state.steps[position + 1 :]
        verified = verified or result.step is Step.VERIFY
    return None


def _passed(state: State, gate: Step) -> bool:
    return gate in state.gates and state.gates[gate].outcome.passed


# --- the end of a round -----------------------------------------------------------------


def _round_follows(config: Config, state: State) -> bool:
    """Whether another round would follow if this one ended now."""
    return _finish_round(config, state).decision is Decision.CONTINUE


def _finish_round(config: Config, state: State) -> FinishRound:
    complete = gates.complete(config, state) and not state.tampering and not state.stopped
    failed = not complete and not state.progressed
    count = breaker.count_after(state, failed=failed)
    tripped = breaker.reason_to_trip(config, state, failed=failed, complete=complete)
    changed = any(result.step.is_change for result in state.steps)
    if complete:
        outcome = RoundOutcome.REPAIRED if changed else RoundOutcome.HEALTHY
        return FinishRound(outcome, Decision.COMPLETE, "every gate passed", count)
    unhealthy = RoundOutcome.UNHEALTHY
    if state.tampering:
        return FinishRound(unhealthy, Decision.BLOCKED, state.tampering, count)
    if ending := waits.ending_when_unavailable(config, state):  # no failed round
        return FinishRound(unhealthy, *ending, state.consecutive_failures)
    why = state.stopped or _why_unhealthy(config, state)
    if tripped:
        return FinishRound(unhealthy, Decision.BLOCKED, f"{tripped}; {why}", count)
    if state.rounds_used + 1 >= state.round_budget:
        words = (
            f"all {state.round_budget} allowed rounds used"
            if state.round_budget > 1
            else "1 round allowed"
        )
        change = next(filter(config.commands.get, CHANGES), None)
        if state.round_budget == 1 and change and not changed:
            words += f", which only measured: {change} has not run"
        return FinishRound(unhealthy, Decision.EXHAUSTED, f"{words}; {why}", count)
    if words := _work_is_over(config, state):
        return FinishRound(unhealthy, Decision.EXHAUSTED, f"{words}; {why}", count)
    return FinishRound(unhealthy, Decision.CONTINUE, why, count)


def _why_unhealthy(config: Config, state: State) -> str:
    """The failed gates, or else the stale ones, and changes that did not pass; what the policy
    forbade is on record as a violation."""
    latest = {result.step: result for result in state.steps}
    bad = [
        f"{gate} {state.gates[gate].outcome}{gates.words_if_not_run(latest.get(gate))}"
        for gate in gates.failing(config, state)
    ]
    old = [f"{gate} not measured since the last change" for gate in gates.stale(config, state)]
    changes = [
        ": ".join(filter(None, (f"{result.step} {result.outcome}", result.detail)))
        for result in state.steps
        if result.step.is_change and result.outcome not in (Outcome.PASSED, Outcome.POLICY)
    ]
    return ", ".join([*(bad or old), *changes])


def _work_is_over(config: Config, state: State) -> str:
    """Why no new change may begin in this run; "" while one may."""
    limit = config.limits.max_runtime
    if limit is not None and state.elapsed >= limit:
        return f"max_runtime_seconds {limit:g} is over"
    if words := budget.reason_against_session(config, state):
        return words
    ending = waits.ending_when_unavailable(config, state)
    return ending[1] if ending else ""


__all__ = [
    "Action",
    "FinishRound",
    "FinishRun",
    "KeepBest",
    "OpenRun",
    "RestoreBest",
    "RunStep",
    "StartRound",
    "TripBreaker",
    "Wait",
    "next_action",
    "next_opening_action",
]
