"""The folder that holds the cases' folders, and the removal of those of killed judges.

Its name reveals nothing to a judged program. A later judge knows it by mode, lock and entry names.
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

_MODE = stat.S_ISVTX | 0o700  # unusual for a folder
_NAME = re.compile(f"{re.escape(tempfile.gettempprefix())}[a-z0-9_]{{8}}")  # as mkdtemp gives it
_CASE = re.compile("[0-9a-f]{16}")


class CaseFolders:
    """A temporary folder, locked while this process or a guard lives."""

    def __init__(self, note: Callable[[str], None]) -> None:
        """Removes the folders of killed judges first. note: called with removal errors."""
        self._note = note
        _remove_leftovers(os.path.realpath(tempfile.gettempdir()))
        self.path = os.path.realpath(tempfile.mkdtemp())
        self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.fchmod(self.lock, _MODE)

    def new_place(self) -> str:
        """A path for the folder of one case."""
        return os.path.join(self.path, secrets.token_hex(8))

    def remove(self, place: str) -> None:
        """Remove a case's folder, whatever its modes."""
        try:
            dirfd.remove_path(place)
        except OSError as error:
            self._note(f"{place} cannot be removed: {error.strerror}")

    def close(self) -> None:
        """Remove the folder with all cases."""
        self.remove(self.path)
        os.close(self.lock)


def _remove_leftovers(folder: str) -> None:
    for name in filter(_NAME.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):  # another one's, or in use: flock raises then
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(lock)
                ours = (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), _MODE)
                if ours and all(map(_CASE.fullmatch, os.listdir(lock))):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    dirfd.remove_path(path)
            finally:
                os.close(lock)
