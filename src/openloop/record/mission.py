"""What a command line names: a workspace, its configuration, and its project root."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from openloop.config import config, placeholders
from openloop.config.config import Config
from openloop.core.errors import ConfigError, UsageError
from openloop.record import workspace as workspaces
from openloop.record.lock import runner_lives
from openloop.record.workspace import CONFIG, HOME, Workspace


class Mission(NamedTuple):
    """Read once: later changes to the files have no effect.

    data: the bytes of openloop.json. root: the project root's absolute path.
    """

    workspace: Workspace
    config: Config
    data: bytes
    root: str

    @property
    def config_sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def warnings(self) -> Iterator[str]:
        """What a person should know before the first round, a sentence each."""
        yield from map(same_project, loops_beside(self.workspace, self.root))
        yield from self._misspelt_placeholders()

    def _misspelt_placeholders(self) -> Iterator[str]:
        """A sentence on each placeholder that a command gets as it stands."""
        for step, command in self.config.commands.items():
            for one in filter(None, (command, command.fallback)):
                for words in placeholders.misspelt(one.run):
                    yield f"commands.{step}: {words}"


def load(path: str) -> Mission:
    """The mission of the workspace at `path`. Raises UsageError or ConfigError."""
    workspace = workspaces.existing(path)
    data = workspaces.read_config(workspace)
    known = config.parse(data, where=workspace.shown(CONFIG))
    root = workspaces.existing_project_root(workspace, known.project_root)
    return Mission(workspace, known, data, root)


def loops_beside(workspace: Workspace, root: str) -> Iterator[Workspace]:
    """The other workspaces in the same `.openloop` whose runners live and work on the project at
    `root`, on a part of it, or on a folder around it."""
    folder, own = os.path.split(workspace.path)
    if os.path.basename(folder) != HOME:
        return
    for name in workspaces.names_in(folder):
        path = os.path.join(folder, name)
        other = Workspace(path, path)
        with contextlib.suppress(ConfigError, UsageError):  # edited since, or it cannot be read
            if name != own and runner_lives(other) and _overlap(root, load(path).root):
                yield other


def _overlap(one: str, other: str) -> bool:
    """Whether two folders are the same, or one lies in the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def same_project(other: Workspace) -> str:
    """The sentence on a loop that works on the same project."""
    return f"{other.given} works on the same project now: each loop may undo what the other changes"
