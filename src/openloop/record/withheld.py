"""The archive of files withheld from agents: whether it exists, and what it holds.

The policy packs and unpacks it; the record and the views only ask which files are in it.
"""

from __future__ import annotations

import os

from openloop.fs import files
from openloop.record.workspace import ARTIFACTS, LOGS, WITHHELD, Workspace

ARCHIVE = "away.tar.gz"


def archive_path(workspace: Workspace) -> str:
    """The path, as the user would write it, of the archive that holds the withheld files during a
    change or since a crash; "" when there is none."""
    name = f"{WITHHELD}/{ARCHIVE}"
    return workspace.shown(name) if os.path.lexists(workspace.file(name)) else ""


def archived(workspace: Workspace) -> list[str]:
    """The names in a workspace's archive, `project/…` and `workspace/…`; none without one, or when
    it cannot be read."""
    if not archive_path(workspace):
        return []
    import tarfile  # slow to load, and seldom needed

    try:
        descriptor = files.open_regular(workspace.file(f"{WITHHELD}/{ARCHIVE}"), os.O_RDONLY)
        with open(descriptor, "rb") as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
            return archive.getnames()
    except (OSError, tarfile.TarError, EOFError):
        return []


def archived_files(workspace: Workspace) -> frozenset[str]:
    """The logs and attachments in the archive, by their path in the workspace."""
    places = (f"workspace/{LOGS}/", f"workspace/{ARTIFACTS}/")
    return frozenset(n.partition("/")[2] for n in archived(workspace) if n.startswith(places))
