"""Path operations relative to open directories; symlinks are never followed.

For trees that other processes rearrange meanwhile. Names are bytes. A folder that denies its owner
access is given owner permissions when it is entered; the caller restores its mode.
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
_NO_NAMES = frozenset((b"", b".", b".."))


def split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name) of a relative path. Raises ValueError for one with `.`, `..` or `//`."""
    if not _NO_NAMES.isdisjoint(path.split(b"/")):
        raise ValueError(f"not a plain relative path: {path!r}")
    folder, _, name = path.rpartition(b"/")
    return folder, name


def status(name: bytes, parent: int) -> os.stat_result | None:
    """The status of the entry itself, symlink or not; None when there is none."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_folder(name: bytes, parent: int) -> int:
    """Open a folder. Raises NotADirectoryError for a symlink too."""
    return files.open_folder(name, folder=parent)


def open_file(name: bytes, parent: int) -> int:
    """Open a regular file to read it. Raises NotRegular for anything else, OSError."""
    return files.open_regular(name, os.O_RDONLY, folder=parent)


def open_with_owner_rights(name: bytes, parent: int) -> int:
    """Open a folder and give its owner every right in it."""
    try:
        descriptor = open_folder(name, parent)
    except PermissionError:
        _grant_owner(name, parent)
        descriptor = open_folder(name, parent)
    mode = os.fstat(descriptor).st_mode
    if mode & OWNER != OWNER:
        with contextlib.suppress(PermissionError):  # not ours; later operations report it
            os.fchmod(descriptor, stat.S_IMODE(mode) | OWNER)
    return descriptor


def open_or_make(name: bytes, parent: int) -> int:
    """As `open_with_owner_rights`, but creates a missing folder; anything else of that name is
    removed."""
    found = status(name, parent)
    if found is None or not stat.S_ISDIR(found.st_mode):
        if found:
            os.unlink(name, dir_fd=parent)
        os.mkdir(name, dir_fd=parent)
        give_owner(name, os.fstat(parent), parent)
    return open_with_owner_rights(name, parent)


def give_owner(made: int | bytes, like: os.stat_result, parent: int | None = None) -> None:
    """Give a new file or folder the owner of `like`, when this process runs as root."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.chown(made, like.st_uid, like.st_gid, dir_fd=parent, follow_symlinks=parent is None)


def remove_single(name: bytes, parent: int) -> bool:
    """Remove one entry; False for a folder that is not empty, which stays."""
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
    """Remove an entry, a folder with its contents; nothing happens when there is none."""
    found = status(name, parent)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    descriptor = open_with_owner_rights(name, parent)
    try:
        _empty(descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def remove_path(path: str) -> None:
    """As `remove`, for an absolute path."""
    folder, name = os.path.split(path)
    with open_tree(folder) as opened:
        remove(os.fsencode(name), opened.folder(b""))


def _empty(folder: int) -> None:
    """Empty a folder of any depth: moving inner folders up saves descriptors and recursion."""
    while names := os.listdir(folder):
        for name in map(os.fsencode, names):
            found = status(name, folder)
            if found and stat.S_ISDIR(found.st_mode):
                _flatten(name, folder)
            else:
                os.unlink(name, dir_fd=folder)


def _flatten(name: bytes, parent: int) -> None:
    """Remove a folder after moving the folders in it to its parent."""
    folder = open_with_owner_rights(name, parent)
    try:
        for inner in map(os.fsencode, os.listdir(folder)):
            found = status(inner, folder)
            if found and stat.S_ISDIR(found.st_mode):
                os.close(
                    open_with_owner_rights(inner, folder)
                )  # only a writable folder can be moved
                moved = os.urandom(16).hex().encode()
                os.rename(inner, moved, src_dir_fd=folder, dst_dir_fd=parent)
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _grant_owner(name: bytes, parent: int) -> None:
    """Give the owner every permission on a folder that cannot be opened."""
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
    """The descriptor of a new file, which replaces the entry `name` atomically once it is written
    (a folder is cleared first). After an exception nothing has changed.

    temporary: its name until then. clear: removes a folder of that name.
    """
    descriptor = files.create(temporary, parent, clear=remove, mode=mode)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        files.rename_over(temporary, name, parent, clear=clear)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


class OpenTree:
    """A root folder and the folders below it that lead to the last one used, all open."""

    def __init__(self, root: int) -> None:
        """root: descriptor of the root folder, which `close` closes too."""
        self._names: list[bytes] = []
        self._descriptors = [root]

    def folder(self, path: bytes, enter: Enter = open_folder) -> int:
        """Descriptor of a folder below the root, valid until the next call. `enter` opens the
        folders that are not open yet. Raises what it raises."""
        names = path.split(b"/") if path else []
        shared = 0
        for have, want in zip(self._names, names, strict=False):
            if have != want:
                break
            shared += 1
        self._close_below(shared)
        for name in names[shared:]:
            self._descriptors.append(enter(name, self._descriptors[-1]))
            self._names.append(name)
        return self._descriptors[-1]

    def _close_below(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            os.close(self._descriptors.pop())

    def close(self) -> None:
        self._close_below(0)
        os.close(self._descriptors.pop())


@contextlib.contextmanager
def open_tree(root: str) -> Iterator[OpenTree]:
    """The folder `root`, opened. Raises OSError."""
    opened = OpenTree(files.open_folder(root))
    try:
        yield opened
    finally:
        opened.close()
