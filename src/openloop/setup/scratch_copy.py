"""A copy of the project that may be spoilt: the original stays as it is.

Where the kernel allows it the copy is an overlay over the project root itself, seen by the commands
of one guard only: nothing is copied, every path stays what it is, an installed package that points
to the project included. Elsewhere it is a copy in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openloop.fs import dirfd
from openloop.process import namespaces
from openloop.record.workspace import HOME

LARGEST = 1 << 30  # bytes of a project that is copied


class TooLarge(Exception):
    """The project is too large to be copied. size: bytes counted until then."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """One copy. root: its path as commands see it. view: that their guard must enter, or None."""

    root: str
    view: Mapping[str, Any] | None


@contextlib.contextmanager
def overlay(root: str) -> Iterator[Scratch]:
    """An overlay over `root`; whether it can be entered is only known when it is."""
    with _folder() as folder:
        for name in (namespaces.LOWER, namespaces.UPPER, namespaces.WORK):
            os.mkdir(os.path.join(folder, name))
        yield Scratch(root, {"overlay": [root, folder]})


@contextlib.contextmanager
def copy(root: str, workspace: str) -> Iterator[Scratch]:
    """A copy of everything below `root` but the workspace and `.openloop`; sockets, FIFOs and
    the `.git` of a worktree, which leads back to the original, are left out.

    Raises TooLarge, OSError.
    """
    check_size(root, workspace)
    with _folder() as folder:
        place = os.path.join(folder, os.path.basename(root) or "project")
        shutil.copytree(root, place, symlinks=True, ignore=_Aside(workspace))
        yield Scratch(place, None)


def check_size(root: str, workspace: str) -> None:
    """Raises TooLarge for a project above LARGEST."""
    aside, size = _Aside(workspace), 0
    for folder, folders, names in os.walk(root):
        left_out = aside(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in left_out]
        for name in names:
            if name not in left_out:
                size += os.lstat(os.path.join(folder, name)).st_size
        if size > LARGEST:
            raise TooLarge


class _Aside:
    """What is left out of a copy, as `shutil.copytree` asks for it."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace

    def __call__(self, folder: str, names: list[str]) -> set[str]:
        return {name for name in names if self._is_aside(os.path.join(folder, name), name)}

    def _is_aside(self, path: str, name: str) -> bool:
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            return name == HOME or path == self._workspace
        return name == ".git" or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A temporary folder, removed whatever its inhabitants did to its modes."""
    above = os.path.realpath(tempfile.gettempdir())
    path = tempfile.mkdtemp(prefix="openloop-scratch-", dir=above)
    try:
        yield path
    finally:
        parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            dirfd.remove(os.fsencode(os.path.basename(path)), parent)
        finally:
            os.close(parent)
