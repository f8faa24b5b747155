"""`openloop templates [NAME]`: the missions that ship."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="only this one, with all details")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    from openloop.setup.missions import templates

    one = None if args.name is None else templates.template_named(args.name, where="NAME")
    found = [one] if one else templates.every()
    if args.json:
        output.print_json({"templates": [template.to_json() for template in found]})
    else:
        output.print_lines(templates.details(one) if one else templates.lines(found))
    return ExitCode.OK
