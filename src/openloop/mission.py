"""What a command line names: a workspace, its configuration, and its project root."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from openloop import config, files, workspace
from openloop.config import Config
from openloop.errors import UsageError
from openloop.workspace import CONFIG, Workspace

_LIMIT = 16 << 20  # bytes; nobody writes a configuration of that size


@dataclass(frozen=True, slots=True)
class Mission:
    """Read once and kept: what an agent does to the files later changes nothing here.

    data: the bytes of openloop.json. root: the project root's absolute path.
    """

    workspace: Workspace
    config: Config
    data: bytes
    root: str

    @property
    def config_sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read_config(place: Workspace) -> bytes:
    """The bytes of openloop.json. Raises UsageError."""
    try:
        path = os.path.realpath(place.file(CONFIG))  # a person may keep it elsewhere
        data = files.read(path, limit=_LIMIT)
    except OSError as error:
        raise UsageError(
            f"{CONFIG} cannot be read: {error.strerror}", where=place.shown(CONFIG)
        ) from None
    return data


def load(path: str) -> Mission:
    """The mission of the workspace at `path`. Raises UsageError or ConfigError."""
    place = workspace.existing(path)
    data = read_config(place)
    known = config.parse(data, where=place.shown(CONFIG))
    root = workspace.existing_project_root(place, known.project_root)
    return Mission(place, known, data, root)
