"""What all requests to one server share."""

from __future__ import annotations

from collections.abc import Sequence

from openloop.record import workspace
from openloop.web.access import Access
from openloop.web.catalogue import Catalogue
from openloop.web.connections import Server
from openloop.web.details import Audits
from openloop.web.logs import Lines


class Site:
    """The loops, who may see them, and what has been worked out about them."""

    def __init__(self, paths: Sequence[str], server: Server, *, private: bool) -> None:
        """private: whether logs of private gates are shown. Raises UsageError for a path that is
        no folder."""
        for path in paths:
            workspace.existing_folder(path)
        self.catalogue = Catalogue(paths)
        self.audits = Audits()
        self.lines = Lines()
        self.private = private
        self.server = server
        self.access = Access(f"openloop-{server.server_port}")

    @property
    def address(self) -> str:
        """Where a person opens the page, the token in it."""
        return f"http://127.0.0.1:{self.server.server_port}/?token={self.access.token}"
