"""The loops below the given paths, and one row of the overview for each.

A heartbeat is read again only when its file has changed, so that a look at a thousand loops costs a
thousand `stat`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from openloop.core.vocabulary import Status
from openloop.record import lock, tail
from openloop.record.chain import Broken
from openloop.record.workspace import HEARTBEAT, Workspace
from openloop.views import discovery

STALE = 10.0  # seconds without a beat after which a live runner is called stale
_SEARCH_EVERY = 10.0  # seconds, or a hundred times as long as the search took
_FIELDS = (
    *("status", "reason", "mission", "run", "round", "total_rounds", "step", "pid", "log_path"),
    *("log_bytes", "updated_at", "started_at", "speed", "eta", "eta_seconds", "metric", "usage"),
    *("waiting_until", "consecutive_failures", "last_error", "normality", "host"),
)
_FLEET = ".fleet"  # how the folder of a fleet ends
_PERSON = (Status.BLOCKED, Status.CRASHED)

Row = dict[str, Any]


class Catalogue:
    """What is shown. Safe to ask from several threads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._roots = [os.path.realpath(path) for path in paths]
        self._lock = threading.Lock()
        self._places: dict[str, Workspace] = {}
        self._beats: dict[str, tuple[tuple[int, ...], dict[str, Any] | None]] = {}
        self._search_at = 0.0
        self.whole = True  # whether the search reached everything

    def rows(self) -> list[Row]:
        """A row a loop: first what needs a person, then what runs, then the rest."""
        with self._lock:
            self._search()
            rows = [self._row(key, place) for key, place in self._places.items()]
        return sorted(rows, key=lambda row: (row["rank"], row["fleet"], row["path"]))

    def place(self, key: str) -> Workspace | None:
        """The workspace of a row; None when there is no such row."""
        with self._lock:
            self._search()
            return self._places.get(key)

    def row(self, key: str) -> Row:
        with self._lock:
            return self._row(key, self._places[key])

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
        self._places = found
        took = time.monotonic() - now
        self._search_at = time.monotonic() + max(_SEARCH_EVERY, 100 * took)

    def _row(self, key: str, place: Workspace) -> Row:
        beat = self._beat(place)
        row: Row = {name: (beat or {}).get(name) for name in _FIELDS}
        row["status"] = _status(place, beat)
        row["stale"] = row["status"] == Status.RUNNING and _age(beat) > STALE
        row |= {"id": key, "path": place.path, "name": _name_of(place.path)}
        row["fleet"] = _fleet_of(place.path)
        row["needs"] = _needs(row)
        row["rank"] = 0 if row["needs"] else 1 if row["status"] == Status.RUNNING else 2
        return row

    def _beat(self, place: Workspace) -> dict[str, Any] | None:
        try:
            now = os.stat(place.file(HEARTBEAT), follow_symlinks=False)
        except OSError:
            return None
        sign = (now.st_ino, now.st_size, now.st_mtime_ns)
        kept = self._beats.get(place.path)
        if kept is None or kept[0] != sign:
            kept = self._beats[place.path] = (sign, _believable(place, tail.heartbeat(place)))
        return kept[1]


def _believable(place: Workspace, beat: dict[str, Any] | None) -> dict[str, Any] | None:
    """The heartbeat; None where it says complete and the record does not."""
    if beat is None or beat["status"] != Status.COMPLETE:
        return beat
    try:
        agrees = tail.look(place).is_complete
    except (Broken, OSError):
        agrees = False
    return beat if agrees or lock.runner_lives(place) else None


def _key(path: str) -> str:
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:16]


def _status(place: Workspace, beat: dict[str, Any] | None) -> str:
    """The heartbeat's word, or `crashed`, or `unknown` where there is no heartbeat."""
    if beat is None:
        return "unknown"
    if beat["status"] == Status.RUNNING and not lock.runner_lives(place):
        again = tail.heartbeat(place) or beat  # it may just have come to its end
        return Status.CRASHED if again["status"] == Status.RUNNING else str(again["status"])
    return str(beat["status"])


def _age(beat: dict[str, Any] | None) -> float:
    """Seconds since the latest beat, by the wall clock; 0 where that cannot be told."""
    try:
        beaten = datetime.fromisoformat(str((beat or {})["updated_at"]))
        return (datetime.now(UTC) - beaten).total_seconds()
    except (KeyError, ValueError, TypeError):  # TypeError: a time without a zone
        return 0.0


def _needs(row: Row) -> str:
    """Why a person should look; "" when nobody needs to."""
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
