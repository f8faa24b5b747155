"""`openloop status WORKSPACE`: show the state of a run."""

from __future__ import annotations

import argparse
import sys

from openloop.cli import output
from openloop.core.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON document")
    shown.add_argument("--watch", action="store_true", help="follow a live run to its end")


def run(args: argparse.Namespace) -> int:
    from openloop.views import status

    try:
        if args.watch:
            from openloop.views import console, status_watch

            report = status_watch.watch(args.workspace, console.Screen(sys.stdout))
        else:
            report = status.inspect(args.workspace)
    except UsageError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILED
    output.print_json(report.to_json()) if args.json else output.print_lines(status.lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK
