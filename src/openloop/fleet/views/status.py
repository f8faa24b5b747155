"""The state of a fleet, read from its files alone, whether or not a coordinator lives.

Starts quickly: modules needed for a single task are imported late.
"""

from __future__ import annotations

from openloop.core.text import printable
from openloop.fleet import fleet_file, journal
from openloop.fleet.state import FleetState, Phase, StateName, TaskState

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_SHOWN = 40  # tasks that have a line of their own for a person
_ORDER = (StateName.RUNNING, StateName.SUBMITTED, StateName.UNKNOWN, StateName.WAITING)


class FleetStatus:
    """state: after the whole record. workspaces: task to the path of its workspace. held: whether
    a coordinator lives."""

    __slots__ = ("folder", "given", "held", "state", "workspaces")

    def __init__(self, given: str) -> None:
        """Raises UsageError, ConfigError, TamperError."""
        self.given = given
        self.folder = fleet_file.state_folder(given)
        self.workspaces = fleet_file.workspaces(given)
        self.state = FleetState(self.workspaces)
        journal.read(self.folder, self.state.apply)
        self.held = journal.is_held(self.folder)

    @property
    def is_over(self) -> bool:
        return all(task.phase is Phase.OVER for task in self.state.shown())

    def workspace(self, task: TaskState) -> str:
        known = self.workspaces.get(task.name)
        return known or fleet_file.own_workspace(self.folder, task.name)

    def to_json(self) -> dict[str, Any]:
        return {
            "fleet": self.given,
            "tasks": [self.task_json(task) for task in self.state.shown()],
            "counts": self.state.counts(),
            "coordinator": self.held,
            "unreachable": self.state.unreachable,
        }

    def task_json(self, task: TaskState) -> dict[str, Any]:
        beat = self.beat(task)
        return {
            "name": task.name,
            "state": self.state.word(task),
            "workspace": self.workspace(task),
            "round": beat.get("round", task.round),
            "reason": self.reason(task, beat),
            "usage": beat.get("usage", task.usage),
            "launch": task.launch or None,
            "job": task.job or None,
            "host": task.host or None,
            "seconds": task.seconds,
            "waiting_until": beat.get("waiting_until"),
            "commit": task.commit or None,
            "landed": task.landed or None,
        }

    def beat(self, task: TaskState) -> dict[str, Any]:
        """The heartbeat of a task that runs."""
        if task.phase is not Phase.RUNNING:
            return {}
        from openloop.fleet import task_files

        return task_files.heartbeat(self.workspace(task))

    def reason(self, task: TaskState, beat: dict[str, Any]) -> str:
        if why := self.state.unreachable.get(task.engine) if task.phase.is_live else None:
            return f"{task.engine or 'the engine'} cannot be asked: {why}"
        return task.reason or _text(beat.get("reason"))


def _text(value: object) -> str:
    return "" if value in (None, "") else printable(str(value))


def lines(status: FleetStatus) -> list[str]:
    """The report for a person."""
    counts = status.state.counts()
    shown = [f"{status.given}: {count_words(counts)}"]
    tasks = status.state.shown()
    urgent = sorted(tasks, key=lambda task: _rank(status.state.word(task)))
    shown += [task_line(status, task) for task in urgent[:_SHOWN]]
    if len(tasks) > _SHOWN:
        shown.append(f"  … and {len(tasks) - _SHOWN} more: openloop fleet status --json")
    if not status.held and not status.is_over:
        begun = "no coordinator lives; what runs goes on" if status.state.started else "not started"
        shown.append(f"  {begun}: openloop fleet run {status.given}")
    return shown


def _rank(word: str) -> int:
    """The order of states: tasks that need a person, running, waiting, complete."""
    if word == StateName.COMPLETE:
        return 9
    return _ORDER.index(StateName(word)) + 1 if word in _ORDER else 0


def count_words(counts: dict[str, int]) -> str:
    """`3 running, 5 complete`."""
    ranked = sorted(counts, key=_rank)
    return ", ".join(f"{counts[word]} {word}" for word in ranked) or "no tasks"


def task_line(status: FleetStatus, task: TaskState) -> str:
    beat = status.beat(task)
    words = [f"  {status.state.word(task):<11} {task.name}"]
    if beat:
        words.append(running_words(beat))
    elif task.round:
        words.append(f"round {task.round}")
    if reason := status.reason(task, {}):
        words.append(printable(reason))
    return "  ".join(words)


def running_words(beat: dict[str, Any]) -> str:
    """`round 2 of 5, verify` of a heartbeat."""
    if until := beat.get("waiting_until"):
        return f"waits until {_text(until)}"
    total = f" of {beat['total_rounds']}" if beat.get("total_rounds") else ""
    step = f", {_text(beat['step'])}" if beat.get("step") else ""
    return f"round {_text(beat.get('round')) or 0}{total}{step}"
