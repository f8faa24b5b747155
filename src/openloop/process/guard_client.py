"""The runner's side of a guard: start it, send it orders, read its reports."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from openloop.core import interpreter
from openloop.process import guard, messages, tree
from openloop.process.messages import (
    EndTree,
    Entered,
    EnterView,
    Message,
    Release,
    RemoveFolder,
    Start,
)
from openloop.process.watchdog import CommandLimits

ANSWER = 1.5  # seconds in which a guard must answer an order before it is killed
_PROGRAM = "from openloop.process.guard import main; main()"
_POLL = 0.001  # seconds between two looks whether a guard has ended


class Job(NamedTuple):
    """One shell command: its text, folder, added environment and limits.

    wrapper: arguments of a program that runs the command and exits after it.
    """

    command: str
    cwd: str
    env: Mapping[str, str]
    limits: CommandLimits
    wrapper: tuple[str, ...] = ()


class GuardClient:
    """A guard's process and its socket. For one thread, except `end` and `give_up`."""

    def __init__(
        self,
        lock: int,
        mark: int = 0,
        record: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """lock: descriptor of the workspace's lock, which the guard holds too. mark: see
        `run_marks`; 0 for none. record: path of the events, which the guard restores if this
        process and they are gone. env: the variables of a new interpreter for the guard, which
        knows nothing that this process knows; None for a fork, which needs less time and memory,
        and that no other thread is running."""
        self.socket, theirs = socket.socketpair()
        limit = struct.pack("ll", int(ANSWER), int(ANSWER % 1 * 1e6))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        gc.freeze()  # a collection would copy the pages that the two share
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _leave_parent(theirs.fileno(), lock)
                if env is None:
                    guard.serve(theirs, mark, record)
                else:
                    _start_interpreter(theirs.fileno(), lock, env)
            finally:
                os._exit(1)  # whatever happened: the parent's work is not the child's
        theirs.close()
        self._sending = threading.Lock()
        self._decoder = messages.Decoder()

    def enter(self, view: Mapping[str, Any]) -> Entered:
        """Run later commands in a view, see `namespaces.enter`. After a failure the guard cannot be
        used."""
        with contextlib.suppress(OSError):
            self._send(EnterView(view))
            while select.select([self.socket], [], [], tree.GIVE_UP)[0]:
                arrived = self.read()
                if arrived is None:
                    break
                if entered := next((each for each in arrived if isinstance(each, Entered)), None):
                    return entered
        return Entered(False, ())

    def start_job(self, number: int, job: Job, log: int) -> None:
        """Order a shell command to be started. Raises OSError when the guard is dead."""
        words = [*job.wrapper, "/bin/sh", "-c", job.command]
        env = {**job.env, **interpreter.program_variables(job.env.get("PATH"))}
        self.start(Start(number, words, job.cwd, env, job.limits.grace, bool(job.wrapper)), [log])

    def start(self, order: Start, streams: Sequence[int]) -> None:
        """Order a program to be started. Raises OSError when the guard is dead.

        streams: its standard input, output and error, or the log that takes both outputs.
        """
        self._send(order, streams)

    def remove_at_end(self, folder: str) -> None:
        """Order a folder to be removed at the end, see `messages.RemoveFolder`."""
        with contextlib.suppress(OSError):  # it is dead, which `read` reports
            self._send(RemoveFolder(folder))

    def end(self, number: int, grace: float) -> None:
        """Order the tree of a program to be ended, within a grace in seconds."""
        with contextlib.suppress(OSError):  # it is dead, which `read` reports
            self._send(EndTree(number, grace))

    def _send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        data = messages.encode(message)
        with self._sending:
            sent = socket.send_fds(self.socket, [data], descriptors)
            if rest := data[sent:]:
                self.socket.sendall(rest)

    def read(self) -> list[Message] | None:
        """The messages that have arrived; None when the guard is dead or was killed."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        return self._decoder.decode(data) if data else None

    def give_up(self) -> None:
        """Kill a guard that does not answer; `read` returns None from then on.

        Nothing waits for it here: a traced guard stays a zombie until its tracer exits.
        """
        if not self._has_ended(0.0):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the socket, so that the guard ends all processes and exits."""
        with contextlib.suppress(OSError):  # it is dead already
            self._send(Release())
        self.socket.close()

    def close(self, patience: float = tree.ORPHAN_GRACE + tree.GIVE_UP + ANSWER) -> None:
        """Release the guard and wait for it; after `patience` seconds it is killed."""
        self.release()
        if not self._has_ended(patience):
            os.kill(self.pid, signal.SIGKILL)
            self._has_ended(ANSWER)

    def _has_ended(self, patience: float) -> bool:
        """Whether the guard ends within `patience` seconds; if so, it has been reaped."""
        deadline = time.monotonic() + patience
        with contextlib.suppress(ChildProcessError):  # reaped with what it left
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL)
        return True


def _leave_parent(*kept: int) -> None:
    """After a fork: keep nothing of the parent's session and descriptors but these."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):  # that of the listing
                os.close(int(name))


def _start_interpreter(control: int, lock: int, env: Mapping[str, str]) -> None:
    """Replace this process by a guard in an interpreter of its own."""
    for descriptor in (control, lock):
        os.set_inheritable(descriptor, True)
    words = [*interpreter.isolated(_PROGRAM), str(control), str(lock)]
    os.execve(words[0], words, env)


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
