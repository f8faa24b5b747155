"""The folder in which cases have theirs, and what is left of those of killed judges.

Its name tells a judged program nothing. Its mode, its lock and the names in it tell the next judge.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable

from openloop.fs import dirfd

_MODE = stat.S_ISVTX | 0o700  # which nobody else gives a folder
_NAME = re.compile(f"{re.escape(tempfile.gettempprefix())}[a-z0-9_]{{8}}")  # as mkdtemp gives it
_CASE = re.compile("[0-9a-f]{16}")


class Scratch:
    """A temporary folder, locked as long as this process or a guard lives."""

    def __init__(self, note: Callable[[str], None]) -> None:
        """note: called with what cannot be removed. Removes what killed judges left first."""
        self._note = note
        _remove_stale(os.path.realpath(tempfile.gettempdir()))
        self.path = os.path.realpath(tempfile.mkdtemp())
        self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.fchmod(self.lock, _MODE)

    def new_place(self) -> str:
        """A path for the folder of one case."""
        return os.path.join(self.path, secrets.token_hex(8))

    def remove(self, place: str) -> None:
        """Remove a case's folder, whatever the case made of it."""
        try:
            _remove(place)
        except OSError as error:
            self._note(f"{place} cannot be removed: {error.strerror}")

    def close(self) -> None:
        """Remove everything."""
        self.remove(self.path)
        os.close(self.lock)


def _remove_stale(folder: str) -> None:
    for name in filter(_NAME.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):  # another one's, or in use: flock raises then
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(lock)
                ours = (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), _MODE)
                if ours and all(map(_CASE.fullmatch, os.listdir(lock))):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path)
            finally:
                os.close(lock)


def _remove(path: str) -> None:
    folder, name = os.path.split(path)
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        dirfd.remove(os.fsencode(name), parent)
    finally:
        os.close(parent)
