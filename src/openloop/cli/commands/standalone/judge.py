"""`openloop judge CASES -- COMMAND …`: run a command on cases and compare what it prints."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.cli.arguments import positive

USAGE = (
    "openloop judge [-h] CASES [--jobs N] [--junit FILE] [--record] [--details]"
    " [--no-hide] [--copy] [--fresh] [--seed N] -- COMMAND …"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", metavar="CASES", help="a file of JSON lines, a case each")
    parser.add_argument("--jobs", type=positive, metavar="N", help="how many run at once")
    parser.add_argument("--junit", metavar="FILE", help="write a report in JUnit's XML")
    parser.add_argument(
        "--record", action="store_true", help="COMMAND is right: expect what it prints"
    )
    parser.add_argument(
        "--details", action="store_true", help="show what was expected and what came"
    )
    parser.add_argument(
        "--no-hide", action="store_true", help="let COMMAND see CASES and write wherever you can"
    )
    parser.add_argument(
        "--copy", action="store_true", help="run COMMAND in a copy of the project, then remove it"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="run the generators in CASES, and judge by their cases"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="for --fresh, instead of the round's number"
    )


def run(args: argparse.Namespace) -> int:
    from openloop.judge import command

    return command.judge(
        args.cases,
        args.words,
        command.JudgeOptions(
            jobs=args.jobs,
            junit=args.junit,
            record=args.record,
            details=args.details,
            hide=not args.no_hide,
            copy=args.copy,
            fresh=args.fresh,
            seed=args.seed,
        ),
        say=output.print_progress,
    )
