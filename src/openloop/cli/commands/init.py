"""`openloop init WORKSPACE`: create a workspace for a project."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project-root", metavar="PATH", help="the project to look after")
    parser.add_argument("--mission", metavar="TEXT", help="what must be true at the end")
    parser.add_argument("--agent", metavar="NAME", help="the coding agent that repairs")
    parser.add_argument("--template", metavar="NAME", help="a mission that ships")
    parser.add_argument(
        "--from", dest="source", metavar="PATH", help="take over another tool's loop"
    )
    parser.add_argument(
        "--force", action="store_true", help="write configuration and documents again"
    )


def run(args: argparse.Namespace) -> int:
    from openloop.setup import init

    made = init.init(
        args.workspace,
        init.InitOptions(
            project_root=args.project_root,
            mission=args.mission,
            agent=args.agent,
            force=args.force,
            template=args.template,
            source=args.source,
        ),
    )
    output.print_lines(init.lines(made))
    return ExitCode.OK
