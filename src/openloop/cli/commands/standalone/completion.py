"""`openloop completion SHELL`: print the script with which a shell completes commands and
options."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode

_SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def run(args: argparse.Namespace) -> int:
    from openloop.cli import command_line, completion

    output.print_text(completion.script(args.shell, command_line.parser()).rstrip("\n"))
    return ExitCode.OK
