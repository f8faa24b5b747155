"""Run shell commands under a guard, one at a time, and know how each one ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from openloop.core.clock import monotonic
from openloop.core.vocabulary import Outcome
from openloop.loop.gates import Exit
from openloop.process import oom_evidence, run_marks, tree
from openloop.process.signals import Interrupts
from openloop.process.watchdog import Limits, Watch, Watchdog

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from openloop.process.guard import main; main()"
)


class ViewError(Exception):
    """This system, or this user, has no mount namespaces."""


@dataclass(frozen=True, slots=True)
class Job:
    """One shell command: its text, where it runs, what is added to the environment.

    wrapper: words of a program that runs the command and ends when it has ended.
    """

    command: str
    cwd: str
    env: Mapping[str, str]
    limits: Limits
    wrapper: tuple[str, ...] = ()


class Guard:
    """This side of the guard: its process, the socket to it, and its messages."""

    def __init__(
        self,
        lock: int,
        mark: int,
        env: Mapping[str, str] | None = None,
        record: str | None = None,
    ) -> None:
        """lock: the workspace lock's descriptor, which the guard holds too. env: of its
        commands, to which each adds its own; ours when it is None. record: path of the events,
        which the guard looks after when this process is killed."""
        run_marks.announce(mark)  # before the guard is there: it is never without a keeper
        self.socket, theirs = socket.socketpair()
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        words = [sys.executable, "-I", "-S", "-c", _BOOT, package]
        self._process = subprocess.Popen(
            [*words, str(theirs.fileno()), str(lock), str(mark), record or ""],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), lock),
            env=env,
            start_new_session=True,
        )
        theirs.close()
        self._sending = threading.Lock()
        self._buffer = b""
        self.shared: list[str] = []  # see `mounts.shared`
        self.pid = self._process.pid

    def enter(self, view: Mapping[str, Any]) -> bool:
        """Give later commands a view of the file system, see `mounts.enter`; False when that
        cannot be, and the guard is of no more use."""
        try:
            self._order({"view": view})
        except OSError:
            return False
        answers: list[dict[str, Any]] | None = []
        while answers == []:
            answers = self.read()
        self.shared = answers[0]["shared"] if answers else []
        return bool(answers and answers[0]["view"])

    def start(self, number: int, job: Job, log: int) -> None:
        words = [*job.wrapper, "/bin/sh", "-c", job.command]
        grace = job.limits.grace
        self.run(number, words, job.cwd, job.env, grace, [log], wrapped=bool(job.wrapper))

    def run(
        self,
        number: int,
        words: Sequence[str],
        cwd: str,
        env: Mapping[str, str],
        grace: float,
        streams: Sequence[int],
        *,
        wrapped: bool = False,
    ) -> None:
        """Order a program to be started. Raises OSError when the guard is dead.

        streams: its standard input, output and error, or the log that takes both outputs.
        wrapped: it runs the command in a sandbox, and ends when that has ended.
        """
        order = {"run": number, "argv": words, "cwd": cwd, "env": env, "grace": grace}
        self._order({**order, "wrapped": wrapped}, streams)

    def _order(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._sending:
            sent = socket.send_fds(self.socket, [data], descriptors)
            self.socket.sendall(data[sent:])

    def end(self, number: int, grace: float) -> None:
        with contextlib.suppress(OSError):  # it is dead; whoever reads from it finds that out
            self._order({"end": number, "grace": grace})

    def read(self) -> list[dict[str, Any]] | None:
        """The messages that have arrived; None when the guard is dead."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        self._process.kill()

    def release(self) -> None:
        """Let the guard go: it sees the end of file, sweeps and ends."""
        with contextlib.suppress(OSError):  # it is dead already
            self._order({"over": True})
        self.socket.close()

    def close(self, patience: float | None = None) -> None:
        """Let the guard go and wait for it; after `patience` seconds it is killed."""
        self.release()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()


