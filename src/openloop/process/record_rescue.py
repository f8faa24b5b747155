"""The record, for a runner that was killed: a command may have removed it in the same breath.

Nobody else could tell afterwards that there had been a run, and what its agent did would be the
state that a new run begins with. The guard outlives the runner and ends the command; then it
alone can still read what was recorded.
"""

from __future__ import annotations

import contextlib
import os
import stat

from openloop.fs import files

_CHUNK = 1 << 20  # bytes
# No event, so that nobody goes on with this record before a person has looked at it.
_TESTIMONY = b'{"tampered": "removed, replaced or emptied by a command that killed the runner"}\n'


def testify(events: int, path: str) -> None:
    """See to it that the record of a run, some command of which was started, is at its path.

    events: descriptor of the open record. Where it was removed, or replaced by something shorter,
    it is written anew, and what stood in its place is kept as NAME.edited-1. There, and where it
    was emptied, a last line says so, which no reader takes for an event. Raises OSError.
    """
    place, name = os.path.split(path)
    held = os.fstat(events)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if held.st_size == 0:
            files.write_all(events, _TESTIMONY)
        elif not _stands(name, folder, held):
            with contextlib.suppress(FileNotFoundError):
                files.set_aside(name, folder=folder)
            _copy(events, held.st_size, name, folder)
    finally:
        os.close(folder)


def _stands(name: str, folder: int, held: os.stat_result) -> bool:
    """Whether it is there, or a longer one that the runner itself had put back."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    same = (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
    return same or (stat.S_ISREG(found.st_mode) and found.st_size >= held.st_size)


def _copy(events: int, size: int, name: str, folder: int) -> None:
    target = files.open_regular(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder=folder)
    try:
        position = 0
        while position < size and (chunk := os.pread(events, _CHUNK, position)):
            files.write_all(target, chunk)
            position += len(chunk)
        files.write_all(target, _TESTIMONY)
        os.fsync(target)
    finally:
        os.close(target)
