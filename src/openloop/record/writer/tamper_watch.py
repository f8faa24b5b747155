"""Files of the workspace that no command may change while a run lasts."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from itertools import islice

from openloop.fs import files
from openloop.record import record_end

LATEST = 1000  # finished files of a run that are known, one `stat` each
NEWEST = 64  # of these are looked at after every step, all of them before a run ends


class WatchedFile:
    """One file with the bytes that it must hold; unchanged ones cost a `stat`."""

    def __init__(self, name: str, data: bytes, folder: int) -> None:
        self._name = name
        self._data = data
        self._folder = folder
        self._link = self._read_link()
        self._seen: tuple[int, ...] | None = None

    def _read_link(self) -> str | None:
        """The target of the name when a person keeps the file elsewhere behind a symlink."""
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
            # One byte more than expected shows that it grew.
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

    def restore(self) -> str:
        """Write the known bytes; returns a sentence about where the changed file is kept."""
        return _restore(self._name, self._data, self._folder)


class FinishedFiles:
    """The latest finished logs and artifacts of a run; `audit` looks at the older ones."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}

    def add(self, name: str, file: int, sha256: str, data: bytes | None = None) -> str:
        """Watch a file of the workspace. Returns a sentence if it was changed already, ""
        otherwise.

        file: the open file that was written under that name. data: its bytes, when they are to
        be restored later.
        """
        self._known[name] = known = _Known(os.fstat(file), sha256, data)
        if len(self._known) > LATEST:
            del self._known[next(iter(self._known))]
        words = self._changed(name, known)
        if not words:
            return ""
        del self._known[name]
        restored = ""
        if words == "removed":
            with contextlib.suppress(OSError):
                restored = _restore(name, record_end.blocks(file), self._folder)
        return f"{name} was {words} while it was written{restored}"

    def difference(self, *, every: bool = False) -> str:
        """The first file that was changed or removed, restored where its bytes are known.

        every: look at all, and not at the newest alone.
        """
        count = None if every else NEWEST
        for name, known in list(islice(reversed(self._known.items()), count)):
            if words := self._changed(name, known):
                del self._known[name]
                return f"{name} was {words} while a command ran{self._restore(name, known)}"
        return ""

    def restore(self) -> int:
        """The workspace was removed: write every file whose bytes are known, and forget the
        others. Returns how many those are. Raises OSError."""
        lost = [name for name, known in self._known.items() if known.data is None]
        for name in lost:
            del self._known[name]
        for name, known in self._known.items():
            assert known.data is not None
            _restore(name, known.data, self._folder)
        return len(lost)

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

    def _restore(self, name: str, known: _Known) -> str:
        try:
            if known.data is None:
                return self._restore_beginning(name, known)
            return _restore(name, known.data, self._folder)
        except OSError as error:
            return f", and cannot be restored: {error.strerror}"

    def _restore_beginning(self, name: str, known: _Known) -> str:
        """Nobody keeps the bytes of a log, but where a command only added to it, they are its
        beginning. Returns "" for any other log. Raises OSError."""
        try:
            descriptor = files.open_regular(name, os.O_RDONLY, folder=self._folder)
        except OSError:  # removed or replaced
            return ""
        try:
            digest = hashlib.sha256()
            for block in record_end.blocks(descriptor, 0, known.size):
                digest.update(block)
            if digest.hexdigest() != known.sha256:
                return ""
            return _restore(name, record_end.blocks(descriptor, 0, known.size), self._folder)
        finally:
            os.close(descriptor)


def _restore(name: str, data: bytes | Iterable[bytes], workspace: int) -> str:
    """Restore these bytes under the name; returns a sentence about where the changed file is
    kept."""
    place, _, base = name.rpartition("/")
    words = ", restored"
    folder = files.open_or_make_folder(place, folder=workspace) if place else os.dup(workspace)
    try:
        if files.exists(base, folder=folder):
            aside = os.path.join(place, files.set_aside(base, folder=folder))
            words += f", the edited one kept as {aside}"
        files.replace(base, data, folder=folder)
    finally:
        os.close(folder)
    return words


class _Known:
    def __init__(self, status: os.stat_result, sha256: str, data: bytes | None) -> None:
        self.signature = signature(status)
        self.size = status.st_size
        self.sha256 = sha256
        self.data = data


def signature(status: os.stat_result) -> tuple[int, ...]:
    """A value that changes with every write, rename and replacement; programs cannot set ctime."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
