"""The archive of what is withheld: a compressed tar, packed before a change and unpacked after.

Paths in it begin with `project/` or `workspace/`; modes, owners and times to the nanosecond are
kept, hard links are not. A person can unpack it with `tar`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from openloop.core.text import printable
from openloop.fs import dirfd, files
from openloop.policy.covered_paths import WORKSPACE, Item
from openloop.record.workspace import HOLDOUT, WITHHELD

Roots = Mapping[str, str]  # PROJECT and WORKSPACE → absolute path
_TEMPORARY = b".openloop-returned"  # a file in the making; one that a crash left is used again
_CHUNK = 1 << 20  # bytes
_SECOND = 1_000_000_000  # ns
_LEVEL = 1  # of compression: what is kept for minutes need not be small
UNREADABLE = (OSError, tarfile.TarError, EOFError)  # what a damaged archive raises


def nameless(folder: str) -> IO[bytes]:
    """A file that no path leads to, on the disk of `folder`."""
    return tempfile.TemporaryFile(dir=folder)


def write(name: str, source: IO[bytes], folder: int) -> str:
    """Copy to a durable file of this name; returns its sha256. Raises OSError."""
    if files.exists(name, folder=folder):
        files.remove(name, folder=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(files.open_regular(name, flags, folder=folder, mode=0o600), "wb") as target:
        digest = copy(source, target)
        target.flush()
        os.fsync(target.fileno())
    os.fsync(folder)
    return digest


def copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy to the end; returns the sha256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def pack(items: Iterable[Item], roots: Roots, target: IO[bytes]) -> None:
    """Write an archive. What is missing is left out; of anything but files, symlinks and folders
    nothing is kept. Raises OSError."""
    with tarfile.open(
        fileobj=target, mode="w:gz", compresslevel=_LEVEL, format=tarfile.PAX_FORMAT
    ) as archive:
        for place, path in items:
            full = os.path.join(os.fsencode(roots[place]), path)
            with contextlib.suppress(FileNotFoundError):
                _add(archive, f"{place}/{os.fsdecode(path)}", full)


def _add(archive: tarfile.TarFile, name: str, path: bytes) -> None:
    status = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
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


class Return:
    """The way back from an archive, whatever stands there meanwhile."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._held_out: set[bytes] = set()  # paths of the archive in the holdout folder
        self.found: list[str] = []  # printable paths of what stood in the way

    def unpack(self, source: IO[bytes]) -> int:
        """Put everything where it was; returns how many paths. What is there already, as it
        was, stays. Raises OSError."""
        folders: list[tarfile.TarInfo] = []
        count = 0
        with tarfile.open(fileobj=source, mode="r:gz") as archive:
            for info in archive:
                place, path = _split(info)
                with dirfd.footing(self._roots[place]) as way:
                    self._put(archive, info, place, path, way)
                if info.isdir():
                    folders.append(info)
                count += 1
        for info in reversed(folders):
            self._finish_folder(info)
        return count

    def _put(
        self,
        archive: tarfile.TarFile,
        info: tarfile.TarInfo,
        place: str,
        path: bytes,
        way: dirfd.Footing,
    ) -> None:
        if place == WORKSPACE and path.split(b"/")[0] == os.fsencode(HOLDOUT):
            self._held_out.add(path)
        folder, name = dirfd.split(path)
        self._clear_way(folder, way)
        parent = way.folder(folder, dirfd.open_or_make)
        there = dirfd.status(name, parent)
        if there is not None and not _is_same(archive, info, there, name, parent):
            self._set_aside(name, parent, path)
        if info.isdir():
            os.close(dirfd.open_or_make(name, parent))
        elif info.issym():
            _put_symlink(info, name, parent)
        else:
            _put_file(archive, info, name, parent)

    def _clear_way(self, folder: bytes, way: dirfd.Footing) -> None:
        """Set aside what stands where there must be a folder."""
        above = b""
        for name in folder.split(b"/") if folder else ():
            parent = way.folder(above, dirfd.open_or_make)
            above = os.path.join(above, name)
            there = dirfd.status(name, parent)
            if there is not None and not stat.S_ISDIR(there.st_mode):
                self._set_aside(name, parent, above)

    def _finish_folder(self, info: tarfile.TarInfo) -> None:
        place, path = _split(info)
        folder, name = dirfd.split(path)
        with dirfd.footing(self._roots[place]) as way:
            descriptor = dirfd.open_up(name, way.folder(folder, dirfd.open_up))
            try:
                _dress(descriptor, info)
            finally:
                os.close(descriptor)

    def clear_holdout(self) -> None:
        """Set aside what lies in the holdout folder and is not from the archive."""
        home = os.fsencode(HOLDOUT)
        with dirfd.footing(self._roots[WORKSPACE]) as way:
            for path in [*_below(os.fsencode(self._roots[WORKSPACE]), home)]:
                folder, name = dirfd.split(path)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    parent = way.folder(folder)
                    if path not in self._held_out and dirfd.status(name, parent):
                        self._set_aside(name, parent, path)

    def _set_aside(self, name: bytes, parent: int, path: bytes) -> None:
        """Move what stands at a name into the workspace's folder for such things."""
        self.found.append(printable(os.fsdecode(path)))
        with dirfd.footing(self._roots[WORKSPACE]) as way:
            home = way.folder(os.fsencode(WITHHELD), dirfd.open_or_make)
            aside = os.fsencode(files.free_name(os.fsdecode(name), folder=home, word="found"))
            try:
                os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=home)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_aside(name, parent, aside, home)
                dirfd.remove(name, parent)


