"""The folder of a play's pictures and lists."""

from __future__ import annotations

import contextlib
import fcntl
import os

from openloop.core.errors import UsageError
from openloop.fs import files

FAILURE = "failure.png"
CONSOLE, REQUESTS, FILM, SERVER = "console.log", "requests.json", "play.html", "server.log"
LISTS = (FAILURE, CONSOLE, REQUESTS, FILM, SERVER)
FOLDER = "openloop-browse"  # in the current directory, without --out


def folder(given: str | None) -> str:
    """The output folder, created if missing. given: the value of --out. Raises UsageError."""
    path = os.path.abspath(given or os.environ.get("OPENLOOP_ATTACHMENTS") or FOLDER)
    try:
        os.makedirs(path, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(0, "it cannot be written")
    except OSError as error:
        fix = "name a folder that you may write with --out"
        what = f"pictures cannot be left: {error.strerror}"
        raise UsageError(what, where=path, fix=fix) from None
    return path


class OutputFolder:
    """The files of one play."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._names: set[str] = set()
        self._lock_folder()
        for name in LISTS:  # of an earlier play, of which they would tell here
            with contextlib.suppress(OSError):
                os.unlink(self.path(name))

    def _lock_folder(self) -> None:
        """Hold the folder until this process ends. Raises UsageError."""
        lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            fix = "wait for it, or name another folder with --out"
            what = "another play leaves its pictures there"
            raise UsageError(what, where=self.folder, fix=fix) from None

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def free(self, name: str) -> str:
        """The name, or NAME-2, NAME-3, … for a picture whose name has been used."""
        free, count = name, 1
        while free in self._names:
            count += 1
            free = f"{name}-{count}"
        self._names.add(free)
        return free

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically. Raises OSError."""
        parent = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.replace(name, data, folder=parent)
        finally:
            os.close(parent)
