"""`openloop help [TOPIC]`: show a page of the manual, or list the pages."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from openloop.cli import help_topics

    parser.add_argument(
        "topic",
        choices=help_topics.names(),
        nargs="?",
        metavar="TOPIC",
        help="a page of the manual; without one, list them",
    )


def run(args: argparse.Namespace) -> int:
    import shutil

    from openloop.cli import help_topics

    if args.topic:
        output.print_lines(help_topics.lines(args.topic, shutil.get_terminal_size().columns))
        return ExitCode.OK
    lines = ["Topics:"]
    for name in help_topics.names():
        lines += [f"  openloop help {name}", f"      {help_topics.summary(name)}"]
    output.print_lines([*lines, "", "Of a command: openloop COMMAND --help"])
    return ExitCode.OK
