"""Whether the lines of a log quote files, as `diff` and tracebacks do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence

from openloop.core.text import printable
from openloop.fs import files
from openloop.record.log_tail import TAB

_LARGEST = 4 << 20  # bytes of a file that are looked at
_MOST = 64 << 20  # bytes of all files together
_TELLING = 8  # characters from which a line tells something wherever it stands
_MARKS = " \t<>+-|=:\"'`"  # what may stand around a line that is quoted whole
_WORD = re.compile(r"\w")


def quoting(lines: Sequence[str], paths: Iterable[str]) -> list[bool]:
    """For each line, printable, whether it quotes a line of a regular file among the paths.

    It does where eight characters or more of the one are the whole of the other, and where both
    are the same but for the marks around them. Files that cannot be read quote nothing.
    """
    bare = [line.strip(_MARKS) for line in lines]
    text = "\n".join(lines)
    long = [inner for inner in bare if len(inner) >= _TELLING]
    told = frozenset(bare)
    quoted: set[str] = set()
    for line in _lines(paths):
        if line in told or (len(line) >= _TELLING and line in text):
            quoted.add(line)
        quoted.update(inner for inner in long if inner in line)
    whole = [line for line in quoted if len(line) >= _TELLING]
    return [
        inner in quoted or any(one in line for one in whole)
        for line, inner in zip(lines, bare, strict=True)
    ]


def _lines(paths: Iterable[str]) -> Iterable[str]:
    """Their lines, as a log would show them, but for those without a letter or digit."""
    left = _MOST
    for path in paths:
        if left <= 0:
            return
        data = b""
        with contextlib.suppress(OSError):
            data = files.read(path, limit=min(left, _LARGEST))
        left -= len(data)
        for line in data.decode(errors="replace").split("\n"):
            if _WORD.search(line):
                yield printable(line.strip().replace("\t", TAB)).strip(_MARKS)
