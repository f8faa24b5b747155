"""The loops below the given paths, and one row of the overview for each.

A heartbeat is read again only when its file has changed, so that a look at a thousand loops costs a
thousand `stat`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from openloop.core.usage import RunUsage
from openloop.core.vocabulary import Status
from openloop.loop.events import Metric
from openloop.record import record_end
from openloop.record.chain import BrokenChain
from openloop.record.workspace import EVENTS, HEARTBEAT, Workspace
from openloop.views import discovery, status

T = TypeVar("T")

SILENT_AFTER = 10.0  # seconds without a beat after which a live runner is called stale
_SEARCH_EVERY = 10.0  # seconds, or a hundred times as long as the search took
_TEXTS = (
    *("status", "reason", "mission", "step", "log_path", "updated_at", "started_at", "eta"),
    *("waiting_until", "last_error", "normality", "host"),
)
_NUMBERS = (
    *("run", "round", "total_rounds", "pid", "log_bytes", "eta_seconds", "consecutive_failures"),
)
_FLEET = ".fleet"  # how the folder of a fleet ends
_LIVE = (Status.RUNNING, Status.CRASHED)  # the lock decides, not the files alone
_PERSON = (Status.BLOCKED, Status.CRASHED)

Row = dict[str, Any]
Beat = dict[str, Any]


class Overview:
    """The loops on the overview page. Safe to use from several threads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._roots = [os.path.realpath(path) for path in paths]
        self._lock = threading.Lock()
        self._workspaces: dict[str, Workspace] = {}
        self._beats = _FileCache(record_end.heartbeat, HEARTBEAT)
        self._ends = _FileCache(_end_of_record, EVENTS)
        self._rows: dict[str, _ShownRow] = {}
        self._search_at = 0.0
        self.whole = True  # whether the search reached everything

    def document(self) -> bytes:
        """JSON with a row a loop: first those that need a person, then the running
        ones, then the rest. An unchanged row is not encoded again."""
        with self._lock:
            self._search()
            shown = [self._show(key, workspace) for key, workspace in self._workspaces.items()]
            whole = b"true" if self.whole else b"false"
        rows = b",".join([one.json for one in sorted(shown, key=lambda one: one.order)])
        return b'{"version":1,"loops":[%b],"complete_search":%b}' % (rows, whole)

    def workspace(self, key: str) -> Workspace | None:
        """The workspace of a row; None when there is no such row."""
        with self._lock:
            self._search()
            return self._workspaces.get(key)

    def row(self, key: str) -> Row:
        with self._lock:
            return self._show(key, self._workspaces[key]).row

    def _search(self) -> None:
        now = time.monotonic()
        if now < self._search_at:
            return
        found: dict[str, Workspace] = {}
        self.whole = True
        for root in self._roots:
            paths, whole = discovery.find(root)
            self.whole = self.whole and whole
            found |= {_key(path): Workspace(path, path) for path in paths}
        self._workspaces = found
        took = time.monotonic() - now
        self._search_at = time.monotonic() + max(_SEARCH_EVERY, 100 * took)

    def _show(self, key: str, workspace: Workspace) -> _ShownRow:
        claimed, end = self._beats.of(workspace), self._ends.of(workspace)
        before = self._rows.get(key)
        if before and before.claimed is claimed and before.end is end and not before.is_live:
            return before
        shown = self._rows[key] = _ShownRow(_row(key, workspace, claimed, end), claimed, end)
        return shown


class _ShownRow:
    """A row, the facts it was made from, and its JSON."""

    def __init__(self, row: Row, claimed: Beat | None, end: record_end.RecordEnd | None) -> None:
        self.row = row
        self.claimed = claimed
        self.end = end
        self.is_live = row["status"] in _LIVE
        self.order = (row["rank"], row["fleet"], row["path"])
        self.json = json.dumps(row, separators=(",", ":"), allow_nan=False).encode()


