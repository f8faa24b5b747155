"""Downloads: which of them the browser has begun, and copies of those that a play expects."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from openloop.browser.failure import Failure
from openloop.browser.output import OutputFolder

_LARGEST = 256 << 20  # bytes of a download that is kept
_SHOWN = 500  # characters of a list that a failure repeats


class Downloads:
    """The downloads into `folder`, by the file names that the pages propose."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._names: dict[str, str] = {}  # guid, which is the file's name as well → proposed name
        self._states: dict[str, str] = {}  # guid → state

    def event(self, method: str, params: Mapping[str, Any]) -> None:
        """Note the download that an event of the browser reports."""
        if method == "Browser.downloadWillBegin":
            self._names[params["guid"]] = params["suggestedFilename"]
        self._states[params["guid"]] = params.get("state", "inProgress")

    def is_complete(self, name: str) -> bool:
        return self._guid(name) is not None

    def _guid(self, name: str) -> str | None:
        wanted = (guid for guid, proposed in self._names.items() if proposed == name)
        return next((guid for guid in wanted if self._states[guid] == "completed"), None)

    def keep(self, name: str, out: OutputFolder) -> None:
        """Copy a complete download to the pictures. Raises Failure for one too large, OSError."""
        path = os.path.join(self.folder, self._guid(name) or "")
        size = os.path.getsize(path)
        if size > _LARGEST:
            raise Failure(f"{name} is too large to be kept", seen=f"{size} bytes")
        kept = re.sub(r"[^\w.-]", "_", name.lstrip("."), flags=re.ASCII)[:100] or "download"
        shutil.copyfile(path, out.path(kept))

    @property
    def words(self) -> str:
        """Every download and its state, for a failure."""
        shown = (f"{name} ({self._states[guid]})" for guid, name in self._names.items())
        return ", ".join(shown)[:_SHOWN] or "no download"