def _split(info: tarfile.TarInfo) -> tuple[str, bytes]:
    place, _, path = info.name.partition("/")
    return place, os.fsencode(path)


def _below(root: bytes, path: bytes) -> Iterator[bytes]:
    """The path and what lies below it, folders first; nothing where nothing stands."""
    full = os.path.join(root, path)
    if os.path.lexists(full):
        yield path
        if os.path.isdir(full) and not os.path.islink(full):
            for name in os.listdir(full):
                yield from _below(root, os.path.join(path, name))


def _is_same(
    archive: tarfile.TarFile, info: tarfile.TarInfo, there: os.stat_result, name: bytes, parent: int
) -> bool:
    """Whether what stands at the name is what the archive holds, as far as it says anything."""
    if info.isdir():
        return stat.S_ISDIR(there.st_mode)
    if info.issym():
        is_link = stat.S_ISLNK(there.st_mode)
        return is_link and os.fsdecode(os.readlink(name, dir_fd=parent)) == info.linkname
    if not stat.S_ISREG(there.st_mode) or there.st_size != info.size:
        return False
    with open(dirfd.open_file(name, parent), "rb") as file:
        source = _content(archive, info)
        while chunk := source.read(_CHUNK):
            if file.read(len(chunk)) != chunk:
                return False
    return True


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    source = archive.extractfile(info)
    assert source is not None
    return source


def _put_symlink(info: tarfile.TarInfo, name: bytes, parent: int) -> None:
    dirfd.remove(_TEMPORARY, parent)
    os.symlink(os.fsencode(info.linkname), _TEMPORARY, dir_fd=parent)
    if os.geteuid() == 0:
        os.chown(_TEMPORARY, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
    at = _in_nanoseconds(info)
    os.utime(_TEMPORARY, ns=(at, at), dir_fd=parent, follow_symlinks=False)
    dirfd.move(_TEMPORARY, name, parent, dirfd.remove)


def _put_file(archive: tarfile.TarFile, info: tarfile.TarInfo, name: bytes, parent: int) -> None:
    with dirfd.replacing(name, parent, temporary=_TEMPORARY) as descriptor:
        source = _content(archive, info)
        while chunk := source.read(_CHUNK):
            files.write_all(descriptor, chunk)
        _dress(descriptor, info)


def _dress(descriptor: int, info: tarfile.TarInfo) -> None:
    """Owner, mode and time as they were."""
    if os.geteuid() == 0:
        os.fchown(descriptor, info.uid, info.gid)
    os.fchmod(descriptor, info.mode)
    at = _in_nanoseconds(info)
    os.utime(descriptor, ns=(at, at))


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
