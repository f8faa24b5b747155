"""Scan a project tree into a manifest.

A file is read again only when its stat signature changed since an earlier scan, so scanning an
unchanged tree costs one `stat` a file. No program can set ctime, a part of the signature, so an
edit that restores size and mtime is noticed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, starmap
from struct import error as StructError

from openloop.fs import files
from openloop.fs.content import FileSection, Tick, digest, no_tick
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
    FolderListing,
    Manifest,
    Signature,
    signature_of,
    to_text,
)
from openloop.fs.scan_worker import ScanWorker

MAX_DEPTH = 200  # nested folders; each needs a descriptor during a scan
TICK = 50_000_000  # ns, an upper bound for the resolution of file times
COARSE_TICK = 2_000_000_000  # ns, the same where file times are whole seconds
LARGE = 10_000  # entries from which a second process saves more time than it takes

Skip = Callable[[bytes, bool], bool]  # (relative path, is a folder) → leave it out
Wanted = Callable[[bytes], bool]
Hasher = Callable[[bytes, FileSection], str]  # (path, the open file) → its sha256 in hex
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # not caused by the tree
_NEVER = sys.maxsize  # ns, later than any clock: such a folder is read again
_NOT_SEEN = b"", _NEVER


def is_too_deep(path: bytes) -> bool:
    """Whether a folder at this path lies too deep to be scanned."""
    return path.count(b"/") >= MAX_DEPTH


def accept_all(path: bytes) -> bool:
    return True


def reliable_from(signature: Signature) -> int:
    """When (ns UTC) a change of the file is certain to change this signature: within the same
    tick of the clock it may not. An entry from a scan that began earlier is read again."""
    ctime = signature[CTIME]
    return ctime + (TICK if ctime % 1_000_000_000 else COARSE_TICK)


def outside_project(root: str, workspace: str) -> Skip:
    """A `skip` that leaves out the workspace, and `.openloop` folders and `.git` at any depth.

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
    wanted: Wanted = accept_all,
    hasher: Hasher | None = None,
    tick: Tick = no_tick,
) -> Manifest:
    """The current manifest of the tree below `root`; no symlink is followed.

    skip: which paths to leave out, folders with their contents. wanted: which files to hash.
    before: an earlier scan; the hashes of unchanged files are reused, and if `skip` and `wanted`
    are the same objects as then, so are the listings of unchanged folders. hasher: hashes a file.
    tick: called after each folder and between pieces of a file; the scan ends when it raises.

    No entry of the tree raises. A file that cannot be read, and a folder that cannot be listed or
    lies deeper than MAX_DEPTH, is UNREADABLE; entries that vanish meanwhile are left out; a file
    that changes while it is read is read again by the next scan. A missing or closed root counts
    as empty, but not without `before`. Raises OSError for that, and when out of resources.
    """
    hasher = hasher or (lambda path, source: digest(source, tick=tick))
    running = _Scan(skip, wanted, before, hasher, tick)
    try:
        descriptor = files.open_folder(root)
        try:
            with running.shared(root):
                running.folder(descriptor, b"", 0)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        if before is None:  # a restore to an empty tree would delete the project
            raise
    return running.manifest


