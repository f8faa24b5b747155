"""`openloop fleet ACTION FLEET`: many loops, on one machine or a cluster."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.cli.arguments import positive
from openloop.core.errors import UsageError

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = (
    "openloop fleet [-h] ACTION FLEET [TASK ...] [--max-parallel N] [--json | --watch] "
    "[--format FORMAT] [--output FILE]"
)
_ACTIONS = ("run", "status", "cancel", "retry", "explain", "land", "report")
_TAKES = {  # which options mean something to which action
    "max_parallel": ("run", "retry"),
    "json": ("run", "retry", "status"),
    "watch": ("status",),
    "format": ("report",),
    "output": ("report",),
    "tasks": ("cancel", "retry", "explain", "land"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument("fleet", metavar="FLEET", help="the file that lists the tasks")
    parser.add_argument(
        "tasks", nargs="*", default=(), metavar="TASK", help="some of its tasks, by name"
    )
    parser.add_argument(
        "--max-parallel", type=positive, metavar="N", help="run: instead of max_parallel"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--json", action="store_true", help="run: the events, one a line; status: one document"
    )
    shown.add_argument("--watch", action="store_true", help="status: follow it to its end")
    parser.add_argument(
        "--format",
        choices=("html", "md", "json", "junit"),
        metavar="FORMAT",
        help="report: html, md, json, junit",
    )
    parser.add_argument("--output", metavar="FILE", help="report: a file, not standard output")


def run(args: argparse.Namespace) -> int:
    from openloop.fleet import command

    for name, takers in _TAKES.items():
        if getattr(args, name) and args.action not in takers:
            word = "TASK" if name == "tasks" else f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{word} does not go with fleet {args.action}",
                fix=f"it is for {', '.join(takers)}",
            )
    arguments = command.FleetArguments(
        fleet=args.fleet,
        say=output.print_text,
        tasks=tuple(args.tasks),
        max_parallel=args.max_parallel,
        json=args.json,
        watch=args.watch,
        form=args.format or "html",
        output=args.output,
    )
    actions: dict[str, Callable[[command.FleetArguments], int]] = {
        "run": command.run,
        "status": command.show,
        "cancel": command.cancel,
        "retry": command.retry,
        "explain": command.explain,
        "land": command.land,
        "report": command.report,
    }
    return actions[args.action](arguments)
