"""One preset: how to call a coding agent unattended, and how to read what it prints.

The JSON of a preset is checked by `preset.schema.json`; those that ship are in `presets/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from openloop.agents.output_rules import OutputRule
from openloop.config import config, schema, strict_json
from openloop.core.errors import ConfigError, OpenLoopError


class OutputRules(NamedTuple):
    """Rules for the output of an agent. exits: the kind of failure by exit code. exit_words: what a
    code means where it reads like something else."""

    rules: tuple[OutputRule, ...] = ()
    exits: Mapping[int, str] = {}
    exit_words: Mapping[int, str] = {}

    @property
    def reports(self) -> tuple[str, ...]:
        """Which of tokens, cost, model, session and refusals the output reports."""
        named = {name for rule in self.rules for name in rule.paths}
        fields = {"tokens": "output", "cost": "cost", "model": "model", "session": "session"}
        found = [word for word, name in fields.items() if name in named]
        if self.exits or any(rule.failure not in ("", "error") for rule in self.rules):
            found.append("refusals")
        return tuple(found)


class Preset(NamedTuple):
    """How to run one coding agent as `commands.fix` or `commands.improve`.

    run: the command, with `{prompt_file}` where it takes its task. program: what must be on PATH,
    the first word of `run` unless it is named. note: see `note_for`. state: what the agent keeps
    outside of the project, writable in the sandbox; a folder ends with a slash. caches: what it
    keeps inside of the project, as patterns. env: variables that the command needs. unboxed: words
    of `run` that are replaced in the sandbox, because the agent's own cannot nest there. keys:
    variables that hold a key, and logins: files, of which one shows that there is a login. seen:
    the version that was tried; tried: how far.
    """

    name: str
    run: str
    note: str
    install: str
    state: tuple[str, ...]
    caches: tuple[str, ...]
    env: Mapping[str, str]
    unboxed: Mapping[str, str]
    keys: tuple[str, ...]
    logins: tuple[str, ...]
    help: str
    seen: str
    tried: str
    timeout_seconds: float
    stall_timeout_seconds: float
    silence_seconds: float
    reading: OutputRules
    program: str
    source: str = ""  # the user's own file; "" for one that ships

    @property
    def flags(self) -> tuple[str, ...]:
        """The options of the program, as written."""
        call = re.split(rf"(?<![\w./-]){re.escape(self.program)}(?=\s)", self.run)[-1]
        return tuple(re.findall(r"(?<=\s)--?[a-z][\w-]*", call.partition("{")[0]))

    def note_for(self, tests: str) -> str:
        """The note, with the project's own command in its examples. tests: that runs its tests, in
        few words; "" when it is unknown."""
        program = tests.partition(" ")[0]
        text = self.note.replace("{test_command}", tests or "TEST_COMMAND")
        return text.replace("{test_program}", program or "TEST_PROGRAM")

    def as_command(self) -> dict[str, Any]:
        """The value for `commands.fix` or `commands.improve` in openloop.json."""
        return {
            "run": self.run,
            "agent": self.name,
            **({"env": dict(self.env)} if self.env else {}),
            "timeout_seconds": self.timeout_seconds,
            "stall_timeout_seconds": self.stall_timeout_seconds,
        }

    def in_sandbox(self, command: str) -> str:
        """The command with the agent's own sandbox switched off, where the two cannot nest."""
        for words, instead in self.unboxed.items():
            command = command.replace(words, instead)
        return command


def parse(data: bytes, name: str, *, where: str, source: str = "") -> Preset:
    """The preset that the bytes of a file hold. where: the file, for messages. Raises ConfigError
    with every problem found."""
    document = strict_json.read(strict_json.decode(data, where), where)
    problems = [
        OpenLoopError(f"{schema.dotted(found.path)} {found.what}", where=where, fix=found.fix)
        for found in _checker().problems(document)
    ]
    if not problems:
        problems = list(_beyond_the_schema(document, where))
    if problems:
        raise ConfigError(tuple(problems))
    return _preset(document, name, source)


@cache
def _checker() -> schema.Checker:
    return schema.Checker(schema.load("agents/preset"), config.formats())


def _beyond_the_schema(document: Mapping[str, Any], where: str) -> list[OpenLoopError]:
    """The rule that the schema cannot express: each rule has either `when` or `line`."""
    found = []
    for number, rule in enumerate(document.get("reading", {}).get("rules", ())):
        place = f"reading.rules[{number}]"
        if ("when" in rule) == ("line" in rule):
            what = f"{place} must have either when or line"
            fix = 'write "when" for JSON records, or "line", a regex, for text'
        elif "line" in rule and "has" not in rule:
            what = f"{place}.has is required beside line"
            fix = "write a text that stands in every line that the regex is to match"
        elif "when" in rule and "has" not in rule and not _has_text(rule["when"]):
            what = f"{place}.when compares no text"
            fix = 'compare one text, such as "type": "result", or add "has"'
        else:
            continue
        found.append(OpenLoopError(what, where=where, fix=fix))
    return found


def _has_text(when: Mapping[str, Any]) -> bool:
    return any(isinstance(wanted, str) and wanted for wanted in when.values())


def _preset(document: Mapping[str, Any], name: str, source: str) -> Preset:
    rule = schema.load("agents/preset")["properties"]
    values = {key: part["default"] for key, part in rule.items() if "default" in part} | {
        **document
    }
    reading = document.get("reading", {})
    exits = reading.get("exits", {})
    return Preset(
        name=name,
        run=values["run"],
        note=values["note"],
        install=values["install"],
        state=tuple(values["state"]),
        caches=tuple(values["caches"]),
        env=dict(values["env"]),
        unboxed=dict(values["unboxed"]),
        keys=tuple(values["keys"]),
        logins=tuple(values["logins"]),
        help=values["help"],
        seen=values["seen"],
        tried=values["tried"],
        timeout_seconds=float(values["timeout_seconds"]),
        stall_timeout_seconds=float(values["stall_timeout_seconds"]),
        silence_seconds=float(values["silence_seconds"]),
        reading=OutputRules(
            rules=tuple(map(OutputRule.read, reading.get("rules", ()))),
            exits={int(code): one["failure"] for code, one in exits.items() if "failure" in one},
            exit_words={int(code): one["means"] for code, one in exits.items() if "means" in one},
        ),
        program=values.get("program") or values["run"].split()[0],
        source=source,
    )
