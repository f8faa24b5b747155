"""Missions without a process, a file or a clock: outcomes come from a script.

A history is one line of words that tells a whole mission. Most words are what the loop must
do next; a step's word also carries what comes of it:

    run1/5  resume1/5  trial2/1   a run is opened: its number / the rounds it may use
    1:                            round 1 starts
    play  play-  play:timeout     a step that passes, fails, ends otherwise
    *play                         the same, measured again (`confirm`)
    baseline=0.5                  a baseline that measures 0.5; baseline- measures nothing
    play^  baseline=0.9^          a gate that writes into the project
    fix~                          a step that is started and never ends: KILL comes next
    =repaired/complete            the round's outcome / decision
    keep  putback                 the best checkpoint is kept / returned to
    trip                          the breaker trips
    complete  exhausted  …        the run ends

Words in capitals, and those that begin with + or --, come from outside: KILL (the runner),
SIGINT and its like, EDIT (somebody edits openloop.json), TAMPER (a command does), VIOLATE (the
latest step broke a policy that fails the round), +90s (the clock moves on), --max-rounds=2 (for
the next process).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from openloop.config import config
from openloop.config.config import Config
from openloop.core.vocabulary import Kind, Outcome, Status, Step
from openloop.loop import actions, gates, transitions
from openloop.loop.actions import (
    Action,
    FinishRound,
    FinishRun,
    KeepBest,
    OpenRun,
    RestoreBest,
    RunStep,
    StartRound,
    TripBreaker,
)
from openloop.loop.events import Event, StepResult
from openloop.loop.state import State
from openloop.record import chain, event_format

EVERYTHING = "play scan fix verify baseline improve"
THRESHOLD = 0.9
ENDLESS = 50  # steps of a round, which never has a third as many
_STEP = re.compile(r"(\*?)(\w+?)(?:(-)|(~)|:(\w+)|=(-?[\d.]+))?(\^)?$")


def configured(steps: str, **limits: Any) -> Config:
    """A configuration with these steps; see `document`."""
    found = document(steps, **limits)
    return config.parse(json.dumps(found).encode(), where="openloop.json")


def document(
    steps: str,
    *,
    rounds: int = 5,
    failures: int = 3,
    runtime: float | None = None,
    direction: str = "greater_equal",
    min_delta: float | None = None,
) -> dict[str, Any]:
    """What openloop.json holds. failures: at which the breaker trips. min_delta: by which a
    metric must beat the best, which is kept then; None keeps nothing."""
    names = steps.split()
    found: dict[str, Any] = {
        "version": 1,
        "total_rounds": rounds,
        "commands": {name: name for name in names if name != "baseline"},
        "limits": {"max_consecutive_failures": failures},
    }
    if runtime is not None:
        found["limits"]["max_runtime_seconds"] = runtime
    if "baseline" in names:
        found["baseline"] = {
            "command": "bench",
            "regex": "score=(.*)",
            "value": THRESHOLD,
            "direction": direction,
        }
        if min_delta is not None:
            found["baseline"] |= {"keep_best": True, "min_delta": min_delta}
    return found


def through_json(event: Event) -> Event:
    """The event as a later process reads it."""
    return event_format.decode(event_format.encode(event, chain.FIRST_PREV))


@dataclass(frozen=True)
class Result:
    """What comes of a step. value: of the metric, None for none. wrote: whether a gate wrote into
    the project."""

    outcome: Outcome
    value: float | None = None
    wrote: bool = False


class Mission:
    """Performs what the loop decides, as the runner does."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.config_sha256 = "0"
        self.max_rounds: int | None = None
        self.seconds = 0.0  # that the run has lasted
        self.is_open = False  # this process has opened its run
        self.state = State()
        self.events: list[Event] = []

    def next(self) -> Action:
        """What the runner would do now; a new process first has to open a run."""
        if self.is_open:
            return actions.next_action(self.config, self.state)
        return actions.next_opening_action(
            self.config,
            self.state,
            max_rounds=self.max_rounds,
            config_sha256=self.config_sha256,
        )

    def perform(self, action: Action, result: Result | None = None) -> None:
        """Record what the action leads to. result: of a step, None when it never ends."""
        match action:
            case OpenRun():
                self._open_run(action)
            case StartRound():
                carried = self.state.to_json()
                self.record(Kind.ROUND_STARTED, round=action.round, state=carried)
            case RunStep():
                self.record(Kind.STEP_STARTED, action.step, confirm=action.confirm)
                if result:
                    self._finish_step(action, result)
            case KeepBest():
                data = {"text": action.reason, "value": action.value, "checkpoint": "best"}
                self.record(Kind.NOTE, note="kept", **data)
            case RestoreBest():
                data = {"why": "keep_best", "text": action.reason, "paths": []}
                self.record(Kind.CHECKPOINT_RESTORED, **data)
            case FinishRound():
                self._finish_round(action)
            case TripBreaker():
                self.record(Kind.BREAKER_TRIPPED, reason=action.reason)
            case FinishRun():
                self.record(Kind.RUN_FINISHED, status=action.status, reason=action.reason)
                self.is_open = False

    def _open_run(self, action: OpenRun) -> None:
        if not action.resumed:
            self.seconds = 0.0
        self.record(
            Kind.RUN_STARTED,
            run=action.run,
            budget=action.budget,
            trial=action.trial,
            resumed=action.resumed,
            config_sha256=self.config_sha256,
            mark=7,
        )
        self.is_open = True

    def _finish_step(self, action: RunStep, result: Result) -> None:
        wrote = ("src/a",) if result.wrote else ()
        before = StepResult(action.step, result.outcome, wrote=wrote)
        outcome = gates.fail_if_it_keeps_writing(before, self.state).outcome
        passed = outcome.passed
        data: dict[str, Any] = {
            "outcome": outcome,
            "confirm": action.confirm,
            "detail": "" if passed else "exit 1",
            "duration_seconds": 0.5,
            "error": "" if passed else f"{action.step} {outcome}",
            "value": result.value,
            **({"wrote": list(wrote)} if wrote else {}),
        }
        if self.config.baseline and action.step is Step.BASELINE:
            verdict = gates.Verdict(outcome, value=result.value)
            data["metric"] = gates.measurement(self.config.baseline, verdict).to_json()
        self.record(Kind.STEP_FINISHED, action.step, **data)

    def _finish_round(self, action: FinishRound) -> None:
        self.record(
            Kind.ROUND_FINISHED,
            outcome=action.outcome,
            decision=action.decision,
            reason=action.reason,
            consecutive_failures=action.consecutive_failures,
            duration_seconds=1.0,
        )

    def signal(self, name: str) -> None:
        self.record(Kind.NOTE, note="signal", signal=name, text=f"received {name}")

    def tamper(self, text: str = "openloop.json was edited") -> None:
        self.record(Kind.NOTE, note="tampered", text=text)

    def violate(self) -> None:
        step = self.state.steps[-1].step
        data = {"text": "changed tests/a", "paths": ["tests/a"], "on_violation": "fail"}
        self.record(Kind.POLICY_VIOLATED, step, **data)

    def kill(self) -> None:
        self.is_open = False

    def edit(self) -> None:
        self.config_sha256 += "0"

    def record(
        self,
        kind: Kind,
        step: Step | None = None,
        *,
        run: int | None = None,
        round: int | None = None,
        **data: Any,
    ) -> None:
        event = Event(
            kind=kind,
            time="2026-01-02T03:04:05.678Z",
            elapsed=self.seconds,
            run=self.state.run if run is None else run,
            round=self.state.round if round is None else round,
            step=step,
            data=data,
            seq=self.state.seq + 1,
        )
        self.state = transitions.apply(self.state, event)
        self.events.append(event)
        if len(self.state.steps) > ENDLESS:
            raise AssertionError("the round does not end")


