"""`openloop run WORKSPACE`: run the loop until it is complete, exhausted or blocked."""

from __future__ import annotations

import argparse
import sys

from openloop.cli.arguments import positive
from openloop.core.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from openloop.runner.run_events import RunView
    from openloop.views.console import Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-rounds", type=positive, metavar="N", help="allow fewer rounds than total_rounds"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print the events, one object a line")
    shown.add_argument("--quiet", action="store_true", help="print only the verdict")


def run(args: argparse.Namespace) -> int:
    from openloop.process.signals import Interrupts
    from openloop.record import mission
    from openloop.runner import mission_run
    from openloop.views import console

    chosen = mission.load(args.workspace)
    with Interrupts() as interrupts:
        out, screen = (
            console.Screen(stream, give_up=lambda: interrupts.received)
            for stream in (sys.stdout, sys.stderr)
        )
        for words in () if args.quiet else chosen.warnings():
            screen.line(f"warning: {printable(words)}")
        result = mission_run.run(
            chosen,
            max_rounds=args.max_rounds,
            view=_view(args, out, screen),
            interrupts=interrupts,
        )
        if args.quiet:
            out.line(f"{result.state.status}: {printable(result.state.reason)}")
        elif not args.json:
            console.verdict(out, chosen.workspace, result.state, result.head)
        interrupts.ignore()
    return result.exit_code


def _view(args: argparse.Namespace, out: Screen, screen: Screen) -> RunView:
    from openloop.views import console, github

    if args.quiet:
        return console.QuietView()
    if args.json:
        return console.EventStream(out)
    return github.GitHubConsole(screen) if github.is_here() else console.Console(screen)
