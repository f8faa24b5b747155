"""Putting paths of a tree back to what a manifest says, from any state the tree may be in.

What is to be done is planned first and written down by the caller; carrying it out twice, or
once more after it was cut off anywhere, ends in the same state.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from openloop.fs import dirfd, files
from openloop.fs.content import Mismatch, Source, Tick, copy, idle
from openloop.fs.dirfd import Footing
from openloop.fs.manifest import FOLDER, OTHER, SYMLINK, Entry, Manifest, to_bytes, to_text

Find = Callable[[Entry], Iterator[Source]]  # a file's bytes, once, or nothing
_TEMPORARY = b".openloop-restored"  # a file in the making; one that a crash left is used again
_SECOND = 1_000_000_000  # ns
_LATEST = 2**33 * _SECOND  # ns, the year 2242; not every file system knows much later times


class Failure(NamedTuple):
    """A path that is not what it should be. lost: its content is gone, trying again is idle."""

    path: bytes
    why: str
    lost: bool


class _Lost(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to be put back.

    root: absolute path. paths: in tree order. closed: those that are folders nobody could look
    into. target: the entries that are to stand there; a path without one is removed. modes: of
    the folders that are touched, when all is done.
    """

    root: str
    paths: tuple[bytes, ...]
    closed: frozenset[bytes]
    target: Manifest
    modes: dict[bytes, int]

    def to_bytes(self) -> bytes:
        """Two lines: this, and the target."""
        document = {
            "version": 1,
            "root": self.root,
            "paths": list(map(to_text, self.paths)),
            "closed": sorted(map(to_text, self.closed)),
            "modes": {to_text(path): mode for path, mode in self.modes.items()},
        }
        return json.dumps(document).encode() + b"\n" + self.target.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Intent:
        """Raises ValueError for what `to_bytes` did not write."""
        header, _, target = data.partition(b"\n")
        try:
            document = json.loads(header)
            read = cls(
                root=document["root"],
                paths=tuple(map(to_bytes, document["paths"])),
                closed=frozenset(map(to_bytes, document["closed"])),
                target=Manifest.from_bytes(target),
                modes={to_bytes(path): mode for path, mode in document["modes"].items()},
            )
            for path in (*read.paths, *read.target, *read.modes):
                dirfd.split(path)
            return read
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an intent: {error}") from None


def plan(root: str, current: Manifest, target: Manifest, paths: Iterable[bytes]) -> Intent:
    """How to get these paths from `current` to `target`. Folders above them that are not listed
    keep the mode they have; of what lies in a folder that `target` could not list nothing is
    known, and nothing is done. A socket, FIFO or device of `target` is not made again. Raises
    ValueError for a path that is not plain and relative."""
    listed = tuple(sorted(set(target.knows(paths)), key=_steps))
    modes = {}
    for folder in {above for path in listed for above in _above(path)}:
        for manifest in (current, target):
            entry = manifest.get(folder)
            if entry and entry.kind == FOLDER:
                modes[folder] = entry.mode
                break
    wanted = target.only(path for path in listed if path in target and target[path].kind != OTHER)
    modes |= {path: entry.mode for path, entry in wanted.items() if entry.kind == FOLDER}
    closed = frozenset(current.unreadable).intersection(listed)
    return Intent(root, listed, closed, wanted, modes)


def _steps(path: bytes) -> list[bytes]:
    return path.split(b"/")


def _above(path: bytes) -> Iterator[bytes]:
    folder, _ = dirfd.split(path)
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def carry_out(
    intent: Intent, find: Find, *, keep_times: bool = False, tick: Tick = idle
) -> list[Failure]:
    """Do it, as far as it can be done; returns what could not. Raises OSError when not even the
    root can be entered. keep_times: files and symlinks get the target's, not newer ones.
    tick: called between pieces of a file."""
    above, name = os.path.split(intent.root)
    with dirfd.footing(above) as outside:
        root = dirfd.open_or_make(os.fsencode(name) or b".", outside.folder(b""))
        way = Footing(root)
        try:
            return _Restoration(intent, find, way, keep_times, tick).run()
        finally:
            way.close()


