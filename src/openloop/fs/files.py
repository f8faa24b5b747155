"""Safe file access in folders that others can write to: no symlink followed, no partial write."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterable

from openloop.core.errors import UsageError

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import AnyStr

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO must hang no open
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Name = str | bytes


class NotRegular(OSError):
    """The entry is not a regular file but a symlink, a FIFO, a folder."""


def open_regular(name: Name, flags: int, *, folder: int | None = None, mode: int = 0o644) -> int:
    """Open a regular file in `folder` (a descriptor), or at an absolute path.

    Raises NotRegular for any other kind of entry, OSError as `os.open` does.
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
    """Open a folder. Raises NotADirectoryError when its last component is a symlink, too."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
        raise


def open_or_make_folder(name: str, *, folder: int) -> int:
    """Open a folder, or create it; anything else of that name is set aside."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return open_folder(name, folder=folder)
    if exists(name, folder=folder):
        set_aside(name, folder=folder)
    os.mkdir(name, dir_fd=folder)
    return open_folder(name, folder=folder)


def exists(name: str, *, folder: int | None = None) -> bool:
    """Whether there is an entry of that name; a dangling symlink is one."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(name: str, *, folder: int | None = None, limit: int | None = None) -> bytes:
    """At most `limit` bytes of a regular file."""
    with open(open_regular(name, os.O_RDONLY, folder=folder), "rb") as file:
        return file.read(-1 if limit is None else limit)


def read_argument(name: str, path: str, *, limit: int, fix: str, fix_size: str) -> bytes:
    """The bytes of a file that a person named. name: of the command's argument. fix, fix_size: what
    to do when it cannot be read, or holds more than `limit` bytes. Raises UsageError."""
    try:
        data = read(os.path.realpath(path), limit=limit + 1)
    except OSError as error:
        why = "is not a regular file" if isinstance(error, NotRegular) else error.strerror
        raise UsageError(f"{name} cannot be read: {why}", where=path, fix=fix) from None
    if len(data) > limit:
        raise UsageError(f"{name} holds more than {limit >> 20} MB", where=path, fix=fix_size)
    return data


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte. Raises OSError, also when the disk has room for a part only."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        view = view[written:]


def replace(
    name: str, data: bytes | Iterable[bytes], *, folder: int, durable: bool = False
) -> None:
    """Replace a whole file atomically.

    data: the bytes, or pieces of them. durable: survives a power cut, at the cost of two fsyncs.
    """
    temporary = f".{name}.new"
    descriptor = create(temporary, folder, clear=lambda name, folder: remove(name, folder=folder))
    try:
        try:
            for piece in (data,) if isinstance(data, bytes) else data:
                write_all(descriptor, piece)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        rename_over(temporary, name, folder, clear=lambda name, _: set_aside(name, folder=folder))
    except OSError:
        with contextlib.suppress(OSError):
            remove(temporary, folder=folder)
        raise
    if durable:
        os.fsync(folder)


def create(
    name: AnyStr, folder: int, *, clear: Callable[[AnyStr, int], object], mode: int = 0o644
) -> int:
    """Create a file and open it for writing. clear: removes an entry that a crash left there, or
    that was planted."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return open_regular(name, flags, folder=folder, mode=mode)
    except FileExistsError:
        clear(name, folder)
        return open_regular(name, flags, folder=folder, mode=mode)


def create_unlinked_file(folder: int) -> int:
    """A new, empty file in `folder` that has no name. Raises OSError."""
    name = f".unlinked-{os.urandom(8).hex()}"
    descriptor = open_regular(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, folder=folder, mode=0o600)
    os.unlink(name, dir_fd=folder)
    return descriptor


def rename_over(
    old: AnyStr, new: AnyStr, folder: int, *, clear: Callable[[AnyStr, int], object]
) -> None:
    """Rename an entry, replacing any other. clear: removes a folder, or renames it."""
    try:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    except IsADirectoryError:
        clear(new, folder)
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def remove(name: str, *, folder: int) -> None:
    """Remove a file; a folder of that name is set aside."""
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
    """The first of NAME.WORD-1, NAME.WORD-2, … that is unused."""
    return next(
        candidate
        for number in itertools.count(1)
        if not exists(candidate := f"{name}.{word}-{number}", folder=folder)
    )
