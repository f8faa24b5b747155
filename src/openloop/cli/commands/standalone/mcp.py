"""`openloop mcp`: serve agents that are in charge of loops, over stdio."""

from __future__ import annotations

import argparse

from openloop.core.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", default=".", help="where the loops lie; default: this folder"
    )


def run(args: argparse.Namespace) -> int:
    import os

    from openloop.mcp import server

    if not os.path.isdir(args.root):
        raise UsageError(f"--root {args.root} is not a folder", fix="name one that exists")
    server.serve(os.path.abspath(args.root))
    return ExitCode.OK
