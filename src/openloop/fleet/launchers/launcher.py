"""A launcher: shell commands and patterns that hand launches to an engine and ask it about them.

Three ship as JSON files; a fleet may bring its own. Nothing here knows an engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from openloop.core import interpreter

SHIPPED = ("local", "ssh", "slurm")
NAMES = (
    *("run", "start", "alive", "end", "kill"),
    *("launch", "task", "folder", "job", "host", "options"),
)
_OF_ALL = ("alive", "host", "options")  # the variables that poll may hold
_PLACE = re.compile(r"\{(\w+)\}")


class Verb(StrEnum):
    """The commands of a launcher."""

    SUBMIT = "submit"
    POLL = "poll"
    CANCEL = "cancel"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Host:
    """A host with a number of slots. name: "" when the engine chooses."""

    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher; times in seconds. kill: the same as cancel if the document has none."""

    name: str
    commands: Mapping[Verb, str]
    id: re.Pattern[str]
    listed: re.Pattern[str]
    unreachable: re.Pattern[str] | None
    unreachable_codes: frozenset[int]
    needs: tuple[str, ...]
    poll_interval: float
    grace: float
    stop: float

    def command(self, verb: Verb, values: Mapping[str, str]) -> str:
        """The text for /bin/sh. values: `launch`, `task`, `folder`, `job`, `host`, `options`."""
        folder = values.get("folder", "")

        def fill(place: re.Match[str]) -> str:
            name = place[1]
            if name == "options":
                return values["options"]
            if name in ("run", "start", "alive", "end", "kill"):
                return shlex.quote(_program(name, folder))
            return shlex.quote(values.get(name, "")) if name in NAMES else place[0]

        return _PLACE.sub(fill, self.commands[verb])

    def job_in(self, output: str) -> str:
        """The job's id in what submit printed; "" where there is none."""
        found = self.id.search(output)
        return found[1] if found and found.groups() else found[0] if found else ""

    def launches_in(self, output: str) -> dict[str, str]:
        """Launch → id of its job, "" where poll says none."""
        found = map(self.listed.search, output.splitlines())
        return {one["launch"]: one.groupdict().get("id") or "" for one in found if one}

    def could_not_ask(self, code: int, errors: str) -> bool:
        """Whether the engine was not reached, so that nobody knows what became of a submission."""
        if code < 0 or code in self.unreachable_codes:
            return True
        return code != 0 and self.unreachable is not None and bool(self.unreachable.search(errors))


def shipped(name: str) -> dict[str, Any]:
    """The document of one of SHIPPED."""
    path = os.path.join(os.path.dirname(__file__), f"{name}.json")
    with open(path, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def make(name: str, document: Mapping[str, Any], defaults: Mapping[str, Any]) -> Launcher:
    """The launcher of a valid document. defaults: values of absent keys."""
    whole = {**defaults, **document}
    pattern = whole.get("unreachable")
    commands = {verb: whole[verb] for verb in (Verb.SUBMIT, Verb.POLL, Verb.CANCEL)}
    return Launcher(
        name=name,
        commands={**commands, Verb.KILL: whole.get("kill", whole["cancel"])},
        id=re.compile(whole["id"], re.MULTILINE),
        listed=re.compile(whole["listed"]),
        unreachable=re.compile(pattern) if pattern else None,
        unreachable_codes=frozenset(map(int, whole.get("unreachable_codes", ()))),
        needs=tuple(whole.get("needs", ())),
        poll_interval=float(whole["poll_seconds"]),
        grace=float(whole["grace_seconds"]),
        stop=float(whole["stop_seconds"]),
    )


def unknown_places(command: str) -> Iterable[str]:
    """Words in braces that look like a variable but are not one."""
    return (name for name in _PLACE.findall(command) if name not in NAMES)


def useless_in_poll(command: str) -> Iterable[str]:
    """Variables in a poll command that stand for a single launch."""
    return (name for name in _PLACE.findall(command) if name in NAMES and name not in _OF_ALL)


def _program(verb: str, folder: str) -> str:
    """The command of `launch`, for a shell here or on a host that has the same files."""
    words = [*interpreter.isolated_python(), interpreter.LAUNCH, verb]
    return shlex.join(words if verb == "alive" else [*words, folder])
