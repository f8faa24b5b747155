"""The archive of withheld files: a tar file, read back as trees for `fs.restore`.

Its paths begin with `project/` or `workspace/`; it keeps modes and times to the nanosecond, but not
owners and hard links. On the disk it is compressed, and `tar` can unpack it.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, cast

from openloop.core.errors import TamperError
from openloop.core.text import printable, printable_path
from openloop.fs import dirfd, files, restore
from openloop.fs.content import FileSection, Tick, digest
from openloop.fs.manifest import FOLDER, SYMLINK, Entry, Manifest, to_text
from openloop.policy.covered_paths import WORKSPACE, Item, descend
from openloop.record.workspace import HOLDOUT, WITHHELD

Roots = Mapping[str, str]  # PROJECT and WORKSPACE → absolute path
LARGEST = 4 << 30  # bytes; holes count, because the archive has none
_TEMPORARY = b".openloop-returned"  # name of a file until it is complete
_CHUNK = 1 << 20  # bytes
_SECOND = 1_000_000_000  # ns
_LEVEL = 1  # of compression: the file lasts for minutes only


class _TickingReader:
    """A file to read from, with a tick before each piece."""

    def __init__(self, file: IO[bytes], tick: Tick) -> None:
        self._file = file
        self._tick = tick

    def read(self, size: int = -1, /) -> bytes:
        self._tick(0)
        return self._file.read(size)


def pack(items: Iterable[Item], roots: Roots, target: IO[bytes], tick: Tick) -> None:
    """Write an uncompressed archive. Missing paths, and anything but files, symlinks and folders,
    are left out. Raises TamperError above LARGEST, OSError, and what `tick` raises."""
    left = LARGEST
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, path in items:
            full = os.path.join(os.fsencode(roots[place]), path)
            name = f"{place}/{os.fsdecode(path)}"
            with contextlib.suppress(FileNotFoundError):
                tick(0)
                status = os.lstat(full)
                left -= status.st_size
                if left < 0:
                    raise TamperError(
                        f"withheld files are larger than {LARGEST >> 30} GiB: {printable(name)}",
                        fix="withhold whole folders and set policy.sandbox: it hides them",
                    )
                _add(archive, name, full, status, tick)


def _add(
    archive: tarfile.TarFile, name: str, path: bytes, status: os.stat_result, tick: Tick
) -> None:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.mtime = max(0, status.st_mtime_ns // _SECOND)
    info.pax_headers = {"mtime": _in_seconds(status.st_mtime_ns)}
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(os.readlink(path))
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        with open(files.open_regular(os.fsdecode(path), os.O_RDONLY), "rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            archive.addfile(info, cast("IO[bytes]", _TickingReader(file, tick)))


def _in_seconds(nanoseconds: int) -> str:
    sign, size = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    return f"{sign}{size // _SECOND}.{size % _SECOND:09}"


def _in_nanoseconds(info: tarfile.TarInfo) -> int:
    text = info.pax_headers["mtime"]
    seconds, _, rest = text.removeprefix("-").partition(".")
    size = int(seconds) * _SECOND + int(rest)
    return -size if text.startswith("-") else size


def write(name: str, source: IO[bytes], folder: int, tick: Tick) -> str:
    """Compress an archive into a durable file; returns its sha256. Raises OSError, and what `tick`
    raises."""
    if files.exists(name, folder=folder):
        files.remove(name, folder=folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    with open(files.open_regular(name, flags, folder=folder, mode=0o600), "w+b") as target:
        with gzip.GzipFile("", "wb", _LEVEL, target) as packed:
            source.seek(0)
            shutil.copyfileobj(_TickingReader(source, tick), packed, _CHUNK)
        target.flush()
        os.fsync(target.fileno())
        found = _sha256(target, tick)
    os.fsync(folder)
    return found


def read(source: IO[bytes], home: str, sha256: str, tick: Tick) -> IO[bytes] | None:
    """A compressed archive, decompressed to an unlinked file; None when its sha256 differs.

    home: the folder on whose disk that file is.
    """
    with tempfile.TemporaryFile(dir=home) as copy:  # writes to the source do not affect it
        shutil.copyfileobj(_TickingReader(source, tick), copy, _CHUNK)
        if _sha256(copy, tick) != sha256:
            return None
        copy.seek(0)
        unpacked = tempfile.TemporaryFile(dir=home)  # noqa: SIM115
        packed = cast("IO[bytes]", gzip.GzipFile(fileobj=copy))
        shutil.copyfileobj(_TickingReader(packed, tick), unpacked, _CHUNK)
        return unpacked


def _sha256(file: IO[bytes], tick: Tick) -> str:
    found = hashlib.sha256()
    file.seek(0)
    while chunk := _TickingReader(file, tick).read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


class Archive:
    """An uncompressed archive to restore from.

    found: printable paths of entries that were in the way and have been set aside.
    """

    def __init__(self, file: IO[bytes] | None, roots: Roots, tick: Tick) -> None:
        """file: closed by the caller; None when no file was withheld. tick: called between pieces
        of work. Raises OSError, and what it raises."""
        self._roots = roots
        self._tick = tick
        self._offsets: dict[str, int] = {}  # of contents in the file
        self._trees: dict[str, dict[bytes, Entry]] = {place: {} for place in roots}
        self.found: list[str] = []
        if file is None:
            return
        file.seek(0)
        self._descriptor = file.fileno()
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                place, _, path = info.name.partition("/")
                self._trees[place][os.fsencode(path)] = self._entry(info)

    def _entry(self, info: tarfile.TarInfo) -> Entry:
        at = _in_nanoseconds(info)
        if info.isdir():
            return Entry(FOLDER, (0, 0, 0, at, 0, stat.S_IFDIR | info.mode))
        if info.issym():
            target = to_text(os.fsencode(info.linkname))
            return Entry(target, (0, 0, 0, at, 0, stat.S_IFLNK | info.mode))
        content = digest(
            FileSection(self._descriptor, info.offset_data, info.size), tick=self._tick
        )
        self._offsets[content] = info.offset_data
        return Entry(content, (0, 0, info.size, at, 0, stat.S_IFREG | info.mode))

    def restore(self) -> int:
        """Restore every path; returns their number. Raises OSError."""
        for place, tree in self._trees.items():
            self._clear_obstacles(place, tree)
            target = Manifest.of(tree)
            intent = restore.plan(self._roots[place], Manifest({}, 0), target, target)
            for failure in restore.carry_out(intent, self._find, keep_times=True, tick=self._tick):
                raise OSError(errno.EIO, failure.why, os.fsdecode(failure.path))
        return sum(map(len, self._trees.values()))

    def _find(self, entry: Entry) -> Iterator[FileSection]:
        yield FileSection(self._descriptor, self._offsets[entry.content], entry.size)

    def _clear_obstacles(self, place: str, tree: Mapping[bytes, Entry]) -> None:
        """Set aside entries that are in the way of a restore."""
        with dirfd.open_tree(self._roots[place]) as opened:
            for path, entry in tree.items():
                above = b""
                for name in path.split(b"/"):
                    parent = opened.folder(above, dirfd.open_or_make)
                    above = os.path.join(above, name)
                    there = dirfd.status(name, parent)
                    folder = above != path or entry.kind == FOLDER
                    if there is None:
                        break
                    if not (
                        stat.S_ISDIR(there.st_mode) if folder else _matches(entry, name, parent)
                    ):
                        self._set_aside(name, parent, above)
                        break

    def clear_holdout(self) -> None:
        """Set aside entries of the holdout folder that are not in the archive."""
        kept = self._trees[WORKSPACE]
        with dirfd.open_tree(self._roots[WORKSPACE]) as opened:
            for path in [*descend(self._roots[WORKSPACE], os.fsencode(HOLDOUT))]:
                folder, name = dirfd.split(path)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    parent = opened.folder(folder)
                    if path not in kept and dirfd.status(name, parent):
                        self._set_aside(name, parent, path)

    def _set_aside(self, name: bytes, parent: int, path: bytes) -> None:
        """Move an entry into the workspace's folder of withheld files."""
        self.found.append(printable_path(path))
        with dirfd.open_tree(self._roots[WORKSPACE]) as opened:
            home = opened.folder(os.fsencode(WITHHELD), dirfd.open_or_make)
            aside = os.fsencode(files.free_name(os.fsdecode(name), folder=home, word="found"))
            try:
                os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=home)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_aside(name, parent, aside, home)
                dirfd.remove(name, parent)


def _matches(entry: Entry, name: bytes, parent: int) -> bool:
    """Whether the file or symlink equals the archive's entry."""
    try:
        if entry.kind == SYMLINK:
            return os.readlink(name, dir_fd=parent) == entry.target
        descriptor = dirfd.open_file(name, parent)
    except OSError:
        return False
    try:
        same_size = os.fstat(descriptor).st_size == entry.size
        return same_size and digest(FileSection(descriptor, 0, entry.size)) == entry.content
    finally:
        os.close(descriptor)


def _copy_aside(name: bytes, parent: int, aside: bytes, home: int) -> None:
    """Copy a regular file that cannot be moved to another file system; others are dropped. Raises
    OSError for a copy that cannot be finished."""
    try:
        descriptor = dirfd.open_file(name, parent)
    except OSError:
        return
    with (
        open(descriptor, "rb") as source,
        dirfd.replacing(aside, home, temporary=_TEMPORARY) as target,
    ):
        while chunk := source.read(_CHUNK):
            files.write_all(target, chunk)
