"""The engine behind a launcher: the commands under way, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from openloop.core import clock
from openloop.fleet import task_files
from openloop.fleet.fleet_file import Fleet
from openloop.fleet.launchers.calls import CallResult, Calls
from openloop.fleet.launchers.launcher import Verb
from openloop.fleet.state import TaskState


class Engine:
    """Starts the commands of a launcher and never waits for one. Not thread-safe."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._launcher = fleet.launcher
        self._calls = Calls()
        self._asked: dict[str, float] = {}  # host → when it was last polled

    @property
    def calls(self) -> int:
        """How many commands are under way."""
        return len(self._calls)

    def answers(self) -> Iterator[tuple[Verb, str, CallResult]]:
        """The answers of ended commands: (verb, task or host, answer)."""
        for (verb, key), answer in self._calls.finished():
            yield verb, key, answer

    def submit(self, task: TaskState) -> None:
        """Hand a launch over. Raises OSError when no command can be started."""
        self._start(Verb.SUBMIT, task, "")

    def end(self, task: TaskState, verb: Verb, job: str) -> None:
        """End a launch, once at a time. verb: CANCEL or KILL. job: its id. Raises OSError."""
        if (verb, task.name) not in self._calls:
            self._start(verb, task, job)

    def _start(self, verb: Verb, task: TaskState, job: str) -> None:
        values = {"launch": task.launch, "task": task.name, "job": job, "host": task.engine}
        values["folder"] = task_files.launch_folder(self._fleet, task.name, task.number)
        values["options"] = self._fleet.options
        self._calls.start((verb, task.name), self._launcher.command(verb, values))

    def due(self, hosts: Iterable[str]) -> set[str]:
        """The hosts that are due to be polled."""
        before = clock.monotonic() - self._launcher.poll_interval
        return {
            host
            for host in hosts
            if self._asked.get(host, before) <= before and (Verb.POLL, host) not in self._calls
        }

    def poll(self, host: str, tasks: Iterable[TaskState]) -> None:
        """Ask a host about these tasks, or the whole engine. Raises OSError."""
        self._asked[host] = clock.monotonic()
        folder = task_files.launch_folder
        lines = (f"{t.launch} {folder(self._fleet, t.name, t.number)}\n" for t in tasks)
        values = {"host": host, "options": self._fleet.options}
        command = self._launcher.command(Verb.POLL, values)
        self._calls.start((Verb.POLL, host), command, "".join(lines))