class Processes:
    """Everything that a run starts. Close it, and nothing of it is left."""

    def __init__(
        self,
        lock: int,
        interrupts: Interrupts,
        on_gap: Callable[[float], None],
        view: Mapping[str, Any] | None = None,
        record: str | None = None,
    ) -> None:
        """lock: descriptor of the workspace's lock. on_gap: see Watchdog. view: of the commands,
        see `mounts.enter`. record: see Guard. Raises ViewError when they cannot have a view."""
        tree.become_subreaper()  # so that a killed guard's tree comes to us
        self._not_ours = tuple(tree.descendants(os.getpid())) if tree.reap()[0] else ()
        self._lock = lock
        self.mark = run_marks.draw()
        self._interrupts = interrupts
        self._number = 0
        self._view = view
        self._record = record
        self._guard: Guard | None = self._new_guard()
        self._oom = oom_evidence.Counters()
        self._watchdog = Watchdog(on_gap)

    def _new_guard(self) -> Guard:
        guard = Guard(self._lock, self.mark, record=self._record)
        if self._view and not guard.enter(self._view):
            guard.close()
            raise ViewError("the system gives commands no view of their own")
        return guard

    def run(
        self,
        job: Job,
        log: int,
        *,
        on_start: Callable[[int], None],
        on_beat: Callable[[int], None],
    ) -> Exit:
        """Run one command to the end of its whole process tree.

        log: descriptor that takes its output. on_start: told the PID. on_beat: told the log's
        size in bytes about once a second, in the watchdog's thread.
        Raises what `on_beat` raised, after the tree is gone.
        """
        self._number += 1
        number = self._number
        guard = self._guard = self._guard or self._new_guard()
        watch = Watch(
            log,
            job.limits,
            beat=on_beat,
            order_end=lambda grace: guard.end(number, grace),
            give_up=guard.kill,
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
        guard: Guard,
        number: int,
        job: Job,
        log: int,
        watch: Watch,
        on_start: Callable[[int], None],
    ) -> Exit:
        try:
            guard.start(number, job, log)
        except OSError:
            return self._lost(job.limits.grace, watch, None)
        poll = select.poll()
        poll.register(guard.socket, select.POLLIN)
        poll.register(self._interrupts.wakeup, select.POLLIN)
        pid: int | None = None
        heeded = 0
        while True:
            heeded = self._heed(watch, heeded)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if guard.socket.fileno() not in ready:
                continue
            messages = guard.read()
            if messages is None:
                return self._lost(job.limits.grace, watch, pid)
            for message in messages:
                if "error" in message:
                    return Exit(ended=Outcome.ERROR, detail=f"not started: {message['error']}")
                if "status" in message:
                    return _exit(message, watch, pid)
                watch.begin()
                pid = int(message["pid"])
                on_start(pid)

    def _heed(self, watch: Watch, heeded: int) -> int:
        """Pass signals on: the first one ends the command, the second skips its grace."""
        self._interrupts.drain()
        received = self._interrupts.received
        if len(received) > heeded:
            hurry = len(received) > 1
            watch.end(Outcome.INTERRUPTED, f"interrupted by {received[0].name}", hurry=hurry)
        return len(received)

    def _lost(self, grace: float, watch: Watch, pid: int | None) -> Exit:
        """The guard is dead. Its children are ours now: end them; start no further one here."""
        assert self._guard is not None
        seconds = 0.0 if pid is None else watch.seconds()
        self._guard.close()
        self._guard = None
        survivors = tree.end(
            lambda: tree.below_us(without=self._not_ours),
            grace=0.0 if watch.ended else grace,
            empty=lambda: not tree.reap()[0],
            pause=tree.sleep,
        )
        tree.reap()
        detail = "its guard was killed; what was left of the command has been ended"
        return Exit(
            ended=watch.ended or Outcome.ERROR,
            detail=watch.detail or detail,
            pid=pid,
            seconds=seconds,
            survivors=tuple(sorted(survivors)),
        )

    def _with_evidence(self, end: Exit, before: tuple[int, int]) -> Exit:
        if end.ended is not None:
            return end
        after = self._oom.read(machine=oom_evidence.killed(end.code, end.signal))
        found = oom_evidence.evidence(before, after, code=end.code, by_signal=end.signal)
        return replace(end, oom=found) if found else end

    def close(self) -> None:
        self._watchdog.close()
        if self._guard:
            self._guard.close()
        self._oom.close()


def _exit(message: Mapping[str, Any], watch: Watch, pid: int | None) -> Exit:
    code, signum = ending(message["status"])
    # A limit that fell due, or a signal, while the rest of the tree was ended came too late
    # to be what ended the command.
    ended = None if message["by_itself"] else watch.ended
    return Exit(
        code=code,
        signal=signum,
        ended=ended,
        detail=watch.detail if ended else "",
        pid=pid,
        survivors=tuple(message["survivors"]),
        seconds=message["seconds"] or 0.0,
        peak_rss_bytes=message["peak_rss_bytes"],
        cpu_seconds=message["cpu_seconds"],
    )


def ending(status: int | None) -> tuple[int | None, str | None]:
    """(exit code, name of the signal) of a raw wait status, one of them None."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        return None, _signal_name(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status), None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_leftovers(mark: int | None, grace: float) -> tree.Processes:
    """End what runs left alive whose runners and guards are dead. Returns survivors.

    mark: of the killed run that is resumed; without one, only what has lost its keeper is ended.
    """
    deadline = monotonic() + tree.GIVE_UP
    guards: list[int] = []  # of other runs, whose runners died just now: they end all by themselves

    def find() -> tree.Processes:
        strays = run_marks.strays()
        guards[:] = filter(_is_guard, strays) if monotonic() < deadline else ()
        for guard in guards:
            for pid in (guard, *tree.descendants(guard)):
                strays.pop(pid, None)
        return {**(run_marks.carriers(mark) if mark else {}), **strays}

    while not (left := tree.end(find, grace=grace, pause=tree.sleep)) and guards:
        tree.sleep(tree.RESCAN)
    return left


def _is_guard(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return _BOOT.encode() in file.read()
    return False
