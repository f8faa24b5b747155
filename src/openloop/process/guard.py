"""The guard: the parent of every command, so that none outlives its step or its runner.

A separate process for the whole run. It adopts orphans (child subreaper), ignores signals and talks
to the runner through a socket; see `messages`. If the runner dies, the guard ends the process tree,
restores a removed record (see `record_rescue`), and only then releases the workspace's lock, whose
descriptor it inherited.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from openloop.process import messages, run_marks, tree
from openloop.process.messages import (
    EndTree,
    Entered,
    EnterView,
    Message,
    NotStarted,
    Release,
    RemoveFolder,
    Start,
    Started,
    TreeEnded,
    TreeEnding,
)

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
_SIGN_OF_LIFE = 0.25  # seconds between two signs that a tree is being ended


class RunningCommand:
    """The running command and the resource usage of its tree."""

    def __init__(self, order: Start, leader: int) -> None:
        self.order = order
        self.leader = leader
        self.started = time.monotonic()
        self.status: int | None = None  # raw wait status of the leader
        self.seconds = 0.0
        self.peak_rss = 0  # bytes, of the largest single process
        self.cpu = 0.0  # seconds

    def add_usage(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        self.peak_rss = max(self.peak_rss, usage.ru_maxrss * 1024)
        self.cpu += usage.ru_utime + usage.ru_stime
        if pid == self.leader:
            self.status = status
            self.seconds = time.monotonic() - self.started


class Guard:
    """Runs one command at a time and ends its whole tree before it reports."""

    def __init__(
        self, control: socket.socket, wakeup: int, record: str, environment: dict[str, str]
    ) -> None:
        """wakeup: readable after SIGCHLD. record: path of the run's events; "" when there are none.
        environment: the variables of the commands."""
        self._record = record
        # Opened by itself: the runner's descriptor would keep its lock.
        self._events = os.open(record, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC) if record else -1
        self._control = control
        self._wakeup = wakeup
        self._environment = environment
        self._decoder = messages.Decoder()
        self._descriptors: list[int] = []  # received with an order that is still queued
        self._orders: list[Message] = []
        self._command: RunningCommand | None = None
        self._next_sign = 0.0  # monotonic; when to report again that the tree is being ended
        self._runner_lives = True
        self._has_run = False
        self._private_bytes_used: Callable[[], int] = lambda: 0
        self._folder_to_remove = ""

    def serve(self) -> None:
        """Take orders until the runner closes its end."""
        try:
            while self._runner_lives:
                self._listen(None)
                self._obey()
                self._collect()
                if self._command and self._command.status is not None:
                    self._finish(self._command, self._command.order.grace)
        finally:
            # Also after an error above, as in answering a dead runner.
            self._sweep(0.0 if self._folder_to_remove else tree.ORPHAN_GRACE)
            if self._folder_to_remove:
                from openloop.fs import dirfd  # few guards need it

                dirfd.remove_path(self._folder_to_remove)
            if self._record and self._has_run:
                from openloop.process import record_rescue  # hardly ever needed

                _remove_temporary_folders()
                record_rescue.restore(self._events, self._record)

    def _listen(self, seconds: float | None) -> None:
        """Wait for an order or a dead child; keep the orders, drain the wake-ups."""
        watched: list[socket.socket | int] = [self._control, self._wakeup]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
        if self._control in ready:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 4)
            for descriptor in descriptors:  # no command inherits the log of another
                os.set_inheritable(descriptor, False)
            self._descriptors += descriptors
            self._runner_lives = bool(data)
            self._orders += self._decoder.decode(data)

    def _obey(self) -> None:
        while self._orders:
            match self._orders.pop(0):
                case Start() as order:
                    self._start(order)
                case EnterView(view):
                    self._enter(view)
                case RemoveFolder(folder):
                    self._folder_to_remove = folder
                    signal.signal(signal.SIGTERM, self._note_sigterm)
                case Release():
                    self._record = ""
                case EndTree(number, grace) if (
                    self._command and number == self._command.order.number
                ):
                    self._finish(self._command, grace)

    def _note_sigterm(self, signum: int, frame: object) -> None:
        self._runner_lives = False

    def _enter(self, view: Mapping[str, Any]) -> None:
        """Enter a view for every later command, and report whether it worked."""
        from openloop.process import namespaces  # few guards need it

        tree.open_memory()  # a fork inherits it closed, which prevents a user namespace
        entered = namespaces.enter(**view)
        if entered and "enclosure" in view:  # the PID namespace replaces the mark
            self._private_bytes_used = namespaces.private_bytes_used
            for name in [each for each in self._environment if each.startswith(run_marks.SIGN)]:
                del self._environment[name]
        self._answer(Entered(entered, namespaces.shared()))

    def _start(self, order: Start) -> None:
        streams, self._descriptors = self._descriptors, []
        tree.close_memory()
        try:
            pid = _spawn(order, streams, self._environment)
        except (OSError, ValueError) as error:
            self._answer(NotStarted(order.number, _error_text(error)))
        else:
            self._command = RunningCommand(order, pid)
            self._has_run = True
            self._answer(Started(order.number, pid))
        finally:
            for stream in streams:
                os.close(stream)

    def _finish(self, command: RunningCommand, grace: float) -> None:
        """End the rest of the command's tree, then report the end."""
        by_itself = command.status is not None
        survivors = self._sweep(grace)
        self._command = None
        ended = TreeEnded(
            command.order.number,
            command.status,
            command.seconds,
            command.peak_rss,
            round(command.cpu, 6),
            by_itself,
            sorted(survivors),
            self._private_bytes_used(),
        )
        self._answer(ended)

    def _sweep(self, grace: float) -> tree.Processes:
        """End all descendants of this process; returns the survivors."""
        if self._collect():
            return {}
        # SIGTERM to a wrapper would kill the command before its grace period is over.
        wrapper = self._command.leader if self._command and self._command.order.wrapped else None
        return tree.end(
            self._living, grace=grace, empty=self._collect, pause=self._pause, spared=wrapper
        )

    def _living(self) -> tree.Processes:
        """The living descendants; none only when no child is left, as a scan can miss some."""
        for _ in range(100):
            if self._collect():
                return {}
            if living := tree.descendants(os.getpid()):
                return living
            self._listen(0.001)
        return tree.below_us()

    def _collect(self) -> bool:
        """Reap dead children. True when none is left, so that the tree is empty."""
        left, dead = tree.reap()
        for pid, (status, usage) in dead.items():
            if self._command:
                self._command.add_usage(pid, status, usage)
        return not left

    def _pause(self, seconds: float) -> bool:
        """Wait during a sweep; a new order or a dead runner skips the rest of the grace."""
        if not self._runner_lives:
            time.sleep(min(seconds, 0.005))
            return False
        if self._command and time.monotonic() >= self._next_sign:
            self._next_sign = time.monotonic() + _SIGN_OF_LIFE
            self._answer(TreeEnding(self._command.order.number))
        self._listen(seconds)
        ends = [order for order in self._orders if isinstance(order, EndTree)]
        self._orders = [order for order in self._orders if order not in ends]
        return not self._runner_lives or any(order.grace == 0 for order in ends)

    def _answer(self, message: Message) -> None:
        try:
            self._control.sendall(messages.encode(message))
        except OSError:
            self._runner_lives = False


