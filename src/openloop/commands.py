"""Each subcommand in a few lines, and the one boundary at which an error becomes words."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from openloop import __version__
from openloop.errors import ExitCode, OpenLoopError, OutputError, UsageError
from openloop.text import printable

if TYPE_CHECKING:
    from openloop.console import Screen
    from openloop.runner import View

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def dispatch(words: list[str]) -> int:
    """Parse the words and run the command they name; returns the exit code."""
    try:
        _open_standard_streams()
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


def _open_standard_streams() -> None:
    """Under `<&- >&- 2>&-` the record must not get the descriptor of a standard stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _failed(error: Exception) -> int:
    """OpenLoop's own failure: one line, the rest only for who asks for it."""
    if os.environ.get("OPENLOOP_DEBUG"):
        traceback.print_exc()
    what = f"OpenLoop failed: {type(error).__name__}: {error}"
    fix = "run again with OPENLOOP_DEBUG=1 for the details, and report them"
    print(OpenLoopError(what, fix=fix), file=sys.stderr)
    return ExitCode.RECORD


class _Parser(argparse.ArgumentParser):
    """Repeats what it was given only in a form that a terminal does not interpret."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="openloop",
        description="Run a monitored feedback loop around any coding agent.",
        epilog="Exit codes of run: 0 complete, 1 exhausted, 2 usage, 3 blocked, 4 held by a live "
        "runner, 5 record not kept, 130/143/129 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"openloop {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_init, _add_doctor, _add_run, _add_status, _add_audit):
        add(commands)
    return parser


def _add(
    commands: Commands,
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


def _add_init(commands: Commands) -> None:
    parser = _add(commands, "init", "Create a workspace for a project.", _init)
    parser.add_argument("--project-root", metavar="PATH", help="the project to look after")
    parser.add_argument("--mission", metavar="TEXT", help="what must be true at the end")
    parser.add_argument("--agent", metavar="NAME", help="the coding agent that repairs")
    parser.add_argument(
        "--force", action="store_true", help="write configuration and documents anew"
    )


def _init(args: argparse.Namespace) -> int:
    from openloop import scaffold

    made = scaffold.init(
        args.workspace,
        project_root=args.project_root,
        mission=args.mission,
        agent=args.agent,
        force=args.force,
    )
    _print(scaffold.lines(made))
    return ExitCode.OK


def _add_doctor(commands: Commands) -> None:
    parser = _add(commands, "doctor", "Check a workspace before it is run.", _doctor)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--probe", type=_positive, metavar="N", help="run verify N times: is it flaky?"
    )


def _doctor(args: argparse.Namespace) -> int:
    from openloop import doctor, mission, probe

    report = doctor.examine(args.workspace)
    if args.probe is not None and report.sound:
        report = report.with_finding(probe.probe(mission.load(args.workspace), args.probe))
    _print_json(report.to_json()) if args.json else _print(doctor.lines(report))
    return ExitCode.OK if report.sound else ExitCode.FAILED


def _add_run(commands: Commands) -> None:
    parser = _add(commands, "run", "Run the loop until it is complete, exhausted or blocked.", _run)
    parser.add_argument(
        "--max-rounds", type=_positive, metavar="N", help="allow fewer rounds than total_rounds"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the events, one object a line")
    output.add_argument("--quiet", action="store_true", help="print only the verdict")


def _run(args: argparse.Namespace) -> int:
    from openloop import console, mission, runner
    from openloop.interrupts import Interrupts

    chosen = mission.load(args.workspace)
    with Interrupts() as interrupts:
        out, screen = (
            console.Screen(stream, give_up=lambda: interrupts.received)
            for stream in (sys.stdout, sys.stderr)
        )
        ending = runner.run(
            chosen,
            max_rounds=args.max_rounds,
            view=_view(args, out, screen),
            interrupts=interrupts,
        )
        if args.quiet:
            out.line(f"{ending.state.status}: {printable(ending.state.reason)}")
        elif not args.json:
            console.verdict(out, chosen.workspace, ending.state, ending.head)
        interrupts.ignore()
    return ending.exit_code


def _view(args: argparse.Namespace, out: Screen, screen: Screen) -> View:
    from openloop import console, github

    if args.quiet:
        return console.Quiet()
    if args.json:
        return console.EventStream(out)
    return github.GitHub(screen) if github.is_here() else console.Console(screen)


def _add_status(commands: Commands) -> None:
    parser = _add(commands, "status", "Say where a run stands.", _status)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument("--watch", action="store_true", help="follow a live run to its end")


def _status(args: argparse.Namespace) -> int:
    from openloop import status
    from openloop.console import Screen

    try:
        if args.watch:
            report = status.watch(args.workspace, Screen(sys.stdout))
        else:
            report = status.inspect(args.workspace)
    except UsageError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILED
    _print_json(report.to_json()) if args.json else _print(status.lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK


def _add_audit(commands: Commands) -> None:
    parser = _add(commands, "audit", "Check that the whole record holds.", _audit)
    parser.add_argument("--head", type=_hash, metavar="HASH", help="the head that a run printed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _audit(args: argparse.Namespace) -> int:
    from openloop import audit, workspace

    report = audit.examine(workspace.existing_folder(args.workspace), head=args.head)
    _print_json(report.to_json()) if args.json else _print(audit.lines(report))
    return ExitCode.FAILED if report.broken else ExitCode.OK


def _hash(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"must be 64 hexadecimal digits, got {text!r}")
    return text.lower()


def _print(lines: list[str]) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    _say("\n".join(map(printable, lines)))


def _print_json(document: Mapping[str, Any]) -> None:
    _say(json.dumps(document, indent=2))


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - or the exit fails too
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
