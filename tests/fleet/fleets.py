"""What the tests of the fleet share: a folder with a fleet in it, and the program run on it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from openloop.core import interpreter
from openloop.fleet.launchers import launcher
from openloop.fleet.views.status import FleetStatus
from support import Case, Done, _end, run_openloop, start_openloop, wait_until


class Place:
    """A fleet in a folder of its own."""

    def __init__(self, folder: str, config: Mapping[str, Any] | None = None, **fleet: Any) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "fleet.json")
        self.state = os.path.join(folder, "fleet.fleet")
        if config is not None:
            self.write("openloop.json", json.dumps({"version": 1, **config}))
        self.configure(**fleet)

    def configure(self, **fleet: Any) -> None:
        self.fleet = fleet
        self.write("fleet.json", json.dumps({"version": 1, **fleet}))

    def file(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def write(self, name: str, text: str) -> None:
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name: str) -> str:
        try:
            with open(self.file(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def do(self, action: str, *words: str, exitcode: int | None = 0, **how: Any) -> Done:
        return run_openloop("fleet", action, self.path, *words, exitcode=exitcode, **how)

    def start(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        return start_openloop("fleet", "run", self.path, *words, **how)

    @property
    def events(self) -> list[dict[str, Any]]:
        whole = self.read("fleet.fleet/events.jsonl").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def states(self) -> dict[str, str]:
        """As `status` has them, without a process."""
        state = FleetStatus(self.path).state
        return {task.name: str(state.word(task)) for task in state.shown()}

    def wait_for(self, kind: str, count: int = 1) -> None:
        wait_until(lambda: len(self.events_of(kind)) >= count, f"{count} times {kind}")

    def ran(self) -> list[str]:
        """The tasks whose command was run, in order, from the file that `SAYS_SO` writes."""
        return self.read("ran").split()


SAYS_SO = 'basename "$(dirname "$OPENLOOP_WORKSPACE")" >> "$PWD/ran"'


def names(*words: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": word, **more} for word in words]


def running(case: Case, place: Place, *words: str, **how: Any) -> subprocess.Popen[str]:
    """A coordinator, ended with the test, and with it whatever it has started."""
    process = place.start(*words, **how)
    case.addCleanup(place.do, "cancel", exitcode=None, env=how.get("env"))
    case.addCleanup(_end, process)
    return process


def eager(name: str, **more: Any) -> dict[str, Any]:
    """A launcher that ships, and asks its engine more often."""
    return {**launcher.shipped(name), "poll_seconds": 0.2, **more}


FAKE = """#!{python} -IS
import json, os, sys, time
verb, folder, *rest = sys.argv[1:]
def here(name): return os.path.join(folder, name)
if os.path.exists(here("down")):
    sys.exit("engine is down")
if verb == "submit":
    launch, target = rest
    if os.path.exists(here("refuse")):
        sys.exit("bad partition")
    with open(here("queue"), "a") as file:
        file.write(launch + " " + target + "\\n")
    if os.path.exists(here("lose-answer")):
        sys.exit("engine is down")
    print("job 7")
elif verb == "poll":
    if os.path.exists(here("queue")):
        with open(here("queue")) as file:
            print(file.read(), end="")
elif verb == "cancel":
    with open(here("cancelled"), "a") as file:
        file.write(rest[0] + "\\n")
"""


class Engine:
    """An engine that is a file: what is submitted is queued, and runs when a test says so."""

    def __init__(self, folder: str, **more: Any) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        program = os.path.join(folder, "engine.py")
        with open(program, "w", encoding="utf-8") as file:
            file.write(FAKE.format(python=sys.executable))
        words = f"{sys.executable} -I -S {shlex.quote(program)}"
        self.launcher = {
            "submit": f"{words} submit {shlex.quote(folder)} {{launch}} {{folder}}",
            "poll": f"{words} poll {shlex.quote(folder)}",
            "cancel": f"{words} cancel {shlex.quote(folder)} {{launch}}",
            "id": "job (\\d+)",
            "listed": "^(?P<launch>\\S+)",
            "unreachable": "is down",
            "poll_seconds": 0.05,
            "grace_seconds": 0.5,
            "stop_seconds": 0.5,
            **more,
        }

    def file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def set(self, name: str, on: bool = True) -> None:
        if on:
            open(self.file(name), "w").close()
        else:
            os.unlink(self.file(name))

    @property
    def queue(self) -> list[tuple[str, str]]:
        """(launch, folder) of everything that was submitted."""
        try:
            with open(self.file("queue"), encoding="utf-8") as file:
                return [tuple(line.split(" ", 1)) for line in file.read().splitlines()]  # type: ignore[misc]
        except FileNotFoundError:
            return []

    def forget(self) -> None:
        os.unlink(self.file("queue"))

    def begin(self, position: int = 0, **how: Any) -> subprocess.Popen[bytes]:
        """Run what was submitted, as a node would."""
        folder = self.queue[position][1]
        return subprocess.Popen([*LAUNCH, "run", folder], **how)


LAUNCH = [*interpreter.isolated_python(), interpreter.LAUNCH]
