"""The guard: the parent of every command, so that none outlives its step or its runner.

A process of its own, started once a run with `python -I -S`. It adopts orphans (child
subreaper), ignores signals and holds one end of a socket. End of file there means that the
runner is dead: the tree is ended all the same, and only then does the guard let go of the
workspace's lock, whose descriptor it inherited, and has put back the record where a command
removed it: see `witness`.

Messages are JSON lines. To the guard:
    {"run": ID, "argv": […], "cwd": PATH, "env": {…}, "grace": SECONDS, "wrapped": BOOL}
                        with descriptors attached: of the log, or of stdin, stdout and stderr
    {"view": {…}}                               of every later command, see `mounts.enter`
    {"end": ID, "grace": SECONDS}                        0 skips what is left of the grace
    {"over": true}                      the runner is about to close its end, and is not dead
From the guard:
    {"id": ID, "pid": PID}
    {"id": ID, "error": TEXT}                            could not be started
    {"view": BOOL, "shared": […]}                        shared: see `mounts.shared`
    {"id": ID, "status": RAW WAIT STATUS, "seconds": …, "peak_rss_bytes": …,
     "cpu_seconds": …, "by_itself": BOOL, "survivors": […], "litter": BYTES}
                        the whole tree is gone; litter: see `mounts.litter`
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from openloop.process import run_marks, tree

_ENVIRONMENT = dict(os.environ)  # os.environ decodes every name and value at each look
_IGNORED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGXFSZ,
)


class Command:
    """The one command that is running, with what is known of its tree."""

    def __init__(self, order: dict[str, Any], leader: int) -> None:
        self.id: int = order["run"]
        self.grace: float = order["grace"]  # seconds
        self.leader = leader
        self.wrapped: bool = order["wrapped"]
        self.started = time.monotonic()
        self.status: int | None = None  # raw wait status of the leader
        self.seconds: float | None = None
        self.peak_rss = 0  # bytes, of the largest single process
        self.cpu = 0.0  # seconds

    def add(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        self.peak_rss = max(self.peak_rss, usage.ru_maxrss * 1024)
        self.cpu += usage.ru_utime + usage.ru_stime
        if pid == self.leader:
            self.status = status
            self.seconds = time.monotonic() - self.started


class Guard:
    """Runs one command at a time and ends its whole tree before it reports."""

    def __init__(self, control: socket.socket, wakeup: int, record: str) -> None:
        """record: path of the run's events; "" when there are none."""
        self.record = record
        # Opened by itself: the runner's descriptor would keep its lock.
        self.events = os.open(record, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC) if record else -1
        self.control = control
        self.wakeup = wakeup  # readable after SIGCHLD
        self.buffer = b""
        self.descriptors: list[int] = []  # that came with an order not obeyed yet
        self.orders: list[dict[str, Any]] = []
        self.command: Command | None = None
        self.runner_lives = True
        self.has_run = False
        self.litter: Callable[[], int] = lambda: 0  # bytes

    def serve(self) -> None:
        """Take orders until the runner closes its end."""
        try:
            while self.runner_lives:
                self._listen(None)
                self._obey()
                self._collect()
                if self.command and self.command.status is not None:
                    self._finish(self.command, self.command.grace)
        finally:
            # Whatever went wrong above, also while answering a dead runner.
            self._sweep(tree.ORPHAN_GRACE)
            if self.record and self.has_run:
                from openloop.process import record_rescue  # hardly ever needed

                record_rescue.testify(self.events, self.record)

    def _listen(self, seconds: float | None) -> None:
        """Wait for an order or a dead child; keep the orders, drain the wake-ups."""
        watched: list[socket.socket | int] = [self.control, self.wakeup]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wakeup, 4096)
        if self.control in ready:
            data, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 4)
            for descriptor in descriptors:  # no command inherits the log of another
                os.set_inheritable(descriptor, False)
            self.descriptors += descriptors
            self.runner_lives = bool(data)
            *lines, self.buffer = (self.buffer + data).split(b"\n")
            self.orders += [json.loads(line) for line in lines]

    def _obey(self) -> None:
        while self.orders:
            order = self.orders.pop(0)
            if "run" in order:
                self._start(order)
            elif "view" in order:
                self._enter(order["view"])
            elif "over" in order:
                self.record = ""
            elif self.command and order["end"] == self.command.id:
                self._finish(self.command, order["grace"])

    def _enter(self, view: dict[str, Any]) -> None:
        """Take a view for every later command, and say whether that could be."""
        from openloop.process import namespaces  # few guards need it

        entered = namespaces.enter(**view)
        if entered and "enclosure" in view:  # all end with this process: signs would only tell
            self.litter = namespaces.litter
            run_marks.lift()
            for name in [each for each in _ENVIRONMENT if each.startswith(run_marks.SIGN)]:
                del _ENVIRONMENT[name]
        self._answer({"view": entered, "shared": namespaces.shared()})

    def _start(self, order: dict[str, Any]) -> None:
        streams, self.descriptors = self.descriptors, []
        try:
            pid = _spawn(order, streams)
        except (OSError, ValueError) as error:
            self._answer({"id": order["run"], "error": _words(error)})
        else:
            self.command = Command(order, pid)
            self.has_run = True
            self._answer({"id": order["run"], "pid": pid})
        finally:
            for stream in streams:
                os.close(stream)

    def _finish(self, command: Command, grace: float) -> None:
        """End what is left of the command's tree, then report it."""
        by_itself = command.status is not None
        survivors = self._sweep(grace)
        self.command = None
        self._answer(
            {
                "id": command.id,
                "status": command.status,
                "seconds": command.seconds,
                "peak_rss_bytes": command.peak_rss,
                "cpu_seconds": round(command.cpu, 6),
                "by_itself": by_itself,
                "survivors": sorted(survivors),
                "litter": self.litter(),
            }
        )

    def _sweep(self, grace: float) -> tree.Processes:
        """End whatever lives below this process; returns what could not be ended."""
        if self._collect():
            return {}
        # A wrapper that died of SIGTERM would take the command with it, before its grace is over.
        wrapper = self.command.leader if self.command and self.command.wrapped else None
        return tree.end(
            self._living, grace=grace, empty=self._collect, pause=self._pause, spared=wrapper
        )

    def _living(self) -> tree.Processes:
        """What lives below, none only when no child is left: a look can miss one that moves."""
        for _ in range(100):
            if self._collect():
                return {}
            if living := tree.descendants(os.getpid()):
                return living
            self._listen(0.001)
        return tree.below_us()

    def _collect(self) -> bool:
        """Reap the dead. True when no child is left, which is when the tree is empty."""
        left, dead = tree.reap()
        for pid, (status, usage) in dead.items():
            if self.command:
                self.command.add(pid, status, usage)
        return not left

    def _pause(self, seconds: float) -> bool:
        """Wait during a sweep; a new order or a dead runner skips the rest of the grace."""
        if not self.runner_lives:
            time.sleep(min(seconds, 0.005))
            return False
        self._listen(seconds)
        hurry = not self.runner_lives or any(order.get("grace") == 0 for order in self.orders)
        self.orders = [order for order in self.orders if "end" not in order]
        return hurry

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            self.control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.runner_lives = False


