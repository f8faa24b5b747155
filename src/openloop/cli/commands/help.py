"""`openloop help [TOPIC]`: explain a topic, or list the topics."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode

_TOPICS = ("configuration", "exit-codes", "environment")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topic", choices=_TOPICS, nargs="?", metavar="TOPIC", help=", ".join(_TOPICS)
    )


def run(args: argparse.Namespace) -> int:
    import shutil

    from openloop.cli import help_topics

    if args.topic:
        output.say_lines(help_topics.lines(args.topic, shutil.get_terminal_size().columns))
        return ExitCode.OK
    listed = [
        f"  openloop help {name}\n      {help_topics.summary(name)}" for name in help_topics.names()
    ]
    lines = [
        "Topics:",
        *"\n".join(listed).splitlines(),
        "",
        "Of a command: openloop COMMAND --help",
    ]
    output.say_lines(lines)
    return ExitCode.OK
