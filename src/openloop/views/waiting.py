"""Wait for a run that is about to start, for those who follow one."""

from __future__ import annotations

import os
import sys
import time

from openloop.record.lock import runner_lives
from openloop.record.workspace import EVENTS, Workspace

PATIENCE = 5.0  # seconds
_INTERVAL = 0.1  # seconds between two looks


def for_first_run(place: Workspace) -> None:
    """Where nothing has run yet, wait a little for the first run, and say so on stderr."""
    if runner_lives(place) or os.path.lexists(place.file(EVENTS)):
        return
    words = f"nothing has run yet: waiting {PATIENCE:g} s for a run to start"
    print(words, file=sys.stderr, flush=True)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not runner_lives(place):
        time.sleep(_INTERVAL)
