"""The file of cases that `openloop judge` is given."""

from __future__ import annotations

import os
from dataclasses import dataclass

from openloop.core.errors import UsageError
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
    try:
        data = files.read(real, limit=LARGEST + 1)
    except OSError as error:
        why = "is not a regular file" if isinstance(error, files.NotRegular) else error.strerror
        fix = "name a file of JSON lines that you may read"
        raise UsageError(f"CASES cannot be read: {why}", where=path, fix=fix) from None
    if len(data) > LARGEST:
        what = f"CASES holds more than {LARGEST >> 20} MB"
        raise UsageError(what, where=path, fix="split it, and judge by each part")
    return CaseFile(real, path, data, case_lines.parse(data, where=path, recording=recording), real)
