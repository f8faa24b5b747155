"""The one process that starts a fleet's loops, watches them and records how they end.

It may die at any moment. It records each action before it acts, each launch is claimed once, and
the end file of a launch decides how it ended. The next coordinator reads the record, looks at the
launches, and continues.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Container, Iterable
from typing import Protocol

from openloop.core import clock
from openloop.fleet import decide, git, requests, task_files, worktrees
from openloop.fleet.decide import LaunchAction, Observation, Queue
from openloop.fleet.endings import Endings
from openloop.fleet.engine import Engine
from openloop.fleet.fleet_file import WORKTREE, Fleet, Task
from openloop.fleet.journal import Event, Journal, ended, of_task, raising_record_errors
from openloop.fleet.launchers import launch
from openloop.fleet.launchers.calls import CallResult, woken_by_ends
from openloop.fleet.launchers.launcher import Verb
from openloop.fleet.observations import Observations
from openloop.fleet.state import EventName, FleetState, Phase, StateName, TaskState
from openloop.process.signals import Interrupts

_SHORTEST, _LONGEST = 0.01, 0.25  # seconds between two looks; while nothing happens they lengthen
_EACH = 0.0001  # seconds more for each launch that is looked at
_AT_ONCE = 16  # commands of the launcher under way


class View(Protocol):
    """What shows the progress of a coordinator."""

    def event(self, event: Event, line: bytes, state: FleetState) -> None: ...

    def tick(self, coordinator: Coordinator) -> None: ...

    def close(self) -> None: ...


class Coordinator:
    """Starts, watches and ends the launches of one fleet. Its journal is closed by the caller. Not
    thread-safe."""

    def __init__(
        self, fleet: Fleet, state: FleetState, journal: Journal, view: View, max_parallel: int
    ) -> None:
        """state: after all that the journal holds. Raises RecordError."""
        self.fleet = fleet
        self.state = state
        self._journal = journal
        self._view = view
        self._launcher = fleet.launcher
        self._tasks = {task.name: task for task in fleet.tasks}
        self._engine = Engine(fleet)
        self.queue = Queue(fleet.tasks, fleet.groups, fleet.hosts, max_parallel)
        identity = {"id": self.state.id or os.urandom(4).hex(), "sha256": fleet.sha256}
        here = {"host": os.uname().nodename, "pid": os.getpid(), "tasks": len(fleet.tasks)}
        here["max_parallel"] = max_parallel
        self._record([{"event": EventName.FLEET_STARTED, **identity, **here}], durable=True)
        for task in self.state.tasks.values():
            if task.phase is Phase.WAITING:
                self.queue.add(task.name)
            elif task.phase.is_live:
                self.queue.take_slot(task.name, task.engine)
        self._observations = Observations(fleet, state)
        self._endings = Endings(fleet, self._record, self.queue, self._engine, self._observations)

    # --- the loop ---

    def run(
        self,
        interrupts: Interrupts,
        *,
        starting: bool = True,
        until: Callable[[FleetState], bool] = lambda state: False,
    ) -> None:
        """Work until no task is left, a signal arrives, or `until` is true. starting: whether
        waiting tasks are started."""
        pause = _SHORTEST
        with woken_by_ends(), raising_record_errors(self.fleet.folder):
            while not interrupts.received:
                before = self._journal.size
                self._take_requests()
                self._take_answers()
                self._observations.read()
                self._act()
                if starting:
                    self._start()
                self._poll()
                self._view.tick(self)
                if until(self.state) or (starting and self._is_over()):
                    return
                changed = self._journal.size != before
                pause = _SHORTEST if changed else min(pause * 1.5, _LONGEST)
                self._wait(interrupts, pause + _EACH * len(self._observations))

    def _wait(self, interrupts: Interrupts, seconds: float) -> None:
        """Wait for a signal, the end of a launcher's command, or at most `seconds`."""
        if select.select([interrupts.wakeup], [], [], seconds)[0]:
            interrupts.drain()

    def _is_over(self) -> bool:
        return not self._observations and not self.queue.has_waiting

    def finish(self) -> None:
        """Record that no task is left."""
        self._record(
            [{"event": EventName.FLEET_FINISHED, "counts": self.state.counts()}], durable=True
        )

    def _record(self, events: list[Event], *, durable: bool = False) -> None:
        for event, line in self._journal.append(events, durable=durable):
            self.state.apply(event)
            self._view.event(event, line, self.state)

    # --- what people ask for ---

    def _take_requests(self) -> None:
        for path, verb, names in requests.pending(self.fleet.folder):
            if verb == requests.CANCEL:
                self._cancel(names)
            else:
                self._retry(names)
            os.unlink(path)

    def _cancel(self, names: Iterable[str]) -> None:
        events, waiting = [], set()
        for name in names:
            task = self.state.tasks.get(name)
            if task is None or task.phase is Phase.OVER or task.cancelling:
                continue
            events.append(of_task(EventName.CANCEL_REQUESTED, name))
            if task.phase is Phase.WAITING:
                waiting.add(name)
                events.append(ended(name, StateName.CANCELLED, "cancelled before it was started"))
        self.queue.drop(waiting)
        if events:
            self._record(events, durable=True)

    def _retry(self, names: Iterable[str]) -> None:
        tasks = (self.state.tasks.get(name) for name in names if name in self._tasks)
        chosen = [t for t in tasks if t and t.phase is Phase.OVER and t.end != StateName.COMPLETE]
        if chosen:
            self._record(
                [of_task(EventName.TASK_RETRIED, task.name) for task in chosen], durable=True
            )
        for task in chosen:
            self.queue.add(task.name)

    # --- what the engine answers ---

    def _take_answers(self) -> None:
        for verb, key, answer in self._engine.answers():
            if verb is Verb.POLL:
                self._polled(key, answer)
            elif verb is Verb.SUBMIT:
                self._submitted(self.state.tasks[key], answer)

    def _polled(self, host: str, answer: CallResult) -> None:
        if answer.code != 0:
            return self._unreachable(host, answer.why)
        if host in self.state.unreachable:
            self._record([{"event": EventName.ENGINE_REACHED, "host": host}])
        listed = self._launcher.launches_in(answer.output)
        return self._observations.take_answer(host, listed, answer.began)

    def _unreachable(self, host: str, why: str) -> None:
        if host not in self.state.unreachable:
            self._record([{"event": EventName.ENGINE_UNREACHABLE, "host": host, "why": why}])

    def _submitted(self, task: TaskState, answer: CallResult) -> None:
        seen = self._observations[task]
        seen.busy, seen.since = False, clock.monotonic()
        if answer.code == 0:
            job = self._launcher.job_in(answer.output)
            self._record(
                [of_task(EventName.TASK_SUBMITTED, task.name, launch=task.launch, job=job)]
            )
        elif self._launcher.could_not_ask(answer.code, answer.errors):
            self._unreachable(task.engine, answer.why)  # it may have been taken all the same
        else:
            self._endings.refuse(task, answer.why)

    def workspace(self, task: TaskState) -> str:
        """The path of a task's workspace."""
        return self._observations.workspace(task)

    def _poll(self) -> None:
        """Poll the engine, or each host, when it is due and has launches."""
        live = [task for task, _ in self._observations.all()]
        for host in self._engine.due({*self.state.unreachable, *(t.engine for t in live)}):
            try:
                self._engine.poll(host, (task for task in live if task.engine == host))
            except OSError as error:
                self._unreachable(host, _no_command(error))

    # --- acting ---

    def _act(self) -> None:
        now, launcher = clock.monotonic(), self._launcher
        for task, seen in self._observations.all():
            action = decide.next_action(task, seen, now, grace=launcher.grace, stop=launcher.stop)
            if action:
                self._do(action, task, seen, now)

    def _do(self, action: LaunchAction, task: TaskState, seen: Observation, now: float) -> None:
        match action:
            case LaunchAction.RECORD_END:
                self._endings.end(task, seen)
            case LaunchAction.ADOPT:
                found = {"launch": task.launch, "job": seen.job, "adopted": True}
                self._record([of_task(EventName.TASK_SUBMITTED, task.name, **found)])
            case LaunchAction.RECORD_BEGIN:
                claimant = launch.read(self._observations.folder(task), launch.CLAIM) or {}
                began = {"launch": task.launch, "host": claimant.get("host", "")}
                self._record([of_task(EventName.TASK_RUNNING, task.name, **began)])
            case LaunchAction.STOP:
                task_files.ask_to_stop(self._observations.folder(task))
                seen.stopped = now
            case LaunchAction.CANCEL:
                self._engine_ends(Verb.CANCEL, task, seen)
                seen.cancelled = now
            case LaunchAction.KILL:
                self._engine_ends(Verb.KILL, task, seen)
                seen.killed = now
            case LaunchAction.GIVE_UP:
                self._endings.give_up(task, seen)
            case LaunchAction.LOSE:
                self._endings.lose(task, seen)

    def _engine_ends(self, verb: Verb, task: TaskState, seen: Observation) -> None:
        self._engine.end(task, verb, task.job or seen.job)

    # --- starting ---

    def _start(self) -> None:
        self.queue.add_due(clock.monotonic())
        taken = []
        for task, host in self.queue.startable(self.state.unreachable):
            taken.append((task, host))
            if self.fleet.isolation == WORKTREE or len(taken) + self._engine.calls >= _AT_ONCE:
                break  # worktrees are made one at a time, and the others looked after in between
        ready = [(task, host) for task, host in taken if self._make_ready(task, host)]
        events = [self._intent(task, host) for task, host in ready]
        if events:
            self._record(events, durable=True)
        for task, _ in ready:
            self._launch(task)

    def _make_ready(self, task: Task, host: str) -> bool:
        """Make the worktree and the workspace of a task. False, with the task blocked, when git
        refuses."""
        try:
            if self.fleet.isolation == WORKTREE:
                known, record = self.state.tasks[task.name], self._record
                worktrees.prepare(self.fleet, task, known, lambda e: record([e], durable=True))
            task_files.write_workspace(self.fleet, task)
            return True
        except git.GitError as error:
            self.queue.free_slot(task.name, host)
            self._record([ended(task.name, StateName.BLOCKED, str(error))])
            return False

    def _intent(self, task: Task, host: str) -> Event:
        number = self.state.tasks[task.name].number + 1
        name = f"{self.state.id}.{task.name}.{number}"
        return of_task(EventName.TASK_LAUNCHING, task.name, launch=name, number=number, host=host)

    def _launch(self, task: Task) -> None:
        known = self.state.tasks[task.name]
        self._observations.begin(known)
        task_files.write_order(self.fleet, task, known, self._observations.folder(known))
        try:
            self._engine.submit(known)
        except OSError as error:
            self._endings.refuse(known, _no_command(error))


def _no_command(error: OSError) -> str:
    """The error when no command can be started, for lack of processes or memory."""
    return f"no command can be started: {error.strerror}"


def all_over(names: Container[str]) -> Callable[[FleetState], bool]:
    """A condition for `run`: none of these tasks has a launch."""
    return lambda state: not any(task.name in names for task in state.live())
