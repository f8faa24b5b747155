"""`openloop accept WORKSPACE`: take the present state as the reference of the next run."""

from __future__ import annotations

import argparse

from openloop.cli import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    import os
    import sys

    from openloop.core.errors import UsageError
    from openloop.record import mission
    from openloop.runner import acceptance
    from openloop.views.console import Screen

    if "OPENLOOP_WORKSPACE" in os.environ:
        what = "a command of a run cannot accept what it did"
        raise UsageError(
            what, fix="look at the workspace and accept it yourself, in your own shell"
        )
    chosen = mission.load(args.workspace)
    screen = Screen(sys.stderr)
    try:
        accepted = acceptance.accept(chosen, screen.live)
    finally:
        screen.end_live()
    if args.json:
        output.print_json(accepted.to_json())
    elif accepted.differences:
        lines = ["accepted, and recorded:", *(f"  {one}" for one in accepted.differences)]
        output.print_lines(
            [*lines, f"the next run begins with this: openloop run {chosen.workspace.quoted}"]
        )
    elif accepted.run:
        output.print_lines(
            [f"nothing to accept: nothing differs from what run {accepted.run} left"]
        )
    else:
        output.print_lines(["nothing to accept: there was no run yet"])
    return 0
