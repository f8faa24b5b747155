"""The state that all requests to one server share."""

from __future__ import annotations

import os
from collections.abc import Sequence

from openloop.core.errors import UsageError
from openloop.record import workspace
from openloop.web.access import Access
from openloop.web.connections import BoundedServer
from openloop.web.details import Audits
from openloop.web.logs import LineNumbers
from openloop.web.overview import Overview


class Site:
    """The loops, the access rules, and the caches."""

    def __init__(self, paths: Sequence[str], server: BoundedServer, *, private: bool) -> None:
        """paths: workspaces, files of fleets, or folders to look for workspaces in.
        private: whether logs of private gates are shown. Raises UsageError for a wrong path."""
        folders = [_folder_of(path) for path in paths]
        for path in folders:
            workspace.existing_folder(path)
        self.overview = Overview(folders)
        self.audits = Audits()
        self.lines = LineNumbers()
        self.private = private
        self.server = server
        self.access = Access(f"openloop-{server.server_port}")

    @property
    def address(self) -> str:
        """The address of the page for a person, with the token."""
        return f"http://127.0.0.1:{self.server.server_port}/?token={self.access.token}"


def _folder_of(path: str) -> str:
    """The folder that a path stands for: a fleet keeps its tasks beside its file."""
    if not os.path.isfile(path):
        return path
    folder = f"{os.path.splitext(path)[0]}.fleet"
    if not os.path.isdir(folder):
        what = f"{path} is no workspace, and no fleet that has run"
        raise UsageError(what, fix="name a folder, or run the fleet first: openloop fleet run")
    return folder
