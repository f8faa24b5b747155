"""Run shell commands under a guard, one at a time, and report how each one ended."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from typing import Any

from openloop.core.vocabulary import Outcome
from openloop.loop.gates import Exit
from openloop.process import oom_evidence, run_marks, tree
from openloop.process.guard_client import ANSWER, GuardClient, ending
from openloop.process.guard_client import Job as Job
from openloop.process.messages import NotStarted, Started, TreeEnded, TreeEnding
from openloop.process.signals import Interrupts
from openloop.process.watchdog import CommandWatch, Watchdog


class NamespaceError(Exception):
    """Mount namespaces are not available on this system or to this user."""


class Processes:
    """All processes that a run starts; `close` ends them."""

    def __init__(
        self,
        lock: int,
        interrupts: Interrupts,
        on_gap: Callable[[float], None],
        view: Mapping[str, Any] | None = None,
        record: str = "",
    ) -> None:
        """lock: descriptor of the workspace's lock. on_gap: see Watchdog. view: of the commands,
        see `namespaces.enter`. record: see GuardClient. Raises NamespaceError when the view is not
        possible."""
        tree.close_memory()
        tree.become_subreaper()  # to adopt the tree of a killed guard
        self._not_ours = tuple(tree.descendants(os.getpid())) if tree.reap()[0] else ()
        self._lock = lock
        self.mark = run_marks.new_mark()
        self._interrupts = interrupts
        self._number = 0
        self._view = view
        self._record = record
        self._on_gap = on_gap
        self._guard: GuardClient | None = self._new_guard()
        self._oom = oom_evidence.OomCounters()
        self._watchdog = Watchdog(on_gap)

    def _new_guard(self) -> GuardClient:
        guard = GuardClient(self._lock, self.mark, self._record)
        if self._view and not guard.enter(self._view).done:
            guard.close()
            raise NamespaceError("the system gives commands no view of their own")
        return guard

    def _replace_guard(self) -> GuardClient:
        self._watchdog.close()  # a guard is forked, and that from a single thread
        try:
            return self._new_guard()
        finally:
            self._watchdog = Watchdog(self._on_gap)

    def run(
        self,
        job: Job,
        log: int,
        *,
        on_start: Callable[[int], None],
        on_beat: Callable[[int], tuple[Outcome, str] | None],
    ) -> Exit:
        """Run one command to the end of its whole process tree.

        log: descriptor for its output. on_start: called with the PID. on_beat: called about once a
        second in the watchdog's thread, with the log's size in bytes; may return a reason to end
        the command.
        Raises what `on_beat` raised, after the tree is gone.
        """
        self._number += 1
        number = self._number
        guard = self._guard = self._guard or self._replace_guard()
        watch = CommandWatch(
            log,
            job.limits,
            patience=ANSWER,
            beat=on_beat,
            order_end=lambda grace: guard.end(number, grace),
            give_up=guard.give_up,
        )
        before = self._oom.read()
        self._watchdog.watch(watch)
        try:
            end = self._talk(guard, number, job, log, watch, on_start)
        finally:
            self._watchdog.watch(None)
        if self._watchdog.failure:
            raise self._watchdog.failure
        return self._with_evidence(end, before)

    def _talk(
        self,
        guard: GuardClient,
        number: int,
        job: Job,
        log: int,
        watch: CommandWatch,
        on_start: Callable[[int], None],
    ) -> Exit:
        try:
            guard.start_job(number, job, log)
        except OSError:
            return self._lost(guard, job.limits.grace, watch, None)
        poll = select.poll()
        poll.register(guard.socket, select.POLLIN)
        poll.register(self._interrupts.wakeup, select.POLLIN)
        pid: int | None = None
        handled = 0
        while True:
            handled = self._handle_signals(watch, handled)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if guard.socket.fileno() not in ready:
                continue
            messages = guard.read()
            if messages is None:
                return self._lost(guard, job.limits.grace, watch, pid)
            for message in messages:
                match message:
                    case NotStarted():
                        return Exit(ended=Outcome.ERROR, detail=f"not started: {message.why}")
                    case Started():
                        watch.begin()
                        pid = message.pid
                        on_start(pid)
                    case TreeEnding():
                        watch.answered()
                    case TreeEnded():
                        return _exit(message, watch, pid)

    def _handle_signals(self, watch: CommandWatch, handled: int) -> int:
        """Act on signals: the first one ends the command, the second skips its grace period."""
        self._interrupts.drain()
        received = self._interrupts.received
        if len(received) > handled:
            hurry = len(received) > 1
            watch.end(Outcome.INTERRUPTED, f"interrupted by {received[0].name}", hurry=hurry)
            self._watchdog.wake()
        return len(received)

    def _lost(self, guard: GuardClient, grace: float, watch: CommandWatch, pid: int | None) -> Exit:
        """Handle a dead or killed guard: end its children, which this process has adopted."""
        seconds = 0.0 if pid is None else watch.seconds()
        guard.give_up()
        self._guard = None
        survivors = tree.end(
            lambda: tree.below_us(without=self._not_ours),
            grace=0.0 if watch.is_answered else grace,
            empty=lambda: not tree.reap()[0],
            pause=self._pause,
        )
        tree.reap()
        guard.close(0)
        detail = "its guard was killed; the rest of the command has been ended"
        return Exit(
            ended=watch.ended or Outcome.ERROR,
            detail=watch.detail or detail,
            pid=pid,
            seconds=seconds,
            survivors=tuple(sorted(survivors)),
        )

    def _pause(self, seconds: float) -> bool:
        """Wait while a tree is ended; a second signal skips the rest of the grace period."""
        tree.sleep(seconds)
        return len(self._interrupts.received) > 1

    def _with_evidence(self, end: Exit, before: tuple[int, int]) -> Exit:
        if end.ended is not None:
            return end
        after = self._oom.read(machine=oom_evidence.died_of_sigkill(end.code, end.signal))
        found = oom_evidence.evidence(before, after, code=end.code, by_signal=end.signal)
        return end._replace(oom=found) if found else end

    def close(self) -> None:
        self._watchdog.close()
        if self._guard:
            self._guard.close()
        self._oom.close()


def _exit(message: TreeEnded, watch: CommandWatch, pid: int | None) -> Exit:
    code, signum = ending(message.status)
    # A limit or signal that came while the rest of the tree was ended did not end the command.
    ended = None if message.by_itself else watch.ended
    return Exit(
        code=code,
        signal=signum,
        ended=ended,
        detail=watch.detail if ended else "",
        pid=pid,
        survivors=tuple(message.survivors),
        seconds=message.seconds,
        peak_rss_bytes=message.peak_rss_bytes,
        cpu_seconds=message.cpu_seconds,
    )


def end_leftovers(mark: int | None, grace: float) -> tree.Processes:
    """End the processes of a run whose runner and guard were killed. Returns survivors.

    mark: that run's mark; None for none.
    """
    if mark is None:
        return {}
    return tree.end(lambda: run_marks.marked_processes(mark), grace=grace, pause=tree.sleep)
