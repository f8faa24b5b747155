"""A scratch copy of the project: commands may modify it, the original stays as it is.

Where the kernel allows it the copy is an overlay over the project root itself, seen by the commands
of one guard only: nothing is copied, every path stays the same, also for an installed package that
points to the project. Elsewhere it is a copy in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openloop.fs import dirfd, project_copy
from openloop.process import namespaces


@dataclass(frozen=True, slots=True)
class ScratchCopy:
    """One copy. root: its path as commands see it. view: that their guard must enter, or None."""

    root: str
    view: Mapping[str, Any] | None


@contextlib.contextmanager
def overlay(root: str) -> Iterator[ScratchCopy]:
    """An overlay over `root`; whether it can be entered is only known when it is."""
    with _folder() as folder:
        for name in (namespaces.LOWER, namespaces.UPPER, namespaces.WORK):
            os.mkdir(os.path.join(folder, name))
        yield ScratchCopy(root, {"overlay": [root, folder]})


@contextlib.contextmanager
def copy(root: str, workspace: str) -> Iterator[ScratchCopy]:
    """A copy of `root` without the workspace, see `project_copy.copy`. Raises ProjectTooLarge,
    OSError."""
    with _folder() as folder:
        place = os.path.join(folder, os.path.basename(root) or "project")
        project_copy.copy(root, place, (workspace,))
        yield ScratchCopy(place, None)


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A temporary folder, removed even if commands changed its permissions."""
    home = os.path.realpath(tempfile.gettempdir())
    path = tempfile.mkdtemp(prefix="openloop-scratch-", dir=home)
    try:
        yield path
    finally:
        dirfd.remove_path(path)
