"""A copy of the project, in which `judge --copy` runs the command.

A program that works only in its own folder fails there, and what it writes into the copy is gone
afterwards: neither a later gate nor an agent finds it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from openloop.core.errors import JudgeError, UsageError
from openloop.fs import project_copy
from openloop.fs.programs import is_below


@dataclass(frozen=True, slots=True)
class CopiedProject:
    """A project and its copy. root: the project's path. copy: the path of its copy."""

    root: str
    copy: str

    def inside(self, text: str) -> str:
        """The text with paths in the project replaced by those in the copy."""
        path = rf"(?<![^\s:=;,'\"]){re.escape(self.root)}(?![\w.-])"
        return re.sub(path, lambda _: self.copy, text)


def make(place: str, hidden: str, look: Callable[[], None]) -> CopiedProject:
    """Copy the project of this run, or else the current directory, into the new folder `place`.

    hidden: the path that is hidden from the command; not copied. look: called before each file; may
    raise. Raises UsageError, JudgeError.
    """
    root = os.path.realpath(os.environ.get("OPENLOOP_PROJECT_ROOT") or os.getcwd())
    if not is_below(root, os.getcwd()):
        root = os.getcwd()
    if is_below(root, place):
        what = "--copy: the folder for temporary files lies in the project"
        raise UsageError(what, where=root, fix="set TMPDIR to a folder outside of it")
    workspace = os.path.realpath(os.environ.get("OPENLOOP_WORKSPACE") or "/")
    os.mkdir(place)
    found = CopiedProject(root, os.path.join(place, os.path.basename(root)))
    try:
        project_copy.copy(root, found.copy, (hidden, workspace), look)
    except (OSError, shutil.Error) as error:
        raise JudgeError(
            f"the project cannot be copied: {error}",
            where=root,
            fix="make room, or leave out --copy",
        ) from None
    return found
