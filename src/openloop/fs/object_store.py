"""Content-addressed store: file contents by hash, in packs that are written atomically.

A pack holds contents, a row (hash, size) for each, and the number of rows. It is written under a
temporary name, synced and renamed. Readers check the contents.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterable, Iterator
from struct import Struct
from typing import NamedTuple

from openloop.core.text import printable
from openloop.fs import dirfd, files
from openloop.fs.content import (
    SMALL,
    FileSection,
    HashMismatch,
    Tick,
    copy,
    digest,
    hash_of,
    no_tick,
)
from openloop.fs.manifest import Entry, to_text
from openloop.fs.snapshot import OUT_OF_RESOURCES

_SUFFIX = ".pack"
_ROW = Struct("<32sQ")
_END = Struct("<Q8s")
_MAGIC = b"openloop"


class ChangedMeanwhile(Exception):
    """A file no longer matches its manifest: scan again. path: relative."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{printable(to_text(path))} changed between the scan and the copy")
        self.path = path


def sources(
    root: str, entries: Iterable[tuple[bytes, Entry]]
) -> Iterator[tuple[bytes, Entry, FileSection]]:
    """(path, entry, open file) for each (path, entry); the file is closed before the next one is
    opened. Raises ChangedMeanwhile for one that cannot be read, OSError when out of resources."""
    with dirfd.open_tree(root) as opened:
        for path, entry in entries:
            folder, name = dirfd.split(path)
            try:
                descriptor = dirfd.open_file(name, opened.folder(folder))
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    raise
                raise ChangedMeanwhile(path) from error
            try:
                yield path, entry, FileSection(descriptor, 0, entry.size)
            finally:
                os.close(descriptor)


class Pack(NamedTuple):
    """One pack. offsets: where each content begins, by hash, ascending. end: the end of the last
    content. status: of the file, (inode, size, ctime in ns)."""

    offsets: dict[str, int]
    end: int
    status: tuple[int, int, int]

    def sizes(self) -> dict[str, int]:
        ends = [*self.offsets.values(), self.end][1:]
        return {
            content: end - offset
            for (content, offset), end in zip(self.offsets.items(), ends, strict=True)
        }


