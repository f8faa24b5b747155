"""The words that each subcommand takes.

Nothing here imports what a command needs: see `commands`.
"""

from __future__ import annotations

import argparse
import os
import sys

from openloop import __version__, output
from openloop.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# What some arguments may be, written out so that a start need not load where they come from.
FORMATS = ("html", "md", "json", "junit")
STEPS = ("play", "scan", "fix", "verify", "baseline", "improve")
SHELLS = ("bash", "zsh", "fish")
TOPICS = ("configuration", "exit-codes", "environment")


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments. `command` is the subcommand's name, `words` those behind the first `--`
    of `judge`, which are another program's. Raises SystemExit as argparse does."""
    end = words.index("--") if "--" in words and words[0] == "judge" else len(words)
    its_parser = parser()
    args, unknown = its_parser.parse_known_args(words[:end])
    if unknown:
        forgotten = end == len(words) and words[0] == "judge"
        hint = "; write COMMAND behind --: openloop judge CASES -- python3 solver.py"
        its_parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint if forgotten else ''}")
    args.words = words[end + 1 :]
    return args


class _Parser(argparse.ArgumentParser):
    """Repeats what it was given only in a form that a terminal does not interpret."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse itself lets it pass when help cannot be written."""
        if file is sys.stdout:
            output.say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse would ask shutil for the width."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns
    except OSError:  # no terminal
        width = 0
    return argparse.HelpFormatter(prog, width=(width or 80) - 2)


def parser() -> argparse.ArgumentParser:
    """That of the whole command line."""
    parser: argparse.ArgumentParser = _Parser(
        prog="openloop",
        description="Run a monitored feedback loop around any coding agent.",
        epilog="Exit codes of run: 0 complete, 1 exhausted, 2 usage, 3 blocked, 4 held by a live "
        "runner, 5 record not kept, 130/143/129 interrupted.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"openloop {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_init,
        _add_doctor,
        _add_run,
        _add_status,
        _add_logs,
        _add_report,
        _add_audit,
        _add_judge,
        _add_completion,
        _add_help,
    ):
        add(commands)
    return parser


def _add(commands: Commands, name: str, words: str) -> argparse.ArgumentParser:
    parser = _add_bare(commands, name, words)
    parser.add_argument("workspace", metavar="WORKSPACE", help="the loop's state folder")
    return parser


def _add_bare(
    commands: Commands, name: str, words: str, usage: str | None = None
) -> argparse.ArgumentParser:
    """A subcommand that needs no workspace."""
    parser = commands.add_parser(name, help=words, description=words, usage=usage)
    parser.set_defaults(command=name)
    return parser


def positive(text: str) -> int:
    """A `type` of argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return number


def _add_init(commands: Commands) -> None:
    parser = _add(commands, "init", "Create a workspace for a project.")
    parser.add_argument("--project-root", metavar="PATH", help="the project to look after")
    parser.add_argument("--mission", metavar="TEXT", help="what must be true at the end")
    parser.add_argument("--agent", metavar="NAME", help="the coding agent that repairs")
    parser.add_argument(
        "--force", action="store_true", help="write configuration and documents anew"
    )


def _add_doctor(commands: Commands) -> None:
    parser = _add(commands, "doctor", "Check a workspace before it is run.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--probe", type=positive, metavar="N", help="run verify N times: is it flaky, can it fail?"
    )


def _add_run(commands: Commands) -> None:
    parser = _add(commands, "run", "Run the loop until it is complete, exhausted or blocked.")
    parser.add_argument(
        "--max-rounds", type=positive, metavar="N", help="allow fewer rounds than total_rounds"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the events, one object a line")
    output.add_argument("--quiet", action="store_true", help="print only the verdict")


def _add_status(commands: Commands) -> None:
    parser = _add(commands, "status", "Say where a run stands.")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument("--watch", action="store_true", help="follow a live run to its end")


def _add_logs(commands: Commands) -> None:
    parser = _add(commands, "logs", "Show what the commands wrote.")
    parser.add_argument("--round", type=positive, metavar="N", help="of this round")
    parser.add_argument("--step", choices=STEPS, metavar="NAME", help="of this step")
    parser.add_argument(
        "--follow", action="store_true", help="go on, log after log, until the run is over"
    )


def _add_report(commands: Commands) -> None:
    parser = _add(commands, "report", "Write a report of the latest rounds.")
    parser.add_argument(
        "--format", choices=FORMATS, default="html", metavar="FORMAT", help=", ".join(FORMATS)
    )
    parser.add_argument("--output", metavar="FILE", help="a file instead of standard output")


def _add_audit(commands: Commands) -> None:
    parser = _add(commands, "audit", "Check that the whole record holds.")
    parser.add_argument("--head", type=_hash, metavar="HASH", help="the head that a run printed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_completion(commands: Commands) -> None:
    words = "Print what a shell needs to complete commands and options."
    parser = _add_bare(commands, "completion", words)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _add_help(commands: Commands) -> None:
    words = "Explain a topic, or list the topics."
    parser = _add_bare(commands, "help", words)
    parser.add_argument("topic", choices=TOPICS, nargs="?", metavar="TOPIC", help=", ".join(TOPICS))


def _add_judge(commands: Commands) -> None:
    words = "Run a command on cases and compare what it prints."
    usage = (
        "openloop judge [-h] CASES [--jobs N] [--junit FILE] [--record] [--details]"
        " [--no-hide] -- COMMAND …"
    )
    parser = _add_bare(commands, "judge", words, usage)
    parser.add_argument("cases", metavar="CASES", help="a file of JSON lines, a case each")
    parser.add_argument("--jobs", type=positive, metavar="N", help="how many run at once")
    parser.add_argument("--junit", metavar="FILE", help="write a report in JUnit's XML")
    parser.add_argument(
        "--record", action="store_true", help="COMMAND is right: expect what it prints"
    )
    parser.add_argument(
        "--details", action="store_true", help="show what was expected and what came"
    )
    parser.add_argument(
        "--no-hide", action="store_true", help="let COMMAND see CASES and write wherever you can"
    )


def _hash(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"must be 64 hexadecimal digits, got {text!r}")
    return text.lower()