def tell(mission: Mission, history: str) -> None:
    """Take the mission through the history. Raises AssertionError where the loop differs."""
    done: list[str] = []
    for word in history.split():
        if not _from_outside(mission, word):
            action = mission.next()
            if head(word) != shown(action):
                story = " ".join(done)
                raise AssertionError(f"{story} <<< expected {word}, the loop says {shown(action)}")
            mission.perform(action, result_of(word) if isinstance(action, RunStep) else None)
        done.append(word)


def _from_outside(mission: Mission, word: str) -> bool:
    """Let happen what does not come from the loop. False for any other word."""
    if word.startswith("SIG"):
        mission.signal(word)
    elif word.startswith("+"):
        mission.seconds += float(word[1:-1])
    elif word.startswith("--max-rounds="):
        mission.max_rounds = int(word.partition("=")[2])
    elif word in _OUTSIDE:
        _OUTSIDE[word](mission)
    else:
        return False
    return True


_OUTSIDE = {
    "KILL": Mission.kill,
    "EDIT": Mission.edit,
    "TAMPER": Mission.tamper,
    "VIOLATE": Mission.violate,
}


def head(word: str) -> str:
    """The part of a history's word that says what the loop does."""
    step = _STEP.match(word)
    return step[1] + step[2] if step and step[2] in tuple(Step) else word


def result_of(word: str) -> Result | None:
    """What comes of a step, by its word in a history."""
    step = _STEP.match(word)
    assert step, word
    _, _, failed, cut_off, outcome, value, wrote = step.groups()
    if cut_off:
        return None
    if value:
        return replace(measured(float(value)), wrote=bool(wrote))
    found = Outcome.FAILED if failed else Outcome(outcome or "passed")
    return Result(found, wrote=bool(wrote))


def measured(value: float, *, passes: bool | None = None) -> Result:
    """A baseline's result; without `passes` the threshold decides, higher is better."""
    good = value >= THRESHOLD if passes is None else passes
    return Result(Outcome.PASSED if good else Outcome.FAILED, value)


def shown(action: Action) -> str:
    """The action as a word of a history."""
    match action:
        case OpenRun():
            kind = "resume" if action.resumed else "trial" if action.trial else "run"
            return f"{kind}{action.run}/{action.budget}"
        case StartRound():
            return f"{action.round}:"
        case RunStep():
            return f"{'*' * action.confirm}{action.step}"
        case KeepBest():
            return "keep"
        case RestoreBest():
            return "putback"
        case FinishRound():
            return f"={action.outcome}/{action.decision}"
        case TripBreaker():
            return "trip"
        case FinishRun():
            return str(action.status)


def chained(events: list[Event]) -> list[bytes]:
    """The lines of events.jsonl, without their newlines."""
    lines: list[bytes] = []
    prev = chain.FIRST_PREV
    for event in events:
        lines.append(event_format.encode(event, prev))
        prev = chain.head_of(lines[-1])
    return lines


def replayed(events: list[Event]) -> State:
    """The state that a later process builds of these events."""
    state = State()
    for event in events:
        state = transitions.apply(state, through_json(event))
    return state


def since_latest_round(events: list[Event]) -> list[Event]:
    """The events that a start reads: the latest round_started and what follows it."""
    starts = [n for n, event in enumerate(events) if event.kind is Kind.ROUND_STARTED]
    return events[starts[-1] :] if starts else events


def without_reason(state: State) -> State:
    """While a round goes on, the reason of the one before is shown but decides nothing."""
    return state._replace(reason="") if state.status is Status.RUNNING else state
