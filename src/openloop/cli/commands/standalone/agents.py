"""`openloop agents [NAME]`: the coding agents that are known, and whether they can be called."""

from __future__ import annotations

import argparse
import sys

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="only this one, with all details")
    parser.add_argument(
        "--check", action="store_true", help="ask the programs for version and options"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    from openloop.agents import catalog, check

    known, errors = catalog.every()
    presets = list(known.values())
    if args.name is not None:
        presets, errors = [catalog.preset_named(args.name, where="NAME", fix="openloop agents")], ()
    checks = [check.check_agent(preset, start=args.check) for preset in presets]
    broken = [{"what": one.what, "where": one.where, "fix": one.fix} for one in errors]
    if args.json:
        output.print_json({"agents": [one.to_json() for one in checks], "problems": broken})
    elif args.name is not None:
        output.print_lines(check.details(checks[0]))
    else:
        output.print_lines(check.table(checks))
    for error in errors:
        print(error, file=sys.stderr)
    failed = bool(errors) or (args.check and any(check.obstacles(one) for one in checks))
    return ExitCode.FAILED if failed else ExitCode.OK
