"""The archive of what is withheld from agents: whether it lies there, and what it holds.

The policy packs and unpacks it; the record and the views only need to know what is away.
"""

from __future__ import annotations

import os

from openloop.fs import files
from openloop.record.workspace import ARTIFACTS, LOGS, WITHHELD, Workspace

ARCHIVE = "away.tar.gz"


def lying_at(workspace: Workspace) -> str:
    """Where that is which is off the disk right now, during a change or since a crash, as the
    user would write it; "" when nothing is."""
    name = f"{WITHHELD}/{ARCHIVE}"
    return workspace.shown(name) if os.path.lexists(workspace.file(name)) else ""


def archived(workspace: Workspace) -> list[str]:
    """The names in a workspace's archive, `project/…` and `workspace/…`; none without one, or when
    it cannot be read."""
    if not lying_at(workspace):
        return []
    import tarfile  # slow to load, and seldom needed

    try:
        descriptor = files.open_regular(workspace.file(f"{WITHHELD}/{ARCHIVE}"), os.O_RDONLY)
        with open(descriptor, "rb") as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
            return archive.getnames()
    except (OSError, tarfile.TarError, EOFError):
        return []


def archived_files(workspace: Workspace) -> frozenset[str]:
    """The logs and attachments that are away, by their path in the workspace."""
    places = (f"workspace/{LOGS}/", f"workspace/{ARTIFACTS}/")
    return frozenset(n.partition("/")[2] for n in archived(workspace) if n.startswith(places))
