"""The mount table of this process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts() -> Iterator[tuple[str, str, str]]:
    """(mount point, device, mounted part of the device) of each mount; both paths end in a slash.

    Raises OSError without /proc.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            device, *folders = line.split(" ")[2:5]
            part, point = (
                os.path.join(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), each), "")
                for each in folders
            )
            yield point, device, part


def mount_points(root: str) -> frozenset[bytes]:
    """Mount points below `root`, relative to it; none without /proc."""
    above = os.path.join(root, "")
    try:
        points = [point for point, _, _ in mounts() if point.startswith(above) and point != above]
    except OSError:
        return frozenset()
    return frozenset(os.fsencode(point[len(above) : -1]) for point in points)