class ObjectStore:
    """The packs in one folder."""

    def __init__(self, folder: int, known: dict[str, Pack], tick: Tick = no_tick) -> None:
        """folder: its descriptor, which the caller closes. known: packs by name as last read;
        updated here. tick: called between pieces of long work."""
        self._folder = folder
        self._tick = tick
        self._packs = known
        names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]
        found = {name: self._read(name) for name in names}
        self.is_unchanged = all(found.get(name) is pack for name, pack in known.items())
        known.clear()
        known.update((name, pack) for name, pack in found.items() if pack)

    def _read(self, name: str) -> Pack | None:
        """The pack in a file; None when it is damaged or not a pack."""
        try:
            descriptor = dirfd.open_file(os.fsencode(name), self._folder)
        except OSError:
            return None
        with open(descriptor, "rb"):
            known = self._packs.get(name)
            if known and known.status == _status(descriptor):
                return known
            with contextlib.suppress(ValueError, OSError):
                return _parse(descriptor)
            return None

    def has(self, content: str) -> bool:
        """Whether a pack lists the content; its bytes are not checked."""
        return any(content in pack.offsets for pack in self._packs.values())

    def holds(self, entry: Entry) -> bool:
        """Whether the store has the content, intact."""
        return any(digest(source, tick=self._tick) == entry.content for source in self.find(entry))

    def find(self, entry: Entry) -> Iterator[FileSection]:
        """Each copy of the content, unchecked; a copy is open until the next one is asked for."""
        for name, pack in self._packs.items():
            if entry.content not in pack.offsets:
                continue
            try:
                descriptor = dirfd.open_file(os.fsencode(name), self._folder)
            except OSError:
                continue
            try:
                yield FileSection(descriptor, pack.offsets[entry.content], entry.size)
            finally:
                os.close(descriptor)

    def places(self, contents: Iterable[str]) -> list[str]:
        """The names of the packs that hold any of these."""
        wanted = set(contents)
        return sorted(name for name, pack in self._packs.items() if wanted & pack.offsets.keys())

    @contextlib.contextmanager
    def writer(self) -> Iterator[PackWriter]:
        """The writer of a new pack, which is kept unless it is empty or an exception is raised."""
        name = os.urandom(16).hex() + _SUFFIX
        temporary = os.fsencode(f".{name}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = files.open_regular(temporary, flags, folder=self._folder, mode=0o600)
        try:
            with open(descriptor, "r+b", buffering=0):
                writer = PackWriter(descriptor, self._tick)
                yield writer
                if writer.offsets:
                    writer.finish()
                    os.rename(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                    self._packs[name] = Pack(writer.offsets, writer.end, _status(descriptor))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._folder)

    def hashed(self, source: FileSection, writer: PackWriter | None) -> str:
        """The source's hash. The writer adds its bytes unless a pack has them or they cannot be
        added; a small source is read once for both."""
        self._tick(0)
        size = source.size if source.size <= SMALL else 0
        data = os.pread(source.descriptor, size, source.offset)
        is_whole = len(data) == source.size
        content = hash_of(data) if is_whole else digest(source, tick=self._tick)
        if writer and content not in writer.offsets and not self.has(content):
            with contextlib.suppress(HashMismatch, OSError):
                writer.add(content, source, data if is_whole else None)
        return content

    def prune(self, needed: Container[str]) -> int:
        """Remove other files, and contents that are not needed once they make up half of a pack;
        returns the number of contents removed."""
        removed = 0
        for name in os.listdir(self._folder):
            pack = self._packs.get(name)
            kept = [each for each in pack.offsets if each in needed] if pack else []
            if pack and len(kept) == len(pack.offsets):
                continue
            if pack and kept:
                sizes = pack.sizes()
                if 2 * sum(map(sizes.__getitem__, kept)) > pack.end:
                    continue
                self._rewrite(name, pack, kept)
            dirfd.remove(os.fsencode(name), self._folder)
            removed += len(pack.offsets) - len(kept) if pack else 0
            self._packs.pop(name, None)
        return removed

    def _rewrite(self, name: str, pack: Pack, kept: list[str]) -> None:
        sizes = pack.sizes()
        with (
            open(dirfd.open_file(os.fsencode(name), self._folder), "rb") as file,
            self.writer() as writer,
        ):
            for content in kept:
                source = FileSection(file.fileno(), pack.offsets[content], sizes[content])
                with contextlib.suppress(HashMismatch):  # damaged
                    writer.add(content, source)


class PackWriter:
    """Writes one pack."""

    def __init__(self, descriptor: int, tick: Tick) -> None:
        self.offsets: dict[str, int] = {}
        self.end = 0
        self._descriptor = descriptor
        self._tick = tick

    def add(self, content: str, source: FileSection, data: bytes | None = None) -> None:
        """Add the source's bytes, which are `data` if they have been read and hashed already.
        Raises HashMismatch when their hash is not `content`, OSError."""
        try:
            if data is None:
                copy(source, self._descriptor, content, self._tick)
            else:
                files.write_all(self._descriptor, data)
        except (HashMismatch, OSError):
            os.ftruncate(self._descriptor, self.end)
            os.lseek(self._descriptor, self.end, os.SEEK_SET)
            raise
        self.offsets[content] = self.end
        self.end += source.size

    def finish(self) -> None:
        sizes = Pack(self.offsets, self.end, (0, 0, 0)).sizes()
        rows = [_ROW.pack(bytes.fromhex(content), size) for content, size in sizes.items()]
        files.write_all(self._descriptor, b"".join(rows) + _END.pack(len(rows), _MAGIC))
        os.fsync(self._descriptor)


def _status(descriptor: int) -> tuple[int, int, int]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size, found.st_ctime_ns


def _parse(descriptor: int) -> Pack:
    """Read a pack's rows. Raises ValueError for a file that is not a whole pack."""
    status = _status(descriptor)
    last = status[1] - _END.size
    count, magic = _END.unpack(os.pread(descriptor, _END.size, max(last, 0)).ljust(_END.size))
    start = last - count * _ROW.size
    if magic != _MAGIC or start < 0:
        raise ValueError("not a pack")
    offsets, end = {}, 0
    for digest_, size in _ROW.iter_unpack(os.pread(descriptor, count * _ROW.size, start)):
        offsets[digest_.hex()] = end
        end += size
    if end != start:
        raise ValueError("not a whole pack")
    return Pack(offsets, end, status)
