"""Scan a project tree into a manifest.

A file is read again only when its stat signature changed since an earlier scan, so scanning an
unchanged tree costs one `stat` a file. No program can set ctime, a part of the signature, so an
edit that restores size and mtime is noticed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized

from openloop.fs import content, files
from openloop.fs.content import FileSection, Tick, no_tick
from openloop.fs.manifest import (
    CTIME,
    FOLDER,
    MODE,
    PACKED,
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
from openloop.fs.scan_worker import ScanWorker, folder_digest, list_folder

MAX_DEPTH = 200  # nested folders; each needs a descriptor during a scan
RESOLUTION = 50_000_000  # ns, an upper bound for that of file times
COARSE_RESOLUTION = 2_000_000_000  # ns, the same where file times are whole seconds
SHARED = 20_000  # entries from which a second process saves more time than it takes

Skip = Callable[[bytes, bool], bool]  # (relative path, is a folder) → leave it out
Wanted = Callable[[bytes], bool]
Hasher = Callable[[bytes, FileSection], str]  # (path, the open file) → its sha256 in hex
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # not caused by the tree
_NEVER = sys.maxsize  # ns, later than any clock: such a folder is read again


def is_too_deep(path: bytes) -> bool:
    """Whether a folder at this path lies too deep to be scanned."""
    return path.count(b"/") >= MAX_DEPTH


def accept_all(path: bytes) -> bool:
    return True


def reliable_from(signature: Signature) -> int:
    """When (ns UTC) a change of the file is certain to change this signature: within the same
    tick of the clock it may not. An entry from a scan that began earlier is read again."""
    ctime = signature[CTIME]
    return ctime + (RESOLUTION if ctime % 1_000_000_000 else COARSE_RESOLUTION)


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
    hasher = hasher or (lambda path, source: content.digest(source, tick=tick))
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
    """One scan under way: `folder` adds a folder and those below it to the manifest."""

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
        """Share a large tree that was scanned before with another process."""
        entries = sum(len(listing.names) for listing in self._old.values())
        if self._seen and entries >= SHARED and len(os.sched_getaffinity(0)) > 1:
            with contextlib.suppress(OSError):  # no process to be had: this one can do it alone
                self._worker = ScanWorker(root, list(self._old))
        try:
            yield
        finally:
            if self._worker:
                self._worker.close()

    def folder(self, descriptor: int, prefix: bytes, depth: int) -> None:
        """Add the entries of an open folder. Raises OSError when it cannot be listed."""
        old = self._old.get(prefix)
        known, reliable = self._seen.get(prefix, (b"", _NEVER))
        known = known if reliable <= self._began else b""
        if old and known and self._worker and self._worker.digest_of(prefix) == known:
            seen, listing = known, old
            self._count(old.names)
        else:
            names, signatures = list_folder(descriptor)
            self._count(names)
            seen = folder_digest(names, signatures)
            if old and seen == known:
                listing = old
            else:
                items = zip(names, signatures, strict=True)
                listing, reliable = self._read(descriptor, prefix, items, old)
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

    def _count(self, names: Sized) -> None:
        self._seen_files += len(names)
        self._tick(self._seen_files)

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
            return Entry(self._hasher(path, FileSection(descriptor, 0, signature[SIZE])), signature)
        finally:
            os.close(descriptor)
