"""What a coordinator does next, decided from the state and what was observed: no file, no process,
no clock.

Times are seconds of the observer's own clock. `next_action` is for tasks with a launch; `Queue`
says which waiting tasks may start.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from openloop.core.text import counted
from openloop.fleet.fleet_file import Task
from openloop.fleet.launchers.launcher import Host
from openloop.fleet.state import MAX_TRIES, Phase, TaskState


class LaunchAction(StrEnum):
    """The next action for a task that has a launch."""

    RECORD_END = "record end"  # its end file is there
    ADOPT = "adopt"  # the engine has it, though nobody recorded that
    RECORD_BEGIN = "record begin"
    STOP = "stop"  # write the stop file
    CANCEL = "cancel"  # the engine's own means
    KILL = "kill"
    GIVE_UP = "give up"  # make the claim, so that it never begins; if that fails it has begun
    LOSE = "lose"


@dataclass(slots=True)
class Observation:
    """The observations of a launch. job: as the engine lists it. gone_since: the first answer
    without it, None while it is listed; asked: the latest answer. moved: when its heartbeat last
    changed. stopped, cancelled, killed: when that was done. busy: it is being submitted."""

    since: float
    begun: bool = False
    end: Mapping[str, Any] | None = None
    listed: bool = False
    job: str = ""
    gone_since: float | None = None
    asked: float = 0.0
    marker: object = None
    moved: float | None = None
    stopped: float | None = None
    cancelled: float | None = None
    killed: float | None = None
    busy: bool = False

    def answer(self, listed: bool, job: str, now: float) -> None:
        """Record the engine's answer about this launch."""
        self.asked, self.listed = now, listed
        self.job = job or self.job
        if listed:
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = now

    def note_heartbeat(self, marker: object, now: float) -> None:
        """marker: the part of a heartbeat that changes while its run lives."""
        if self.marker is not None and marker != self.marker:
            self.moved = now
        self.marker = marker


def next_action(
    task: TaskState, seen: Observation, now: float, *, grace: float, stop: float
) -> LaunchAction | None:
    """The next action; None to wait. grace, stop: seconds."""
    if seen.busy:
        return None
    if seen.end is not None:
        return LaunchAction.RECORD_END
    if seen.begun and task.phase is not Phase.RUNNING:
        return LaunchAction.RECORD_BEGIN
    if task.phase is Phase.LAUNCHING and seen.listed:
        return LaunchAction.ADOPT
    if task.cancelling and (action := _cancelling(seen, now, stop)):
        return action
    if not is_gone(seen, now, grace):
        return None
    return LaunchAction.LOSE if seen.begun else LaunchAction.GIVE_UP


def _cancelling(seen: Observation, now: float, stop: float) -> LaunchAction | None:
    if not seen.begun:
        return LaunchAction.GIVE_UP
    if seen.stopped is None:
        return LaunchAction.STOP
    if seen.cancelled is None:
        return LaunchAction.CANCEL if now - seen.stopped >= stop else None
    since = seen.cancelled if seen.killed is None else seen.killed
    return LaunchAction.KILL if now - since >= stop else None


def is_gone(seen: Observation, now: float, grace: float) -> bool:
    """Whether the engine has said for the whole grace that it does not have the launch, and its
    heartbeat stood still meanwhile."""
    if seen.gone_since is None or seen.asked - seen.gone_since < grace:
        return False
    return seen.moved is None or now - seen.moved >= grace


