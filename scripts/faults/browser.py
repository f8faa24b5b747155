"""SIGKILL of a play, its guards, its browser or its runner: no process is left, and no profile but
one that the next play removes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from faults.bench import QUIET, Bench, Row, Trial, discard, require, until
from openloop.browser import chromium
from openloop.fs import temporary_folders
from openloop.process import tree
from support import Workspace, environment

_GUARD, _BROWSER = b"openloop-guard", b"--remote-debugging-pipe"
_VICTIMS = (
    "play",
    "a guard",
    "every guard",
    "browser",
    "runner",
    "runner and guard",
    "runner and play",
)


def rows(bench: Bench) -> Iterator[Row]:
    if chromium.is_installed():
        yield kills(bench)


def kills(bench: Bench) -> Row:
    stayed: list[str] = []

    def trial(number: int) -> Trial:
        chance = bench.chance("browser", number)
        victim = chance.choice(_VICTIMS)
        place = _place(bench, number)
        temporary = os.path.join(place.folder, "t")
        process = _start(place, temporary, by_runner=victim.startswith("runner"))
        time.sleep(chance.uniform(0.05, 2.5))
        killed = time.monotonic()
        for pid in _pids(process, victim):
            _kill(pid)
        if victim in ("a guard", "every guard", "browser"):
            process.communicate(timeout=60)  # it notices, and ends by itself
        until(lambda: not _left(temporary), f"every process to be gone after the {victim}")
        seconds = time.monotonic() - killed
        process.communicate(timeout=60)
        if os.listdir(temporary):
            stayed.append(victim)
            temporary_folders.remove_leftovers(temporary)
        require(not os.listdir(temporary), f"{os.listdir(temporary)} left: {victim}")
        discard(place)
        return Trial(1, [seconds])

    row = bench.each("kill -9 around a browser", range(bench.count(6, 200)), trial)
    row.tell_spread()
    row.figures += f"; {len(stayed)} profiles left to the next play"
    return row


def _place(bench: Bench, number: int) -> Workspace:
    server = f"exec {shlex.quote(sys.executable)} -m http.server {{port}} --bind 127.0.0.1"
    steps = [{"open": "/"}, {"expect": {"text": "never"}, "timeout_seconds": 60}]
    play = {"version": 1, "serve": {"run": server}, "steps": steps}
    place = bench.place(f"browser-{number}", commands={"verify": "true", "play": "true"})
    path = os.path.join(place.folder, "play.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(play, file)
    browse = f"{shlex.quote(sys.executable)} -m openloop browse {shlex.quote(path)}"
    place.configure({"commands": {"verify": "true", "play": browse}})
    os.mkdir(os.path.join(place.folder, "t"))
    return place


def _start(place: Workspace, temporary: str, *, by_runner: bool) -> subprocess.Popen[Any]:
    play = os.path.join(place.folder, "play.json")
    words = ["run", place.path] if by_runner else ["browse", play, "--out", place.file("out")]
    return subprocess.Popen(
        [sys.executable, "-m", "openloop", *words],
        cwd=place.project,
        env=environment(TMPDIR=temporary),
        **QUIET,
    )


def _pids(process: subprocess.Popen[Any], victim: str) -> list[int]:
    below = sorted(tree.descendants(process.pid))
    guards = [pid for pid in below if _GUARD in _command(pid)]
    chromiums = [pid for pid in below if _BROWSER in _command(pid)]
    browsers = [pid for pid in chromiums if b"--type=" not in _command(pid)]  # no renderer
    plays = [pid for pid in below if b"\0browse\0" in _command(pid)]
    return {
        "a guard": guards[:1],
        "every guard": guards,
        "browser": browsers[:1],
        "runner and guard": [process.pid, *guards[:1]],
        "runner and play": [process.pid, *plays],
    }.get(victim, [process.pid]) or [process.pid]


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _left(temporary: str) -> list[str]:
    """Processes that were started with this folder for temporary files."""
    found = []
    for pid, _, _ in tree.alive():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if temporary.encode() in file.read():
                    found.append(str(pid))
        except OSError:
            continue
    return found
