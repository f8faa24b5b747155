"""Ends a snapshot, comparison or restoration of the project after a signal or at a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from signal import Signals

from openloop.config.config import Limits
from openloop.core.clock import monotonic
from openloop.core.errors import Interrupted, LimitError
from openloop.process.watchdog import BEAT_INTERVAL

PATIENCE = 0.25  # seconds that a snapshot may still take after a signal
_WORDS = "looking at the project"


class SnapshotWatch:
    """Watches one snapshot of the project after the other, with the comparison and the restoration
    that follow it."""

    def __init__(
        self, received: Sequence[Signals], limits: Limits, show: Callable[[str], None]
    ) -> None:
        """received: the signals so far; it grows. show: called about once a second with words on a
        snapshot that takes longer than that."""
        self._received = received
        self._longest = min(limits.command_timeout, limits.max_runtime or limits.command_timeout)
        self._show = show
        self._heard: float | None = None  # when the first signal was noticed
        self.begin()

    def begin(self) -> None:
        """Start the time of the next snapshot."""
        self._began = self._shown = monotonic()
        self._words = _WORDS

    def tick(self, seen: int) -> None:
        """To be called between two files or blocks. seen: the files read by now, 0 where nothing is
        counted. Raises Interrupted soon after a signal, LimitError when time is up."""
        now = monotonic()
        if self._received and now >= self._patience(now):
            name = self._received[0].name
            raise Interrupted(
                self._received[0],
                f"interrupted by {name} while OpenLoop was {_WORDS}",
                fix="run again: the run is resumed where it stopped",
            )
        if now >= self._began + self._longest:
            raise LimitError(
                f"{_WORDS} took longer than {self._longest:g} s",
                fix="remove what makes it so large, or raise the limit in openloop.json: "
                "this may take as long as a command, and as the whole run",
            )
        self.show(seen)

    def show(self, seen: int) -> None:
        """As `tick`, for work that is finished whatever happens. Does not raise."""
        now = monotonic()
        if seen:
            self._words = f"{_WORDS}: {seen:,} files"
        if now >= self._shown + BEAT_INTERVAL:
            self._shown = now
            self._show(self._words)

    def _patience(self, now: float) -> float:
        """Until when a snapshot may go on after a signal: a short one is finished, so that the step
        that the signal ended is compared and recorded."""
        if self._heard is None:
            self._heard = now
        return max(self._heard, self._began) + PATIENCE
