"""Bytes kept under their sha256, each once, and the way there and back.

An object is written beside its place and renamed, so it is whole or not there. There is no
fsync for each: that would cost ten times the copy. A power cut can leave objects empty or
missing; whoever reads one checks its hash and notices.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from openloop.core.text import printable
from openloop.fs import dirfd, files
from openloop.fs.snapshot import CHUNK, OURS, Entry, Manifest, to_text

_NEW = b".new"  # an object that is being written


class Source(NamedTuple):
    """A stretch of an open file."""

    descriptor: int
    offset: int
    size: int  # bytes


class Mismatch(Exception):
    """Bytes that do not have the hash they should have."""


class ChangedMeanwhile(Exception):
    """A file is not what its manifest says any more: scan again. path: relative."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{printable(to_text(path))} changed between the scan and the copy")
        self.path = path


def copy(source: Source, target: int, content: str) -> None:
    """Append the source's bytes to an open file. Raises Mismatch when they are not `content`
    (whatever was written stays), OSError."""
    if digest(source, target) != content:
        raise Mismatch(content)


def digest(source: Source, target: int | None = None) -> str:
    """sha256 in hex of the source's bytes, appended to `target` while they pass."""
    found = hashlib.sha256()
    position, end = source.offset, source.offset + source.size
    while position < end:
        chunk = os.pread(source.descriptor, min(end - position, CHUNK), position)
        if not chunk:
            break
        found.update(chunk)
        if target is not None:
            files.write_all(target, chunk)
        position += len(chunk)
    return found.hexdigest()


def sources(
    root: str, manifest: Manifest, paths: Iterable[bytes]
) -> Iterator[tuple[bytes, Entry, Source]]:
    """Open one file of the tree after the other; each is closed when the next is asked for.
    Raises ChangedMeanwhile where none can be read, OSError for want of descriptors or memory."""
    with dirfd.footing(root) as way:
        for path in paths:
            folder, name = dirfd.split(path)
            entry = manifest.entries[path]
            try:
                descriptor = dirfd.open_file(name, way.folder(folder))
            except OSError as error:
                if error.errno in OURS:
                    raise
                raise ChangedMeanwhile(path) from error
            try:
                yield path, entry, Source(descriptor, 0, entry.size)
            finally:
                os.close(descriptor)


class Contents:
    """The objects in one folder: `ab/cdef…`, so that no folder grows large."""

    def __init__(self, folder: int) -> None:
        """folder: its descriptor, which stays the caller's."""
        self._folder = folder
        self._checked: set[str] = set()  # folders that are there and no symlinks

    def has(self, entry: Entry) -> bool:
        """Whether an object of that name and size is there; its bytes are not looked at."""
        try:
            found = dirfd.status(_place(entry.content), self._folder)
        except OSError:  # no folder, or a closed one
            return False
        return found is not None and found.st_size == entry.size

    def holds(self, entry: Entry) -> bool:
        """Whether the object is there with the right bytes."""
        return any(digest(source) == entry.content for source in self.find(entry))

    def find(self, entry: Entry) -> Iterator[Source]:
        """The object, while the loop over it lasts; nothing when it cannot be opened."""
        try:
            descriptor = dirfd.open_file(_place(entry.content), self._folder)
        except OSError:
            return
        try:
            yield Source(descriptor, 0, entry.size)
        finally:
            os.close(descriptor)

    def add(self, content: str, source: Source) -> None:
        """Keep the source's bytes. Raises Mismatch when they are not `content`, OSError."""
        self._check(content[:2])
        place = _place(content)
        with dirfd.replacing(place, self._folder, temporary=_NEW, mode=0o400) as target:
            copy(source, target, content)

    def prune(self, needed: Container[str]) -> int:
        """Remove every object but those; returns how many."""
        removed = 0
        for name in os.listdir(self._folder):
            try:
                folder = dirfd.open_up(os.fsencode(name), self._folder)
            except NotADirectoryError:
                dirfd.remove(os.fsencode(name), self._folder)
                continue
            try:
                gone = [rest for rest in os.listdir(folder) if name + rest not in needed]
                for rest in gone:
                    dirfd.remove(os.fsencode(rest), folder)
            finally:
                os.close(folder)
            removed += len(gone)
        return removed

    def _check(self, name: str) -> None:
        if name not in self._checked:
            os.close(dirfd.open_or_make(name.encode(), self._folder))
            self._checked.add(name)


def _place(content: str) -> bytes:
    return f"{content[:2]}/{content[2:]}".encode()
