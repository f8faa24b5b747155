"""Ways through a tree that somebody else may have rearranged: step by step, no symlink followed.

Names are bytes. A folder closed to its owner is opened up on the way; whoever opens it puts
its mode back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from openloop.fs import files

Enter = Callable[[bytes, int], int]  # (name, descriptor of its folder) → descriptor
Clear = Callable[[bytes, int], None]  # (name, descriptor of its folder)
OWNER = stat.S_IRWXU


def split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name) of a relative path. Raises ValueError for one that leads elsewhere."""
    if any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise ValueError(f"not a plain relative path: {path!r}")
    folder, _, name = path.rpartition(b"/")
    return folder, name


def status(name: bytes, parent: int) -> os.stat_result | None:
    """What stands at the name itself; None for nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_folder(name: bytes, parent: int) -> int:
    """Raises NotADirectoryError for a symlink too."""
    return files.open_folder(name, folder=parent)


def open_file(name: bytes, parent: int) -> int:
    """Open a regular file to read it. Raises NotRegular for anything else, OSError."""
    return files.open_regular(name, os.O_RDONLY, folder=parent)


def open_up(name: bytes, parent: int) -> int:
    """Open a folder and give its owner every right in it."""
    try:
        descriptor = open_folder(name, parent)
    except PermissionError:
        _let_owner_in(name, parent)
        descriptor = open_folder(name, parent)
    mode = os.fstat(descriptor).st_mode
    if mode & OWNER != OWNER:
        with contextlib.suppress(PermissionError):  # not ours: what is not allowed will tell
            os.fchmod(descriptor, stat.S_IMODE(mode) | OWNER)
    return descriptor


def open_or_make(name: bytes, parent: int) -> int:
    """As `open_up`; a folder is made where there is none, and what stands there removed."""
    found = status(name, parent)
    if found is None or not stat.S_ISDIR(found.st_mode):
        if found:
            os.unlink(name, dir_fd=parent)
        os.mkdir(name, dir_fd=parent)
        give(name, os.fstat(parent), parent)
    return open_up(name, parent)


def give(made: int | bytes, like: os.stat_result, parent: int | None = None) -> None:
    """What root makes in a person's tree belongs to that person, where root may say so."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.chown(made, like.st_uid, like.st_gid, dir_fd=parent, follow_symlinks=parent is None)


def remove_alone(name: bytes, parent: int) -> bool:
    """Remove what stands at the name; False for a folder that holds something, which stays."""
    found = status(name, parent)
    if found is None:
        return True
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return True
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def remove(name: bytes, parent: int) -> None:
    """Remove whatever stands at the name, a folder with all that is in it."""
    found = status(name, parent)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    descriptor = open_up(name, parent)
    try:
        _empty(descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def _empty(folder: int) -> None:
    """Empty a folder however deep it is: inner folders are moved up before they are emptied, so
    that neither descriptors nor recursion run out."""
    while names := os.listdir(folder):
        for name in map(os.fsencode, names):
            found = status(name, folder)
            if found and stat.S_ISDIR(found.st_mode):
                _dissolve(name, folder)
            else:
                os.unlink(name, dir_fd=folder)


def _dissolve(name: bytes, parent: int) -> None:
    """Remove a folder; the folders in it move to its parent."""
    folder = open_up(name, parent)
    try:
        for inner in map(os.fsencode, os.listdir(folder)):
            found = status(inner, folder)
            if found and stat.S_ISDIR(found.st_mode):
                os.close(open_up(inner, folder))  # a folder moves only when it can be written
                moved = os.urandom(16).hex().encode()
                os.rename(inner, moved, src_dir_fd=folder, dst_dir_fd=parent)
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _let_owner_in(name: bytes, parent: int) -> None:
    """chmod a folder that cannot even be opened."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, OWNER, dir_fd=parent, follow_symlinks=False)
        return
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.chmod(f"/proc/self/fd/{handle}", mode | OWNER)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(
    name: bytes, parent: int, *, temporary: bytes, clear: Clear = remove, mode: int = 0o600
) -> Iterator[int]:
    """The descriptor of a new file, which takes the place of whatever stands at the name once it
    is written, at one blow unless that is a folder. After an exception nothing has changed.

    temporary: its name until then, in the same folder or (`name` holding a slash) above it.
    clear: does away with a folder.
    """
    descriptor = _create(temporary, parent, mode)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        move(temporary, name, parent, clear)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _create(name: bytes, parent: int, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return files.open_regular(name, flags, folder=parent, mode=mode)
    except FileExistsError:  # left by a crash, or planted
        remove(name, parent)
        return files.open_regular(name, flags, folder=parent, mode=mode)


def move(old: bytes, new: bytes, parent: int, clear: Clear) -> None:
    """Rename, over whatever stands there; a folder is cleared away first."""
    try:
        os.rename(old, new, src_dir_fd=parent, dst_dir_fd=parent)
    except IsADirectoryError:
        clear(new, parent)
        os.rename(old, new, src_dir_fd=parent, dst_dir_fd=parent)


class Footing:
    """The open folders on the way from a root to where one works; neighbours share them."""

    def __init__(self, root: int) -> None:
        """root: descriptor of the root folder, which is closed with the rest."""
        self._names: list[bytes] = []
        self._descriptors = [root]

    def folder(self, path: bytes, enter: Enter = open_folder) -> int:
        """Descriptor of a folder below the root, good until the next call. `enter` opens what
        is not open yet. Raises what it raises."""
        names = path.split(b"/") if path else []
        shared = 0
        for have, want in zip(self._names, names, strict=False):
            if have != want:
                break
            shared += 1
        self._back_to(shared)
        for name in names[shared:]:
            self._descriptors.append(enter(name, self._descriptors[-1]))
            self._names.append(name)
        return self._descriptors[-1]

    def _back_to(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            os.close(self._descriptors.pop())

    def close(self) -> None:
        self._back_to(0)
        os.close(self._descriptors.pop())


@contextlib.contextmanager
def footing(root: str) -> Iterator[Footing]:
    """A footing on the folder `root`. Raises OSError when there is none."""
    way = Footing(files.open_folder(root))
    try:
        yield way
    finally:
        way.close()
