"""Applies events to the state: `apply` is the only function that changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openloop.core.usage import RunUsage, Usage
from openloop.core.vocabulary import (
    HISTORY,
    Decision,
    Kind,
    OnViolation,
    Outcome,
    RoundOutcome,
    Status,
    Step,
)
from openloop.loop import waits
from openloop.loop.events import Event, StepResult
from openloop.loop.state import (
    AgentRefusal,
    BestCheckpoint,
    CurrentWait,
    GateResult,
    RoundSummary,
    State,
    Violation,
)

_DEATH = "the runner's death"  # what interrupted a round that was found broken


def apply(state: State, event: Event) -> State:
    """The state after `event`. Raises ValueError for a transition that cannot be."""
    changed = _APPLY[event.kind](state, event)
    return changed._replace(seq=event.seq, time=event.time, elapsed=event.elapsed)


def _run_started(state: State, event: Event) -> State:
    data = event.data
    if data["resumed"]:
        going_on = state.status in (Status.RUNNING, Status.INTERRUPTED)
        _require(state.run == event.run and going_on, event, state)
        interruption = _DEATH if state.in_round else ""
    else:
        _require(not state.in_round and event.run == state.run + 1, event, state)
        interruption = ""
        state = state._replace(
            rounds_used=0,
            decision=None,
            run_started_at=event.time,
            tampering="",
            unsandboxed="",
            unsettled="",
            cut_off=None,
            undone=(),
            kept=None,
            digests=data.get("checkpoints", {}),
            usage=RunUsage(),
            refused={},
            waited=0.0,
        )
    return state._replace(
        status=Status.RUNNING,
        reason="",
        run=event.run,
        round_budget=data["budget"],
        trial=data["trial"],
        config_sha256=data["config_sha256"],
        mark=data["mark"],
        interruption=interruption,
        breaker_open=False,
        waiting=None,
        unanswered=None,
        running=state.running if data["resumed"] else None,  # until the policy was enforced on it
    )


def _round_started(state: State, event: Event) -> State:
    if "state" in event.data:
        state = state.with_json(event.data["state"])._replace(run=event.run, status=Status.RUNNING)
    _require(state.status is Status.RUNNING and not state.in_round, event, state)
    _require(event.round > state.round, event, state)
    return state._replace(
        round=event.round,
        in_round=True,
        steps=(),
        decision=None,
        progressed=False,
        violations=(),
        checkpoints=(),
        stopped="",
        round_started_at=event.time,
        round_started_elapsed=event.elapsed,
    )


def _step_started(state: State, event: Event) -> State:
    _require(state.in_round and state.running is None and event.step is not None, event, state)
    assert event.step is not None
    change_seq = event.seq if event.step.is_change else state.change_seq
    away = event.data.get("withheld", "")
    state = state._replace(running=event.step, change_seq=change_seq, away=away, unanswered=None)
    return _with_digest(state, "before", event.data.get("before"))


def _with_digest(state: State, name: str, digest: str | None) -> State:
    """Keep the digest of a checkpoint, or of an intent to restore one."""
    return state._replace(digests={**state.digests, name: digest}) if digest else state


def _step_finished(state: State, event: Event) -> State:
    _require(state.running is not None and state.running is event.step, event, state)
    result = StepResult.of(event)
    known = dict(state.gates)
    if result.step.is_gate and result.outcome is not Outcome.INTERRUPTED:
        known[result.step] = GateResult(result.outcome, event.seq, result.error, result.log_path)
    state = state._replace(
        running=None,
        away="",
        steps=(*state.steps, result),
        gates=known,
        last_error=result.error or state.last_error,
    )
    if result.step.is_change:
        return _session_ended(state, event, result)
    if result.wrote and result.outcome.passed:  # its own evidence is stale, too
        state = state._replace(change_seq=event.seq + 1)
    if result.measurement is None:
        return state
    metric = result.measurement.after(state.metric)
    best = result.measurement.best_until(state.metric)
    beaten = best is not None and metric.best != best  # a first value is no progress
    return state._replace(metric=metric, progressed=state.progressed or beaten)


def _session_ended(state: State, event: Event, result: StepResult) -> State:
    """Add what an agent used, and note whether its provider let it work."""
    fallback = bool(event.data.get("stand_in"))
    if result.usage is not None:
        usage = Usage.from_json(result.usage)
        if usage.figures or result.outcome is not Outcome.UNAVAILABLE:
            state = state._replace(usage=state.usage.plus(usage))
    if result.refusal is not None:
        return _refused(state, result.step, fallback, result.refusal)
    name = waits.refusal_key(result.step, fallback)
    refused = {k: one for k, one in state.refused.items() if k != name}
    return state._replace(refused=refused, answer_seq=state.change_seq)


def _refused(state: State, step: Step, fallback: bool, data: Mapping[str, Any]) -> State:
    refused = {**state.refused, waits.refusal_key(step, fallback): AgentRefusal.from_json(data)}
    return state._replace(refused=refused, unanswered=step)


def _wait_started(state: State, event: Event) -> State:
    _require(state.in_round and state.running is None, event, state)
    return state._replace(
        waiting=CurrentWait(*(event.data[name] for name in ("agent", "until", "why")))
    )


def _wait_finished(state: State, event: Event) -> State:
    """The refusals that were waited for are over, whatever the clock says."""
    _require(state.waiting is not None, event, state)
    refused = dict(state.refused)
    if event.data["over"]:
        for name, one in refused.items():
            if one.kind.passes and one.until <= event.text("until"):
                refused[name] = one._replace(until="")
    waited = state.waited + event.number("seconds")
    return state._replace(waiting=None, waited=waited, refused=refused)


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
    return state._replace(
        in_round=False,
        running=state.running if decision is Decision.BLOCKED else None,
        answer_seq=state.change_seq if state.changes_now else state.answer_seq,
        decision=decision,
        reason=event.data["reason"],
        consecutive_failures=event.data["consecutive_failures"],
        rounds_used=state.rounds_used + (not interrupted),
        history=(*state.history, summary)[-HISTORY:],
        last_error="" if decision is Decision.COMPLETE else state.last_error,
        unanswered=state.unanswered if decision is Decision.BLOCKED else None,
        waiting=None,
        # A broken round is closed once; only a signal goes on to end the run.
        interruption="" if state.interruption == _DEATH else state.interruption,
    )


def _breaker_tripped(state: State, event: Event) -> State:
    _require(state.status is Status.RUNNING and not state.in_round, event, state)
    return state._replace(breaker_open=True)


def _run_finished(state: State, event: Event) -> State:
    _require(state.status is Status.RUNNING and not state.in_round, event, state)
    return state._replace(
        status=Status(event.data["status"]),
        reason=event.data["reason"],
        running=None,
        unsettled=state.unsettled or (event.data["reason"] if state.running else ""),
        cut_off=state.running,
        interruption="",
    )


def _noted(state: State, event: Event) -> State:
    match event.data["note"]:
        case "signal":
            return state._replace(interruption=event.data["signal"])
        case "begun":
            return state._replace(round=event.round)
        case "tampered":
            return _tampered(state, event)
        case "accepted":
            return _accepted(state, event)
        case "unavailable":
            assert event.step is not None
            return _refused(state, event.step, event.data["stand_in"], event.data["refusal"])
        case "sandbox":
            return state._replace(unsandboxed=event.data["text"])
        case "returned":
            return state._replace(away="")
        case "kept":
            return _with_digest(_kept(state, event), "best", event.data["checkpoint"])
        case "restoring":
            return _with_digest(state, "intent", event.data["intent"])
    return state


def _tampered(state: State, event: Event) -> State:
    """Damage that could not be undone stays open until it is, or until a person accepts it."""
    state = state._replace(tampering=state.tampering or event.data["text"])
    if not event.data.get("unsettled"):
        return state
    undone = [one for one in state.undone if one.round != event.round]
    return state._replace(unsettled=event.data["text"], undone=tuple(undone))


def _accepted(state: State, event: Event) -> State:
    """A person takes the workspace as it is: the next run is a new one, with a new reference."""
    in_order = state.status.is_over and not (state.tampering or state.unsettled)
    return state._replace(
        status=state.status if in_order else Status.READY,
        reason=state.reason if in_order else "accepted by a person",
        tampering="",
        unsettled="",
        cut_off=None,
        accepted=tuple(event.data["files"]),
        digests={},
    )


def _kept(state: State, event: Event) -> State:
    """The project as it is now is the best so far; the baseline there is measured again."""
    others: dict[Step, GateResult] = {
        gate: known for gate, known in state.gates.items() if gate is not Step.BASELINE
    }
    return state._replace(
        kept=BestCheckpoint(event.data["value"], event.seq, others),
        checkpoints=(*state.checkpoints, event.text("text")),
    )


def _policy_violated(state: State, event: Event) -> State:
    assert event.step is not None
    data = event.data
    found = Violation(event.round, event.step, event.text("text"), tuple(data["paths"]))
    fails = data["on_violation"] == OnViolation.FAIL
    return state._replace(
        violations=(*state.violations, found),
        undone=(*state.undone, found)[-HISTORY:],
        stopped=state.stopped or (found.text if fails else ""),
    )


def _checkpoint_restored(state: State, event: Event) -> State:
    """A restore by the policy changes no result; a return to the best checkpoint restores the
    results that were measured there."""
    state = state._replace(
        checkpoints=(*state.checkpoints, event.text("text")),
        digests={name: digest for name, digest in state.digests.items() if name != "intent"},
    )
    if event.data["why"] != "keep_best" or state.kept is None:
        return state
    known = {gate: result._replace(seq=event.seq) for gate, result in state.kept.gates.items()}
    return state._replace(
        gates=known,
        change_seq=event.seq,
        answer_seq=event.seq,
        kept=state.kept._replace(seq=event.seq),
    )


_APPLY: dict[Kind, Callable[[State, Event], State]] = {
    Kind.RUN_STARTED: _run_started,
    Kind.ROUND_STARTED: _round_started,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_FINISHED: _step_finished,
    Kind.POLICY_VIOLATED: _policy_violated,
    Kind.CHECKPOINT_RESTORED: _checkpoint_restored,
    Kind.WAIT_STARTED: _wait_started,
    Kind.WAIT_FINISHED: _wait_finished,
    Kind.ROUND_FINISHED: _round_finished,
    Kind.BREAKER_TRIPPED: _breaker_tripped,
    Kind.RUN_FINISHED: _run_finished,
    Kind.NOTE: _noted,
}


def _require(holds: bool, event: Event, state: State) -> None:
    if not holds:
        raise ValueError(f"event {event.seq} ({event.kind}) cannot follow status {state.status}")
