"""Where everything is measured: a clean Python, scratch workspaces, and samples taken in turn."""

from __future__ import annotations

import itertools
import json
import os
import platform
import random
import select
import shlex
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SRC = os.path.join(ROOT, "src")
HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 300.0  # seconds after which a program counts as hung

AT_MOST, AT_LEAST = "≤", "≥"
TIMES = "\N{MULTIPLICATION SIGN}"  # the unit of a ratio


class Trouble(Exception):
    """Something could not be measured."""


@dataclass(frozen=True)
class Goal:
    """What a row has to reach. unit TIMES: the ratio counts, else the figure of OpenLoop itself."""

    limit: float
    unit: str = TIMES
    kind: str = AT_MOST

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g} {self.unit}".rstrip()

    def held(self, figure: float) -> bool:
        return figure <= self.limit if self.kind == AT_MOST else figure >= self.limit


@dataclass(frozen=True)
class Row:
    """One line of the table. floor, figure: medians in `unit`; floor is None without one."""

    key: str
    what: str
    floor: float | None
    figure: float
    unit: str
    goal: Goal | None = None
    note: str = ""
    name: str = "OpenLoop"  # whose figure it is

    @property
    def ratio(self) -> float | None:
        return self.figure / self.floor if self.floor else None

    @property
    def held(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        figure = self.ratio if self.goal.unit == TIMES else self.figure
        return figure is not None and self.goal.held(figure)

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.key,
            "what": self.what,
            "name": self.name,
            "floor": _short(self.floor),
            "figure": _short(self.figure),
            "unit": self.unit,
            "ratio": _short(self.ratio),
            "goal": str(self.goal) if self.goal else None,
            "held": self.held,
            "note": self.note,
        }


def _short(figure: float | None) -> float | None:
    return None if figure is None else float(f"{figure:.4g}")


@dataclass(frozen=True)
class Tool:
    """Another program to compare with. template: a shell command with {rounds} and {command}."""

    name: str
    template: str

    def words(self, rounds: int, command: str) -> list[str]:
        text = self.template.replace("{rounds}", str(rounds))
        text = text.replace("{command}", shlex.quote(command))
        return ["/bin/sh", "-c", text]


