"""What the families share: options, rows of the table, workspaces, runs and their invariants."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from support import Done, Workspace, environment

HERE = os.path.dirname(os.path.abspath(__file__))
INJECTED = os.path.join(HERE, "injected.py")
GONE_WITHIN = 1.0  # seconds after which nothing of a dead runner may be left
BUSY = 5  # times as long when both cores are taken, as in the quick mode
PATIENCE = 60.0  # seconds after which a run counts as hung
PLANTED = ("kept", "secret")  # files of every project: to be protected, and to be withheld

QUIET: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
}

T = TypeVar("T")


class Violation(Exception):
    """Something that must hold did not."""


@dataclass
class Row:
    """One line of the table. seconds: latencies that were measured, of which the worst counts."""

    fault: str
    tries: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    figures: str = ""

    @property
    def worst(self) -> float | None:
        return max(self.seconds, default=None)

    def percentile(self, share: float) -> float:
        """The nearest-rank percentile of the latencies; share: 0 to 1."""
        ranked = sorted(self.seconds)
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

    def tell_spread(self) -> None:
        """Name the median and the 99th percentile beside the worst."""
        if self.seconds:
            median, high = self.percentile(0.5), self.percentile(0.99)
            self.figures = f"median {median * 1000:.0f} ms, 99 % {high * 1000:.0f} ms"

    def to_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "tries": self.tries,
            "violations": self.violations,
            "worst_seconds": None if self.worst is None else round(self.worst, 4),
            "figures": self.figures,
        }


@dataclass
class Trial:
    """What one try has to say. count: how many faults it provoked."""

    count: int = 1
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """How much to do, from which seed, and where. jobs: tries that go on at once. mounts: whether
    file systems can be mounted."""

    full: bool
    seed: int
    folder: str
    load: bool
    jobs: int
    mounts: bool

    def count(self, quick: int, full: int) -> int:
        return full if self.full else quick

    def chance(self, *names: object) -> random.Random:
        """A generator of its own for each try, so that one can be repeated alone."""
        return random.Random(f"{self.seed} {names}")

    def sample(self, items: Iterable[T], quick: int) -> list[T]:
        """All items in a full run, else `quick` of them, spread at random."""
        known = list(items)
        if self.full or len(known) <= quick:
            return known
        return [known[n] for n in sorted(self.chance("sample").sample(range(len(known)), quick))]

    @property
    def gone_within(self) -> float:
        busy = self.load or not self.full or os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
        return GONE_WITHIN * (BUSY if busy else 1)

    def place(self, name: str, /, **config: Any) -> Workspace:
        """A new workspace, its project with the files that a policy may be about."""
        folder = os.path.join(self.folder, name.replace("/", "-"))
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        place = Workspace(folder, config)
        for name in PLANTED:
            with open(place.project_file(name), "w", encoding="utf-8") as file:
                file.write(name)
        return place

    def each(self, fault: str, items: Iterable[T], work: Callable[[T], Trial | None]) -> Row:
        """Try `work` on every item, some at once; whatever it raises is a violation."""
        row = Row(fault)

        def attempt(item: T) -> Trial | str:
            try:
                return work(item) or Trial()
            except Exception as error:
                kind = "" if isinstance(error, Violation) else f"{type(error).__name__}: "
                return f"seed {self.seed}, {item}: {kind}{error}"

        with ThreadPoolExecutor(self.jobs) as pool:
            for found in pool.map(attempt, items):
                if isinstance(found, str):
                    row.tries += 1
                    row.violations.append(found)
                else:
                    row.tries += found.count
                    row.seconds += found.seconds
        return row


def require(held: object, words: str) -> None:
    if not held:
        raise Violation(words)


def discard(place: Workspace) -> None:
    """Take a workspace that gave no cause for complaint off the disk."""
    shutil.rmtree(place.folder, ignore_errors=True)


# --- running the program ---


def command_line(plan: dict[str, Any] | None, *words: str) -> list[str]:
    """The real program, or with a fault inside of its runner."""
    if plan is None:
        return [sys.executable, "-m", "openloop", *words]
    return [sys.executable, "-P", INJECTED, json.dumps(plan), *words]


def start(*words: str, plan: dict[str, Any] | None = None, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command_line(plan, *words), **{"env": environment(), **QUIET, **how})


def finish(process: subprocess.Popen[bytes], *, patience: float = PATIENCE) -> Done:
    """Wait for a program. It must end in time, and without a traceback."""
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Violation(f"it hung for {patience:g} s") from None
    done = Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    require("Traceback" not in done.err, f"a traceback: {done.err[-2000:]}")
    return done


def run(
    *words: str, plan: dict[str, Any] | None = None, patience: float = PATIENCE, **how: Any
) -> Done:
    return finish(start(*words, plan=plan, **how), patience=patience)


def ends(done: Done, *codes: int) -> Done:
    """The program must have ended with one of these codes, a failure with words on stderr."""
    require(done.code in codes, f"exit code {done.code}, allowed {codes}: {done.err[-500:]}")
    if done.code in (2, 3, 4, 5):
        require(done.err.strip() or done.out.strip(), f"exit code {done.code} without a word")
    return done


# --- what is left of a run ---


def leftovers(place: Workspace) -> list[int]:
    """Processes that work below the workspace's folder or carry its name; the guard is one."""
    below = place.folder + "/"
    named = f"OPENLOOP_WORKSPACE={place.path}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            here = os.readlink(f"/proc/{name}/cwd").startswith(below)
            if not here:
                with open(f"/proc/{name}/environ", "rb") as file:
                    here = named in file.read().split(b"\0")
        except OSError:
            continue
        if here:
            found.append(int(name))
    return found


def carries(pid: int, word: str) -> bool:
    """Whether a living process has this in its command line: a PID alone names nobody."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return word.encode() in file.read()
    except OSError:
        return False


def until(
    condition: Callable[[], object], what: str, *, patience: float = PATIENCE, every: float = 0.002
) -> float:
    """Poll until the condition holds; returns the seconds that it took. every: seconds between two
    looks."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience:
            raise Violation(f"waited {patience:g} s in vain: {what}")
        time.sleep(every)
    return time.monotonic() - began


def tree_gone(bench: Bench, place: Workspace) -> float:
    """Nothing that the dead runner started lives on. Returns seconds until that was so."""
    seconds = until(lambda: not leftovers(place), "the tree to be gone", patience=20)
    allowed = bench.gone_within
    require(seconds <= allowed, f"the tree lived {seconds:.2f} s, allowed are {allowed:g}")
    return seconds


def end(pids: Iterable[int]) -> None:
    """SIGKILL what a failed try left."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
