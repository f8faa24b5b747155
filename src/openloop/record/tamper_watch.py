"""Files that are known and must not change while a run lasts."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import islice

from openloop.fs import files

LATEST = 1000  # finished files of a run that are looked at, one `stat` each
AT_ONCE = 64  # of these: the newest after every step, and as many of the others in turn


class Watched:
    """One file with the bytes that it must hold; unchanged ones cost a `stat`."""

    def __init__(self, name: str, data: bytes, folder: int) -> None:
        self._name = name
        self._data = data
        self._folder = folder
        self._link = self._read_link()
        self._seen: tuple[int, ...] | None = None

    def _read_link(self) -> str | None:
        """Where the name points when a person keeps the file elsewhere."""
        try:
            return os.readlink(self._name, dir_fd=self._folder)
        except OSError:
            return None

    def difference(self) -> str:
        linked = self._link is not None and self._read_link() == self._link
        try:
            named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=linked)
            if signature(named) == self._seen:
                return ""
            # One byte more than expected settles that it grew.
            data = self._read(linked, len(self._data) + 1)
        except FileNotFoundError:
            return f"{self._name} was removed while a command ran"
        except OSError:
            return f"{self._name} was replaced while a command ran"
        if data != self._data:
            return f"{self._name} was edited while a command ran"
        self._seen = signature(named)
        return ""

    def _read(self, linked: bool, limit: int) -> bytes:
        if not linked:
            return files.read(self._name, folder=self._folder, limit=limit)
        home = os.readlink(f"/proc/self/fd/{self._folder}")
        return files.read(os.path.realpath(os.path.join(home, self._name)), limit=limit)

    def put_back(self) -> str:
        """Restore the known bytes; returns words on where the other ones went."""
        words = ", put back"
        if files.exists(self._name, folder=self._folder):
            words += f", the edited one kept as {files.set_aside(self._name, folder=self._folder)}"
        files.replace(self._name, self._data, folder=self._folder)
        return words


class Finished:
    """The latest finished logs and artifacts of a run; `audit` looks at the older ones."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._turn = 0  # how many of the oldest have had their turn

    def add(
        self, name: str, written: os.stat_result, sha256: str, data: bytes | None = None
    ) -> str:
        """Watch a file of the workspace. Returns what became of it already, "" for nothing.

        written: of the file that was written under that name. data: its bytes, where they can
        be put back.
        """
        self._known[name] = known = _Known(signature(written), sha256, data)
        while len(self._known) > LATEST:
            del self._known[next(iter(self._known))]
        if words := self._changed(name, known):
            del self._known[name]
            return f"{name} was {words} while it was written"
        return ""

    def difference(self, *, every: bool = False) -> str:
        """The first file that was changed or removed, put back where its bytes are known.

        every: look at all, and not at the newest and some of the others alone.
        """
        for name, known in list(self._known.items()) if every else self._some():
            words = self._changed(name, known)
            if words:
                del self._known[name]
                return f"{name} was {words} while a command ran{self._put_back(name, known)}"
        return ""

    def _some(self) -> list[tuple[str, _Known]]:
        older = len(self._known) - AT_ONCE
        if older <= AT_ONCE:
            return list(self._known.items())
        start = self._turn if self._turn < older else 0
        self._turn = start + AT_ONCE
        newest = islice(reversed(self._known.items()), AT_ONCE)
        return [*newest, *islice(self._known.items(), start, min(self._turn, older))]

    def _changed(self, name: str, known: _Known) -> str:
        try:
            status = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            if signature(status) == known.signature:
                return ""
            with open(files.open_regular(name, os.O_RDONLY, folder=self._folder), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "removed"
        except OSError:
            return "replaced"
        if digest != known.sha256:
            return "edited"
        known.signature = signature(status)  # touched, but not changed
        return ""

    def _put_back(self, name: str, known: _Known) -> str:
        if known.data is None:
            return ""
        place, _, base = name.rpartition("/")
        words = ", put back"
        try:
            folder = files.open_or_make_folder(place, folder=self._folder)
            try:
                if files.exists(base, folder=folder):
                    aside = files.set_aside(base, folder=folder)
                    words += f", the edited one kept as {place}/{aside}"
                files.replace(base, known.data, folder=folder)
            finally:
                os.close(folder)
        except OSError as error:
            return f", and cannot be put back: {error.strerror}"
        return words


@dataclass(slots=True)
class _Known:
    signature: tuple[int, ...]
    sha256: str
    data: bytes | None


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
