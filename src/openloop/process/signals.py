"""Signals that ask a run to stop. The handlers only store them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP are kept in `received`, in order.

    `wakeup` is a descriptor that becomes readable when one arrives. SIGINT is handled even if a
    shell's `&` had it ignored; SIGHUP stays ignored under nohup.
    """

    def __init__(self) -> None:
        self.received: list[signal.Signals] = []
        self.wakeup, self._writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, Any] = {}
        self._before_fd = -1

    def __enter__(self) -> Interrupts:
        self._before_fd = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signum is signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN:
                continue
            self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._before_fd)
        os.close(self.wakeup)
        os.close(self._writable)

    def ignore(self) -> None:
        """Ignore them until the process exits: the recorded result and exit code are final."""
        for signum in self._before:
            signal.signal(signum, signal.SIG_IGN)
        self._before.clear()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received.append(signal.Signals(signum))

    def drain(self) -> None:
        """Make `wakeup` wait for the next signal again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup, 4096)

    def sleep(self, seconds: float) -> None:
        """Sleep for at most these seconds, until a signal arrives."""
        poll = select.poll()
        poll.register(self.wakeup, select.POLLIN)
        poll.poll(seconds * 1000)
        self.drain()
