"""Each subcommand in a few lines, and the one boundary at which an error becomes words.

What one subcommand alone needs is imported inside it. `--help` and `status` are asked for again
and again: nothing on their way imports typing, dataclasses or shutil, which take as long as Python
itself (a test holds that). So their modules have plain classes and TYPE_CHECKING of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys

from openloop import __version__
from openloop.errors import ExitCode, OpenLoopError, OutputError, UsageError
from openloop.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn

    from openloop.console import Screen
    from openloop.report import Report
    from openloop.runner import View

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# What some arguments may be, written out so that a start need not load where they come from.
FORMATS = ("html", "md", "json", "junit")
STEPS = ("play", "scan", "fix", "verify", "baseline", "improve")
SHELLS = ("bash", "zsh", "fish")
TOPICS = ("configuration", "exit-codes", "environment")


def dispatch(words: list[str]) -> int:
    """Parse the words and run the command they name; returns the exit code."""
    try:
        _open_standard_streams()
        own_words, command_words = _parted(words)
        args = _parsed(own_words, words)
        args.words = command_words
        command: Callable[[argparse.Namespace], int] = args.command
        return command(args)
    except SystemExit as ending:  # argparse has said all there is to say
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


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """Our own words, and those behind the first `--`, which are a command's."""
    end = words.index("--") if "--" in words and words[0] == "judge" else len(words)
    return words[:end], words[end + 1 :]


def _parsed(words: list[str], given: list[str]) -> argparse.Namespace:
    """The arguments. given: the words with those behind a `--`, which is easily forgotten."""
    parser = _parser()
    args, unknown = parser.parse_known_args(words)
    if unknown:
        forgotten = "--" not in given and given[0] == "judge"
        hint = "; write COMMAND behind --: openloop judge CASES -- python3 solver.py"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint if forgotten else ''}")
    return args


def _open_standard_streams() -> None:
    """Under `<&- >&- 2>&-` the record must not get the descriptor of a standard stream; and no
    locale is too small for a word."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is from the start


def _failed(error: Exception) -> int:
    """OpenLoop's own failure: one line, the rest only for who asks for it."""
    if _is_nowhere(error):
        fix = "cd to a folder that is there"
        print(UsageError("the current directory has been removed", fix=fix), file=sys.stderr)
        return ExitCode.USAGE
    if os.environ.get("OPENLOOP_DEBUG"):
        import traceback

        traceback.print_exc()
    what = f"OpenLoop failed: {type(error).__name__}: {error}"
    fix = "run again with OPENLOOP_DEBUG=1 for the details, and report them"
    print(OpenLoopError(what, fix=fix), file=sys.stderr)
    return ExitCode.RECORD


def _is_nowhere(error: Exception) -> bool:
    """Whether a relative path could not be followed, because there is no current directory."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


class _Parser(argparse.ArgumentParser):
    """Repeats what it was given only in a form that a terminal does not interpret."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse itself lets it pass when help cannot be written."""
        if file is sys.stdout:
            _say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse would ask shutil for the width."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns
    except OSError:  # no terminal
        width = 0
    return argparse.HelpFormatter(prog, width=(width or 80) - 2)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="openloop",
        description="Run a monitored feedback loop around any coding agent.",
        epilog="Exit codes of run: 0 complete, 1 exhausted, 2 usage, 3 blocked, 4 held by a live "
        "runner, 5 record not kept, 130/143/129 interrupted.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"openloop {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_init,
        _add_doctor,
        _add_run,
        _add_status,
        _add_logs,
        _add_report,
        _add_audit,
        _add_judge,
        _add_completion,
        _add_help,
    ):
        add(commands)
    return parser


