"""The `openloop judge` command: its output, and the files that it writes."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from openloop.core import clock
from openloop.core.errors import ExitCode, Interrupted, JudgeError, UsageError
from openloop.core.text import printable
from openloop.fs import files
from openloop.judge import golden, pool
from openloop.judge.case_file import CaseFile, load
from openloop.judge.cases import Case, CaseResult
from openloop.views import junit_xml
from openloop.views.console import Screen

_LONGEST = 20  # lines of a text in the details
_WIDEST = 200  # characters of a line in the details


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """The options of the command.

    jobs: None for one a core. junit: a file's path. record: add missing expectations. details:
    show expectations. hide: hide CASES from the command. copy: run it in a copy of the project.
    fresh: run the generators in CASES. seed: for them; None for the round's number, or a random
    one.
    """

    jobs: int | None = None
    junit: str | None = None
    record: bool = False
    details: bool = False
    hide: bool = True
    copy: bool = False
    fresh: bool = False
    seed: int | None = None


def judge(
    path: str, command: Sequence[str], options: JudgeOptions, say: Callable[[list[str]], None]
) -> int:
    """Judge the command by the cases at `path`; returns the exit code.

    say: prints lines, the verdict among them. Raises OpenLoopError.
    """
    if not command:
        fix = "write it behind --: openloop judge CASES -- python3 solver.py"
        raise UsageError("COMMAND is missing", fix=fix)
    case_file = load(path, recording=options.record)
    _check(case_file, options)
    pool.check_program_exists(command)
    report = None if options.junit is None else _JUnitFile(options.junit, case_file)
    screen = Screen(sys.stderr)
    started, began = clock.utc(), clock.monotonic()
    try:
        if options.fresh:
            case_file = _fresh(case_file, options.seed, screen)
        results = list(_results(case_file, command, options, screen, say))
    except Interrupted as stop:
        screen.end_live()
        return 128 + stop.signum
    if report:
        report.write(_suite(case_file, results, started, clock.monotonic() - began))
    if not results:
        screen.line("note: CASES holds no case, and that is no pass")
    passed = bool(results) and all(result.passed for result in results)
    if options.record:
        say([_recorded(case_file, results, passed)])
    say(summary(results))
    return ExitCode.OK if passed else ExitCode.FAILED


def _check(case_file: CaseFile, options: JudgeOptions) -> None:
    """Raises UsageError for options that contradict each other or CASES."""
    if case_file.generates and not options.fresh:
        fix = "add --fresh, which runs its generators, if you trust them"
        raise UsageError("CASES makes its cases", where=case_file.given, fix=fix)
    if options.fresh and not case_file.generates:
        fix = 'leave --fresh out, or add a line: {"generate": "python3 make_cases.py"}'
        raise UsageError("CASES makes no cases", where=case_file.given, fix=fix)
    if options.fresh and options.record:
        raise UsageError("--record and --fresh exclude each other", fix="leave one of them out")
    if options.seed is not None and not options.fresh:
        raise UsageError("--seed says nothing without --fresh", fix="leave it out")
    if options.copy and not options.hide:
        raise UsageError("--copy and --no-hide exclude each other", fix="leave one of them out")


def _fresh(case_file: CaseFile, seed: int | None, screen: Screen) -> CaseFile:
    """The file with its cases generated from the seed."""
    from openloop.judge import generator  # hardly ever needed

    chosen = str(seed) if seed is not None else os.environ.get("OPENLOOP_ROUND", "")
    chosen = chosen or str(secrets.randbits(32))
    screen.line(f"note: cases are made from seed {printable(chosen)}")
    return generator.expand(case_file, chosen)


def _results(
    case_file: CaseFile,
    command: Sequence[str],
    options: JudgeOptions,
    screen: Screen,
    say: Callable[[list[str]], None],
) -> Iterator[CaseResult]:
    """The results in the order of the cases, each printed as soon as possible."""
    total, done, failed = len(case_file.cases), 0, 0

    def watched(results: Iterator[CaseResult]) -> Iterator[CaseResult]:
        nonlocal done, failed
        for result in results:
            done += 1
            failed += not result.passed
            yield result
            screen.live(f"{done} of {total} cases, {failed} failed")

    def note(text: str) -> None:
        screen.line(f"note: {printable(text)}")

    running = pool.run(
        case_file,
        command,
        jobs=options.jobs or pool.default_jobs(),
        hide=options.hide,
        copy=options.copy,
        note=note,
    )
    with contextlib.closing(running):
        for result in ordered(watched(running), case_file.cases):
            screen.end_live()
            say([line(result)])
            if options.details and not result.passed:
                say(details(result))
            yield result
    screen.end_live()


def _recorded(case_file: CaseFile, results: Sequence[CaseResult], passed: bool) -> str:
    new = sum(not result.case.expects for result in results)
    if not passed:
        return f"nothing was recorded in {case_file.given}: not every case passed"
    if new:
        golden.write(case_file, golden.with_expectations(case_file, results))
    return f"recorded {new} of {len(results)} cases in {case_file.given}"


def _suite(
    case_file: CaseFile, results: Sequence[CaseResult], started: str, seconds: float
) -> junit_xml.Suite:
    group = os.path.splitext(os.path.basename(case_file.path))[0]
    tests = [
        junit_xml.Test(result.case.name, group, result.answer.seconds, result.failure)
        for result in results
    ]
    out = "\n".join(map(printable, map(line, results)))
    return junit_xml.Suite(case_file.given, started, socket.gethostname(), seconds, tests, out)


class _JUnitFile:
    """The file for `--junit`, checked before any case runs, so that no result is lost."""

    def __init__(self, path: str, case_file: CaseFile) -> None:
        """Removes an earlier run's file, never a device or a symlink. Raises UsageError when the
        file cannot be written."""
        if os.path.exists(path) and os.path.samefile(path, case_file.path):
            raise UsageError(f"--junit: {path} is the file of cases", fix="name another file")
        self._path = path
        folder, self._name = os.path.split(os.path.abspath(path))
        if not path:
            raise UsageError("--junit names no file", fix="write its name behind --junit")
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            fix = "name a new file, or one that may be replaced"
            raise UsageError(f"--junit: {path} is not a regular file", fix=fix)
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

    def write(self, suite: junit_xml.Suite) -> None:
        try:
            files.replace(self._name, junit_xml.document([suite]), folder=self._folder)
        except OSError as error:
            what = f"{self._path} cannot be written: {error.strerror}"
            raise JudgeError(what, fix="make room, then judge again") from None
        finally:
            os.close(self._folder)


# --- output -----------------------------------------------------------------------------


def ordered(results: Iterator[CaseResult], wanted: Sequence[Case]) -> Iterator[CaseResult]:
    """The results in the order of the cases, each once all earlier ones have arrived."""
    early: dict[str, CaseResult] = {}
    left = deque(wanted)
    for result in results:
        early[result.case.name] = result
        while left and left[0].name in early:
            yield early.pop(left.popleft().name)


def line(result: CaseResult) -> str:
    """`failed    empty input  0.0 s  stdout differs in line 1`."""
    done = "passed" if result.case.expects else "recorded"
    verdict = f"{done if result.passed else 'failed':<8}"
    words = f"{verdict}  {result.case.name}  {result.answer.seconds:.1f} s"
    return f"{words}  {result.failure}" if result.failure else words


def details(result: CaseResult) -> list[str]:
    """The expected and actual output of a failed case, for a person only."""
    shown = []
    for name in ("stdout", "stderr"):
        expected, got = getattr(result.case, name), getattr(result.answer, name)
        if expected is not None:
            shown += _quoted(f"expected {name}", expected)
        if expected is not None or got:
            shown += _quoted(name, got.decode(errors="backslashreplace"))
    return shown


def _quoted(title: str, text: str) -> list[str]:
    lines = text.removesuffix("\n").split("\n")
    shown = [f"    {title:<15} | {each[:_WIDEST]}" for each in lines[:_LONGEST]]
    left = len(lines) - _LONGEST
    return [*shown, f"    {'':<15} | ({left} more lines)"] if left > 0 else shown


def summary(results: Sequence[CaseResult]) -> list[str]:
    passed = sum(result.passed for result in results)
    score = passed / len(results) if results else 0.0  # 0.99999 must not print as 1.0000
    return [
        f"{passed} of {len(results)} cases",
        f"score={min(score, 0.9999) if score < 1 else score:.4f}",
    ]
