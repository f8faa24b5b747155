"""Each subcommand in a few lines, and the one boundary at which an error becomes words."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable

from openloop import __version__
from openloop.errors import ExitCode, OpenLoopError, TamperError


def dispatch(words: list[str]) -> int:
    """Parse the words and run the command they name; returns the exit code."""
    try:
        args = _parser().parse_args(words)
        command: Callable[[argparse.Namespace], int] = args.command
        return command(args)
    except SystemExit as ending:  # argparse has said what is wrong
        return int(ending.code or 0)
    except OpenLoopError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """OpenLoop's own failure: one line, the rest only for who asks for it."""
    if os.environ.get("OPENLOOP_DEBUG"):
        traceback.print_exc()
    what = f"OpenLoop failed: {type(error).__name__}: {error}"
    fix = "run again with OPENLOOP_DEBUG=1 for the details, and report them"
    print(OpenLoopError(what, fix=fix), file=sys.stderr)
    return ExitCode.RECORD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openloop",
        description="Run a monitored feedback loop around any coding agent.",
        epilog="Exit codes of run: 0 complete, 1 exhausted, 2 usage, 3 blocked, 4 held by a live "
        "runner, 5 record not kept, 130/143/129 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"openloop {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    words: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
    parser.add_argument("workspace", metavar="WORKSPACE", help="the loop's state folder")
    parser.set_defaults(command=command)
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return number


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "run", "Run the loop until it is complete, exhausted or blocked.", _run)
    parser.add_argument(
        "--max-rounds", type=_positive, metavar="N", help="allow fewer rounds than total_rounds"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the events, one object a line")
    output.add_argument("--quiet", action="store_true", help="print only the verdict")


def _run(args: argparse.Namespace) -> int:
    from openloop import console, mission, runner, store
    from openloop.lock import Lock

    chosen = mission.load(args.workspace)
    out = console.Screen(sys.stdout)
    view: runner.View = (
        console.Quiet() if args.quiet else console.Console(console.Screen(sys.stderr))
    )
    try:
        ending = runner.run(chosen, max_rounds=args.max_rounds, view=view)
    except TamperError as error:
        lock = Lock(chosen.workspace, patience=0)
        store.refuse(chosen.workspace, lock, error.what)
        lock.release()
        raise
    console.verdict(out, chosen.workspace, ending.state, ending.head)
    return ending.exit_code
