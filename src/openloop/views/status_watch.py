"""Follow a live run, or wait for one that is about to start."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from openloop.core.vocabulary import Status
from openloop.record import workspace as workspaces
from openloop.record.lock import runner_lives
from openloop.record.workspace import EVENTS, Workspace
from openloop.views import console, status

WATCH_INTERVAL = 1.0  # seconds
PATIENCE = 5.0  # seconds
_INTERVAL = 0.1  # seconds between two looks


def for_first_run(workspace: Workspace) -> None:
    """Wait a little for the first run of a workspace, and say so on stderr."""
    if runner_lives(workspace) or os.path.lexists(workspace.file(EVENTS)):
        return
    words = f"nothing has run yet: waiting {PATIENCE:g} s for a run to start"
    print(words, file=sys.stderr, flush=True)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not runner_lives(workspace):
        time.sleep(_INTERVAL)


def watch(path: str, screen: console.Screen) -> status.WorkspaceStatus:
    """Show a live run until it is over: on a terminal the whole page, redrawn; elsewhere a line a
    step. Returns the last report."""
    for_first_run(workspaces.existing(path))
    shown = ""
    while True:
        report = status.inspect(path)
        is_over = report.status != Status.RUNNING and not runner_lives(report.workspace)
        if is_over or not screen.is_open:
            screen.page([])
            return report
        if screen.is_terminal:
            screen.page(status.lines(report))
        elif (steady := _steady(report.heartbeat)) != shown:
            shown = steady
            screen.line(live_words(report.heartbeat))
        time.sleep(WATCH_INTERVAL)


def _steady(beat: Mapping[str, Any]) -> str:
    """The part of the heartbeat that must change before a new line is printed."""
    names = ("round", "step", "started_at", "pid", "waiting_until")
    return " ".join(str(beat.get(name)) for name in names)


def live_words(beat: Mapping[str, Any]) -> str:
    """`round 4 of 5 | verify, PID 123 | log 3.4 KB | ETA …` from a heartbeat."""
    parts = [
        f"round {status.text(beat.get('round'))}",
        status.text(beat.get("step")) or "between steps",
    ]
    if words := status.wait_details(beat):
        return f"{parts[0]} | waiting {words}"
    if beat.get("pid"):
        parts.append(f"PID {status.text(beat['pid'])}")
    if isinstance(beat.get("log_bytes"), int):
        parts.append(f"log {console.size(beat['log_bytes'])}")
    eta = beat.get("eta_seconds")
    parts.append(
        f"ETA {console.duration(eta)}" if isinstance(eta, int | float) else "ETA not known yet"
    )
    if beat.get("last_error"):
        parts.append(status.text(beat["last_error"]))
    return " | ".join(parts)
