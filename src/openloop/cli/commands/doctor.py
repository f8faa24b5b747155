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
        "--probe",
        type=positive,
        metavar="N",
        help="run the gates, verify N times: do they pass, can they fail?",
    )


def run(args: argparse.Namespace) -> int:
    from openloop.setup import doctor, findings

    report = doctor.examine(args.workspace)
    if args.probe is not None and report.runnable:
        from openloop.record import mission
        from openloop.setup import probe
        from openloop.views import console

        screen = console.Screen(sys.stderr)
        report = report.with_findings(
            probe.probe(mission.load(args.workspace), args.probe, screen.live)
        )
        screen.end_live()
    output.print_json(report.to_json()) if args.json else output.print_lines(findings.lines(report))
    return ExitCode.OK if report.sound else ExitCode.FAILED
