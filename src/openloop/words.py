"""The words that the record and the heartbeat begin with; part of `states`, but quick to import."""

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
        """A run with this status is finished: the next `run` is a new one."""
        return self in (Status.COMPLETE, Status.EXHAUSTED, Status.BLOCKED)


class Kind(StrEnum):
    """The names of events in events.jsonl."""

    RUN_STARTED = "run_started"
    ROUND_STARTED = "round_started"
    STEP_STARTED = "step_started"
    STEP_FINISHED = "step_finished"
    POLICY_VIOLATED = "policy_violated"
    CHECKPOINT_RESTORED = "checkpoint_restored"
    ROUND_FINISHED = "round_finished"
    BREAKER_TRIPPED = "breaker_tripped"
    RUN_FINISHED = "run_finished"
    NOTE = "note"