class _Scan:
    def __init__(
        self, skip: Skip, wanted: Wanted, before: Manifest | None, hasher: Hasher, tick: Tick
    ) -> None:
        self.manifest = Manifest({}, time.time_ns())
        self.manifest.filters = skip, wanted
        self._skip = skip
        self._wanted = wanted
        self._hasher = hasher
        self._tick = tick
        self._seen_files = 0
        self._old = before.listings if before else {}
        self._began = before.began if before else 0
        self._seen = before.seen if before and before.filters == self.manifest.filters else {}
        self._worker: ScanWorker | None = None

    @contextlib.contextmanager
    def shared(self, root: str) -> Iterator[None]:
        """Leave the second half of a large tree that was scanned before to another process."""
        with contextlib.suppress(OSError):  # there are too many: this one can do it alone
            if folders := self._second_half():
                self._worker = ScanWorker(root, folders, self._is_unchanged, self._count)
        try:
            yield
        finally:
            if self._worker:
                self._worker.close()

    def _second_half(self) -> list[bytes]:
        counts = list(accumulate(len(listing.names) for listing in self._old.values()))
        if not self._seen or counts[-1] < LARGE or len(os.sched_getaffinity(0)) == 1:
            return []
        return list(self._old)[bisect_left(counts, counts[-1] // 2) :]

    def _count(self, entries: int) -> None:
        self._seen_files += entries
        self._tick(self._seen_files)

    def _is_unchanged(self, folder: int, prefix: bytes) -> bool:
        return self._is_as_seen(prefix, _digest(*_list(folder)))

    def _is_as_seen(self, prefix: bytes, digest: bytes) -> bool:
        """Whether nothing in a folder has changed since the scan before."""
        known, reliable = self._seen.get(prefix, _NOT_SEEN)
        return digest == known and reliable <= self._began

    def folder(self, descriptor: int, prefix: bytes, depth: int) -> None:
        """Add the entries of an open folder. Raises OSError when it cannot be listed."""
        old = self._old.get(prefix)
        seen, reliable = self._seen.get(prefix, _NOT_SEEN)
        if old and self._worker and self._worker.found_unchanged(prefix):
            listing = old
            self._count(len(old.names))
        else:
            names, signatures = _list(descriptor)
            self._count(len(names))
            now = _digest(names, signatures)
            if old and self._is_as_seen(prefix, now):
                listing = old
            else:
                items = zip(names, signatures, strict=True)
                seen, (listing, reliable) = now, self._read(descriptor, prefix, items, old)
        self.manifest.listings[prefix] = listing
        closed = [
            name
            for name in listing.folders
            if not self._go_down(descriptor, prefix, name, depth + 1)
        ]
        if closed:
            listing, reliable = listing.with_unreadable(closed), _NEVER
        if old is not None and old.same_as(listing):
            listing = old
        self.manifest.listings[prefix] = listing
        self.manifest.seen[prefix] = seen, reliable

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
            if error.errno in OUT_OF_RESOURCES:
                raise
            return False
        return True

    def _read(
        self,
        folder: int,
        prefix: bytes,
        items: Iterable[tuple[str, bytes]],
        old: FolderListing | None,
    ) -> tuple[FolderListing, int]:
        """(listing of the folder, when its signatures became reliable in ns UTC)."""
        reliable = 0
        known = dict(old.rows()) if old else {}
        rows: list[tuple[bytes, Entry]] = []
        for text, packed in items:
            name, signature = os.fsencode(text), PACKED.unpack(packed)
            path = prefix + name
            reliable = max(reliable, reliable_from(signature))
            if self._skip(path, stat.S_ISDIR(signature[MODE])):
                continue
            entry: Entry | None = known.get(name)
            if entry is None or not self._is_current(path, entry, signature):
                entry = self._new_entry(folder, name, path, signature)
            if entry is None:
                reliable = _NEVER
                continue
            rows.append((name, entry))
            if entry.is_unreadable:
                reliable = _NEVER
        return FolderListing.of(rows), reliable

    def _is_current(self, path: bytes, old: Entry, signature: Signature) -> bool:
        if old.signature != signature or reliable_from(signature) > self._began:
            return False
        return not old.is_unreadable and (old.content != UNHASHED or not self._wanted(path))

    def _new_entry(
        self, folder: int, name: bytes, path: bytes, signature: Signature
    ) -> Entry | None:
        """A new entry, read from the tree; None when it vanished."""
        kind = stat.S_IFMT(signature[MODE])
        try:
            if kind == stat.S_IFREG:
                return self._file(folder, name, path, signature)
            if kind == stat.S_IFLNK:
                target = os.readlink(name, dir_fd=folder)
                return Entry(to_text(target), signature)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                raise
            return Entry(UNREADABLE, signature)
        return Entry(FOLDER if kind == stat.S_IFDIR else f"{kind:o}", signature)

    def _file(self, folder: int, name: bytes, path: bytes, listed: Signature) -> Entry:
        """The signature of a hashed file is taken before the bytes are read, so a change meanwhile
        does not match it."""
        if not self._wanted(path):
            return Entry(UNHASHED, listed)
        descriptor = files.open_regular(name, os.O_RDONLY, folder=folder)
        try:
            signature = signature_of(os.fstat(descriptor))
            content = self._hasher(path, FileSection(descriptor, 0, signature[SIZE]))
            return Entry(content, signature)
        finally:
            os.close(descriptor)


def _digest(names: list[str], signatures: list[bytes]) -> bytes:
    """By which an unchanged folder is recognised."""
    return hashlib.blake2b(os.fsencode("\0".join(names)) + b"".join(signatures)).digest()


def _list(folder: int) -> tuple[list[str], list[bytes]]:
    """Names and packed signatures, in the folder's own order; the loops run in C."""
    names = os.listdir(folder)
    lstat = partial(os.lstat, dir_fd=folder)
    try:
        return names, list(starmap(PACKED.pack, map(SIGNATURE, map(lstat, names))))
    except (FileNotFoundError, StructError):
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found[name] = PACKED.pack(*signature_of(lstat(name)))
        return list(found), list(found.values())
