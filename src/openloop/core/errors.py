"""Failures that a user can fix, each with the exit code it ends with."""

from __future__ import annotations

from enum import IntEnum

from openloop.core.text import printable


class ExitCode(IntEnum):
    """What a process that called us may branch on; the same numbers for every command."""

    OK = 0
    FAILED = 1  # exhausted, problems found, record not intact
    USAGE = 2  # nothing was started
    BLOCKED = 3
    HELD = 4  # a live runner holds the workspace
    RECORD = 5  # the record could not be kept, or OpenLoop itself failed


class OpenLoopError(Exception):
    """An error a user can fix: what is wrong, where, and how to fix it."""

    exit_code = ExitCode.USAGE

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  in: {self.where}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(map(printable, lines))


class UsageError(OpenLoopError):
    """Bad usage, or no such workspace or project: nothing was started."""


class ConfigError(OpenLoopError):
    """A file that a person wrote has errors; holds all of them, in the order of the file."""

    def __init__(self, problems: tuple[OpenLoopError, ...]) -> None:
        super().__init__("; ".join(problem.what for problem in problems))
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class OutputError(OpenLoopError):
    """The output cannot be written: standard output is closed or full."""

    exit_code = ExitCode.FAILED


class JudgeError(OpenLoopError):
    """The judge could not finish all cases, which never counts as a pass."""

    exit_code = ExitCode.FAILED


class HeldError(OpenLoopError):
    """Another live runner holds the workspace."""

    exit_code = ExitCode.HELD


class TamperError(OpenLoopError):
    """The record or the configuration is not what OpenLoop wrote or read."""

    exit_code = ExitCode.BLOCKED


class LimitError(TamperError):
    """A scan of the project took longer than a limit allows: nobody knows what is in it."""


class Interrupted(OpenLoopError):
    """A signal asked the program to stop; its number is in the exit code."""

    def __init__(self, signum: int, what: str, *, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.signum = signum


class RecordError(OpenLoopError):
    """The record cannot be kept: disk full, I/O error, workspace gone."""

    exit_code = ExitCode.RECORD
