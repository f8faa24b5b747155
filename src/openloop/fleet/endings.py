"""How launches end: with an end file, refused, given up before they begin, or lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from openloop.core import clock
from openloop.fleet import decide, task_files, worktrees
from openloop.fleet import state as states
from openloop.fleet.decide import Observation, Queue
from openloop.fleet.engine import Engine
from openloop.fleet.fleet_file import Fleet
from openloop.fleet.journal import ended, of_task
from openloop.fleet.launchers import launch
from openloop.fleet.launchers.launcher import Verb
from openloop.fleet.observations import Observations
from openloop.fleet.state import EventName, StateName, TaskState


class Endings:
    """Records each end of a launch, and takes the launch out of the queue and the observations."""

    def __init__(
        self,
        fleet: Fleet,
        record: Callable[..., None],
        queue: Queue,
        engine: Engine,
        observations: Observations,
    ) -> None:
        """record: that of the coordinator."""
        self._fleet = fleet
        self._tasks = {task.name: task for task in fleet.tasks}
        self._record = record
        self._queue = queue
        self._engine = engine
        self._observations = observations

    def end(self, task: TaskState, seen: Observation) -> None:
        """Record the end that the end file tells, and commit the work of a complete task."""
        assert seen.end is not None
        last = task_files.last_line(self._observations.folder(task), launch.LOG)
        fields = states.ending(seen.end, last)
        if task.cancelling and fields["state"] != StateName.COMPLETE:
            fields |= {"state": StateName.CANCELLED, "reason": "cancelled"}
        if fields["state"] == StateName.COMPLETE and task.tree_made and task.name in self._tasks:
            fields |= worktrees.committed(self._fleet, self._tasks[task.name], task.base)
        self._leave(task)
        self._record([of_task(EventName.TASK_ENDED, task.name, launch=task.launch, **fields)])

    def refuse(self, task: TaskState, why: str) -> None:
        """Record that the engine refused a launch; the task waits again, or is blocked."""
        if not self._fence(task):  # it has begun: what the launcher says is not so
            return
        launcher = self._fleet.launcher
        why = self._last_error(task) or why
        self._leave(task)
        self._record([of_task(EventName.TASK_REFUSED, task.name, launch=task.launch, why=why)])
        if decide.is_refused_for_good(task):
            why = f"{launcher.name} refused it {task.refusals} times: {why}"
            self._record([ended(task.name, StateName.BLOCKED, why)])
        else:
            delay = task.refusals * launcher.poll_interval
            self._queue.add_later(task.name, clock.monotonic() + delay)

    def give_up(self, task: TaskState, seen: Observation) -> None:
        """Record that a launch never begins, unless it has begun; the task waits again, or is
        cancelled or lost."""
        if not self._fence(task):
            return
        if seen.listed or task.job:  # it would only start, find the claim and end
            self._engine.end(task, Verb.CANCEL, task.job or seen.job)
        self._leave(task)
        if task.cancelling:
            self._record([ended(task.name, StateName.CANCELLED, "cancelled before it began")])
            return
        why = self._last_error(task) or "the launcher no longer has it, and it never began"
        self._record([of_task(EventName.TASK_RELEASED, task.name, launch=task.launch, why=why)])
        if decide.is_unable_to_begin(task):
            self._record([ended(task.name, StateName.LOST, f"{task.unbegun} launches: {why}")])
        else:
            self._queue.add(task.name)

    def lose(self, task: TaskState, seen: Observation) -> None:
        """Record that a launch is lost, after one more look: listing a folder makes a shared file
        system show new files."""
        folder = self._observations.folder(task)
        with contextlib.suppress(OSError):
            os.listdir(folder)
        task_files.update_observation(folder, task.launch, seen)
        if seen.end is not None:
            return self.end(task, seen)
        with contextlib.suppress(OSError):
            task_files.ask_to_stop(folder)  # should it live on where nobody sees it
        beat = task_files.beat_words(self._observations.workspace(task))
        state, why = StateName.LOST, f"it is gone without an end file{beat}"
        if task.cancelling:
            state, why = StateName.CANCELLED, "cancelled; it left no end file"
        self._leave(task)
        self._record([ended(task.name, state, why, launch=task.launch)], durable=True)
        return None

    def _fence(self, task: TaskState) -> bool:
        """Claim a launch, so that it can never begin. False when it has begun."""
        folder = self._observations.folder(task)
        os.makedirs(folder, exist_ok=True)
        if launch.claim(folder, {launch.FENCED: True, "launch": task.launch}):
            return True
        seen = self._observations[task]
        task_files.update_observation(folder, task.launch, seen)
        return not seen.begun

    def _last_error(self, task: TaskState) -> str:
        return task_files.last_line(self._observations.folder(task), launch.ENGINE_LOG)

    def _leave(self, task: TaskState) -> None:
        self._queue.free_slot(task.name, task.engine)
        del self._observations[task]
