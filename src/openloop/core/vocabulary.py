"""The enumerations that the record is written in: statuses, events, steps, outcomes."""

from __future__ import annotations

from enum import StrEnum

HISTORY = 5  # rounds kept for speed, ETA and prompts


class Status(StrEnum):
    """The word in heartbeat.json. `crashed` is derived by readers and never written."""

    READY = "ready"
    RUNNING = "running"
    COMPLETE = "complete"
    EXHAUSTED = "exhausted"
    BLOCKED = "blocked"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"

    @property
    def is_over(self) -> bool:
        """Whether a run with this status has ended, so that the next `run` starts a new one."""
        return self in (Status.COMPLETE, Status.EXHAUSTED, Status.BLOCKED)


class Kind(StrEnum):
    """The names of events in events.jsonl."""

    RUN_STARTED = "run_started"
    ROUND_STARTED = "round_started"
    STEP_STARTED = "step_started"
    STEP_FINISHED = "step_finished"
    WAIT_STARTED = "wait_started"
    WAIT_FINISHED = "wait_finished"
    POLICY_VIOLATED = "policy_violated"
    CHECKPOINT_RESTORED = "checkpoint_restored"
    ROUND_FINISHED = "round_finished"
    BREAKER_TRIPPED = "breaker_tripped"
    RUN_FINISHED = "run_finished"
    NOTE = "note"


class Step(StrEnum):
    """One step of a round. Gates measure the project; changes modify it."""

    PLAY = "play"
    SCAN = "scan"
    FIX = "fix"
    VERIFY = "verify"
    BASELINE = "baseline"
    IMPROVE = "improve"

    @property
    def is_change(self) -> bool:
        return self in (Step.FIX, Step.IMPROVE)

    @property
    def is_gate(self) -> bool:
        return not self.is_change


CHANGES = (Step.FIX, Step.IMPROVE)
GATES = (Step.PLAY, Step.SCAN, Step.VERIFY, Step.BASELINE)  # in the order of a round


class Outcome(StrEnum):
    """How one step ended. Only `passed` passes."""

    PASSED = "passed"
    FAILED = "failed"  # non-zero exit, missed `expect`, hit `reject`, bad metric
    TIMEOUT = "timeout"  # ran longer than its limit
    STALLED = "stalled"  # wrote nothing for its stall limit
    OOM = "oom"
    FLAKY = "flaky"
    POLICY = "policy"
    INTERRUPTED = "interrupted"
    ERROR = "error"  # could not be started, or its guard was lost
    UNAVAILABLE = "unavailable"  # the agent's provider or login would not let it work
    BUDGET = "budget"  # the run's limit on cost or tokens was reached

    @property
    def passed(self) -> bool:
        return self is Outcome.PASSED


class Refusal(StrEnum):
    """Why an agent is unavailable."""

    LIMIT = "limit"  # of its plan or its rate
    OVERLOADED = "overloaded"
    CREDIT = "credit"
    AUTH = "auth"

    @property
    def passes(self) -> bool:
        """Whether the cause goes away with time."""
        return self in (Refusal.LIMIT, Refusal.OVERLOADED)

    @property
    def words(self) -> str:
        words = {"limit": "usage limit", "credit": "no credit", "auth": "no login"}
        return words.get(self, str(self))


class RoundOutcome(StrEnum):
    HEALTHY = "healthy"  # complete without a change
    REPAIRED = "repaired"  # complete after one
    UNHEALTHY = "unhealthy"
    INTERRUPTED = "interrupted"


class Decision(StrEnum):
    """What a run does after a finished round."""

    COMPLETE = "complete"
    CONTINUE = "continue"
    EXHAUSTED = "exhausted"
    BLOCKED = "blocked"


class Direction(StrEnum):
    """How a metric must compare with the baseline's value to pass."""

    GREATER_EQUAL = "greater_equal"
    LESS_EQUAL = "less_equal"
    GREATER = "greater"
    LESS = "less"

    def passes(self, value: float, threshold: float) -> bool:
        match self:
            case Direction.GREATER_EQUAL:
                return value >= threshold
            case Direction.LESS_EQUAL:
                return value <= threshold
            case Direction.GREATER:
                return value > threshold
            case Direction.LESS:
                return value < threshold

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than` in this direction."""
        if self in (Direction.GREATER_EQUAL, Direction.GREATER):
            return value > than
        return value < than


class Match(StrEnum):
    """Which of several different metric values counts."""

    ONLY = "only"  # several different values are a failed measurement
    FIRST = "first"
    LAST = "last"


class OnViolation(StrEnum):
    """The consequence of a violation by a change; the violation is restored either way."""

    RESTORE = "restore"
    FAIL = "fail"  # the round ends as unhealthy at once


class SandboxMode(StrEnum):
    """The isolation of a change from the rest of the machine."""

    NONE = "none"
    AUTO = "auto"  # bwrap where it works
    BWRAP = "bwrap"  # or nothing is started


class Hook(StrEnum):
    """A moment at which a user's own command runs. It cannot change the verdict."""

    ROUND = "round"
    COMPLETE = "complete"
    BLOCKED = "blocked"
    EXHAUSTED = "exhausted"
