"""The archive of withheld files: a tar, and its contents as trees for `fs.restore`.

Paths in it begin with `project/` or `workspace/`; modes and times to the nanosecond are kept,
owners and hard links are not. On the disk it is compressed, and a person can unpack it with `tar`.
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
from typing import IO

from openloop.core.text import printable
from openloop.fs import dirfd, files, restore
from openloop.fs.content import Source, digest
from openloop.fs.manifest import FOLDER, SYMLINK, Entry, Manifest, to_text
from openloop.policy.covered_paths import WORKSPACE, Item
from openloop.record.workspace import HOLDOUT, WITHHELD

Roots = Mapping[str, str]  # PROJECT and WORKSPACE → absolute path
_TEMPORARY = b".openloop-returned"  # a file in the making; one that a crash left is used again
_CHUNK = 1 << 20  # bytes
_SECOND = 1_000_000_000  # ns
_LEVEL = 1  # of compression: what is kept for minutes need not be small


def nameless(folder: str) -> IO[bytes]:
    """A file that no path leads to, on the disk of `folder`."""
    return tempfile.TemporaryFile(dir=folder)


def pack(items: Iterable[Item], roots: Roots, target: IO[bytes]) -> None:
    """Write an archive, not compressed. What is missing is left out; of anything but files,
    symlinks and folders nothing is kept. Raises OSError."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, path in items:
            full = os.path.join(os.fsencode(roots[place]), path)
            with contextlib.suppress(FileNotFoundError):
                _add(archive, f"{place}/{os.fsdecode(path)}", full)


def _add(archive: tarfile.TarFile, name: str, path: bytes) -> None:
    status = os.lstat(path)
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
            archive.addfile(info, file)


def _in_seconds(nanoseconds: int) -> str:
    sign, size = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    return f"{sign}{size // _SECOND}.{size % _SECOND:09}"


def _in_nanoseconds(info: tarfile.TarInfo) -> int:
    text = info.pax_headers["mtime"]
    seconds, _, rest = text.removeprefix("-").partition(".")
    size = int(seconds) * _SECOND + int(rest)
    return -size if text.startswith("-") else size


def write(name: str, source: IO[bytes], folder: int) -> str:
    """Compress an archive to a durable file of this name; returns its sha256. Raises OSError."""
    if files.exists(name, folder=folder):
        files.remove(name, folder=folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    with open(files.open_regular(name, flags, folder=folder, mode=0o600), "w+b") as target:
        with gzip.GzipFile("", "wb", _LEVEL, target) as packed:
            source.seek(0)
            shutil.copyfileobj(source, packed, _CHUNK)
        target.flush()
        os.fsync(target.fileno())
        found = _sha256(target)
    os.fsync(folder)
    return found


def read(source: IO[bytes], home: str, sha256: str) -> IO[bytes] | None:
    """A compressed archive, unpacked to a file without a name; None when its bytes are others.

    home: the folder on whose disk it is unpacked.
    """
    with nameless(home) as copy:  # whoever still writes to the source changes nothing of it
        shutil.copyfileobj(source, copy, _CHUNK)
        if _sha256(copy) != sha256:
            return None
        copy.seek(0)
        unpacked = nameless(home)
        shutil.copyfileobj(gzip.GzipFile(fileobj=copy), unpacked, _CHUNK)
        return unpacked


def _sha256(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


class Archive:
    """An archive that is not compressed, and restoring from it.

    found: printable paths of what stood in the place of something restored, and was set aside.
    """

    def __init__(self, file: IO[bytes] | None, roots: Roots) -> None:
        """file: stays the caller's; None where nothing was withheld. Raises OSError."""
        self._roots = roots
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
        content = digest(Source(self._descriptor, info.offset_data, info.size))
        self._offsets[content] = info.offset_data
        return Entry(content, (0, 0, info.size, at, 0, stat.S_IFREG | info.mode))

    def restore(self) -> int:
        """Put everything where it was; returns how many paths. Raises OSError."""
        for place, tree in self._trees.items():
            self._clear(place, tree)
            target = Manifest.of(tree)
            intent = restore.plan(self._roots[place], Manifest({}, 0), target, target)
            for failure in restore.carry_out(intent, self._find, keep_times=True):
                raise OSError(errno.EIO, failure.why, os.fsdecode(failure.path))
        return sum(map(len, self._trees.values()))

    def _find(self, entry: Entry) -> Iterator[Source]:
        yield Source(self._descriptor, self._offsets[entry.content], entry.size)

    def _clear(self, place: str, tree: Mapping[bytes, Entry]) -> None:
        """Set aside what stands where something else is to be restored."""
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
                    if not (stat.S_ISDIR(there.st_mode) if folder else _is(entry, name, parent)):
                        self._set_aside(name, parent, above)
                        break

    def clear_holdout(self) -> None:
        """Set aside what lies in the holdout folder and is not from the archive."""
        kept = self._trees[WORKSPACE]
        with dirfd.open_tree(self._roots[WORKSPACE]) as opened:
            for path in [*_below(os.fsencode(self._roots[WORKSPACE]), os.fsencode(HOLDOUT))]:
                folder, name = dirfd.split(path)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    parent = opened.folder(folder)
                    if path not in kept and dirfd.status(name, parent):
                        self._set_aside(name, parent, path)

    def _set_aside(self, name: bytes, parent: int, path: bytes) -> None:
        """Move what stands at a name into the workspace's folder for such things."""
        self.found.append(printable(os.fsdecode(path)))
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


def _below(root: bytes, path: bytes) -> Iterator[bytes]:
    """The path and what lies below it, folders first; nothing where nothing stands."""
    full = os.path.join(root, path)
    if os.path.lexists(full):
        yield path
        if os.path.isdir(full) and not os.path.islink(full):
            for name in os.listdir(full):
                yield from _below(root, os.path.join(path, name))


def _is(entry: Entry, name: bytes, parent: int) -> bool:
    """Whether the file or symlink at the name holds what the archive does."""
    try:
        if entry.kind == SYMLINK:
            return os.readlink(name, dir_fd=parent) == entry.target
        descriptor = dirfd.open_file(name, parent)
    except OSError:
        return False
    try:
        same_size = os.fstat(descriptor).st_size == entry.size
        return same_size and digest(Source(descriptor, 0, entry.size)) == entry.content
    finally:
        os.close(descriptor)


def _copy_aside(name: bytes, parent: int, aside: bytes, home: int) -> None:
    """Keep a regular file that cannot be moved to another file system; of anything else there
    is nothing to keep."""
    with (
        contextlib.suppress(OSError),
        open(dirfd.open_file(name, parent), "rb") as source,
        dirfd.replacing(aside, home, temporary=_TEMPORARY) as target,
    ):
        while chunk := source.read(_CHUNK):
            files.write_all(target, chunk)