class _Restoration:
    def __init__(
        self, intent: Intent, find: Find, way: Footing, keep_times: bool, tick: Tick
    ) -> None:
        self._intent = intent
        self._target = intent.target
        self._find = find
        self._way = way
        self._keep_times = keep_times
        self._tick = tick
        self._failures: list[Failure] = []

    def run(self) -> list[Failure]:
        # Removals come first: where case does not matter, `File` and `file` are one.
        for path in reversed(self._intent.paths):
            if path not in self._target:
                self._try(self._remove, path)
        for path in self._target:
            self._try(self._put, path)
        for path in sorted(self._intent.modes, key=_steps, reverse=True):
            self._try(self._set_mode, path)
        return self._failures

    def _try(self, act: Callable[[bytes], None], path: bytes) -> None:
        try:
            act(path)
        except _Lost as error:
            self._failures.append(Failure(path, str(error), True))
        except OSError as error:
            self._failures.append(Failure(path, error.strerror or str(error), False))

    def _remove(self, path: bytes) -> None:
        """What is in a folder and was not listed is not of the project (the `.git` of a nested
        repository that was moved) or does not count: it stays, and the folder with it."""
        folder, name = dirfd.split(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            parent = self._way.folder(folder, dirfd.open_up)
            if path in self._intent.closed:
                dirfd.remove(name, parent)
            else:
                dirfd.remove_alone(name, parent)

    def _put(self, path: bytes) -> None:
        folder, name = dirfd.split(path)
        parent = self._way.folder(folder, dirfd.open_or_make)
        entry = self._target[path]
        if entry.kind == FOLDER:
            os.close(dirfd.open_or_make(name, parent))
        elif entry.kind == SYMLINK:
            self._put_symlink(name, parent, entry)
        else:
            self._put_file(name, parent, entry)

    def _put_symlink(self, name: bytes, parent: int, entry: Entry) -> None:
        dirfd.remove(_TEMPORARY, parent)
        os.symlink(entry.target, _TEMPORARY, dir_fd=parent)
        dirfd.give(_TEMPORARY, os.fstat(parent), parent)
        if self._keep_times:
            at = (entry.modified, entry.modified)
            os.utime(_TEMPORARY, ns=at, dir_fd=parent, follow_symlinks=False)
        dirfd.move(_TEMPORARY, name, parent, _clear)

    def _put_file(self, name: bytes, parent: int, entry: Entry) -> None:
        """A new file under the name: what a hard link elsewhere names is not written to."""
        old = dirfd.status(name, parent)
        with dirfd.replacing(name, parent, temporary=_TEMPORARY, clear=_clear) as descriptor:
            self._fill(descriptor, entry)
            dirfd.give(descriptor, old or os.fstat(parent))
            os.fchmod(descriptor, entry.mode)
            if self._keep_times:
                os.utime(descriptor, ns=(entry.modified, entry.modified))
            else:
                _date(descriptor, old)

    def _fill(self, descriptor: int, entry: Entry) -> None:
        if not entry.is_hashed:
            raise _Lost("its content was not kept")
        for source in self._find(entry):
            os.ftruncate(descriptor, 0)  # of what a damaged source left
            os.lseek(descriptor, 0, os.SEEK_SET)
            with contextlib.suppress(Mismatch):
                return copy(source, descriptor, entry.content, self._tick)
        raise _Lost("its content is missing from the store, or damaged there")

    def _set_mode(self, path: bytes) -> None:
        try:
            folder = self._way.folder(path, dirfd.open_up)
        except (FileNotFoundError, NotADirectoryError):
            return
        mode = self._intent.modes[path]
        if stat.S_IMODE(os.fstat(folder).st_mode) != mode:
            os.fchmod(folder, mode)


def _clear(name: bytes, parent: int) -> None:
    """Make room where a folder stands: what it still holds is set aside."""
    if not dirfd.remove_alone(name, parent):
        files.set_aside(os.fsdecode(name), folder=parent)


def _date(descriptor: int, old: os.stat_result | None) -> None:
    """Make a restored file newer than what it replaces and than anything built from that.

    Python takes a byte-code cache for good when the source has the whole second and the size
    noted in it. Any version that was tampered with may have been compiled, at the latest in this
    second; a source from a later one matches none of them, and `make` builds anew.
    """
    newest = max(time.time_ns(), old.st_mtime_ns if old else 0)
    seconds = min(newest, _LATEST) // _SECOND + 2
    os.utime(descriptor, ns=(seconds * _SECOND, seconds * _SECOND))
