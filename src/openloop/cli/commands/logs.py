"""`openloop logs WORKSPACE`: show what the commands wrote."""

from __future__ import annotations

import argparse

from openloop.cli.arguments import positive
from openloop.core.errors import ExitCode

# Spelled out, so that a start need not load the vocabulary.
_STEPS = ("play", "scan", "fix", "verify", "baseline", "improve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--round", type=positive, metavar="N", help="of this round")
    parser.add_argument("--step", choices=_STEPS, metavar="NAME", help="of this step")
    parser.add_argument(
        "--follow", action="store_true", help="go on, log after log, until the run is over"
    )


def run(args: argparse.Namespace) -> int:
    from openloop.core.vocabulary import Step
    from openloop.record import workspace
    from openloop.views import logs

    asked = logs.LogSelection(args.round, Step(args.step) if args.step else None)
    logs.show(workspace.existing_record(args.workspace), asked, follow=args.follow)
    return ExitCode.OK
