"""`openloop browse PLAY|URL`: play a web page in Chromium and look at what it shows."""

from __future__ import annotations

import argparse

from openloop.cli import output

USAGE = "openloop browse [-h] PLAY|URL [--out DIR] [--browser PATH] [--json]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("play", metavar="PLAY|URL", help="a JSON file of steps, or a page's URL")
    parser.add_argument("--out", metavar="DIR", help="the folder for pictures and lists")
    parser.add_argument("--browser", metavar="PATH", help="the Chromium to use")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    from openloop.browser import command

    return command.browse(
        args.play,
        out=args.out,
        browser=args.browser,
        as_json=args.json,
        say=output.print_progress,
    )
