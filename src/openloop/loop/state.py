"""The state of a run, which the events of its record add up to."""

# Annotations are evaluated here: a NamedTuple compiles each one that is a string, which costs more.

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from openloop.core.usage import RunUsage
from openloop.core.vocabulary import (
    Decision,
    Outcome,
    Refusal,
    RoundOutcome,
    Status,
    Step,
)
from openloop.loop.events import Metric, StepResult


class AgentRefusal(NamedTuple):
    """Why an agent was unavailable.

    agent: its name. says: why, in its own words. until: UTC, from when it may be tried again, ""
    for at once; seconds: from the refusal to then. times: in a row.
    """

    agent: str
    kind: Refusal
    says: str
    until: str
    seconds: float
    times: int

    @property
    def why(self) -> str:
        return f"{self.kind.words}: {self.says}"

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for what OpenLoop does not write."""
        agent, says, until = (str(data[name]) for name in ("agent", "says", "until"))
        kind, times = Refusal(data["kind"]), int(data["times"])
        return cls(agent, kind, says, until, float(data["seconds"]), times)


class CurrentWait(NamedTuple):
    """The present wait: for which agent, until when (UTC), and why."""

    agent: str
    until: str
    why: str


class GateResult(NamedTuple):
    """The latest measurement of one gate; `seq` orders it against the changes."""

    outcome: Outcome
    seq: int
    error: str = ""
    log_path: str = ""


class Violation(NamedTuple):
    """What the policy undid after one step: a sentence, and the paths, both printable."""

    round: int
    step: Step
    text: str
    paths: tuple[str, ...]


class BestCheckpoint(NamedTuple):
    """The best checkpoint: the metric there, the results of the other gates, and when."""

    value: float
    seq: int
    gates: Mapping[Step, GateResult]

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "seq": self.seq, "gates": _gates_json(self.gates)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["value"], data["seq"], _gates_from(data["gates"]))


class RoundSummary(NamedTuple):
    """What an earlier round tried and what came of it, for the prompt of the next change."""

    round: int
    outcome: RoundOutcome
    steps: tuple[tuple[Step, Outcome], ...]
    reason: str
    seconds: float


class State(NamedTuple):
    """Everything that decides what comes next; built by `transitions.apply` from events alone."""

    status: Status = Status.READY
    reason: str = ""
    seq: int = 0
    run: int = 0
    round: int = 0
    in_round: bool = False
    running: Step | None = None  # a step that was started and has not finished
    steps: tuple[StepResult, ...] = ()  # of the current or latest round
    gates: Mapping[Step, GateResult] = {}
    change_seq: int = 0  # evidence before this event is stale: a change started, or a gate wrote
    answer_seq: int = 0  # and that started the latest one whose agent was not refused
    decision: Decision | None = None  # of the latest round of this run
    breaker_open: bool = False  # this run's breaker_tripped is on record
    round_budget: int = 0  # rounds that this run may use
    rounds_used: int = 0
    trial: bool = False  # the half-open trial of a blocked workspace
    consecutive_failures: int = 0
    metric: Metric | None = None
    progressed: bool = False  # this round's metric beat the best before it
    last_error: str = ""
    time: str = ""  # UTC, of the latest event
    elapsed: float = 0.0  # seconds of this run
    usage: RunUsage = RunUsage()  # of this run's agents
    refused: Mapping[str, AgentRefusal] = {}  # by command: `waits.refusal_key`
    unanswered: Step | None = None  # a change whose agent was refused, and that is to be repeated
    waiting: CurrentWait | None = None
    waited: float = 0.0  # seconds of this run
    run_started_at: str = ""
    round_started_at: str = ""
    round_started_elapsed: float = 0.0
    interruption: str = ""  # the signal that asked this run to stop
    tampering: str = ""  # what was found edited, and where
    unsandboxed: str = ""  # why changes run without the sandbox that was asked for
    unsettled: str = ""  # what this run left that no later run may take as its reference
    accepted: tuple[str, ...] = ()  # files of the record that a person accepted as they are
    cut_off: Step | None = None  # the change that was cut off beside an edited configuration
    away: str = ""  # digest of the archive that holds what is withheld right now
    config_sha256: str = ""
    mark: int = 0  # kernel mark of the run's processes
    history: tuple[RoundSummary, ...] = ()
    violations: tuple[Violation, ...] = ()  # of the current or latest round
    undone: tuple[Violation, ...] = ()  # the latest of this run
    stopped: str = ""  # the violation that ends this round at once
    kept: BestCheckpoint | None = None
    checkpoints: tuple[str, ...] = ()  # what was kept or restored in this round, and why
    digests: Mapping[str, str] = {}  # of checkpoints by name: `policy`

    @property
    def changes_now(self) -> bool:
        """Whether a change was started and has not finished."""
        return self.running is not None and self.running.is_change

    def to_json(self) -> dict[str, Any]:
        """The part of the state that a later process needs to continue the run."""
        return {
            "gates": _gates_json(self.gates),
            "change_seq": self.change_seq,
            "answer_seq": self.answer_seq,
            "budget": self.round_budget,
            "rounds_used": self.rounds_used,
            "trial": self.trial,
            "consecutive_failures": self.consecutive_failures,
            "metric": self.metric.to_json() if self.metric else None,
            "best": self._best_json(),
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
            "usage": self.usage.to_json(),
            "refused": {name: one.to_json() for name, one in self.refused.items()},
            "waited": self.waited,
        }

    def _best_json(self) -> list[Any] | None:
        if self.metric is None or self.metric.best is None:
            return None
        return [self.metric.name, self.metric.direction, self.metric.best]

    def with_json(self, data: Mapping[str, Any]) -> Self:
        """This state with the carried part taken from `data` (what `to_json` returned)."""
        return self._replace(
            gates=_gates_from(data["gates"]),
            change_seq=data["change_seq"],
            answer_seq=data.get("answer_seq", data["change_seq"]),
            round_budget=data["budget"],
            rounds_used=data["rounds_used"],
            trial=data["trial"],
            consecutive_failures=data["consecutive_failures"],
            metric=Metric.from_json(data["metric"]) if data["metric"] else None,
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
            kept=BestCheckpoint.from_json(data["kept"]) if data["kept"] else None,
            digests=data["digests"],
            usage=RunUsage.from_json(data["usage"]) if "usage" in data else RunUsage(),
            refused={
                name: AgentRefusal.from_json(one) for name, one in data.get("refused", {}).items()
            },
            waited=data.get("waited", 0.0),
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
