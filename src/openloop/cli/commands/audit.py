"""`openloop audit WORKSPACE`: check that nothing of the record was edited."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", type=_hash, metavar="HASH", help="the head that a run printed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _hash(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"must be 64 hexadecimal digits, got {text!r}")
    return text.lower()


def run(args: argparse.Namespace) -> int:
    from openloop.record import workspace
    from openloop.views import audit

    report = audit.examine(workspace.existing_record(args.workspace), head=args.head)
    output.print_json(report.to_json()) if args.json else output.print_lines(audit.lines(report))
    return ExitCode.FAILED if report.broken else ExitCode.OK
