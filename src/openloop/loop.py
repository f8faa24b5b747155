"""The loop itself, pure: what to do next, and what an event makes of the state.

`next_action` decides from the configuration and the state; `apply` is the one door through
which the state changes. Neither knows a process, a file or a clock: a whole mission can be
replayed from a table of outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from openloop import breaker, gates
from openloop.config import Config
from openloop.states import (
    HISTORY,
    Best,
    Decision,
    Direction,
    Event,
    GateResult,
    Kind,
    Metric,
    Outcome,
    RoundOutcome,
    RoundSummary,
    State,
    Status,
    Step,
    StepResult,
)


@dataclass(frozen=True, slots=True)
class OpenRun:
    run: int
    budget: int
    trial: bool
    resumed: bool


@dataclass(frozen=True, slots=True)
class StartRound:
    round: int


@dataclass(frozen=True, slots=True)
class RunStep:
    step: Step
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class FinishRound:
    outcome: RoundOutcome
    decision: Decision
    reason: str
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class TripBreaker:
    reason: str


@dataclass(frozen=True, slots=True)
class FinishRun:
    status: Status
    reason: str


Action = OpenRun | StartRound | RunStep | FinishRound | TripBreaker | FinishRun


# --- opening: from what the record says to a run that is going on -----------------------


def opening(config: Config, state: State, *, max_rounds: int | None, config_sha256: str) -> Action:
    """The next thing to do until this process's run is open.

    A finished run is followed by a new one; an interrupted or killed one is resumed. A
    configuration edited while nobody ran closes the old run, and blocks it when a change was
    cut off, because then it cannot be told who edited.
    """
    allowed = min(config.total_rounds, max_rounds or config.total_rounds)
    if state.status is Status.READY or state.status.is_over:
        trial = state.status is Status.BLOCKED
        return OpenRun(state.run + 1, 1 if trial else allowed, trial, resumed=False)
    if state.status is Status.RUNNING and state.decision not in (None, Decision.CONTINUE):
        return _after_round(state)
    if state.config_sha256 == config_sha256:
        left = min(config.total_rounds, state.rounds_used + allowed)
        return OpenRun(state.run, 1 if state.trial else left, state.trial, resumed=True)
    if state.status is Status.RUNNING:
        return _close_for_new_configuration(state)
    return OpenRun(state.run + 1, allowed, trial=False, resumed=False)


def _close_for_new_configuration(state: State) -> Action:
    cut_off_change = state.running is not None and state.running.is_change
    if cut_off_change:
        reason = f"openloop.json changed while {state.running} was cut off"
        decision = Decision.BLOCKED
    else:
        reason = "openloop.json was edited since; a new run begins"
        decision = Decision.CONTINUE
    if state.in_round:
        return FinishRound(RoundOutcome.INTERRUPTED, decision, reason, state.consecutive_failures)
    return FinishRun(Status.INTERRUPTED, reason)


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
    return _next_step(config, state) or _finish_round(config, state)


def _after_round(state: State) -> Action:
    match state.decision:
        case Decision.COMPLETE:
            return FinishRun(Status.COMPLETE, state.reason)
        case Decision.EXHAUSTED:
            return FinishRun(Status.EXHAUSTED, state.reason)
        case Decision.BLOCKED:
            # Tampering, and a cut-off change beside an edited configuration, block by themselves.
            if state.breaker_open or state.tampering or state.running:
                return FinishRun(Status.BLOCKED, state.reason)
            return TripBreaker(state.reason)
    if state.tampering:
        return FinishRun(Status.BLOCKED, state.tampering)
    if state.interruption:
        return FinishRun(Status.INTERRUPTED, f"interrupted by {state.interruption}")
    return StartRound(state.round + 1)


def _next_step(config: Config, state: State) -> RunStep | None:
    """The next step of the trip around the figure; None when the round is at its end."""
    done = {result.step for result in state.steps}
    if Step.VERIFY not in done:
        return _down_to_verify(config, state, done)
    since = _since_late_change(state)
    if since is None:
        return _after_verify(config, state, done)
    if since or not _round_follows(config, state):
        return _measure_again(config, state)
    return None


def _down_to_verify(config: Config, state: State, done: set[Step]) -> RunStep:
    for gate in (Step.PLAY, Step.SCAN):
        if gate in config.gates and gate not in done:
            return RunStep(gate)
    may_fix = Step.FIX in config.commands and Step.FIX not in done and not _time_over(config, state)
    if may_fix and gates.outstanding(config, state):
        return RunStep(Step.FIX)
    return RunStep(Step.VERIFY)


def _after_verify(config: Config, state: State, done: set[Step]) -> RunStep | None:
    if Step.BASELINE in config.gates and Step.BASELINE not in done and _passed(state, Step.VERIFY):
        return RunStep(Step.BASELINE)
    if not gates.outstanding(config, state) and (stale := gates.stale(config, state)):
        return RunStep(stale[0], confirm=True)
    missed = gates.failing(config, state) == (Step.BASELINE,)
    if missed and Step.BASELINE in done and config.improver and not _time_over(config, state):
        return RunStep(config.improver)
    return None


def _measure_again(config: Config, state: State) -> RunStep | None:
    """Gates that the change at the end of this round left stale, when no round follows."""
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
    """Whether the run would go on if the round ended as things stand."""
    return _finish_round(config, state).decision is Decision.CONTINUE


def _finish_round(config: Config, state: State) -> FinishRound:
    complete = gates.complete(config, state) and not state.tampering
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
    why = _why_unhealthy(config, state)
    if tripped:
        return FinishRound(unhealthy, Decision.BLOCKED, f"{tripped}; {why}", count)
    if state.rounds_used + 1 >= state.budget:
        words = f"all {state.budget} allowed rounds used" if state.budget > 1 else "1 round allowed"
        return FinishRound(unhealthy, Decision.EXHAUSTED, f"{words}; {why}", count)
    if _time_over(config, state):
        words = f"max_runtime_seconds {config.limits.max_runtime:g} is over"
        return FinishRound(unhealthy, Decision.EXHAUSTED, f"{words}; {why}", count)
    return FinishRound(unhealthy, Decision.CONTINUE, why, count)


def _why_unhealthy(config: Config, state: State) -> str:
    bad = [f"{gate} {state.gates[gate].outcome}" for gate in gates.failing(config, state)]
    old = [f"{gate} not measured since the last change" for gate in gates.stale(config, state)]
    return ", ".join(bad or old)


def _time_over(config: Config, state: State) -> bool:
    limit = config.limits.max_runtime
    return limit is not None and state.elapsed >= limit


# --- events -----------------------------------------------------------------------------


def apply(state: State, event: Event) -> State:
    """The state after `event`. Raises ValueError for a transition that cannot be."""
    changed = _APPLY[event.kind](state, event)
    return replace(changed, seq=event.seq, elapsed=event.elapsed)


def _run_started(state: State, event: Event) -> State:
    data = event.data
    if data["resumed"]:
        _require(state.run == event.run and not state.status.is_over, event, state)
        interruption = _DEATH if state.in_round else ""
    else:
        _require(not state.in_round and event.run == state.run + 1, event, state)
        interruption = ""
        state = replace(state, rounds_used=0, decision=None, run_started_at=event.time)
    return replace(
        state,
        status=Status.RUNNING,
        reason="",
        run=event.run,
        budget=data["budget"],
        trial=data["trial"],
        config_sha256=data["config_sha256"],
        mark=data["mark"],
        interruption=interruption,
        tampering="",
        breaker_open=False,
        running=None,
    )


def _round_started(state: State, event: Event) -> State:
    if "state" in event.data:
        state = replace(state.with_json(event.data["state"]), run=event.run, status=Status.RUNNING)
    _require(state.status is Status.RUNNING and not state.in_round, event, state)
    return replace(
        state,
        round=event.round,
        in_round=True,
        steps=(),
        decision=None,
        progressed=False,
        round_started_at=event.time,
        round_started_elapsed=event.elapsed,
    )


def _step_started(state: State, event: Event) -> State:
    _require(state.in_round and state.running is None and event.step is not None, event, state)
    assert event.step is not None
    change_seq = event.seq if event.step.is_change else state.change_seq
    return replace(state, running=event.step, change_seq=change_seq)


def _step_finished(state: State, event: Event) -> State:
    _require(state.running is not None and state.running is event.step, event, state)
    result = StepResult.from_json({**event.data, "step": event.step})
    known = dict(state.gates)
    if result.step.is_gate and result.outcome is not Outcome.INTERRUPTED:
        known[result.step] = GateResult(result.outcome, event.seq, result.error, result.log_path)
    state = replace(
        state,
        running=None,
        steps=(*state.steps, result),
        gates=known,
        last_error=result.error or state.last_error,
    )
    return _measured(state, event) if "metric" in event.data else state


def _measured(state: State, event: Event) -> State:
    """Keep the metric and its best; beating an earlier best is progress, a first value is not."""
    metric = Metric(**{**event.data["metric"], "best": None})
    direction = Direction(metric.direction)
    best = state.best
    if best is not None and (best.name, best.direction) != (metric.name, direction):
        best = None
    progressed = state.progressed
    if metric.value is not None and (best is None or direction.better(metric.value, best.value)):
        progressed = progressed or best is not None
        best = Best(metric.name, direction, metric.value)
    metric = replace(metric, direction=direction, best=best.value if best else None)
    return replace(state, metric=metric, best=best, progressed=progressed)


def _round_finished(state: State, event: Event) -> State:
    _require(state.in_round and event.round == state.round, event, state)
    outcome = RoundOutcome(event.data["outcome"])
    decision = Decision(event.data["decision"])
    interrupted = outcome is RoundOutcome.INTERRUPTED
    summary = RoundSummary(
        state.round,
        outcome,
        tuple((result.step, result.outcome) for result in state.steps),
        event.data["reason"],
        event.data["duration_seconds"],
    )
    return replace(
        state,
        in_round=False,
        decision=decision,
        reason=event.data["reason"],
        consecutive_failures=event.data["consecutive_failures"],
        rounds_used=state.rounds_used + (not interrupted),
        history=(*state.history, summary)[-HISTORY:],
        last_error="" if decision is Decision.COMPLETE else state.last_error,
        # A broken round is closed once; only a signal goes on to end the run.
        interruption="" if state.interruption == _DEATH else state.interruption,
    )


def _breaker_tripped(state: State, event: Event) -> State:
    return replace(state, breaker_open=True)


def _run_finished(state: State, event: Event) -> State:
    _require(state.status is Status.RUNNING and not state.in_round, event, state)
    return replace(
        state,
        status=Status(event.data["status"]),
        reason=event.data["reason"],
        running=None,
        interruption="",
    )


def _noted(state: State, event: Event) -> State:
    match event.data["note"]:
        case "signal":
            return replace(state, interruption=event.data["signal"])
        case "tampered":
            return replace(state, tampering=state.tampering or event.data["text"])
    return state


def _unchanged(state: State, event: Event) -> State:
    return state


_DEATH = "the runner's death"

_APPLY: dict[Kind, Callable[[State, Event], State]] = {
    Kind.RUN_STARTED: _run_started,
    Kind.ROUND_STARTED: _round_started,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_FINISHED: _step_finished,
    Kind.POLICY_VIOLATED: _unchanged,
    Kind.CHECKPOINT_RESTORED: _unchanged,
    Kind.ROUND_FINISHED: _round_finished,
    Kind.BREAKER_TRIPPED: _breaker_tripped,
    Kind.RUN_FINISHED: _run_finished,
    Kind.NOTE: _noted,
}


def _require(holds: bool, event: Event, state: State) -> None:
    if not holds:
        raise ValueError(f"event {event.seq} ({event.kind}) cannot follow status {state.status}")
