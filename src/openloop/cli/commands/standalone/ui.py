"""`openloop ui [PATH …]`: show loops on a web page of this machine."""

from __future__ import annotations

import argparse

from openloop.cli import output
from openloop.core.errors import ExitCode, UsageError

USAGE = "openloop ui [-h] [PATH …] [--port N] [--socket PATH] [--private] [--no-open]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="workspaces, fleets, or folders that hold some; default: this folder",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="instead of 8420; 0 for any")
    parser.add_argument("--socket", metavar="PATH", default="", help="a Unix socket instead")
    parser.add_argument("--private", action="store_true", help="show logs of private gates too")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from openloop.process.signals import Interrupts
    from openloop.web import server

    if args.socket and args.port is not None:
        raise UsageError("--port does not go with --socket", fix="leave one of them out")
    with Interrupts() as interrupts:
        server.serve(
            args.paths or ["."],
            port=args.port,
            socket=args.socket,
            private=args.private,
            browse=not args.no_open,
            say=output.print_text,
            end=interrupts.wakeup,
        )
    return ExitCode.OK