@dataclass
class Lab:
    """How much to do, and where. python, openloop: programs of the clean environment."""

    full: bool
    folder: str
    chance: random.Random
    tools: tuple[Tool, ...] = ()
    python: str = ""
    openloop: str = ""
    histories: dict[int, Place] = field(default_factory=dict)  # rounds → workspace, see history
    controls: list[tuple[float, float]] = field(default_factory=list)  # A/A, see control
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def amount(self, quick: int, full: int) -> int:
        return full if self.full else quick

    @property
    def cwd(self) -> str:
        """Where programs run: OpenLoop starts a second interpreter in a folder that holds it."""
        return os.path.join(self.folder, "cwd")

    def control(self, taken: list[float], again: list[float]) -> None:
        """Keep the medians of what was measured twice; nothing without a second time."""
        if again:
            self.controls.append((statistics.median(taken), statistics.median(again)))

    def build(self) -> None:
        """An environment with nothing but the standard library and this checkout's package."""
        os.mkdir(self.cwd)
        place = os.path.join(self.folder, "venv")
        venv.create(place, with_pip=False)
        self.python = os.path.join(place, "bin", "python")
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = self.output(self.python, "-c", ask).strip()
        package = os.path.join(packages, "openloop")
        shutil.copytree(os.path.join(SRC, "openloop"), package)
        self.output(self.python, "-m", "compileall", "-q", package)
        self.output(self.python, "-c", "import argparse, dataclasses, json, socket, subprocess")
        self.openloop = os.path.join(place, "bin", "openloop")
        with open(self.openloop, "w", encoding="utf-8") as file:
            file.write(
                f"#!{self.python}\n"
                "import sys\nfrom openloop.__main__ import main\nsys.exit(main())\n"
            )
        os.chmod(self.openloop, 0o755)

    # --- programs ---

    def start(self, *words: str, **how: Any) -> subprocess.Popen[bytes]:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        return subprocess.Popen(words, **{"env": environment(), "cwd": self.cwd, **quiet, **how})

    def output(self, *words: str, code: int | None = 0) -> str:
        """What a program prints. code: what it must end with; None for anything."""
        done = subprocess.run(
            words,
            env=environment(),
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if code is not None and done.returncode != code:
            tail = (done.stderr or done.stdout)[-500:]
            raise Trouble(f"{' '.join(words)[:200]} ended with {done.returncode}: {tail}")
        return done.stdout

    def seconds(self, *words: str, code: int | None = 0, **how: Any) -> float:
        """How long a program takes from its start to its end."""
        began = time.perf_counter()
        process = self.start(*words, stderr=subprocess.DEVNULL, **how)
        _wait(process)
        seconds = time.perf_counter() - began
        ended = process.wait()
        if code is not None and ended != code:
            raise Trouble(f"{' '.join(words)[:200]} ended with {ended}")
        return seconds

    # --- workspaces ---

    def fresh(self, name: str) -> str:
        """A new, empty folder."""
        path = os.path.join(self.folder, f"{name}-{next(self._count)}")
        os.makedirs(path)
        return path

    def place(self, name: str, **config: Any) -> Place:
        """A new workspace."""
        return Place(self, self.fresh(name), config)


class Place:
    """A workspace with an empty project beside it."""

    def __init__(self, lab: Lab, folder: str, config: Mapping[str, Any]) -> None:
        self.lab = lab
        self.folder = folder
        self.path = os.path.join(folder, "workspace")
        os.makedirs(os.path.join(folder, "project"))
        os.makedirs(self.path)
        self._config = {"version": 1, "project_root": "project", **config}
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Write the configuration, some of its keys changed."""
        self._config |= changes
        with open(self.file("openloop.json"), "w", encoding="utf-8") as file:
            json.dump(self._config, file)

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def command(self, *words: str) -> list[str]:
        return [self.lab.openloop, "run", self.path, *words]

    def run(self, *words: str, code: int = 1) -> float:
        """Seconds that a whole `openloop run` takes; it is to end as exhausted."""
        return self.lab.seconds(*self.command("--quiet", *words), code=code)

    def until_first_step(self) -> float:
        """Seconds from the start of `openloop run` to the start of its first command."""
        began = time.time_ns()
        with Stream(self, "--max-rounds", "1") as stream:
            return (stream.until("step_started")[1] - began) / 1e9

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def endless(*steps: str, command: str = "true", **more: Any) -> dict[str, Any]:
    """A configuration whose rounds go on until the budget is used up: verify never passes."""
    commands = dict.fromkeys(steps, command) | {"verify": f"{command}; false"}
    limits = {"max_consecutive_failures": 10_000_000}
    return {"total_rounds": 10_000_000, "commands": commands, "limits": limits, **more}


class Stream:
    """A running `openloop run --json`, its events read as they happen."""

    def __init__(self, place: Place, *words: str) -> None:
        self.process = place.lab.start(
            *place.command("--json", *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=PATIENCE)

    def until(self, kind: str) -> tuple[dict[str, Any], int]:
        """The next event of that kind, and when it was read, in ns since the epoch."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.time_ns()
            event: dict[str, Any] = json.loads(line)
            if event["event"] == kind:
                return event, now
        raise Trouble(f"the run ended before {kind}")

    @property
    def processes(self) -> list[int]:
        """The runner and its guard."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [pid, *map(int, file.read().split())]


# --- samples ----------------------------------------------------------------------------


def in_turn(
    lab: Lab, passes: int, samples: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Take every sample once a pass, in an order that is shuffled for each.

    In full mode the first sample is taken twice a pass: how far its two medians lie apart in
    `lab.controls` is what chance alone does to a ratio.
    """
    first = next(iter(samples))
    again = {"control": samples[first]} if lab.full else {}
    every = {**samples, **again}
    taken: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(passes):
        for name in lab.chance.sample(list(every), len(every)):
            taken[name].append(every[name]())
    lab.control(taken[first], taken.pop("control", []))
    return taken


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(figures) for name, figures in taken.items()}


def slope(cost: Callable[[int], float], few: int, many: int) -> float:
    """Seconds for one more, the start left out. cost: seconds of so many."""
    return (cost(many) - cost(few)) / (many - few)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until it ends. `Popen.wait` with a timeout looks every 50 ms only."""
    descriptor = os.pidfd_open(process.pid)
    try:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            process.kill()
            raise Trouble(f"{process.args!r} did not end within {PATIENCE:g} s")
    finally:
        os.close(descriptor)


# --- the machine ------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """This process's environment without what changes how Python or OpenLoop starts."""
    unwanted = ("PYTHON", "OPENLOOP_", "GITHUB_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def memory(pid: int, field: str = "VmRSS") -> float:
    """MB of a process. field: VmRSS now, VmHWM at its most."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def proportional(pid: int) -> float:
    """MB of a process, pages that others use too divided among them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024 / 1e6


def cpu(pids: list[int]) -> float:
    """Seconds of CPU that processes have used, every thread counted."""
    nanoseconds = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def switches(pids: list[int]) -> int:
    """How often the threads of processes went to sleep."""
    count = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
                count += next(int(x.split()[1]) for x in file if x.startswith("voluntary"))
    return count


def machine(folder: str) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "file_system": _file_system(folder),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def _file_system(folder: str) -> str:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split()[1:3] for line in file]
    above = [(len(where), kind) for where, kind in mounts if _is_below(folder, where)]
    return max(above)[1]


def _is_below(folder: str, where: str) -> bool:
    return os.path.commonpath([os.path.realpath(folder), where]) == where


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
