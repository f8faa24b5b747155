"""`openloop doctor WORKSPACE`: find mistakes before they cost a round."""

from __future__ import annotations

import argparse
import sys

from openloop.cli import output
from openloop.cli.arguments import positive
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--probe", type=positive, metavar="N", help="run verify N times: is it flaky, can it fail?"
    )


def run(args: argparse.Namespace) -> int:
    from openloop.setup import doctor

    report = doctor.examine(args.workspace)
    if args.probe is not None and report.sound:
        from openloop.record import mission
        from openloop.setup import probe
        from openloop.views import console

        screen = console.Screen(sys.stderr)
        report = report.with_findings(
            probe.probe(mission.load(args.workspace), args.probe, screen.live)
        )
        screen.end_live()
    output.say_json(report.to_json()) if args.json else output.say_lines(doctor.lines(report))
    return ExitCode.OK if report.sound else ExitCode.FAILED
