"""Looks at a project tree: its manifest as it stands now.

Files are read again only when their stat signature moved since an earlier scan, so that a
look at an unchanged tree costs one `stat` a file. ctime is part of the signature and cannot be
set by a program: an edit that restores size and mtime is noticed all the same.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable
from itertools import starmap
from operator import attrgetter, methodcaller
from struct import error as StructError

from openloop.fs import files
from openloop.fs.content import Source, Tick, digest, idle
from openloop.fs.manifest import (
    CTIME,
    FOLDER,
    MODE,
    PACKED,
    SIGNATURE,
    SIZE,
    UNHASHED,
    UNREADABLE,
    Entry,
    Listing,
    Manifest,
    Signature,
    signature_of,
    to_text,
)

MAX_DEPTH = 200  # folders below each other; each costs a descriptor while it is walked
TICK = 50_000_000  # ns, of the clock that files are stamped with, amply
COARSE_TICK = 2_000_000_000  # ns, the same where stamps are whole seconds

Skip = Callable[[bytes, bool], bool]  # (relative path, is a folder) → not of the project
Wanted = Callable[[bytes], bool]
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine's trouble, not the tree's
_NEVER = sys.maxsize  # newer than any clock: what has this age is looked at again
_NAME: Callable[[os.DirEntry[str]], str] = attrgetter("name")
_STAT: Callable[[os.DirEntry[str]], os.stat_result] = methodcaller("stat", follow_symlinks=False)


def is_too_deep(path: bytes) -> bool:
    """Whether a folder at this path is not looked into."""
    return path.count(b"/") >= MAX_DEPTH


def everything(path: bytes) -> bool:
    return True


def settles(signature: Signature) -> int:
    """When (ns UTC) no further change of a file can leave it this signature: one in the same
    tick of the clock could. A scan that began earlier must not be believed."""
    ctime = signature[CTIME]
    return ctime + (TICK if ctime % 1_000_000_000 else COARSE_TICK)


def outside_project(root: str, workspace: str) -> Skip:
    """The usual `skip`: the workspace, any folder called `.openloop`, and `.git` at any depth.

    root, workspace: absolute, symlinks resolved.
    """
    inside = os.fsencode(os.path.relpath(workspace, root))

    def skip(path: bytes, is_folder: bool) -> bool:
        name = path[path.rfind(b"/") + 1 :]
        return name == b".git" or (is_folder and (name == b".openloop" or path == inside))

    return skip


def scan(
    root: str,
    *,
    skip: Skip,
    before: Manifest | None = None,
    wanted: Wanted = everything,
    tick: Tick = idle,
) -> Manifest:
    """The tree below `root` as it stands now; no symlink is followed.

    skip: what is not of the project; nothing below a skipped folder is looked at.
    before: an earlier scan, whose hashes are taken over for files that did not move since. Where
    `skip` and `wanted` are the same objects as then, unchanged folders are taken over whole
    without asking them.
    wanted: which files to hash. tick: called after each folder and between pieces of a file; what
    it raises ends the scan.

    Nothing that stands in the tree raises. A file that cannot be read, and a folder that cannot
    be listed or lies deeper than MAX_DEPTH, is UNREADABLE; what vanishes meanwhile is left out;
    a file that changes while it is read has some mixture's hash and is read again by the next
    scan. A root that is gone, closed or no folder any more holds nothing; it has to be there for
    a scan without `before`. Raises OSError for this, and for want of descriptors or memory.
    """
    looking = _Scan(skip, wanted, before, tick)
    try:
        descriptor = files.open_folder(root)
        try:
            looking.folder(descriptor, b"", 0)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        if before is None:  # whoever took this for the state to go back to would lose everything
            raise
    return looking.manifest


class _Scan:
    def __init__(self, skip: Skip, wanted: Wanted, before: Manifest | None, tick: Tick) -> None:
        self.manifest = Manifest({}, time.time_ns())
        self.manifest.asked = skip, wanted
        self._skip = skip
        self._wanted = wanted
        self._tick = tick
        self._seen_files = 0
        self._old = before.listings if before else {}
        self._began = before.began if before else 0
        self._seen = before.seen if before and before.asked == self.manifest.asked else {}

    def folder(self, descriptor: int, prefix: bytes, depth: int) -> None:
        """Enter all that stands in an open folder. Raises OSError when it cannot be listed."""
        names, signatures = _list(descriptor)
        self._seen_files += len(names)
        self._tick(self._seen_files)
        seen = hashlib.blake2b(os.fsencode("\0".join(names)) + b"".join(signatures)).digest()
        old = self._old.get(prefix)
        known, settled = self._seen.get(prefix, (b"", _NEVER))
        if old is None or known != seen or settled > self._began:
            listing, settled = self._read(
                descriptor, prefix, zip(names, signatures, strict=True), old
            )
        else:
            listing = old
        self.manifest.listings[prefix] = listing
        closed = [
            name
            for name in listing.folders
            if not self._go_down(descriptor, prefix, name, depth + 1)
        ]
        if closed:
            listing, settled = listing.with_unreadable(closed), _NEVER
        if old is not None and old.same_as(listing):
            listing = old
        self.manifest.listings[prefix] = listing
        self.manifest.seen[prefix] = seen, settled

    def _go_down(self, parent: int, prefix: bytes, name: bytes, depth: int) -> bool:
        if depth > MAX_DEPTH:
            return False
        try:
            descriptor = files.open_folder(name, folder=parent)
            try:
                self.folder(descriptor, prefix + name + b"/", depth)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in OURS:
                raise
            return False
        return True

    def _read(
        self,
        folder: int,
        prefix: bytes,
        items: Iterable[tuple[str, bytes]],
        old: Listing | None,
    ) -> tuple[Listing, int]:
        """The folder, and when what stands in it had settled."""
        settled = 0
        known = dict(old.rows()) if old else {}
        rows: list[tuple[bytes, Entry]] = []
        for text, packed in items:
            name, signature = os.fsencode(text), PACKED.unpack(packed)
            path = prefix + name
            settled = max(settled, settles(signature))
            if self._skip(path, stat.S_ISDIR(signature[MODE])):
                continue
            entry: Entry | None = known.get(name)
            if entry is None or not self._is_believed(path, entry, signature):
                entry = self._look(folder, name, path, signature)
            if entry is None:
                settled = _NEVER
                continue
            rows.append((name, entry))
            if entry.is_unreadable:
                settled = _NEVER
        return Listing.of(rows), settled

    def _is_believed(self, path: bytes, old: Entry, signature: Signature) -> bool:
        if old.signature != signature or settles(signature) > self._began:
            return False
        return not old.is_unreadable and (old.content != UNHASHED or not self._wanted(path))

    def _look(self, folder: int, name: bytes, path: bytes, signature: Signature) -> Entry | None:
        """An entry from the tree itself; None when it vanished."""
        kind = stat.S_IFMT(signature[MODE])
        try:
            if kind == stat.S_IFREG:
                wanted = self._wanted(path)
                return _file(folder, name, self._tick) if wanted else Entry(UNHASHED, signature)
            if kind == stat.S_IFLNK:
                target = os.readlink(name, dir_fd=folder)
                return Entry(to_text(target), signature)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in OURS:
                raise
            return Entry(UNREADABLE, signature)
        return Entry(FOLDER if kind == stat.S_IFDIR else f"{kind:o}", signature)


def _list(folder: int) -> tuple[list[str], list[bytes]]:
    """Names and packed signatures, in the folder's own order, by loops that run in C."""
    with os.scandir(folder) as found:
        items = list(found)
    try:
        signatures = list(starmap(PACKED.pack, map(SIGNATURE, map(_STAT, items))))
    except (FileNotFoundError, StructError):
        items = [item for item in items if _lasts(item)]
        signatures = [PACKED.pack(*signature_of(_STAT(item))) for item in items]
    return list(map(_NAME, items)), signatures


def _lasts(item: os.DirEntry[str]) -> bool:
    try:
        _STAT(item)  # which the item remembers
    except FileNotFoundError:
        return False
    return True


def _file(folder: int, name: bytes, tick: Tick) -> Entry:
    """Signature and bytes of one and the same file. The signature is from before the bytes are
    read: whatever changes meanwhile does not have it any more."""
    descriptor = files.open_regular(name, os.O_RDONLY, folder=folder)
    try:
        signature = signature_of(os.fstat(descriptor))
        return Entry(digest(Source(descriptor, 0, signature[SIZE]), tick=tick), signature)
    finally:
        os.close(descriptor)
