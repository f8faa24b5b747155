"""The end of a log as text that may be shown anywhere: only its end is read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from openloop.core.text import printable
from openloop.fs import files
from openloop.record.workspace import LOGS, Workspace

TAB = " " * 4  # how a tabulator is shown


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The last lines of a log, printable. before: bytes of the log that are left out."""

    lines: tuple[str, ...]
    before: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def end_of(place: Workspace, log_path: str, size: int) -> Excerpt | None:
    """The last whole lines within `size` bytes of a log; None when the log is not there.

    log_path: as the record names it. Only its file name counts, so that no record leads out of
    the workspace's folder of logs.
    """
    try:
        folder = files.open_folder(place.file(LOGS))
    except OSError:
        return None
    try:
        log = files.open_regular(os.path.basename(log_path), os.O_RDONLY, folder=folder)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    finally:
        os.close(folder)
    try:
        return _end(log, size)
    finally:
        os.close(log)


def fenced(lines: Sequence[str]) -> str:
    """Printable lines as a block of Markdown whose fence none of them can close."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence, ""])


def _end(log: int, size: int) -> Excerpt:
    start = max(0, os.fstat(log).st_size - size)
    data = os.pread(log, size, start)
    if start:
        cut, newline, rest = data.partition(b"\n")
        if newline and rest:  # else it is one endless line: show its end
            start, data = start + len(cut) + 1, rest
    text = data.decode(errors="replace").rstrip()
    return Excerpt(tuple(map(_shown, text.split("\n"))) if text else (), start)


def _shown(line: str) -> str:
    return printable(line.removesuffix("\r").replace("\t", TAB))
