"""The end of a log as a terminal shows it: the last lines, and the line that names the failure."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from openloop.core.text import as_displayed
from openloop.fs import files
from openloop.record.workspace import LOGS, Workspace

_FIRST_READ = 1 << 16  # bytes of a log's end that are read at first
_LAST_READ = 1 << 22  # bytes at most, where most of these are overwritten on the screen
_SEARCHED = 1 << 15  # characters in which the line that says what failed is looked for
_COUNTS = r"(?<![\w.])\d{1,9} of \d{1,9} cases\b"  # as `openloop judge` prints them
_TELLS = (
    r"^(?:FAILED?|ERROR|FATAL|Failed|---\s+FAIL)\b|^not ok\b(?!.*#\s*(?:TODO|SKIP))|^[✗✘✖\u00d7●]\s"
    r"|\b(?:error|ERROR|fatal)\b(?: ?[\[(]?\w+[\])]?)?:|^\d+:\d+\s+error\b"
    r"|\b\w*(?:Error|Exception)\b(?: ?\[\w+\])?:|^\w*(?:Error|Exception)$"
    r"|\bpanicked at\b|\bassertion\b.*\bfailed\b|\bFailed asserting\b|\bFAILED$|\*\*\*Failed"
    r"|\bSegmentation fault\b|\bcommand not found\b|: not found$"
)
_IN_ANY = (  # one of these is in every match of _TELLS, whatever its case
    *("fail", "error", "fatal", "exception", "not ok", "panicked", "fault", "not found"),
    *"✗✘✖\u00d7●",
)
_SUMS_UP = (  # lines that say only that something failed
    r"ELIFECYCLE|^npm (?:ERR!|error)|^FAILED \(|^FAIL$|^FAIL\s+\S+\s+[\d.]+s$|^Failed!|^ERRORS?$"
    r"|test failed, to rerun|[Cc]ommand failed with exit code|\bRecipe .* failed\b|^make\b.*\*\*\*"
    r"|^[✗✘✖\u00d7]\s+(?:\d+ problems?\b|failing tests)|process completed with exit code"
    r"|^error: [|>]-?$"
    r"|\b(?:errors?|failures?|failed): 0\b|\b(?:could not compile|aborting due to)\b"
)


class Excerpt(NamedTuple):
    """The last lines of a log, printable. before: bytes of the log that are left out."""

    lines: tuple[str, ...]
    before: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def end_of(workspace: Workspace, log_path: str, size: int) -> Excerpt | None:
    """The last whole lines of a log, `size` characters at most, as a terminal shows them; None when
    the log is not there.

    log_path: as the record names it. Only its file name counts, so that no record leads out of
    the workspace's folder of logs.
    """
    try:
        folder = files.open_folder(workspace.file(LOGS))
    except OSError:
        return None
    try:
        log = files.open_regular(os.path.basename(log_path), os.O_RDONLY, folder=folder)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    finally:
        os.close(folder)
    try:
        return end_lines(log, size)
    finally:
        os.close(log)


def fenced(lines: Sequence[str], language: str = "text") -> str:
    """Printable lines as a block of Markdown whose fence none of them can close."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence, ""])


def end_lines(log: int, size: int) -> Excerpt:
    """The last whole lines of an open log, `size` characters at most, as a terminal shows them.

    Of a progress bar, which is one long line, little is seen: then more of the log is read.
    """
    end = os.fstat(log).st_size
    for read in (_FIRST_READ, _LAST_READ):
        start = max(0, end - read)
        found, is_full = _last_lines(os.pread(log, end - start, start), start, size)
        if is_full or start == 0:
            break
    return found


def _last_lines(data: bytes, start: int, size: int) -> tuple[Excerpt, bool]:
    """(the last lines of a log from byte `start` on, whether no more would fit)."""
    data = data.rstrip()
    raw = data.split(b"\n") if data else []
    shown: list[str] = []
    before = start + len(data) + 1
    is_full = False
    for position, line in enumerate(reversed(raw), 1):
        if shown and start and position == len(raw):
            break  # the line begins before `start`
        text = as_displayed(line.decode(errors="replace"))
        is_full = len(text) > size
        if is_full and shown:
            break
        text = text[-size:] if is_full else text
        before -= len(text.encode() if is_full else line) + 1
        size -= len(text) + 1
        shown.append(text)
        if is_full:
            break
    return Excerpt(tuple(reversed(shown)), max(0, before) if raw else 0), is_full


def failure_line(log: int) -> str:
    """The line near the end of an open log that names the failure, or else the last non-blank line;
    printable, "" for an empty log."""
    lines = [line.strip() for line in end_lines(log, _SEARCHED).lines]
    found = (line for line in reversed(lines) if _tells(line))
    return next(found, "") or next(filter(None, reversed(lines)), "")


def _tells(line: str) -> bool:
    lower = line.lower()
    return (
        any(word in lower for word in _IN_ANY)  # takes a tenth of the time
        and re.search(_TELLS, line) is not None
        and re.search(_SUMS_UP, line) is None
    )


def last_count(log: int) -> str:
    """The last count such as `7 of 8 cases` in an open log; "" for none."""
    found = re.findall(_COUNTS, end_lines(log, _SEARCHED).text)
    return str(found[-1]) if found else ""
