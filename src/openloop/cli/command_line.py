"""The subcommands, and the parser of the whole command line.

Only the subcommand that was asked for is loaded: `--help` and `status` are asked for again and
again, and nothing on their way imports typing, dataclasses or shutil, which take as long as Python
itself (a test checks that).
"""

from __future__ import annotations

import argparse
from importlib import import_module

from openloop import __version__
from openloop.cli.arguments import Parser
from openloop.core.text import nearest

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_OF_A_WORKSPACE = {
    "init": "Create a workspace for a project.",
    "doctor": "Check a workspace before it is run.",
    "run": "Run the loop until it is complete, exhausted or blocked.",
    "status": "Say where a run stands.",
    "logs": "Show what the commands wrote.",
    "diff": "Show what a change did to the project.",
    "report": "Write a report of the latest rounds.",
    "audit": "Check that the whole record holds.",
    "accept": "Take a workspace as it is: the next run's reference.",
}
_STANDALONE = {
    "templates": "List the missions that ship, or show one.",
    "agents": "List the coding agents that are known, or check one.",
    "judge": "Run a command on cases and compare what it prints.",
    "browse": "Play a web page in Chromium and look at what it shows.",
    "fleet": "Run many loops, on one machine or a cluster, and land their work.",
    "ui": "Show loops on a web page of this machine.",
    "mcp": "Serve agents that are in charge of loops, over stdio.",
    "completion": "Print what a shell needs to complete commands and options.",
    "help": "Show a page of the manual, or list the pages.",
}
COMMANDS = {**_OF_A_WORKSPACE, **_STANDALONE}


def command(name: str) -> Any:
    """The module of a subcommand."""
    folder = "commands.standalone" if name in _STANDALONE else "commands"
    return import_module(f"openloop.cli.{folder}.{name}")


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments. `command` is the subcommand's name, `words` those behind the first `--`
    of `judge`, which are another program's. Raises SystemExit as argparse does."""
    end = words.index("--") if "--" in words and words[0] == "judge" else len(words)
    found = parser(words[:1])
    if not words:
        found.error("no command was given; openloop --help lists them")
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        near = nearest(words[0], COMMANDS)
        hint = f"did you mean {near}?" if near else "openloop --help lists the commands"
        found.error(f"there is no command {words[0]!r}; {hint}")
    args, unknown = found.parse_known_args(words[:end])
    if unknown:
        hint = "write COMMAND behind --: openloop judge CASES -- python3 solver.py"
        if words[0] != "judge" or end < len(words):
            option = unknown[0].partition("=")[0]
            near = nearest(option, _options(found, words[0]), likeness=0.75)
            hint = f"did you mean {near}?" if near else ""
        what = f"unrecognized arguments: {' '.join(unknown)}"
        found.error(f"{what}; {hint}" if hint else what)
    args.words = words[end + 1 :]
    return args


def _options(parser: argparse.ArgumentParser, name: str) -> list[str]:
    """The long options of a subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            own = action.choices[name]._actions
            return [word for one in own for word in one.option_strings if word.startswith("--")]
    return []


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the command line, with these subcommands and their arguments; if none of them
    exists, with all subcommands but no arguments, as `--help` needs it."""
    whole = Parser(
        prog="openloop",
        description="Run a monitored feedback loop around any coding agent.",
        epilog="Exit codes of run: 0 complete, 1 exhausted, 2 usage, 3 blocked, 4 held by a live "
        "runner, 5 record not kept, 130/143/129 interrupted.",
    )
    whole.add_argument("-V", "--version", action="version", version=f"openloop {__version__}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    asked = [name for name in COMMANDS if name in names]
    for name in asked or COMMANDS:  # making the parsers of all takes a while
        module = command(name) if asked else None
        words, usage = COMMANDS[name], getattr(module, "USAGE", None)
        part = commands.add_parser(name, help=words, description=words, usage=usage)
        part.set_defaults(command=name)
        if module and name in _OF_A_WORKSPACE:
            shown = "the loop's state folder, such as .openloop/main"
            part.add_argument("workspace", metavar="WORKSPACE", help=shown)
        if module:
            module.add_arguments(part)
    return whole
