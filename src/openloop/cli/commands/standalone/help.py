"""`openloop help [TOPIC]`: show a page of the manual, or the options of a command."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from openloop.cli import command_line, help_topics

    parser.add_argument(
        "topic",
        choices=sorted({*help_topics.names(), *command_line.COMMANDS}),
        nargs="?",
        metavar="TOPIC",
        help="a page of the manual, or a command; without one, list the pages",
    )


def run(args: argparse.Namespace) -> int:
    import shutil

    from openloop.cli import command_line, help_topics

    if args.topic and args.topic not in help_topics.names():
        command_line.parse([args.topic, "--help"])  # ends here, as --help does
    if args.topic:
        output.print_lines(help_topics.lines(args.topic, shutil.get_terminal_size().columns))
        return ExitCode.OK
    lines = ["Topics:"]
    for name in help_topics.names():
        lines += [f"  openloop help {name}", f"      {help_topics.summary(name)}"]
    output.print_lines([*lines, "", "Of a command: openloop COMMAND --help"])
    return ExitCode.OK
