"""Events, the results of steps, and the state they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openloop.core.vocabulary import (
    Decision,
    Direction,
    Kind,
    Outcome,
    RoundOutcome,
    SandboxMode,
    Status,
    Step,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of events.jsonl, without its place in the chain.

    time: UTC, ISO 8601 with `Z`. elapsed: seconds the run has lasted on the monotonic clock,
    resumed parts added up. data: the fields that belong to this kind of event.
    """

    kind: Kind
    time: str
    elapsed: float
    run: int
    round: int
    step: Step | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class StepResult:
    """One finished step, as it stands in a round's artifact.

    duration_seconds is monotonic; peak_rss_bytes is the largest single process of the tree;
    detail says in a few words why the outcome is what it is; error is the `last_error` line.
    """

    step: Step
    outcome: Outcome
    command: str = ""
    confirm: bool = False
    exit_code: int | None = None
    signal: str | None = None
    pid: int | None = None
    started_at: str = ""
    duration_seconds: float = 0.0
    log_path: str = ""
    log_bytes: int = 0
    log_sha256: str = ""
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None
    detail: str = ""
    error: str = ""
    value: float | None = None
    sandbox: str = SandboxMode.NONE  # what it ran in: none or bwrap
    private: bool = False  # its log is not quoted

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepResult:
        known = {name: data[name] for name in cls.__slots__ if name in data}
        known["step"] = Step(known["step"])
        known["outcome"] = Outcome(known["outcome"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class GateResult:
    """The latest measurement of one gate; `seq` orders it against the changes."""

    outcome: Outcome
    seq: int
    error: str = ""
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class Best:
    """The best value a metric has reached; void when the metric's name or direction changes."""

    name: str
    direction: Direction
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """The latest measurement of the baseline, as heartbeat.json and artifacts show it."""

    name: str
    value: float | None
    threshold: float
    direction: Direction
    passed: bool
    best: float | None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metric:
        return cls(**{**data, "direction": Direction(data["direction"])})


@dataclass(frozen=True, slots=True)
class Violation:
    """What the policy undid after one step: in words, and the paths, printable."""

    round: int
    step: Step
    text: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The best checkpoint: the metric there, what the other gates said, and when."""

    value: float
    seq: int
    gates: Mapping[Step, GateResult]

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "seq": self.seq, "gates": _gates_json(self.gates)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kept:
        return cls(data["value"], data["seq"], _gates_from(data["gates"]))


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """What an earlier round tried and what came of it, for the prompt of the next change."""

    round: int
    outcome: RoundOutcome
    steps: tuple[tuple[Step, Outcome], ...]
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides what comes next; built by `loop.apply` from events alone."""

    status: Status = Status.READY
    reason: str = ""
    seq: int = 0
    run: int = 0
    round: int = 0
    in_round: bool = False
    running: Step | None = None  # a step that was started and has not finished
    steps: tuple[StepResult, ...] = ()  # of the current or latest round
    gates: Mapping[Step, GateResult] = field(default_factory=dict)
    change_seq: int = 0  # event that started the latest change
    decision: Decision | None = None  # of the latest round of this run
    breaker_open: bool = False  # this run's breaker_tripped is on record
    budget: int = 0  # rounds that this run may use
    rounds_used: int = 0
    trial: bool = False  # the half-open trial of a blocked workspace
    consecutive_failures: int = 0
    metric: Metric | None = None
    best: Best | None = None
    progressed: bool = False  # this round's metric beat the best before it
    last_error: str = ""
    elapsed: float = 0.0  # seconds of this run
    run_started_at: str = ""
    round_started_at: str = ""
    round_started_elapsed: float = 0.0
    interruption: str = ""  # the signal that asked this run to stop
    tampering: str = ""  # what was found edited, and where
    unwalled: str = ""  # why changes run without the sandbox that was asked for
    away: str = ""  # digest of the archive that holds what is withheld right now
    config_sha256: str = ""
    mark: int = 0  # kernel mark of the run's processes
    history: tuple[RoundSummary, ...] = ()
    violations: tuple[Violation, ...] = ()  # of the current or latest round
    undone: tuple[Violation, ...] = ()  # the latest of this run
    stopped: str = ""  # the violation that ends this round at once
    kept: Kept | None = None
    checkpoints: tuple[str, ...] = ()  # what was kept or put back in this round, and why
    digests: Mapping[str, str] = field(default_factory=dict)  # of checkpoints by name: `policy`

    def to_json(self) -> dict[str, Any]:
        """What a later process needs to go on from here: the carried part of the state."""
        return {
            "gates": _gates_json(self.gates),
            "change_seq": self.change_seq,
            "budget": self.budget,
            "rounds_used": self.rounds_used,
            "trial": self.trial,
            "consecutive_failures": self.consecutive_failures,
            "metric": self.metric.to_json() if self.metric else None,
            "best": [self.best.name, self.best.direction, self.best.value] if self.best else None,
            "last_error": self.last_error,
            "run_started_at": self.run_started_at,
            "config_sha256": self.config_sha256,
            "mark": self.mark,
            "history": [
                [past.round, past.outcome, list(past.steps), past.reason, past.seconds]
                for past in self.history
            ],
            "undone": [[one.round, one.step, one.text, list(one.paths)] for one in self.undone],
            "kept": self.kept.to_json() if self.kept else None,
            "digests": dict(self.digests),
        }

    def with_json(self, data: Mapping[str, Any]) -> State:
        """This state with the carried part taken from `data` (what `to_json` returned)."""
        best = data["best"]
        return replace(
            self,
            gates=_gates_from(data["gates"]),
            change_seq=data["change_seq"],
            budget=data["budget"],
            rounds_used=data["rounds_used"],
            trial=data["trial"],
            consecutive_failures=data["consecutive_failures"],
            metric=Metric.from_json(data["metric"]) if data["metric"] else None,
            best=Best(best[0], Direction(best[1]), best[2]) if best else None,
            last_error=data["last_error"],
            run_started_at=data["run_started_at"],
            config_sha256=data["config_sha256"],
            mark=data["mark"],
            history=tuple(
                RoundSummary(
                    number,
                    RoundOutcome(outcome),
                    tuple((Step(step), Outcome(result)) for step, result in steps),
                    reason,
                    seconds,
                )
                for number, outcome, steps, reason, seconds in data["history"]
            ),
            undone=tuple(
                Violation(number, Step(step), text, tuple(paths))
                for number, step, text, paths in data["undone"]
            ),
            kept=Kept.from_json(data["kept"]) if data["kept"] else None,
            digests=data["digests"],
        )


def _gates_json(gates: Mapping[Step, GateResult]) -> dict[str, Any]:
    return {
        gate: [result.outcome, result.seq, result.error, result.log_path]
        for gate, result in gates.items()
    }


def _gates_from(data: Mapping[str, Any]) -> dict[Step, GateResult]:
    return {
        Step(gate): GateResult(Outcome(outcome), seq, error, log_path)
        for gate, (outcome, seq, error, log_path) in data.items()
    }
