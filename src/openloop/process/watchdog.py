"""The watchdog: a thread that beats and enforces the limits of commands, for the whole run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from openloop.core.clock import monotonic
from openloop.core.vocabulary import Outcome

BEAT_INTERVAL = 1.0  # seconds
SUSPENDED = 5.0  # seconds of delay that mean the machine or the process was suspended


class CommandLimits(NamedTuple):
    """Limits in seconds: wall clock, silence of the log, from SIGTERM to SIGKILL. log_bytes: the
    largest size of the log."""

    timeout: float
    stall: float
    grace: float
    log_bytes: float = float("inf")


class CommandWatch:
    """The limits of one running command, checked on every tick."""

    def __init__(
        self,
        log: int,
        limits: CommandLimits,
        *,
        patience: float,
        beat: Callable[[int], tuple[Outcome, str] | None],
        order_end: Callable[[float], None],
        give_up: Callable[[], None],
    ) -> None:
        """patience: seconds in which the guard must answer an order to end. beat: called with the
        log's size in bytes; a returned reason ends the command, see `end`. order_end: orders the
        tree's end within a grace in seconds. give_up: kills a guard that does not answer."""
        self._log = log
        self._limits = limits
        self._beat = beat
        self._order_end = order_end
        self._give_up = give_up
        self._started = self._grown = monotonic()
        self._size = os.fstat(log).st_size
        self._next_beat = self._started + BEAT_INTERVAL
        self._patience = patience
        self._overdue = float("inf")
        self.is_answered = False  # the end was ordered, and has begun
        self.ended: Outcome | None = None
        self.detail = ""

    def begin(self) -> None:
        """Start the clock: the command has been started."""
        self._started = self._grown = monotonic()

    def seconds(self) -> float:
        """Seconds that the command has run, without times of suspension."""
        return monotonic() - self._started

    def deadline(self) -> float:
        """The monotonic time by which `check_limits` must be called again."""
        if self.ended:
            return min(self._next_beat, self._overdue)
        return min(
            self._next_beat,
            self._started + self._limits.timeout,
            self._grown + self._limits.stall,
        )

    def check_limits(self, now: float) -> None:
        size = os.fstat(self._log).st_size
        if size != self._size:
            self._size, self._grown = size, now
        if self.ended is None and now >= self._started + self._limits.timeout:
            self.end(Outcome.TIMEOUT, f"ran longer than {self._limits.timeout:g} s")
        elif self.ended is None and now >= self._grown + self._limits.stall:
            self.end(Outcome.STALLED, f"no new output for {self._limits.stall:g} s")
        elif self.ended is None and size > self._limits.log_bytes:
            limit = self._limits.log_bytes
            self.end(Outcome.FAILED, f"its log grew beyond limits.max_log_bytes, {limit} bytes")
        elif now >= self._overdue:
            self._overdue = float("inf")
            self._give_up()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_INTERVAL
            reason = self._beat(size)
            if reason and self.ended is None:
                self.end(*reason)

    def shift(self, gap: float) -> None:
        """Extend every limit by the seconds of a suspension."""
        self._started += gap
        self._grown += gap
        self._overdue += gap

    def end(self, outcome: Outcome, detail: str, *, hurry: bool = False) -> None:
        """Order the end of the tree; the first reason given counts."""
        if self.ended is None:
            self.ended, self.detail = outcome, detail
        self._overdue = monotonic() + self._patience
        self._order_end(0.0 if hurry else self._limits.grace)

    def answered(self) -> None:
        """Note that the guard is ending the tree; it must report again within `patience`."""
        if self.ended:
            self.is_answered = True
            self._overdue = monotonic() + self._patience


class Watchdog:
    """Checks the current watch once a second, or when a limit is due."""

    def __init__(self, on_gap: Callable[[float], None]) -> None:
        """on_gap: called in the watchdog's thread with the seconds of a suspension."""
        self._on_gap = on_gap
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._watch: CommandWatch | None = None
        self._due = 0.0
        self._closed = False
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def watch(self, watch: CommandWatch | None) -> None:
        """Check `watch` from now on; None for no command."""
        with self._lock:
            self._watch = watch
            early = watch is not None and watch.deadline() < self._due
        if early:
            self._wake.set()

    def wake(self) -> None:
        """Check now, because a limit has come nearer."""
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        last = monotonic()
        while not self._closed:
            with self._lock:
                self._due = self._watch.deadline() if self._watch else last + BEAT_INTERVAL
                self._wake.clear()
            planned = max(0.0, self._due - monotonic())
            self._wake.wait(planned)
            now = monotonic()
            gap = now - last
            if gap - planned > SUSPENDED:
                self._on_gap(gap)
            with self._lock:
                if self._watch:
                    if gap - planned > SUSPENDED:
                        self._watch.shift(gap)
                    self._check(self._watch, now)
            last = now

    def _check(self, watch: CommandWatch, now: float) -> None:
        """Check a watch. A failed beat ends the command; the runner's thread reports it."""
        try:
            watch.check_limits(now)
        except Exception as error:
            if self.failure is None:
                self.failure = error
                watch.end(Outcome.ERROR, str(error))
