"""A fleet that faults are provoked in, and what must hold of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from typing import Any

from faults.bench import Bench, Trial, ends, require, run, until
from fleet.fleets import SAYS_SO, Place, names
from support import recomputed_head

TASKS = ("a", "b", "c")
QUICK: dict[str, Any] = {"total_rounds": 1, "commands": {"verify": f"{SAYS_SO}; sleep 0.05"}}
SLOW: dict[str, Any] = {
    "total_rounds": 1,
    "limits": {"kill_grace_seconds": 0.2},
    "commands": {"verify": f"{SAYS_SO}; sleep 0.6"},
}


def place(bench: Bench, name: str, config: dict[str, Any] | None = None, **fleet: Any) -> Place:
    folder = os.path.join(bench.folder, f"fleet-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    fleet = {"tasks": names(*TASKS), "max_parallel": 2, **fleet}
    return Place(folder, QUICK if config is None else config, **fleet)


# --- what must hold ---


def left(where: Place) -> list[int]:
    """Processes that work below the fleet's folder, or have it in their command line."""
    found = []
    below = where.folder.encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            here = os.fsencode(os.readlink(f"/proc/{name}/cwd"))
            with open(f"/proc/{name}/cmdline", "rb") as file:
                is_named = below + b"/" in file.read()
            if int(name) != os.getpid() and (is_named or here == below):
                found.append(int(name))
    return found


def intact(where: Place) -> None:
    """The chain holds, but for a torn last line that a kill may leave."""
    path = os.path.join(where.state, "events.jsonl")
    if os.path.exists(path):
        with open(path, "rb") as file:
            whole = file.read().rpartition(b"\n")
        with open(f"{path}.whole", "wb") as file:
            file.write(whole[0] + whole[1])
        recomputed_head(_Record(f"{path}.whole"))  # type: ignore[arg-type]


class _Record:
    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, name: str) -> str:
        return self.path


def once(where: Place, tasks: tuple[str, ...] = TASKS) -> None:
    ran = Counter(where.ran())
    require(ran == Counter(tasks), f"run were {dict(ran)}")


def completed(where: Place, trial: Trial, tasks: tuple[str, ...] = TASKS, **how: Any) -> Trial:
    """The same command once more comes to the same end as if nothing had happened."""
    ends(run("fleet", "run", where.path, **how), 0)
    once(where, tasks)
    intact(where)
    require(set(where.states().values()) == {"complete"}, f"states are {where.states()}")
    until(lambda: not left(where), "nothing to be left", patience=10)
    shutil.rmtree(where.folder, ignore_errors=True)
    return trial
