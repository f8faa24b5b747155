"""The files for people and dashboards, made from the state and the events alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from openloop.config.config import Config
from openloop.core.text import counted, number, printable
from openloop.core.usage import Usage
from openloop.core.vocabulary import (
    CHANGES,
    Decision,
    Kind,
    Outcome,
    RoundOutcome,
    Status,
    Step,
)
from openloop.loop.actions import FinishRound
from openloop.loop.events import Event, Metric, StepResult
from openloop.loop.state import State

VERSION = 1


class LiveFacts:
    """Facts about the running or latest command that are not in the record yet."""

    def __init__(
        self,
        step: Step | None = None,
        command: str = "",
        *,
        pid: int | None = None,
        log_path: str = "",
        started_at: str | None = None,
        own_work: str = "",
    ) -> None:
        """own_work: what OpenLoop itself is doing, in words."""
        self.step = step
        self.command = command
        self.pid = pid
        self.log_path = log_path
        self.log_bytes = 0
        self.started_at = started_at
        self.usage: Usage | None = None  # of the session so far
        self.agent_waits = ""  # why the agent itself tries again
        self.own_work = own_work
        self.eta: float | None = None  # seconds, see `eta_seconds`


class WriterProcess(NamedTuple):
    """The process that writes the heartbeat; `pid` is None when no runner is alive."""

    pid: int | None
    host: str


def speed(state: State) -> float | None:
    """Seconds a round over the latest rounds; None before the first one."""
    seconds = [r.seconds for r in state.history if r.outcome is not RoundOutcome.INTERRUPTED]
    return sum(seconds) / len(seconds) if seconds else None


def eta_seconds(config: Config, state: State, elapsed: float) -> float | None:
    """Seconds until the budget is used up at the speed of the latest rounds; None when unknown, and
    while the run waits for an agent.

    elapsed: seconds that the run has lasted by now. A round that only measured says nothing about
    how long one takes in which an agent works.
    """
    works = any(step in config.commands for step in CHANGES)
    alike = [
        past.seconds
        for past in state.history
        if past.outcome is not RoundOutcome.INTERRUPTED
        and (not works or any(step.is_change for step, _ in past.steps))
    ]
    if not alike or state.status is not Status.RUNNING or state.waiting:
        return None
    each = sum(alike) / len(alike)
    spent = elapsed - state.round_started_elapsed if state.in_round else 0.0
    return max(0.0, (state.round_budget - state.rounds_used) * each - spent)


def heartbeat(
    state: State,
    live: LiveFacts,
    writer: WriterProcess,
    *,
    mission: str,
    total_rounds: int,
    now: str,
    eta: tuple[float, str] | None,
    head: str,
) -> dict[str, Any]:
    """heartbeat.json. eta: (seconds from now, that moment in UTC)."""
    each = speed(state)
    return {
        "version": VERSION,
        "status": state.status,
        "reason": state.reason,
        "mission": mission,
        "run": state.run,
        "round": state.round,
        "total_rounds": state.round_budget or total_rounds,
        "step": live.step,
        "command": live.command,
        "pid": live.pid,
        "runner_pid": writer.pid,
        "host": writer.host,
        "log_path": live.log_path,
        "log_bytes": live.log_bytes,
        "started_at": live.started_at,
        "run_started_at": state.run_started_at or None,
        "updated_at": now,
        "speed": {
            "seconds_per_round": round(each, 3) if each is not None else None,
            "rounds_per_hour": round(3600 / each, 3) if each else None,
        },
        "eta_seconds": round(eta[0], 1) if eta else None,
        "eta": eta[1] if eta else None,
        "normality": latest_abnormal_outcome(state),
        "metric": state.metric.to_json() if state.metric else None,
        "consecutive_failures": state.consecutive_failures,
        "last_error": state.last_error,
        "usage": usage_json(state, live),
        "waiting_until": state.waiting.until if state.waiting else None,
        "waiting_for": _waiting_for(state, live),
        "attachments": sum(len(result.attachments) for result in state.steps),
        "event_seq": state.seq,
        "event_head": head,
    }


def usage_json(state: State, live: LiveFacts) -> dict[str, Any] | None:
    """Usage of all agents in this run, the running session included; None when no agent has run."""
    total = state.usage.plus(live.usage) if live.usage and live.pid else state.usage
    return total.to_json() if total.sessions else None


def _waiting_for(state: State, live: LiveFacts) -> str | None:
    """What the run is waiting for, or what the running agent waits for by itself."""
    if state.waiting:
        return f"{state.waiting.agent} ({state.waiting.why})"
    return f"the agent's own retry ({live.agent_waits})" if live.agent_waits else None


def latest_abnormal_outcome(state: State) -> str:
    """`normal`, or the abnormal outcome of the latest command."""
    if state.running or not state.steps or state.steps[-1].outcome is Outcome.PASSED:
        return "normal"
    return state.steps[-1].outcome


def artifact(
    state: State, end: FinishRound, *, ended_at: str, duration_seconds: float
) -> dict[str, Any]:
    """artifacts/round-NNNN.json of the round that `end` closes."""
    return {
        "version": VERSION,
        "run": state.run,
        "round": state.round,
        "started_at": state.round_started_at,
        "ended_at": ended_at,
        "duration_seconds": duration_seconds,
        "outcome": end.outcome,
        "decision": end.decision,
        "reason": end.reason,
        "steps": [_step_json(result) for result in state.steps],
        "metric": state.metric.to_json() if state.metric else None,
        "policy": _policy_json(state),
        "consecutive_failures": end.consecutive_failures,
        "last_error": "" if end.decision is Decision.COMPLETE else state.last_error,
    }


def _policy_json(state: State) -> dict[str, Any] | None:
    """What the policy undid in the round, and the copies it kept; None for nothing."""
    if not (state.violations or state.checkpoints):
        return None
    violations = [
        {"step": one.step, "text": one.text, "paths": list(one.paths)} for one in state.violations
    ]
    return {"violations": violations, "checkpoints": list(state.checkpoints)}


def _step_json(result: StepResult) -> dict[str, Any]:
    record = result.to_json()
    del record["error"]  # it is the round's last_error or an earlier one; `detail` says why
    return record


def artifact_of(state: State, event: Event) -> dict[str, Any]:
    """Rebuild an artifact from the state before `event`, its `round_finished`."""
    end = FinishRound(
        RoundOutcome(event.data["outcome"]),
        Decision(event.data["decision"]),
        event.data["reason"],
        event.data["consecutive_failures"],
    )
    return artifact(
        state,
        end,
        ended_at=event.data["ended_at"],
        duration_seconds=event.data["duration_seconds"],
    )


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """The bytes of an artifact."""
    return (json.dumps(document, indent=2) + "\n").encode()


def heartbeat_bytes(document: Mapping[str, Any]) -> bytes:
    """The bytes of a heartbeat, one field a line; `json` with an indent takes more than twice as
    long."""
    text = json.dumps(document, separators=(",\n  ", ": "))
    return f"{{\n  {text[1:-1]}\n}}\n".encode()


# --- progress.md ------------------------------------------------------------------------


def progress_line(event: Event) -> str:
    """The line of progress.md for an event; "" for events that it leaves out."""
    words = _progress_words(event)
    if not words:
        return ""
    return f"- {event.time} {_plain(words)}\n"


def _progress_words(event: Event) -> str:
    data = event.data
    match event.kind:
        case Kind.RUN_STARTED:
            if data["resumed"]:
                return f"run {event.run} resumed"
            trial = ", the half-open trial" if data["trial"] else ""
            return f"run {event.run} started: {counted(data['budget'], 'round')} allowed{trial}"
        case Kind.STEP_FINISHED:
            again = " (confirm)" if data["confirm"] else ""
            why = f": {data['detail']}" if data["detail"] else ""
            seconds = f"{data['duration_seconds']:.1f} s"
            return f"round {event.round} {event.step}{again} {data['outcome']} in {seconds}{why}"
        case Kind.ROUND_FINISHED:
            return f"round {event.round} {data['outcome']}, {data['decision']}: {data['reason']}"
        case Kind.WAIT_STARTED:
            until = f"{data['until'][:16].replace('T', ' ')} UTC"
            return f"waiting for {data['agent']} until {until} ({data['why']})"
        case Kind.BREAKER_TRIPPED:
            return f"breaker tripped: {data['reason']}"
        case Kind.RUN_FINISHED:
            return f"run {event.run} {data['status']}: {data['reason']}"
        case Kind.NOTE:
            return "" if data.get("note") == "restoring" else f"note: {data['text']}"
        case Kind.POLICY_VIOLATED | Kind.CHECKPOINT_RESTORED:
            return f"round {event.round} {event.kind.replace('_', ' ')}: {data['text']}"
    return ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return "".join(f"\\{c}" if c in "`*_<>[]#|\\" else c for c in printable(text))


def progress_title(mission: str) -> str:
    return f"# Progress\n\n{_plain(' '.join(mission.split()))}\n\n"


def metric_words(metric: Metric | None) -> str:
    """`score=0.93 (greater or equal 0.9, best 0.95)` for people; "" without a metric."""
    if metric is None:
        return ""
    value = "not measured" if metric.value is None else number(metric.value)
    wanted = f"{metric.direction.replace('_', ' or ')} {number(metric.threshold)}"
    best = f", best {number(metric.best)}" if metric.best is not None else ""
    return f"{metric.name}={value} ({wanted}{best})"
