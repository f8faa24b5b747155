"""Files that are known and must not change while a run lasts."""

from __future__ import annotations

import os

from openloop import files


class Watched:
    """One file with the bytes that it must hold; unchanged ones cost a `stat`."""

    def __init__(self, name: str, data: bytes, folder: int) -> None:
        self._name = name
        self._data = data
        self._folder = folder
        self._seen: tuple[int, ...] | None = None

    def difference(self) -> str:
        try:
            named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
            if signature(named) == self._seen:
                return ""
            # One byte more than expected settles that it grew.
            data = files.read(self._name, folder=self._folder, limit=len(self._data) + 1)
        except FileNotFoundError:
            return f"{self._name} was removed while a command ran"
        except OSError:
            return f"{self._name} was replaced while a command ran"
        if data != self._data:
            return f"{self._name} was edited while a command ran"
        self._seen = signature(named)
        return ""

    def put_back(self) -> str:
        """Restore the known bytes; returns words on where the other ones went."""
        words = ", put back"
        if files.exists(self._name, folder=self._folder):
            words += f", the edited one kept as {files.set_aside(self._name, folder=self._folder)}"
        files.replace(self._name, self._data, folder=self._folder)
        return words


def signature(status: os.stat_result) -> tuple[int, ...]:
    """Changes with every write, rename and replacement; ctime cannot be set by a program."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