def _remove_temporary_folders() -> None:
    """Remove what commands had no time to remove."""
    import tempfile

    from openloop.fs import temporary_folders

    with contextlib.suppress(OSError):
        temporary_folders.remove_leftovers(tempfile.gettempdir())


def _error_text(error: OSError | ValueError) -> str:
    """The error without its number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _spawn(order: Start, streams: list[int], environment: Mapping[str, str]) -> int:
    """Start the order's command in a session of its own.

    streams: its standard input, output and error, or the log that takes both outputs.
    """
    if len(streams) not in (1, 3):
        raise OSError("no file descriptor left for the log")
    os.chdir(order.cwd)
    variables = {**environment, **order.env}
    words: list[str] | list[bytes] = list(order.argv)
    env: Mapping[str, str] | Mapping[bytes, bytes] = variables
    if sys.getfilesystemencoding() != "utf-8":  # an old locale
        words = [_encoded(word) for word in order.argv]
        env = {_encoded(name): _encoded(value) for name, value in variables.items()}
    null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    return os.posix_spawnp(
        words[0],
        words,
        env,
        file_actions=[
            null if len(streams) == 1 else (os.POSIX_SPAWN_DUP2, streams[0], 0),
            (os.POSIX_SPAWN_DUP2, streams[len(streams) // 2], 1),
            (os.POSIX_SPAWN_DUP2, streams[-1], 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_IGNORED,
    )


def _encoded(text: str) -> bytes:
    """As the locale has it, or in UTF-8 where it lacks a character."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape")


def serve(control: socket.socket, mark: int = 0, record: str = "") -> None:
    """Make this process a guard until the runner closes its end of the socket. mark: the run's
    mark, 0 for none. record: path of its events, "" for none."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    run_marks.name_guard()
    tree.become_subreaper()
    environment = dict(os.environ)  # os.environ would decode every name and value at each use
    if mark:
        run_marks.set_mark(mark, environment)
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    Guard(control, readable, record, environment).serve()


def main() -> None:
    """Run as a guard in an interpreter of its own. Arguments: the descriptors of the control socket
    and of the lock."""
    control, lock = (int(word) for word in sys.argv[1:])
    for descriptor in (control, lock):
        os.set_inheritable(descriptor, False)
    serve(socket.socket(fileno=control))
