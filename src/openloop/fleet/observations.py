"""The observations of every launch, from its files and from the engine's answers."""

from __future__ import annotations

from collections.abc import Mapping

from openloop.core import clock
from openloop.fleet import fleet_file, task_files
from openloop.fleet.decide import Observation
from openloop.fleet.fleet_file import Fleet
from openloop.fleet.state import FleetState, Phase, TaskState


class Observations:
    """One observation for each task that has a launch. Not thread-safe."""

    def __init__(self, fleet: Fleet, state: FleetState) -> None:
        """state: is current at any time; its live tasks are observed from now on."""
        self._fleet = fleet
        self._state = state
        self._workspaces = {task.name: task.workspace for task in fleet.tasks}
        self._of: dict[str, Observation] = {}
        now = clock.monotonic()
        for task in state.live():
            self._of[task.name] = Observation(now, begun=task.phase is Phase.RUNNING)

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, task: TaskState) -> Observation:
        return self._of[task.name]

    def __delitem__(self, task: TaskState) -> None:
        del self._of[task.name]

    def all(self) -> list[tuple[TaskState, Observation]]:
        """Each task that has a launch, with its observation."""
        return [(self._state.tasks[name], seen) for name, seen in self._of.items()]

    def begin(self, task: TaskState) -> None:
        """Observe a launch that is being submitted."""
        self._of[task.name] = Observation(clock.monotonic(), busy=True)

    def folder(self, task: TaskState) -> str:
        """The folder of the task's launch."""
        return task_files.launch_folder(self._fleet, task.name, task.number)

    def workspace(self, task: TaskState) -> str:
        """The path of a task's workspace, also of one that FLEET no longer lists."""
        known = self._workspaces.get(task.name)
        return known or fleet_file.own_workspace(self._fleet.folder, task.name)

    def read(self) -> None:
        """Read the files of every launch."""
        for task, seen in self.all():
            if not seen.busy:
                task_files.update_observation(self.folder(task), task.launch, seen)

    def take_answer(self, host: str, listed: Mapping[str, str], asked: float) -> None:
        """Note which launches of a host its engine lists. asked: when the question was sent."""
        now = clock.monotonic()
        for task, seen in self.all():
            if task.engine == host and asked >= seen.since and not seen.busy:
                seen.answer(task.launch in listed, listed.get(task.launch, ""), now)
                if not seen.listed:  # whether its heartbeat moves all the same
                    seen.note_heartbeat(task_files.liveness_marker(self.workspace(task)), now)
