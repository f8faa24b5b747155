"""`openloop judge`: run a command once for each case, in parallel, and compare its answers.

Every job has a guard, so no process of a case outlives it. The command gets arguments, input and a
folder; expectations stay in this process's memory. Where the kernel allows it, guard and
commands run in an enclosure (see `namespaces`): the file of cases looks empty, writes outside the
project are lost, and this process is invisible.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence

from openloop.core.clock import monotonic
from openloop.core.errors import Interrupted, JudgeError, UsageError
from openloop.judge import case_lines, compare, copied_project, isolation
from openloop.judge.case_file import CaseFile
from openloop.judge.case_folders import CaseFolders
from openloop.judge.case_run import CaseRun
from openloop.judge.cases import Answer, Case, CaseResult
from openloop.judge.isolation import MachineView
from openloop.process import log_scan, tree
from openloop.process.guard_client import ANSWER, GuardClient
from openloop.process.messages import (
    Entered,
    Message,
    NotStarted,
    Start,
    Started,
    TreeEnded,
    TreeEnding,
)
from openloop.process.signals import Interrupts

GRACE = 0.5  # seconds between SIGTERM and SIGKILL for what a case leaves behind
_LITTER = (
    64 << 20
)  # bytes of memory that a guard's cases may leave behind, see `namespaces.private_bytes_used`
_ATTEMPTS = 5  # to start a guard
_OPEN, _OPEN_EACH = 30, 4  # descriptors of this process, and of each job


def check_program_exists(command: Sequence[str]) -> None:
    """Raises UsageError when the command's program does not exist."""
    word = command[0]
    if "{dir}" not in word and shutil.which(word) is None:
        fix = "install it, correct the name, or write its path from the current directory"
        what = f"COMMAND {word} is neither a program on PATH nor a file that can be run"
        raise UsageError(what, fix=fix)


def default_jobs() -> int:
    return len(os.sched_getaffinity(0))


