"""A copy of a project in another place, without what belongs to OpenLoop."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Collection

from openloop.core.errors import OpenLoopError

LARGEST = 1 << 30  # bytes of a project that is copied
_HOME = ".openloop"


class ProjectTooLarge(OpenLoopError):
    """The project is larger than LARGEST."""


def copy(
    root: str, place: str, leave_out: Collection[str], look: Callable[[], None] = lambda: None
) -> None:
    """Copy everything below `root` to `place`, which must not exist, except for `.openloop`,
    sockets, FIFOs, devices, and the `.git` of a worktree, which leads back to the original.

    leave_out: absolute paths of other files and folders to leave out. look: called before each
    file; may raise. Raises ProjectTooLarge, OSError.
    """

    def aside(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if _is_aside(os.path.join(folder, name), leave_out)}

    def copy_file(source: str, target: str) -> str:
        look()
        return shutil.copy2(source, target, follow_symlinks=False)

    size = 0
    for folder, folders, names in os.walk(root):
        look()
        left_out = aside(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in left_out]
        kept = [name for name in names if name not in left_out]
        size += sum(os.lstat(os.path.join(folder, name)).st_size for name in kept)
        if size > LARGEST:
            what = f"the project is larger than {LARGEST >> 30} GB, and is not copied"
            raise ProjectTooLarge(what, where=root, fix="remove what is not needed")
    shutil.copytree(root, place, symlinks=True, ignore=aside, copy_function=copy_file)


def _is_aside(path: str, leave_out: Collection[str]) -> bool:
    mode, name = os.lstat(path).st_mode, os.path.basename(path)
    if path in leave_out or name == _HOME:
        return True
    if stat.S_ISDIR(mode):
        return False
    return name == ".git" or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))
