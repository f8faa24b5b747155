"""Each subcommand in a few lines, and the one boundary at which an error becomes words.

What one subcommand alone needs is imported inside it. `--help` and `status` are asked for again
and again: nothing on their way imports typing, dataclasses or shutil, which take as long as Python
itself (a test holds that). So their modules have plain classes and TYPE_CHECKING of their own.
"""

from __future__ import annotations

import argparse
import io
import os
import sys

from openloop import arguments, output
from openloop.errors import ExitCode, OpenLoopError, UsageError
from openloop.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from openloop.console import Screen
    from openloop.report import Report
    from openloop.runner import View


def dispatch(words: list[str]) -> int:
    """Parse the words and run the command they name; returns the exit code."""
    try:
        _open_standard_streams()
        args = arguments.parse(words)
        return _COMMANDS[args.command](args)
    except SystemExit as ending:  # argparse has said all there is to say
        return int(ending.code or 0)
    except OpenLoopError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output.nobody_listens()
        return ExitCode.OK
    except Exception as error:
        return _failed(error)


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


def _init(args: argparse.Namespace) -> int:
    from openloop import scaffold

    made = scaffold.init(
        args.workspace,
        project_root=args.project_root,
        mission=args.mission,
        agent=args.agent,
        force=args.force,
    )
    output.say_lines(scaffold.lines(made))
    return ExitCode.OK


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
    output.say_json(report.to_json()) if args.json else output.say_lines(doctor.lines(report))
    return ExitCode.OK if report.sound else ExitCode.FAILED


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
    output.say_json(report.to_json()) if args.json else output.say_lines(status.lines(report))
    return ExitCode.FAILED if report.problems else ExitCode.OK


def _logs(args: argparse.Namespace) -> int:
    from openloop import logs, workspace
    from openloop.states import Step

    asked = logs.Asked(args.round, Step(args.step) if args.step else None)
    logs.show(workspace.existing_folder(args.workspace), asked, follow=args.follow)
    return ExitCode.OK


def _report(args: argparse.Namespace) -> int:
    from openloop import report

    made = report.collect(args.workspace)
    document = _rendered(made, args.format).encode()
    if args.output is None:
        output.give(document)
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


def _audit(args: argparse.Namespace) -> int:
    from openloop import audit, workspace

    report = audit.examine(workspace.existing_folder(args.workspace), head=args.head)
    output.say_json(report.to_json()) if args.json else output.say_lines(audit.lines(report))
    return ExitCode.FAILED if report.broken else ExitCode.OK


def _completion(args: argparse.Namespace) -> int:
    from openloop import completion

    output.say(completion.script(args.shell, arguments.parser()).rstrip("\n"))
    return ExitCode.OK


def _help(args: argparse.Namespace) -> int:
    import shutil

    from openloop import topics

    if args.topic:
        output.say_lines(topics.lines(args.topic, shutil.get_terminal_size().columns))
        return ExitCode.OK
    listed = [f"  openloop help {name}\n      {topics.summary(name)}" for name in topics.names()]
    lines = [
        "Topics:",
        *"\n".join(listed).splitlines(),
        "",
        "Of a command: openloop COMMAND --help",
    ]
    output.say_lines(lines)
    return ExitCode.OK


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
        say=output.say_lines_to_whoever_listens,
    )


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "doctor": _doctor,
    "run": _run,
    "status": _status,
    "logs": _logs,
    "report": _report,
    "audit": _audit,
    "judge": _judge,
    "completion": _completion,
    "help": _help,
}
