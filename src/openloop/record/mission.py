"""What a command line names: a workspace, its configuration, and its project root."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from openloop.config import config, placeholders
from openloop.config.config import Config
from openloop.record import workspace
from openloop.record.workspace import CONFIG, Workspace


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

    def misspelt_placeholders(self) -> Iterator[str]:
        """A sentence on each placeholder that a command probably misspells: the command gets it as
        it stands."""
        for step, command in self.config.commands.items():
            for one in filter(None, (command, command.fallback)):
                for words in placeholders.misspelt(one.run):
                    yield f"commands.{step}: {words}"


def load(path: str) -> Mission:
    """The mission of the workspace at `path`. Raises UsageError or ConfigError."""
    place = workspace.existing(path)
    data = workspace.read_config(place)
    known = config.parse(data, where=place.shown(CONFIG))
    root = workspace.existing_project_root(place, known.project_root)
    return Mission(place, known, data, root)
