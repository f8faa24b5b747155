"""The state of a fleet's tasks, computed from its events. Pure: no file, no process, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Any

from openloop.core.usage import FIGURES

MAX_TRIES = 3  # submissions refused, or launches that never began, before a person is asked


class EventName(StrEnum):
    """The names of a fleet's events."""

    FLEET_STARTED = "fleet_started"
    WORKTREE_STARTED = "worktree_started"
    WORKTREE_MADE = "worktree_made"
    TASK_LAUNCHING = "task_launching"  # on disk before the launcher is asked
    TASK_SUBMITTED = "task_submitted"
    TASK_REFUSED = "task_refused"
    TASK_RUNNING = "task_running"
    TASK_RELEASED = "task_released"  # the launch never began and never will
    CANCEL_REQUESTED = "cancel_requested"
    TASK_ENDED = "task_ended"
    TASK_RETRIED = "task_retried"
    TASK_LANDED = "task_landed"
    TASK_NOT_LANDED = "task_not_landed"
    ENGINE_UNREACHABLE = "engine_unreachable"
    ENGINE_REACHED = "engine_reached"
    FLEET_FINISHED = "fleet_finished"
    NOTE = "note"


class Phase(StrEnum):
    """The phase of a task. In all phases but waiting and over it has a launch."""

    WAITING = "waiting"
    LAUNCHING = "launching"  # the launcher may or may not have been asked
    SUBMITTED = "submitted"
    RUNNING = "running"
    OVER = "over"

    @property
    def is_live(self) -> bool:
        return self not in (Phase.WAITING, Phase.OVER)


class StateName(StrEnum):
    """States of a task beside the statuses of a run."""

    WAITING = "waiting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    UNKNOWN = "unknown"
    LOST = "lost"
    CANCELLED = "cancelled"
    COMPLETE = "complete"
    BLOCKED = "blocked"


