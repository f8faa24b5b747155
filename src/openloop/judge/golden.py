"""`openloop judge --record`: save the answers of a trusted version as expectations."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from openloop.core.errors import JudgeError
from openloop.fs import dirfd, files
from openloop.judge import case_lines
from openloop.judge.case_file import CaseFile
from openloop.judge.cases import CaseResult

_TEMPORARY = b".openloop-recorded"


def with_expectations(case_file: CaseFile, results: Sequence[CaseResult]) -> bytes:
    """The file with expectations added to cases that had none; other lines are unchanged."""
    answers = {result.case.line: result for result in results if not result.case.expects}
    lines = case_file.data.decode().split("\n")
    for number, result in answers.items():
        lines[number - 1] = case_lines.recorded(lines[number - 1], result.case, result.answer)
    data = "\n".join(lines).encode()
    case_lines.parse(data, where=case_file.given)  # a later run must be able to read it
    return data


def write(case_file: CaseFile, data: bytes) -> None:
    """Replace the file atomically. Raises JudgeError when it cannot be written, or was changed
    since it was read."""
    folder, name = os.path.split(case_file.path)
    try:
        if files.read(case_file.path, limit=len(case_file.data) + 1) != case_file.data:
            what = "nothing was recorded: the file was changed meanwhile"
            raise JudgeError(what, where=case_file.given, fix="record again")
        parent = files.open_folder(folder)
        try:
            mode = stat.S_IMODE(os.stat(case_file.path).st_mode)
            with dirfd.replacing(
                os.fsencode(name), parent, temporary=_TEMPORARY, mode=mode
            ) as descriptor:
                os.fchmod(descriptor, mode)
                files.write_all(descriptor, data)
        finally:
            os.close(parent)
    except OSError as error:
        raise JudgeError(
            f"nothing was recorded: {error.strerror}",
            where=case_file.given,
            fix="fix that, then record again",
        ) from None
