"""Time for the record (UTC) and time for limits (monotonic). Never mixed."""

from __future__ import annotations

import time

monotonic = time.monotonic


def booted() -> str:
    """When this machine was started, as `utc` says it; the two compare as text."""
    return utc(-time.clock_gettime(time.CLOCK_BOOTTIME))


def utc(seconds_from_now: float = 0.0) -> str:
    """UTC as ISO 8601 with milliseconds and `Z`."""
    now = time.time() + seconds_from_now
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