class TaskState:
    """One task. end: its state once it is over. engine: the host that it was handed to, "" where
    the launcher chooses; host: where it runs. refusals, unbegun: in a row. base: the commit that
    its worktree began from; landed: the commit of its merge; "" without one."""

    __slots__ = (
        *("base", "cancelling", "code", "commit", "end", "engine", "host", "job", "landed"),
        *("launch", "name", "number", "phase", "reason", "refusals", "round", "seconds"),
        *("tree_made", "unbegun", "usage"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = Phase.WAITING
        self.launch = self.job = self.engine = self.host = self.end = self.reason = ""
        self.base = self.commit = self.landed = ""
        self.number = self.refusals = self.unbegun = 0
        self.cancelling = self.tree_made = False
        self.code: int | None = None
        self.round: int | None = None
        self.seconds: float | None = None
        self.usage: Mapping[str, Any] | None = None

    @property
    def is_uncommitted(self) -> bool:
        """Whether the work of a complete task stands in its worktree alone."""
        kept = not self.tree_made or self.commit or self.landed
        return self.end == StateName.COMPLETE and not kept


class FleetState:
    """The state of the whole fleet. unreachable: host to why it cannot be asked; the name of the
    engine itself is "". listed: the names in FLEET; other tasks have a history alone.
    coordinator: the latest one, for a message; max_parallel: its bound, 0 when not recorded."""

    def __init__(self, names: Iterable[str]) -> None:
        self.id = ""
        self.sha256 = ""
        self.max_parallel = 0
        self.coordinator = ""
        self.started = 0
        self.tasks: dict[str, TaskState] = {}
        self.name_tasks(names)
        self.unreachable: dict[str, str] = {}

    def name_tasks(self, names: Iterable[str]) -> None:
        """Set the names in FLEET, in this order."""
        listed = {name: self.tasks.get(name) or TaskState(name) for name in names}
        self.tasks = listed | self.tasks
        self.listed = frozenset(listed)

    def word(self, task: TaskState) -> str:
        """The state of a task, as people and programs read it."""
        match task.phase:
            case Phase.WAITING:
                return StateName.WAITING
            case Phase.OVER:
                return task.end
        if task.engine in self.unreachable:
            return StateName.UNKNOWN
        return StateName.RUNNING if task.phase is Phase.RUNNING else StateName.SUBMITTED

    def live(self) -> list[TaskState]:
        """The tasks that have a launch."""
        return [task for task in self.tasks.values() if task.phase.is_live]

    def shown(self) -> list[TaskState]:
        """The tasks of FLEET, and those that it no longer names while they live."""
        return [t for t in self.tasks.values() if t.name in self.listed or t.phase.is_live]

    def counts(self) -> dict[str, int]:
        """How many tasks are in each state."""
        return dict(Counter(map(self.word, self.shown())))

    def apply(self, event: Mapping[str, Any]) -> None:
        """Apply an event. Raises KeyError or ValueError for an invalid one."""
        if name := event.get("task"):
            task = self.tasks.get(name)
            if task is None:
                task = self.tasks[name] = TaskState(name)
            _TASK[event["event"]](task, event)
        else:
            _FLEET[event["event"]](self, event)


TaskChange = Callable[[TaskState, Mapping[str, Any]], None]


def _launching(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase = Phase.LAUNCHING
    task.launch, task.number = event["launch"], event["number"]
    task.engine, task.host, task.job, task.reason = event["host"], event["host"], "", ""


def _submitted(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase = Phase.SUBMITTED
    task.job, task.refusals = event["job"], 0


def _running(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase = Phase.RUNNING
    task.host = event.get("host") or task.host
    task.unbegun = task.refusals = 0


def _refused(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase, task.reason = Phase.WAITING, event["why"]
    task.refusals += 1


def _released(task: TaskState, event: Mapping[str, Any]) -> None:
    """Return a task to the queue: its launch never began."""
    task.unbegun += task.phase is Phase.SUBMITTED
    task.phase, task.reason = Phase.WAITING, event["why"]


def _cancel(task: TaskState, event: Mapping[str, Any]) -> None:
    task.cancelling = True


def _ended(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase, task.end = Phase.OVER, event["state"]
    task.reason = event.get("note") or event["reason"]
    task.code, task.round = event.get("code"), event.get("round")
    task.usage, task.seconds = event.get("usage"), event.get("seconds")
    task.commit = event.get("commit", task.commit)


def _retried(task: TaskState, event: Mapping[str, Any]) -> None:
    task.phase, task.end, task.reason, task.cancelling = Phase.WAITING, "", "", False
    task.refusals = task.unbegun = 0
    task.landed = ""


def _worktree_started(task: TaskState, event: Mapping[str, Any]) -> None:
    task.base = event["base"]


def _worktree_made(task: TaskState, event: Mapping[str, Any]) -> None:
    task.tree_made = True


def _landed(task: TaskState, event: Mapping[str, Any]) -> None:
    task.landed = event["commit"]


def _nothing(task: Any, event: Mapping[str, Any]) -> None:
    pass


_TASK: dict[str, TaskChange] = {
    EventName.WORKTREE_STARTED: _worktree_started,
    EventName.WORKTREE_MADE: _worktree_made,
    EventName.TASK_LAUNCHING: _launching,
    EventName.TASK_SUBMITTED: _submitted,
    EventName.TASK_REFUSED: _refused,
    EventName.TASK_RUNNING: _running,
    EventName.TASK_RELEASED: _released,
    EventName.CANCEL_REQUESTED: _cancel,
    EventName.TASK_ENDED: _ended,
    EventName.TASK_RETRIED: _retried,
    EventName.TASK_LANDED: _landed,
    EventName.TASK_NOT_LANDED: _nothing,
    EventName.NOTE: _nothing,
}


def _started(fleet: FleetState, event: Mapping[str, Any]) -> None:
    fleet.id, fleet.sha256 = event["id"], event["sha256"]
    fleet.max_parallel = event.get("max_parallel", 0)
    fleet.coordinator = f"process {event.get('pid')} on {event.get('host')}"
    fleet.started += 1


def _unreachable(fleet: FleetState, event: Mapping[str, Any]) -> None:
    fleet.unreachable[event["host"]] = event["why"]


def _reached(fleet: FleetState, event: Mapping[str, Any]) -> None:
    fleet.unreachable.pop(event["host"], None)


_FLEET: dict[str, Callable[[FleetState, Mapping[str, Any]], None]] = {
    EventName.FLEET_STARTED: _started,
    EventName.ENGINE_UNREACHABLE: _unreachable,
    EventName.ENGINE_REACHED: _reached,
    EventName.FLEET_FINISHED: _nothing,
    EventName.NOTE: _nothing,
}


# --- how a run ended ---

_BY_CODE = {
    0: StateName.COMPLETE,
    1: "exhausted",
    2: StateName.BLOCKED,
    3: StateName.BLOCKED,
    4: "interrupted",
    5: "interrupted",
    129: "interrupted",
    130: "interrupted",
    143: "interrupted",
}
_BY_CODE_WHY = {
    2: "it could not be started",
    4: "another runner held its workspace",
    127: "openloop could not be started",
}
_BEAT_IS_OF_THIS_RUN = (0, 1, 3, 5, 129, 130, 143)  # exit codes


def is_end(document: Mapping[str, Any], launch: str) -> bool:
    """Whether this is the end file of a launch, with an exit code in it."""
    return document.get("launch") == launch and type(document.get("code")) is int


def ending(end: Mapping[str, Any], log_end: str) -> dict[str, Any]:
    """The fields of `task_ended` from an end file. Commands of the run could have written what it
    holds: a value of another kind counts as absent. log_end: the last line that the run printed."""
    code = end["code"]
    state = str(_BY_CODE.get(code, "crashed"))
    beat = end.get("beat") if code in _BEAT_IS_OF_THIS_RUN else None
    if not isinstance(beat, dict):
        beat = {}
    reason, number, seconds = beat.get("reason"), beat.get("round"), end.get("seconds")
    if not reason or not isinstance(reason, str):
        reason = _BY_CODE_WHY.get(code) or _signal_words(code)
        reason += f": {log_end}" if log_end else ""
    return {
        "state": state,
        "reason": reason,
        "code": code,
        "round": number if isinstance(number, int) else None,
        "usage": usage if _is_usage(usage := beat.get("usage")) else None,
        "seconds": seconds if _is_measure(seconds) else None,
    }


def _is_usage(value: object) -> bool:
    return isinstance(value, dict) and all(
        value.get(name) is None or _is_measure(value[name]) for name in FIGURES
    )


def _is_measure(value: object) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def _signal_words(code: int) -> str:
    return f"its runner was ended by signal {-code}" if code < 0 else f"exit code {code}"
