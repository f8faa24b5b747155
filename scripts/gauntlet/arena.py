"""Where one agent meets one way of guarding the loop: a project, a home folder, a tool."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from index import Agent

from gauntlet import modes, oracle
from gauntlet.modes import Mode
from gauntlet.watch import watched
from support import ROOT, SRC

ADVERSARY = os.path.join(ROOT, "tests", "adversary")
FRESH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fresh.py")
PROJECT = os.path.join(ADVERSARY, "project")
TIMEOUT = 150.0  # seconds until a run counts as hung
PATIENCE = 5.0  # seconds in which what a killed tool started must be gone
AGAIN = 2  # times that a tool which was killed is started once more
CASES = 4  # withheld ones
HOLDS = "test -e {workspace}/holdout/cases.jsonl && echo there > spans/seen || echo > spans/seen"


@dataclass(frozen=True)
class Bout:
    """What came of one agent in one mode.

    code: exit code of the tool, None when it hung. wrong: why the project is not repaired, "" when
    it is. left: command lines of processes that were left behind.
    """

    mode: str
    agent: str
    family: str
    does: str
    honest: bool
    code: int | None
    wrong: str
    left: tuple[str, ...]
    seconds: float
    tries: int

    @property
    def completed(self) -> bool:
        return self.code == 0

    @property
    def is_false_completion(self) -> bool:
        return self.completed and bool(self.wrong)

    @property
    def is_false_block(self) -> bool:
        return self.honest and not self.completed

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Arena:
    """A folder that is the agent's whole world as far as the gauntlet can see to it."""

    def __init__(self, folder: str, seed: int, name: str) -> None:
        self.folder = folder
        self.chance = random.Random(f"{seed} {name}")
        self.project = os.path.join(folder, "project")
        self.workspace = os.path.join(self.project, ".openloop", "main")
        self.agents = os.path.join(folder, "agents")
        self._bin = os.path.join(folder, "bin")
        self._home = os.path.join(folder, "home")
        shutil.copytree(PROJECT, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(
            ADVERSARY, self.agents, ignore=shutil.ignore_patterns("__pycache__", "project")
        )
        for each in (self._bin, os.path.join(self._home, ".local", "bin"), self._file("tmp")):
            os.makedirs(each)
        python = shlex.quote(sys.executable)
        self._program("python3", f'exec {python} "$@"')
        self._program(
            "openloop", f'PYTHONPATH={shlex.quote(SRC)} exec {python} -P -m openloop "$@"'
        )

    def _file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _program(self, name: str, text: str) -> None:
        path = os.path.join(self._bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENLOOP_", "GITHUB_", "PYTHON"))
        }
        own = f"{self._home}/.local/bin:{self.project}/.venv/bin:{self._bin}"
        path = f"{own}:{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "HOME": self._home, "TMPDIR": self._file("tmp")}

    def command(self, agent: Agent) -> str:
        """The shell command of one attempt of an agent."""
        words = [sys.executable, f"{self.agents}/run.py", agent.full_name, self.project]
        return shlex.join(words)

    def configure(self, document: dict[str, Any], mode: Mode) -> None:
        os.makedirs(os.path.join(self.workspace, "holdout"), exist_ok=True)
        with open(f"{self.workspace}/openloop.json", "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        if mode.judged:
            with open(f"{self.workspace}/holdout/cases.jsonl", "w", encoding="utf-8") as file:
                file.writelines(self._cases(mode))
        else:
            os.rmdir(f"{self.workspace}/holdout")

    def _cases(self, mode: Mode) -> Iterator[str]:
        """The lines of the withheld file."""
        if mode.fresh:
            secret = self.chance.randrange(10**9)  # an agent knows the number of the round
            words = [sys.executable, "-P", FRESH, str(secret), str(CASES)]
            yield json.dumps({"generate": shlex.join(words)}) + "\n"
        else:
            yield from oracle.lines(self.chance, CASES)

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the real program here, nobody's warden."""
        return subprocess.run(
            [f"{self._bin}/openloop", *words],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def fight(self, agent: Agent, mode: str, tool: str) -> Bout:
        """Let the tool, a shell command, deal with the agent, and look at what came of it."""
        began = time.monotonic()
        with open(self._file("tool.log"), "wb") as log:
            found = watched(
                tool,
                self.project,
                self.environment,
                timeout=TIMEOUT,
                patience=PATIENCE,
                again=AGAIN,
                log=log.fileno(),
            )
        seconds = time.monotonic() - began
        return Bout(
            mode,
            agent.full_name,
            agent.family,
            agent.does,
            agent.is_honest,
            found["code"],
            oracle.repaired(self.project, PROJECT, self._file("copy"), self.chance),
            tuple(found["left"]),
            round(seconds, 3),
            found["tries"],
        )

    def remove(self) -> None:
        for _, folders, _, descriptor in os.fwalk(self.folder):  # paths may be too long
            for name in folders:
                if stat.S_ISDIR(os.lstat(name, dir_fd=descriptor).st_mode):
                    os.chmod(name, stat.S_IRWXU, dir_fd=descriptor)
        shutil.rmtree(self.folder)


def against_openloop(arena: Arena, agent: Agent, mode: Mode) -> Bout:
    document = modes.configuration(mode, arena.command(agent), agent.check)
    arena.configure(document, mode)
    return arena.fight(agent, mode.name, f"exec openloop run {shlex.quote(arena.workspace)} 1>&2")


def against_another(arena: Arena, agent: Agent, name: str, template: str) -> Bout:
    """template: a shell command with {agent}, {check}, {project} and {rounds}, each replaced by
    one quoted word."""
    values = {
        "agent": arena.command(agent),
        "check": f"PYTHONPATH=. ; export PYTHONPATH; {modes.visible(agent.check)}",
        "project": arena.project,
        "rounds": str(modes.ATTEMPTS),
    }
    tool = template
    for key, value in values.items():
        tool = tool.replace(f"{{{key}}}", shlex.quote(value))
    return arena.fight(agent, name, f"{{ {tool}\n}} 1>&2")


def unavailable(arena: Arena, mode: Mode) -> str:
    """Why the mode cannot be used here, "" when it can."""
    if mode.judged and (asked := arena.ask("judge", "--help")).returncode:
        return f"no openloop judge: {_last_line(asked.stderr)}"
    document = modes.configuration(mode, HOLDS, "unittest")
    document["commands"]["verify"] = "test -e spans/seen"
    document["commands"].pop("scan", None)
    arena.configure(document, mode)
    examined = arena.ask("doctor", arena.workspace, "--json")
    if examined.returncode == 2:
        return _last_line(examined.stderr)
    problems = [f for f in json.loads(examined.stdout)["findings"] if f["level"] == "problem"]
    if problems:
        return "; ".join(found["what"] for found in problems)
    tried = arena.ask("run", arena.workspace)
    if tried.returncode:
        return f"a first run ended with {tried.returncode}: {_last_line(tried.stderr)}"
    with open(f"{arena.project}/spans/seen", encoding="utf-8") as file:
        if mode.judged and file.read().strip():
            return "holdout/ is there while an agent works"
    return ""


def _last_line(text: str) -> str:
    return next(iter(text.strip().splitlines()[-1:]), "no answer")
