"""`openloop diff WORKSPACE`: show what a change did to the project."""

from __future__ import annotations

import argparse

from openloop.cli.arguments import positive
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--round", type=positive, metavar="N", help="of this round, not of the latest change"
    )


def run(args: argparse.Namespace) -> int:
    from openloop.record import workspace
    from openloop.views import changes

    changes.show(workspace.existing_record(args.workspace), args.round)
    return ExitCode.OK
