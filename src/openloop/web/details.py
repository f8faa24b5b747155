"""One loop as a document, from its record and the other files of its workspace."""

from __future__ import annotations

import os
import threading
from typing import Any

from openloop.config import config
from openloop.core import clock
from openloop.core.errors import ConfigError, UsageError
from openloop.fs import files
from openloop.record import chain, reader
from openloop.record import workspace as workspaces
from openloop.record.workspace import KNOWLEDGE, Workspace
from openloop.views import audit, status
from openloop.web.overview import Row

_TEXT = 1 << 18  # bytes of one file of knowledge, a prompt or the configuration
_NAMES = 200  # files of knowledge

Document = dict[str, Any]


def document(workspace: Workspace, row: Row, audits: Audits) -> Document:
    """row: the loop's row of the overview. It never looks better than the record: a broken record
    is reported."""
    seen = status.inspect(workspace.path)
    problems = [{"what": p.what, "where": p.where, "fix": p.fix} for p in seen.problems]
    found: Document = {**row, "problems": problems, "withheld": seen.withheld or None}
    try:
        record = reader.load_path(workspace)
    except (chain.BrokenChain, OSError) as error:
        return {
            **found,
            "gates": [],
            "head": None,
            "broken": str(error),
            "audit": audits.of(workspace),
        }
    state = record.state
    known = _known(workspace)
    gates = [
        {
            "step": step,
            "outcome": state.gates[step].outcome if step in state.gates else None,
            "stale": step in state.gates and state.gates[step].seq < state.change_seq,
            "error": state.gates[step].error if step in state.gates else "",
        }
        for step in (known.gates if known else state.gates)
    ]
    return {
        **found,
        "gates": gates,
        "head": record.head,
        "events": state.seq,
        "broken": None,
        "undone": [{"round": v.round, "step": v.step, "text": v.text} for v in state.undone],
        "knowledge": knowledge(workspace),
        "audit": audits.of(workspace),
    }


def _known(workspace: Workspace) -> config.Config | None:
    try:
        return config.parse(workspaces.read_config(workspace), where=workspace.path)
    except (ConfigError, UsageError):
        return None  # the problems say so


def is_private(workspace: Workspace, step: str | None) -> bool:
    """Whether the configuration keeps a step's log private; true where it is not known."""
    known = _known(workspace)
    if known is None:
        return True
    return any(gate == step and known.command(gate).private for gate in known.gates)


def knowledge(workspace: Workspace) -> list[str]:
    """The names of the files in knowledge/, at most 200; none where that is no folder."""
    try:
        folder = files.open_folder(workspace.file(KNOWLEDGE))
    except OSError:
        return []
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))[:_NAMES]
    finally:
        os.close(folder)


def text_of(workspace: Workspace, folder: str, name: str) -> str:
    """The text of a file in one of the workspace's folders ("" for its own), cut at a bound.
    Raises OSError, also for what is no regular file."""
    opened = files.open_folder(workspace.file(folder) if folder else workspace.path)
    try:
        return files.read(name, folder=opened, limit=_TEXT).decode(errors="replace")
    finally:
        os.close(opened)


class Audits:
    """Audits that were asked for, each in a thread of its own; the latest result of each loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, Document] = {}

    def of(self, workspace: Workspace) -> Document | None:
        """The state of the latest audit; None when none was asked for."""
        with self._lock:
            return self._results.get(workspace.path)

    def begin(self, workspace: Workspace) -> None:
        """Start an audit, unless one of this loop is running."""
        with self._lock:
            if self._results.get(workspace.path, {}).get("running"):
                return
            self._results[workspace.path] = {"running": True, "asked_at": clock.utc()}
        threading.Thread(target=self._run, args=(workspace,), daemon=True).start()

    def _run(self, workspace: Workspace) -> None:
        try:
            result = audit.examine(workspace).to_json()
        except OSError as error:
            result = {"intact": False, "broken": {"where": workspace.path, "why": str(error)}}
        with self._lock:
            self._results[workspace.path] = {"running": False, "at": clock.utc(), **result}
