"""Files in a folder that others may write to as well: nothing followed, nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterable

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO must hang no open
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Name = str | bytes


class NotRegular(OSError):
    """Something stands at the name that is no regular file: a symlink, a FIFO, a folder."""


def open_regular(name: Name, flags: int, *, folder: int | None = None, mode: int = 0o644) -> int:
    """Open a regular file in `folder` (a descriptor), or at an absolute path.

    Raises NotRegular for anything else at that name, OSError as `os.open` does.
    """
    try:
        descriptor = os.open(name, flags | _SAFE, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotRegular(error.errno, "is not a regular file", name) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, "is not a regular file", name)
    return descriptor


def open_folder(name: Name, *, folder: int | None = None) -> int:
    """Open a folder. Raises NotADirectoryError for a symlink in the last place too."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
        raise


def open_or_make_folder(name: str, *, folder: int) -> int:
    """Open a folder, made anew when it is missing; what stands in its place is set aside."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return open_folder(name, folder=folder)
    if exists(name, folder=folder):
        set_aside(name, folder=folder)
    os.mkdir(name, dir_fd=folder)
    return open_folder(name, folder=folder)


def exists(name: str, *, folder: int | None = None) -> bool:
    """Whether anything stands at the name, a dangling symlink included."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(name: str, *, folder: int | None = None, limit: int | None = None) -> bytes:
    """A regular file's bytes, `limit` of them at most."""
    with open(open_regular(name, os.O_RDONLY, folder=folder), "rb") as file:
        return file.read(-1 if limit is None else limit)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte. Raises OSError, also when the disk takes only a part."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        view = view[written:]


def replace(
    name: str, data: bytes | Iterable[bytes], *, folder: int, durable: bool = False
) -> None:
    """Put a whole file in place at once: the old bytes or the new, never a mixture.

    data: also in pieces. durable: also after a power cut, at the cost of two fsyncs.
    """
    temporary = f".{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = open_regular(temporary, flags, folder=folder)
    except FileExistsError:  # left by a crash, or planted: never written through
        remove(temporary, folder=folder)
        descriptor = open_regular(temporary, flags, folder=folder)
    try:
        try:
            for piece in (data,) if isinstance(data, bytes) else data:
                write_all(descriptor, piece)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _rename_over(temporary, name, folder)
    except OSError:
        with contextlib.suppress(OSError):
            remove(temporary, folder=folder)
        raise
    if durable:
        os.fsync(folder)


def _rename_over(temporary: str, name: str, folder: int) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except IsADirectoryError:  # planted: keep it, out of the way
        set_aside(name, folder=folder)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def remove(name: str, *, folder: int) -> None:
    """Remove a file, or set a folder of that name aside."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        set_aside(name, folder=folder)


def set_aside(name: str, *, folder: int, word: str = "edited") -> str:
    """Rename to the first free NAME.WORD-1, NAME.WORD-2, … and return that name."""
    aside = free_name(name, folder=folder, word=word)
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    return aside


def free_name(name: str, *, folder: int, word: str) -> str:
    """The first of NAME.WORD-1, NAME.WORD-2, … at which nothing stands."""
    return next(
        candidate
        for number in itertools.count(1)
        if not exists(candidate := f"{name}.{word}-{number}", folder=folder)
    )
