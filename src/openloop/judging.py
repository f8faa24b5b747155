"""What `openloop judge` says while it judges, and the files that it writes at the end."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from openloop import clock, files, junit, recording
from openloop import judge as bench
from openloop.console import Screen
from openloop.errors import ExitCode, JudgeError, UsageError
from openloop.judge import Interrupted, Result, Sheet
from openloop.text import printable


@dataclass(frozen=True, slots=True)
class Options:
    """jobs: None for one a core. junit: a file's path. record: fill in what is expected.
    details: show what was expected. hide: keep CASES out of the command's sight."""

    jobs: int | None = None
    junit: str | None = None
    record: bool = False
    details: bool = False
    hide: bool = True


def judge(
    path: str, command: Sequence[str], options: Options, say: Callable[[list[str]], None]
) -> int:
    """Judge the command by the cases at `path`; returns the exit code.

    say: prints lines, the verdict among them. Raises OpenLoopError.
    """
    if not command:
        fix = "write it behind --: openloop judge CASES -- python3 solver.py"
        raise UsageError("COMMAND is missing", fix=fix)
    sheet = bench.load(path, recording=options.record)
    bench.check(command)
    report = _Report(options.junit) if options.junit else None
    screen = Screen(sys.stderr)
    started, began = clock.utc(), clock.monotonic()
    try:
        results = list(_told(sheet, command, options, screen, say))
    except Interrupted as stop:
        screen.end_live()
        return stop.exit_code
    if report:
        report.write(_suite(sheet, results, started, clock.monotonic() - began))
    if not results:
        screen.line("note: CASES holds no case, and that is no pass")
    passed = bool(results) and all(result.passed for result in results)
    if options.record:
        say([_recorded(sheet, results, passed)])
    say(bench.summary(results))
    return ExitCode.OK if passed else ExitCode.FAILED


def _told(
    sheet: Sheet,
    command: Sequence[str],
    options: Options,
    screen: Screen,
    say: Callable[[list[str]], None],
) -> Iterator[Result]:
    """The results in the order of the cases, each said as soon as it is its turn."""
    total, done, failed = len(sheet.cases), 0, 0

    def watched(results: Iterator[Result]) -> Iterator[Result]:
        nonlocal done, failed
        for result in results:
            done += 1
            failed += not result.passed
            yield result
            screen.live(f"{done} of {total} cases, {failed} failed")

    def note(text: str) -> None:
        screen.line(f"note: {printable(text)}")

    running = bench.run(
        sheet, command, jobs=options.jobs or bench.default_jobs(), hide=options.hide, note=note
    )
    with contextlib.closing(running):
        for result in bench.ordered(watched(running), sheet.cases):
            screen.end_live()
            say([bench.line(result)])
            if options.details and not result.passed:
                say(bench.details(result))
            yield result
    screen.end_live()


def _recorded(sheet: Sheet, results: Sequence[Result], passed: bool) -> str:
    new = sum(not result.case.expects for result in results)
    if not passed:
        return f"nothing was recorded in {sheet.given}: not every case passed"
    if new:
        recording.write(sheet, recording.filled(sheet, results))
    return f"recorded {new} of {len(results)} cases in {sheet.given}"


def _suite(sheet: Sheet, results: Sequence[Result], started: str, seconds: float) -> junit.Suite:
    group = os.path.splitext(os.path.basename(sheet.path))[0]
    tests = [
        junit.Test(result.case.name, group, result.answer.seconds, result.failure)
        for result in results
    ]
    out = "\n".join(map(printable, map(bench.line, results)))
    return junit.Suite(sheet.given, started, socket.gethostname(), seconds, tests, out)


class _Report:
    """The file for `--junit`: looked at before anything runs, so that no result is lost."""

    def __init__(self, path: str) -> None:
        """Removes what an earlier run left there. Raises UsageError where it cannot be made."""
        self._path = path
        folder, self._name = os.path.split(os.path.abspath(path))
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(0, "its folder cannot be written")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder)
        except OSError as error:
            raise UsageError(
                f"--junit: {path} cannot be written: {error.strerror}",
                fix="name a file in a folder that is there",
            ) from None

    def write(self, suite: junit.Suite) -> None:
        try:
            files.replace(self._name, junit.document([suite]), folder=self._folder)
        except OSError as error:
            what = f"{self._path} cannot be written: {error.strerror}"
            raise JudgeError(what, fix="make room, then judge again") from None
        finally:
            os.close(self._folder)