def _add(
    commands: Commands,
    name: str,
    words: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = _add_bare(commands, name, words, command)
    parser.add_argument("workspace", metavar="WORKSPACE", help="the loop's state folder")
    return parser


def _add_bare(
    commands: Commands,
    name: str,
    words: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """A subcommand that needs no workspace."""
    parser = commands.add_parser(name, help=words, description=words)
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
        "--probe", type=_positive, metavar="N", help="run verify N times: is it flaky, can it fail?"
    )


def _doctor(args: argparse.Namespace) -> int:
    from openloop import doctor

    report = doctor.examine(args.workspace)
    if args.probe is not None and report.sound:
        from openloop import console, mission, probe

        screen = console.Screen(sys.stderr)
        report = report.with_findings(
            probe.probe(mission.load(args.workspace), args.probe, screen.live)
        )
        screen.end_live()
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

    try:
        if args.watch:
            from openloop.console import Screen

            report = status.watch(args.workspace, Screen(sys.stdout))
        else:
            report = status.inspect(args.workspace)
    except UsageError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILED
    _print_json(report.to_json()) if args.json else _print(status.lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK


def _add_logs(commands: Commands) -> None:
    parser = _add(commands, "logs", "Show what the commands wrote.", _logs)
    parser.add_argument("--round", type=_positive, metavar="N", help="of this round")
    parser.add_argument("--step", choices=STEPS, metavar="NAME", help="of this step")
    parser.add_argument(
        "--follow", action="store_true", help="go on, log after log, until the run is over"
    )


def _logs(args: argparse.Namespace) -> int:
    from openloop import logs, workspace
    from openloop.states import Step

    asked = logs.Asked(args.round, Step(args.step) if args.step else None)
    logs.show(workspace.existing_folder(args.workspace), asked, follow=args.follow)
    return ExitCode.OK


def _add_report(commands: Commands) -> None:
    parser = _add(commands, "report", "Write a report of the latest rounds.", _report)
    parser.add_argument(
        "--format", choices=FORMATS, default="html", metavar="FORMAT", help=", ".join(FORMATS)
    )
    parser.add_argument("--output", metavar="FILE", help="a file instead of standard output")


def _report(args: argparse.Namespace) -> int:
    from openloop import report

    made = report.collect(args.workspace)
    document = _rendered(made, args.format).encode()
    if args.output is None:
        with _told():
            sys.stdout.buffer.write(document)
            sys.stdout.flush()
    else:
        report.write(made.place, args.output, document)
    return ExitCode.OK


def _rendered(made: Report, form: str) -> str:
    match form:
        case "md":
            from openloop import report_markdown

            return report_markdown.render(made)
        case "json":
            import json

            return json.dumps(made.to_json(), indent=2) + "\n"
        case "junit":
            from openloop import report_junit

            return report_junit.render(made)
    from openloop import report_html

    return report_html.render(made)


def _add_audit(commands: Commands) -> None:
    parser = _add(commands, "audit", "Check that the whole record holds.", _audit)
    parser.add_argument("--head", type=_hash, metavar="HASH", help="the head that a run printed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _audit(args: argparse.Namespace) -> int:
    from openloop import audit, workspace

    report = audit.examine(workspace.existing_folder(args.workspace), head=args.head)
    _print_json(report.to_json()) if args.json else _print(audit.lines(report))
    return ExitCode.FAILED if report.broken else ExitCode.OK


def _add_completion(commands: Commands) -> None:
    words = "Print what a shell needs to complete commands and options."
    parser = _add_bare(commands, "completion", words, _completion)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _completion(args: argparse.Namespace) -> int:
    from openloop import completion

    _say(completion.script(args.shell, _parser()).rstrip("\n"))
    return ExitCode.OK


def _add_help(commands: Commands) -> None:
    words = "Explain a topic, or list the topics."
    parser = _add_bare(commands, "help", words, _help)
    parser.add_argument("topic", choices=TOPICS, nargs="?", metavar="TOPIC", help=", ".join(TOPICS))


def _help(args: argparse.Namespace) -> int:
    import shutil

    from openloop import topics

    if args.topic:
        _print(topics.lines(args.topic, shutil.get_terminal_size().columns))
        return ExitCode.OK
    listed = [f"  openloop help {name}\n      {topics.summary(name)}" for name in topics.names()]
    lines = [
        "Topics:",
        *"\n".join(listed).splitlines(),
        "",
        "Of a command: openloop COMMAND --help",
    ]
    _print(lines)
    return ExitCode.OK


def _add_judge(commands: Commands) -> None:
    words = "Run a command on cases and compare what it prints."
    parser = commands.add_parser(
        "judge",
        help=words,
        description=words,
        usage="openloop judge [-h] CASES [--jobs N] [--junit FILE] [--record] [--details]"
        " [--no-hide] -- COMMAND …",
    )
    parser.add_argument("cases", metavar="CASES", help="a file of JSON lines, a case each")
    parser.add_argument("--jobs", type=_positive, metavar="N", help="how many run at once")
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
    parser.set_defaults(command=_judge)


def _judge(args: argparse.Namespace) -> int:
    from openloop import judging

    return judging.judge(
        args.cases,
        args.words,
        judging.Options(
            jobs=args.jobs,
            junit=args.junit,
            record=args.record,
            details=args.details,
            hide=not args.no_hide,
        ),
        say=_print_on,
    )


def _hash(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"must be 64 hexadecimal digits, got {text!r}")
    return text.lower()


def _print(lines: list[str]) -> None:
    _say("\n".join(map(printable, lines)))


def _print_on(lines: list[str]) -> None:
    """As `_print`; a reader that has gone must neither end the work nor change its exit code."""
    try:
        _print(lines)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_json(document: Mapping[str, Any]) -> None:
    import json

    _say(json.dumps(document, indent=2))


def _say(text: str) -> None:
    with _told():
        print(text, flush=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Answers are written in here: standard output may take nothing."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - or the exit fails too
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
