"""Start a command under a warden, and hear what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

WARDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "warden.py")


def watched(
    command: str,
    folder: str,
    env: Mapping[str, str],
    *,
    timeout: float,
    patience: float = 0.0,
    again: int = 0,
    log: int = subprocess.DEVNULL,
) -> dict[str, Any]:
    """Run a shell command under a warden; returns what warden.py prints. log: takes its stderr.

    Raises RuntimeError when the warden was killed: an agent did what it must not.
    """
    words = [sys.executable, "-I", "-S", WARDEN, str(timeout), str(patience), str(again), command]
    done = subprocess.run(
        words,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the warden of {command[:200]!r} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
