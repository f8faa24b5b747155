"""A case that a command is judged by, the command's answer to it, and the result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

_DIR = re.compile(r"\{\{dir\}\}|\{dir\}")


class OutputMatch(StrEnum):
    """How output is compared with the expected output."""

    EXACT = "exact"
    TRIM = "trim"
    JSON = "json"
    NUMBER = "number"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. line: its number, from 1. timeout: seconds. stdout, stderr: None for any output.
    expects: whether its line has any expectation."""

    name: str
    line: int
    args: tuple[str, ...]
    stdin: str
    files: Mapping[str, str]
    env: Mapping[str, str]
    stdout: str | None
    stderr: str | None
    match: OutputMatch
    tolerance: Decimal
    exit_code: int
    timeout: float
    expects: bool


@dataclass(frozen=True, slots=True)
class GeneratorLine:
    """A line with a command that generates cases. command: for the shell. timeout: seconds."""

    line: int
    command: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The command's answer to a case.

    code: None when it has none. trouble: why the answer is invalid ("ran longer than 10 s"), or "".
    seconds: its duration.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    code: int | None = None
    trouble: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case. failure: why it failed, or ""."""

    case: Case
    answer: Answer
    failure: str

    @property
    def passed(self) -> bool:
        return not self.failure


def expand_dir(text: str, folder: str) -> str:
    """The text with `{dir}` as the case's own folder; `{{dir}}` yields `{dir}`."""
    return _DIR.sub(lambda found: folder if found[0] == "{dir}" else "{dir}", text)


def masked(output: bytes, folder: str) -> bytes:
    """Output with `{dir}` in place of the case's own folder, whose name is random."""
    return output.replace(folder.encode(), b"{dir}")
