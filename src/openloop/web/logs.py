"""Pieces of a log by byte offset, line numbers, and a search over the whole file.

A log of gigabytes opens as fast as a small one: only the requested piece is read. Functions that
read the whole log are bounded in time and report how far they came.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from typing import Any

from openloop.core.errors import UsageError
from openloop.fs import files
from openloop.record.workspace import LOGS, Workspace

PIECE = 1 << 16  # bytes of a log in one answer
LONGEST = 1 << 20
SEARCH = 20  # seconds at most, which are enough for a text in the longest log
_LATE = 2.0  # seconds more, for the block that is searched when they are over
GLANCE = 0.005  # seconds of counting lines for an answer that is shown at once
COUNT = 1.0  # seconds of it for an answer that is about the lines
_BLOCK = 1 << 22  # bytes
_KEPT = 64  # logs whose lines have been counted
_SEARCHER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from openloop.web.search import main; main()"
)

Document = dict[str, Any]


def opened(workspace: Workspace, name: str) -> int:
    """A descriptor of the log. Raises OSError, also when it is not a regular file."""
    folder = files.open_folder(workspace.file(LOGS))
    try:
        return files.open_regular(name, os.O_RDONLY, folder=folder)
    finally:
        os.close(folder)


def read_range(log: int, offset: int | None, length: int) -> Document:
    """Text from byte `offset`, or the end of the log; begins and ends at lines where it can.

    offset: of the first byte; None for the last `length` bytes. The answer's `end` is where the
    next piece begins, `offset` where this one begins, `size` that of the whole log.
    """
    size = os.fstat(log).st_size
    length = min(length, LONGEST)
    start = max(0, size - length) if offset is None else min(offset, size)
    data = os.pread(log, length, start)
    if start and os.pread(log, 1, start - 1) != b"\n":
        cut = data.find(b"\n") + 1
        if offset is None and cut:
            data, start = data[cut:], start + cut
    end = data.rfind(b"\n") + 1
    if end and start + len(data) < size:
        data = data[:end]
    text = data.decode(errors="replace")
    return {"offset": start, "end": start + len(data), "size": size, "text": text}


class LineNumbers:
    """Line numbers, counted once and cached every few megabytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: OrderedDict[tuple[int, int], _Counted] = OrderedDict()

    def before(self, log: int, offset: int, patience: float) -> int | None:
        """How many lines end before byte `offset`; None when counting them takes longer than the
        patience, in seconds. The next call goes on."""
        facts = os.fstat(log)
        key = (facts.st_dev, facts.st_ino)
        with self._lock:
            counted = self._logs.setdefault(key, _Counted())
            self._logs.move_to_end(key)
            while len(self._logs) > _KEPT:
                self._logs.popitem(last=False)
        return counted.before(log, offset, time.monotonic() + patience)


class _Counted:
    """The lines of one log. counts: how many end before each block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0]

    def before(self, log: int, offset: int, deadline: float) -> int | None:
        counts = self._counts
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return None
        try:
            while len(counts) * _BLOCK <= offset:
                if time.monotonic() > deadline:
                    return None
                data = os.pread(log, _BLOCK, (len(counts) - 1) * _BLOCK)
                if len(data) < _BLOCK:
                    break
                counts.append(counts[-1] + data.count(b"\n"))
            block = min(offset // _BLOCK, len(counts) - 1)
        finally:
            self._lock.release()
        rest = os.pread(log, offset - block * _BLOCK, block * _BLOCK)
        return counts[block] + rest.count(b"\n")


def search(
    log: int, query: str, *, regex: bool, begin: int = 0, seconds: float = SEARCH
) -> Document:
    """Where a text or an expression stands from byte `begin` on: `count`, the first `offsets`, and
    `complete`, false when the time was up at byte `searched`, where another search can go on.

    In a process of its own: an expression may take for ever. Raises UsageError for a bad one.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    words = [sys.executable, "-I", "-S", "-c", _SEARCHER, package, str(log), str(begin)]
    words += [str(seconds), "regex" if regex else "text"]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(log,),
    )
    try:
        out, _ = process.communicate(query.encode(errors="surrogateescape"), seconds + _LATE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
    lines = out.splitlines()
    if not lines:
        return {"count": 0, "offsets": [], "complete": False, "searched": begin}
    found: Document = json.loads(lines[-1])
    if "error" in found:
        raise UsageError(found["error"])
    return found