def _room() -> int:
    """The number of parallel jobs that the limit of open files allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(1, (most - _OPEN) // _OPEN_EACH)


def run(
    case_file: CaseFile,
    command: Sequence[str],
    *,
    jobs: int,
    hide: bool = True,
    copy: bool = False,
    note: Callable[[str], None],
) -> Generator[CaseResult, None, None]:
    """Run every case; yields the results in the order in which the cases end.

    jobs: the most to run at once. hide: whether to hide CASES and this process from the command and
    protect files outside the project; `note` is called when that is impossible. copy: whether to
    run it in a copy of the project, see `copied_project`. Raises OpenLoopError, and Interrupted on
    SIGINT, SIGTERM or SIGHUP.
    """
    tree.close_memory()
    with Interrupts() as interrupts:
        judge = _Pool(command, interrupts, note)
        try:
            judge.prepare(case_file.hidden if hide else "", copy=copy)
            yield from judge.results(case_file.cases, min(jobs, _room()))
        finally:
            judge.close()


def interruption(interrupts: Interrupts) -> Interrupted:
    """The error for the first signal that was received."""
    signal = interrupts.received[0]
    return Interrupted(signal, f"interrupted by {signal.name}", fix="judge again")


class _Worker:
    """A guard and its running case, if any."""

    def __init__(self, guard: GuardClient) -> None:
        self.guard = guard
        self.case_run: CaseRun | None = None
        self.private_bytes_used = 0  # bytes


class _Pool:
    """Runs all jobs in one thread that waits for guards, pipes and signals."""

    def __init__(
        self,
        command: Sequence[str],
        interrupts: Interrupts,
        note: Callable[[str], None],
    ) -> None:
        self._place = os.getcwd()
        tree.become_subreaper()  # to adopt the tree of a killed guard
        self._not_ours = tuple(tree.descendants(os.getpid())) if tree.reap()[0] else ()
        self._command = command
        self._interrupts = interrupts
        self._note = note
        self._folders = CaseFolders(note)
        self._selector = selectors.DefaultSelector()
        self._selector.register(interrupts.wakeup, selectors.EVENT_READ, interrupts.drain)
        self._workers: list[_Worker] = []
        self._finished: deque[CaseResult] = deque()
        self._number = 0  # of cases started
        self._views: list[MachineView] = []
        self._environment = isolation.environment()
        self._inside: Callable[[str], str] = str  # replaces paths by those in a copy of the project

    def prepare(self, hidden: str, *, copy: bool) -> None:
        """Choose the command's views, and copy the project. hidden: the path to hide from the
        command, "" for none."""
        if copy:
            project = copied_project.make(self._folders.new_place(), hidden, self._look_for_signals)
            self._inside = project.inside
            self._place = project.inside(self._place)
            for name, value in self._environment.items():
                self._environment[name] = project.inside(value)
            self._views = isolation.views(
                [hidden, project.root], [project.copy], self._folders.path
            )
        elif hidden:
            root = os.environ.get("OPENLOOP_PROJECT_ROOT") or self._place
            self._views = isolation.views([hidden], [self._place, root], self._folders.path)

    def _look_for_signals(self) -> None:
        if self._interrupts.received:
            raise interruption(self._interrupts)

    def results(self, waiting: Sequence[Case], jobs: int) -> Iterator[CaseResult]:
        left = deque(waiting)
        while left or any(worker.case_run for worker in self._workers):
            self._assign(left, jobs)
            for key, _ in self._selector.select(self._until_deadline()):
                if key.fileobj in self._selector.get_map():  # not closed by one before it
                    key.data()
            self._look_for_signals()
            self._enforce()
            while self._finished:
                yield self._finished.popleft()

    # --- starting -----------------------------------------------------------------------

    def _assign(self, left: deque[Case], jobs: int) -> None:
        """Give every free worker a case, and create workers as needed."""
        while left:
            worker = next((one for one in self._workers if one.case_run is None), None)
            if worker is not None and worker.private_bytes_used > _LITTER:
                self._dismiss(worker)
                worker = None
            if worker is None and len(self._workers) < jobs:
                worker = self._new_worker()
            if worker is None:
                return
            self._start(worker, left.popleft())

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._new_guard())
        self._workers.append(worker)
        self._selector.register(
            worker.guard.socket, selectors.EVENT_READ, lambda: self._receive(worker)
        )
        return worker

    def _new_guard(self) -> GuardClient:
        """A guard whose commands have the best view that this system allows.

        The view is chosen before the first case starts: a case that kills guards must not make the
        hidden file visible.
        """
        lacking = ""
        for _ in range(_ATTEMPTS):
            guard = GuardClient(self._folders.lock, env=self._environment)
            entered = guard.enter(self._views[0].order) if self._views else Entered(True, ())
            if entered.done:
                self._note_limits(lacking, entered.shared)
                return guard
            guard.close()
            if not self._number:
                lacking = self._views.pop(0).without
        raise JudgeError(
            "no guard stays alive: something ends processes that it did not start",
            fix="look for it in COMMAND",
        )

    def _note_limits(self, lacking: str, shared: Sequence[str]) -> None:
        """Note once what the commands' view lacks. shared: see `namespaces.shared`."""
        if self._number:
            return
        if lacking:
            self._note(lacking)
        if shared:
            self._note(isolation.shared_note(self._views[0], shared))

    @property
    def _is_enclosed(self) -> bool:
        return bool(self._views) and "enclosure" in self._views[0].order

    def _start(self, worker: _Worker, case: Case) -> None:
        self._number += 1
        case_run = worker.case_run = CaseRun(case, self._number, self._folders.new_place())
        try:
            streams = case_run.prepare()
        except OSError as error:
            self._finish(worker, Answer(trouble=f"its files could not be written: {error}"))
            return
        for pipe in case_run.pipes:
            self._selector.register(pipe, selectors.EVENT_READ, self._reader(case_run, pipe))
        case_run.deadline = monotonic() + case.timeout
        order = Start(
            case_run.number,
            list(map(self._inside, case_run.words(self._command))),
            self._place,
            case_run.environment(enclosed=self._is_enclosed),
            GRACE,
        )
        with contextlib.suppress(OSError):  # a dead guard: the selector notices its closed socket
            worker.guard.start(order, streams)
        for stream in streams:
            os.close(stream)

    # --- watching -----------------------------------------------------------------------

    def _reader(self, case_run: CaseRun, pipe: int) -> Callable[[], None]:
        def read() -> None:
            if not case_run.read(pipe):
                self._selector.unregister(pipe)

        return read

    def _until_deadline(self) -> float | None:
        """Seconds until the next deadline; None for none."""
        deadlines = [worker.case_run.deadline for worker in self._workers if worker.case_run]
        soonest = min(deadlines, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - monotonic())

    def _enforce(self) -> None:
        """End cases that exceed a limit, and kill guards that do not answer."""
        now = monotonic()
        for worker in self._workers:
            case_run = worker.case_run
            if case_run is None:
                continue
            if case_run.is_ending:
                if now >= case_run.deadline:
                    worker.guard.give_up()
                    case_run.deadline = float("inf")
            elif case_run.flood:
                self._end(worker, case_run, 0.0)
            elif now >= case_run.deadline:
                case_run.late = f"ran longer than {case_run.case.timeout:g} s"
                self._end(worker, case_run, GRACE)

    def _end(self, worker: _Worker, case_run: CaseRun, grace: float) -> None:
        case_run.is_ending = True
        case_run.deadline = monotonic() + ANSWER
        worker.guard.end(case_run.number, grace)

    def _receive(self, worker: _Worker) -> None:
        messages = worker.guard.read()
        if messages is None:
            self._replace_dead(worker)
            return
        for message in messages:
            case_run = worker.case_run
            if case_run and getattr(message, "number", None) == case_run.number:
                self._handle(worker, case_run, message)

    def _handle(self, worker: _Worker, case_run: CaseRun, message: Message) -> None:
        match message:
            case NotStarted():
                self._finish(worker, Answer(trouble=f"not started: {message.why}"))
            case TreeEnded():
                worker.private_bytes_used = message.private_bytes_used
                case_run.drain()
                self._finish(worker, case_run.answer(message))
            case Started() if not case_run.is_ending:
                case_run.deadline = monotonic() + case_run.case.timeout
            case TreeEnding() if case_run.is_ending:
                case_run.deadline = monotonic() + ANSWER

    # --- ending -------------------------------------------------------------------------

    def _finish(self, worker: _Worker, answer: Answer) -> None:
        case_run = worker.case_run
        assert case_run is not None
        worker.case_run = None
        for pipe in case_run.pipes:
            with contextlib.suppress(KeyError):  # at its end already
                self._selector.unregister(pipe)
            os.close(pipe)
        self._folders.remove(case_run.place)
        if case_run.case.expects:
            why = compare.failure(case_run.case, answer, log_scan.search)
        else:
            why = case_lines.unrecordable(case_run.case, answer)
        self._finished.append(CaseResult(case_run.case, answer, why))

    def _replace_dead(self, worker: _Worker) -> None:
        """Handle a dead guard: end its children, which this process has adopted."""
        self._dismiss(worker)
        self._sweep()
        if worker.case_run:
            late = worker.case_run.late
            self._finish(worker, Answer(trouble=late or "its guard was killed"))

    def _dismiss(self, worker: _Worker) -> None:
        """End a guard, which frees the memory that its cases used."""
        self._selector.unregister(worker.guard.socket)
        self._workers.remove(worker)
        worker.guard.close()

    def _sweep(self) -> None:
        guards = tuple(worker.guard.pid for worker in self._workers)
        tree.end(
            lambda: tree.below_us(without=(*self._not_ours, *guards)),
            grace=0.0,
            pause=tree.sleep,
        )

    def close(self) -> None:
        """End all guards and processes that are left."""
        guards = [worker.guard for worker in self._workers]
        for guard in guards:
            guard.release()  # all at once, so that they sweep side by side
        for guard in guards:
            guard.close()
        case_runs = [worker.case_run for worker in self._workers if worker.case_run]
        self._workers = []
        self._sweep()
        for case_run in case_runs:
            for pipe in case_run.pipes:
                os.close(pipe)
        self._selector.close()
        self._folders.close()
