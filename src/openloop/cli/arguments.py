"""A parser that prints safely, and argument types, for all subcommands."""

from __future__ import annotations

import argparse
import os
import sys

from openloop.cli import output
from openloop.core.text import nearest, printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that quotes arguments in its messages without control characters."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Name the choice that was probably meant, where argparse lists all of them alone."""
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = nearest(str(value), choices)
            hint = f"did you mean {near}?" if near else f"choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"{value!r} is not known; {hint}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Raise an error when help cannot be written, which argparse ignores."""
        if file is sys.stdout:
            output.print_text(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """A help formatter that finds the width without importing shutil, as argparse would."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns
    except OSError:  # no terminal
        width = 0
    return argparse.HelpFormatter(prog, width=(width or 80) - 2)


def positive(text: str) -> int:
    """A positive integer: a `type` for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return number
