"""Restore paths of a tree to their state in a manifest, whatever state the tree is in.

The caller saves the plan before it is carried out. Carrying it out is idempotent, also after an
interruption at any point.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from openloop.fs import dirfd, files
from openloop.fs.content import FileSection, HashMismatch, Tick, copy, no_tick
from openloop.fs.dirfd import OpenTree
from openloop.fs.manifest import FOLDER, OTHER, SYMLINK, Entry, Manifest, to_bytes, to_text

Find = Callable[[Entry], Iterator[FileSection]]  # the copies of a file's bytes, maybe none
_TEMPORARY = b".openloop-restored"  # name of a file until it is complete
_SECOND = 1_000_000_000  # ns
_LATEST = 2**33 * _SECOND  # ns, the year 2242; some file systems store no later times


class NotRestored(NamedTuple):
    """A path that was not restored. lost: its content is gone, so a retry would fail too."""

    path: bytes
    why: str
    lost: bool


class _ContentLost(Exception):
    """No intact copy of a file's content exists."""


class RestoreIntent(NamedTuple):
    """A plan of a restore.

    root: absolute path. paths: in tree order. closed: folders among them that could not be listed.
    target: the wanted entries; a path without one is removed. modes: final modes of the folders
    that are entered.
    """

    root: str
    paths: tuple[bytes, ...]
    closed: frozenset[bytes]
    target: Manifest
    modes: dict[bytes, int]

    def to_bytes(self) -> bytes:
        """A line of JSON, then the target."""
        document = {
            "version": 1,
            "root": self.root,
            "paths": list(map(to_text, self.paths)),
            "closed": sorted(map(to_text, self.closed)),
            "modes": {to_text(path): mode for path, mode in self.modes.items()},
        }
        return json.dumps(document).encode() + b"\n" + self.target.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> RestoreIntent:
        """Reverse `to_bytes`. Raises ValueError for anything it did not write."""
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


def plan(root: str, current: Manifest, target: Manifest, paths: Iterable[bytes]) -> RestoreIntent:
    """The plan that takes these paths from `current` to `target`. Unlisted folders above them keep
    their mode. Paths in a folder that `target` could not list are left alone; sockets, FIFOs and
    devices are not recreated. Raises ValueError for a path that is not plain and relative."""
    listed = tuple(sorted(set(target.in_listed_folders(paths)), key=_steps))
    modes = {}
    for folder in {above for path in listed for above in _folders_above(path)}:
        for manifest in (current, target):
            entry = manifest.get(folder)
            if entry and entry.kind == FOLDER:
                modes[folder] = entry.mode
                break
    wanted = target.only(path for path in listed if path in target and target[path].kind != OTHER)
    modes |= {path: entry.mode for path, entry in wanted.items() if entry.kind == FOLDER}
    closed = frozenset(current.unreadable).intersection(listed)
    return RestoreIntent(root, listed, closed, wanted, modes)


def _steps(path: bytes) -> list[bytes]:
    return path.split(b"/")


def _folders_above(path: bytes) -> Iterator[bytes]:
    folder, _ = dirfd.split(path)
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def carry_out(
    intent: RestoreIntent, find: Find, *, keep_times: bool = False, tick: Tick = no_tick
) -> list[NotRestored]:
    """Restore as many paths as possible; returns the failures. Raises OSError when the root cannot
    be entered. keep_times: files and symlinks get the target's times, not newer ones.
    tick: called between paths and between pieces of a file."""
    above, name = os.path.split(intent.root)
    with dirfd.open_tree(above) as outside:
        root = dirfd.open_or_make(os.fsencode(name) or b".", outside.folder(b""))
        with contextlib.closing(OpenTree(root)) as opened:
            return _Restoration(intent, find, opened, keep_times, tick).run()


class _Restoration:
    """One restore: removals first, then the wanted entries, then the modes of folders."""

    def __init__(
        self, intent: RestoreIntent, find: Find, opened: OpenTree, keep_times: bool, tick: Tick
    ) -> None:
        self._intent = intent
        self._target = intent.target
        self._find = find
        self._tree = opened
        self._keep_times = keep_times
        self._tick = tick
        self._failures: list[NotRestored] = []

    def run(self) -> list[NotRestored]:
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
        self._tick(0)
        try:
            act(path)
        except _ContentLost as error:
            self._failures.append(NotRestored(path, str(error), True))
        except OSError as error:
            self._failures.append(NotRestored(path, error.strerror or str(error), False))

    def _remove(self, path: bytes) -> None:
        """A folder stays when it holds files outside the project, as a nested `.git`."""
        folder, name = dirfd.split(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            parent = self._tree.folder(folder, dirfd.open_with_owner_rights)
            if path in self._intent.closed:
                dirfd.remove(name, parent)
            else:
                dirfd.remove_single(name, parent)

    def _put(self, path: bytes) -> None:
        folder, name = dirfd.split(path)
        parent = self._tree.folder(folder, dirfd.open_or_make)
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
        dirfd.give_owner(_TEMPORARY, os.fstat(parent), parent)
        if self._keep_times:
            at = (entry.modified, entry.modified)
            os.utime(_TEMPORARY, ns=at, dir_fd=parent, follow_symlinks=False)
        files.rename_over(_TEMPORARY, name, parent, clear=_clear)

    def _put_file(self, name: bytes, parent: int, entry: Entry) -> None:
        """Create a new file: writing to the old one would change its other hard links."""
        old = dirfd.status(name, parent)
        with dirfd.replacing(name, parent, temporary=_TEMPORARY, clear=_clear) as descriptor:
            self._fill(descriptor, entry)
            dirfd.give_owner(descriptor, old or os.fstat(parent))
            os.fchmod(descriptor, entry.mode)
            if self._keep_times:
                os.utime(descriptor, ns=(entry.modified, entry.modified))
            else:
                _date(descriptor, old)

    def _fill(self, descriptor: int, entry: Entry) -> None:
        for source in self._find(entry):
            os.ftruncate(descriptor, 0)  # after a damaged source
            os.lseek(descriptor, 0, os.SEEK_SET)
            with contextlib.suppress(HashMismatch):
                return copy(source, descriptor, entry.content, self._tick)
        raise _ContentLost("its content was not kept, or is damaged in the store")

    def _set_mode(self, path: bytes) -> None:
        try:
            folder = self._tree.folder(path, dirfd.open_with_owner_rights)
        except (FileNotFoundError, NotADirectoryError):
            return
        mode = self._intent.modes[path]
        if stat.S_IMODE(os.fstat(folder).st_mode) != mode:
            os.fchmod(folder, mode)


def _clear(name: bytes, parent: int) -> None:
    """Remove a folder that is in the way; one that is not empty is set aside."""
    if not dirfd.remove_single(name, parent):
        files.set_aside(os.fsdecode(name), folder=parent)


def _date(descriptor: int, old: os.stat_result | None) -> None:
    """Make a restored file newer than the replaced one and anything built from it.

    Python trusts a byte-code cache whose source has the recorded second and size. An altered
    version may have been compiled as late as this second, so the file is dated after it.
    """
    newest = max(time.time_ns(), old.st_mtime_ns if old else 0)
    seconds = min(newest, _LATEST) // _SECOND + 2
    os.utime(descriptor, ns=(seconds * _SECOND, seconds * _SECOND))
