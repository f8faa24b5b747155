"""Time for the record (UTC) and time for limits (monotonic). Never mixed."""

from __future__ import annotations

import time

monotonic = time.monotonic


def booted() -> str:
    """When this machine was started, in the format of `utc`; the two compare as text."""
    return utc(-time.clock_gettime(time.CLOCK_BOOTTIME))


def utc(seconds_from_now: float = 0.0) -> str:
    """UTC as ISO 8601 with milliseconds and `Z`."""
    now = time.time() + seconds_from_now
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"


def remaining_wait(until: str, end: float) -> float:
    """Seconds left of a wait; 0 or less when it is over.

    It ends at `until` (UTC), or at `end` (monotonic) if that comes first, so that a clock that is
    set back cannot prolong it."""
    return min(seconds_until(until), end - monotonic())


def seconds_until(moment: str) -> float:
    """Seconds from now to a moment as `utc` writes it; negative when it is over."""
    whole, _, fraction = moment.removesuffix("Z").partition(".")
    at = time.strptime(whole + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    import calendar  # only a wait needs it

    return calendar.timegm(at) + float(f"0.{fraction or 0}") - time.time()
