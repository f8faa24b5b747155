"""Where file systems are mounted inside a tree."""

from __future__ import annotations

import re

_ESCAPED = re.compile(rb"\\([0-7]{3})")


def mount_points(root: str) -> frozenset[bytes]:
    """Paths below `root`, relative to it, at which something is mounted; none without /proc."""
    above = root.rstrip("/").encode(errors="surrogateescape") + b"/"
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            places = [_ESCAPED.sub(_byte, line.split(b" ")[4]) for line in file]
    except OSError:
        return frozenset()
    return frozenset(place.removeprefix(above) for place in places if place.startswith(above))


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 8)])