def _row(
    key: str, workspace: Workspace, claimed: Beat | None, end: record_end.RecordEnd | None
) -> Row:
    beat, problems = status.heartbeat_checked_against_record(workspace, claimed, end)
    row = _fields(beat)
    contradicted = bool(problems) and claimed is not None
    if contradicted:
        row["reason"] = problems[0].what
    row["stale"] = row["status"] == Status.RUNNING and _age(row["updated_at"]) > SILENT_AFTER
    row |= {"id": key, "path": workspace.path, "name": _name_of(workspace.path)}
    row["fleet"] = _fleet_of(workspace.path)
    row["needs"] = "mismatch" if contradicted else _needs(row)
    row["rank"] = 0 if row["needs"] else 1 if row["status"] == Status.RUNNING else 2
    return row


class _FileCache(Generic[T]):
    """A cache of one file of each workspace, read again only when that file has changed."""

    def __init__(self, read: Callable[[Workspace], T], name: str) -> None:
        self._read = read
        self._name = name
        self._found: dict[str, tuple[tuple[int, ...], T]] = {}

    def of(self, workspace: Workspace) -> T:
        sign: tuple[int, ...] = ()
        with contextlib.suppress(OSError):
            now = os.stat(workspace.file(self._name), follow_symlinks=False)
            sign = (now.st_ino, now.st_size, now.st_mtime_ns)
        kept = self._found.get(workspace.path)
        if kept is None or kept[0] != sign:
            kept = self._found[workspace.path] = (sign, self._read(workspace))
        return kept[1]


def _end_of_record(workspace: Workspace) -> record_end.RecordEnd | None:
    try:
        return record_end.read_end(workspace)
    except (BrokenChain, OSError):
        return None


def _fields(beat: Mapping[str, Any]) -> Row:
    """The fields that are shown; null where a heartbeat, which may hold anything, has another kind
    of value."""
    row: Row = {name: _of_kind(beat.get(name), str) for name in _TEXTS}
    row |= {name: _of_kind(beat.get(name), int, float) for name in _NUMBERS}
    speed = beat.get("speed")
    each = _of_kind(speed.get("seconds_per_round"), int, float) if isinstance(speed, dict) else None
    row["speed"] = {"seconds_per_round": each}
    row["metric"] = row["usage"] = None
    with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):
        row["metric"] = metric = Metric.from_json(beat["metric"]).to_json()
        metric["best"] = _of_kind(metric["best"], int, float)
    with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):
        row["usage"] = RunUsage.from_json(beat["usage"]).to_json()
    return row


def _of_kind(value: object, *kinds: type) -> Any:
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None


def _key(path: str) -> str:
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:16]


def _age(updated_at: str | None) -> float:
    """Seconds since the latest beat, by the wall clock; 0 where it is not known."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(updated_at or "")).total_seconds()
    except (ValueError, TypeError):  # TypeError: a time without a zone
        return 0.0


def _needs(row: Row) -> str:
    """Why a loop needs a person; "" when it does not."""
    if row["status"] in _PERSON or row["status"] == "unknown":
        return str(row["status"])
    if row["stale"]:
        return "stale"
    if row["status"] == Status.RUNNING and row["waiting_until"]:
        return "waiting"
    over_budget = row["status"] == Status.EXHAUSTED and "max_" in str(row["reason"])
    return "over budget" if over_budget else ""


def _name_of(path: str) -> str:
    """The name of a workspace's folder; of a fleet's task, which calls all of them `workspace`, the
    name of the task."""
    parent, name = os.path.split(path)
    task = name == "workspace" and os.path.basename(os.path.dirname(parent)) == "tasks"
    return os.path.basename(parent) if task else name


def _fleet_of(path: str) -> str:
    """The name of the fleet that a workspace lies in, "" for none."""
    for part in reversed(path.split(os.sep)[:-1]):
        if part.endswith(_FLEET) and part != _FLEET:
            return part.removesuffix(_FLEET)
    return ""