class Queue:
    """The waiting tasks in order, with the bounds that they share."""

    def __init__(
        self,
        tasks: Sequence[Task],
        groups: Mapping[str, int],
        hosts: Sequence[Host],
        max_parallel: int,
    ) -> None:
        self._tasks = {task.name: (number, task) for number, task in enumerate(tasks)}
        self._groups = groups
        self._hosts = hosts
        self._most = max_parallel
        self._waiting: dict[tuple[str, str], deque[str]] = {}
        self._delayed: dict[str, float] = {}
        self._in_group: Counter[str] = Counter()
        self._in_lane: Counter[str] = Counter()
        self._on_host: Counter[str] = Counter()
        self.live = 0

    def add(self, name: str) -> None:
        """Put a task at the end."""
        if name in self._tasks:
            task = self._tasks[name][1]
            self._waiting.setdefault((task.group, task.lane), deque()).append(name)

    def add_later(self, name: str, until: float) -> None:
        """Put a task at the end later: at the first `add_due` from `until` on."""
        self._delayed[name] = until

    def add_due(self, now: float) -> None:
        """Put the delayed tasks that are due at the end."""
        for name in [name for name, until in self._delayed.items() if until <= now]:
            del self._delayed[name]
            self.add(name)

    def drop(self, names: Iterable[str]) -> None:
        """Take tasks out of the queue."""
        names = set(names)
        for name in names:
            self._delayed.pop(name, None)
        for key, waiting in self._waiting.items():
            self._waiting[key] = deque(name for name in waiting if name not in names)

    @property
    def has_waiting(self) -> bool:
        """Whether a task waits, or will."""
        return bool(self._delayed) or any(self._waiting.values())

    def take_slot(self, name: str, host: str) -> None:
        """Count a launch towards the bounds."""
        self._count(name, host, 1)

    def free_slot(self, name: str, host: str) -> None:
        """Count a launch no longer."""
        self._count(name, host, -1)

    def _count(self, name: str, host: str, by: int) -> None:
        self.live += by
        self._on_host[host] += by
        if name in self._tasks:
            task = self._tasks[name][1]
            self._in_group[task.group] += by
            self._in_lane[task.lane] += by

    def startable(self, unreachable: Iterable[str]) -> Iterator[tuple[Task, str]]:
        """Take each (task, host) that may start now out of the queue."""
        while self.live < self._most and (host := self._free_host(unreachable)) is not None:
            open_keys = [
                key for key in self._waiting if self._waiting[key] and not self.bound(*key)
            ]
            if not open_keys:
                return
            key = min(open_keys, key=lambda key: self._tasks[self._waiting[key][0]][0])
            name = self._waiting[key].popleft()
            self.take_slot(name, host)
            yield self._tasks[name][1], host

    def _free_host(self, unreachable: Iterable[str]) -> str | None:
        for host in self._hosts:
            if host.name not in unreachable and self._on_host[host.name] < host.slots:
                return host.name
        return None

    def bound(self, group: str, lane: str) -> str:
        """Why no further task of this group and lane may start; "" when one may."""
        most = self._groups.get(group)
        if group and most is not None and self._in_group[group] >= most:
            return f"group {group} runs {most} of at most {most}"
        if lane and self._in_lane[lane]:
            return f"another task works in {lane}"
        return ""

    def why_waiting(self, name: str, unreachable: Mapping[str, str]) -> str:
        """Why a waiting task is not started."""
        task = self._tasks[name][1]
        if self.live >= self._most:
            verb = "runs" if self.live == 1 else "run"
            return f"{counted(self.live, 'task')} {verb}, and max_parallel is {self._most}"
        if self._free_host(unreachable) is None:
            down = "; ".join(f"{host or 'the engine'}: {why}" for host, why in unreachable.items())
            return f"no host has a free slot{f' ({down})' if down else ''}"
        if bound := self.bound(task.group, task.lane):
            return bound
        first = next(iter(self._waiting.get((task.group, task.lane), ())), name)
        return f"it is queued behind {first}" if first != name else ""


def is_refused_for_good(task: TaskState) -> bool:
    """Whether the engine refused its launches so often that a person is asked."""
    return task.refusals >= MAX_TRIES


def is_unable_to_begin(task: TaskState) -> bool:
    """Whether so many of its launches never began that a person is asked."""
    return task.unbegun >= MAX_TRIES
