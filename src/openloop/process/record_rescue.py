"""Restore events.jsonl from the guard when a command killed the runner and removed the record.

Otherwise no trace of the run would be left, and the next run would take the agent's files as its
reference.
"""

from __future__ import annotations

import contextlib
import os
import stat

from openloop.fs import files

_CHUNK = 1 << 20  # bytes
# Not an event: no run continues this record before a person has checked it.
_WARNING = b'{"tampered": "removed, replaced or emptied by a command that killed the runner"}\n'


def restore(events: int, path: str) -> None:
    """Restore a record that was removed, emptied, or replaced by something shorter.

    events: descriptor of the open record. A file in its place is kept as NAME.edited-1. A last
    line, which is not an event, reports the tampering. Raises OSError.
    """
    place, name = os.path.split(path)
    held = os.fstat(events)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if held.st_size == 0:
            files.write_all(events, _WARNING)
        elif not _is_there(name, folder, held):
            with contextlib.suppress(FileNotFoundError):
                files.set_aside(name, folder=folder)
            _copy(events, held.st_size, name, folder)
    finally:
        os.close(folder)


def _is_there(name: str, folder: int, held: os.stat_result) -> bool:
    """Whether the record exists, or a longer one that the runner restored."""
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
        files.write_all(target, _WARNING)
        os.fsync(target)
    finally:
        os.close(target)