def _words(error: OSError | ValueError) -> str:
    """What a person can read of it: not the number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _spawn(order: dict[str, Any], streams: list[int]) -> int:
    """Start the order's command in a session of its own.

    streams: its standard input, output and error, or the log that takes both outputs.
    """
    if len(streams) not in (1, 3):
        raise OSError("no file descriptor left for the log")
    os.chdir(order["cwd"])
    null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    return os.posix_spawnp(
        order["argv"][0],
        order["argv"],
        {**_ENVIRONMENT, **order["env"]},
        file_actions=[
            null if len(streams) == 1 else (os.POSIX_SPAWN_DUP2, streams[0], 0),
            (os.POSIX_SPAWN_DUP2, streams[len(streams) // 2], 1),
            (os.POSIX_SPAWN_DUP2, streams[-1], 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(*_IGNORED, run_marks.KEEPING),
    )


def main() -> None:
    """Run as a guard: arguments are the control socket's descriptor, the lock's, the mark, and
    the record's path, which may be empty."""
    control, lock, mark = (int(word) for word in sys.argv[1:4])
    for descriptor in (control, lock):
        os.set_inheritable(descriptor, False)
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    tree.become_subreaper()
    run_marks.seal(mark)
    _ENVIRONMENT[run_marks.sign(mark)] = "1"
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    Guard(socket.socket(fileno=control), readable, sys.argv[4]).serve()
