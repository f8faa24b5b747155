"""The file of cases that `openloop judge` is given."""

from __future__ import annotations

import os
from dataclasses import dataclass

from openloop.fs import files
from openloop.judge import case_lines
from openloop.judge.cases import Case, GeneratorLine

LARGEST = 256 << 20  # bytes of a file of cases


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file of cases as read once. path: absolute, symlinks resolved. hidden: the file or folder
    to hide from the command."""

    path: str
    given: str
    data: bytes
    entries: tuple[Case | GeneratorLine, ...]
    hidden: str

    @property
    def cases(self) -> list[Case]:
        return [each for each in self.entries if isinstance(each, Case)]

    @property
    def generates(self) -> bool:
        return len(self.cases) < len(self.entries)


def load(path: str, *, recording: bool = False) -> CaseFile:
    """The file of cases. Raises UsageError, or ConfigError with every problem in it."""
    real = os.path.realpath(path)
    fix = "name a file of JSON lines that you may read"
    fix_size = "split it, and judge by each part"
    data = files.read_argument("CASES", path, limit=LARGEST, fix=fix, fix_size=fix_size)
    return CaseFile(real, path, data, case_lines.parse(data, where=path, recording=recording), real)
