"""Read a finished log once: its hash, OOM markers, and what the user's expressions find.

Logs may hold gigabytes without a newline: they are read in blocks, cut at line ends where
there are any, with memory bounded. A match longer than OVERLAP in a line longer than a block
may be missed.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import FrameType
from typing import TypeVar

from openloop.config import Baseline, Command
from openloop.gates import LogFacts
from openloop.oom_markers import LITERALS, OOM_MARKERS
from openloop.states import Match
from openloop.text import printable

BLOCK = 1 << 20  # bytes
OVERLAP = 1 << 16  # bytes of a line longer than a block that are looked at twice
REGEX_SECONDS = 2.0  # for one expression over one block
TAIL = 1 << 16  # bytes in which the last line is looked for
_DISTINCT = 6  # different metric values kept to show that they differ


T = TypeVar("T")


class _TooSlow(Exception):
    pass


@dataclass(slots=True)
class _Found:
    """What has been found so far in one stretch of the log."""

    oom_marker: str = ""
    expected: bool | None = None
    rejected: bool | None = None
    values: tuple[str, ...] = ()
    trouble: str = ""


class LogReader:
    """Reads a log stretch by stretch (one for each repetition) and hashes all of it."""

    def __init__(self, log: int, oom_markers: tuple[str, ...]) -> None:
        self._log = log
        self._hash = hashlib.sha256()
        self._markers = _Markers(oom_markers)
        self.size = 0  # bytes read so far

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, command: Command, baseline: Baseline | None) -> LogFacts:
        """Facts of what was appended since the last call. baseline: whose metric is wanted."""
        found = _Found(
            expected=None if command.expect is None else False,
            rejected=None if command.reject is None else False,
        )
        looks = self._looks(found, command, baseline)
        for block in self._blocks():
            for look in looks:
                look(block)
        return LogFacts(
            oom_marker=found.oom_marker,
            expected=found.expected,
            rejected=found.rejected,
            values=found.values,
            last_line=last_line(self._log),
            trouble=found.trouble,
        )

    def _looks(
        self, found: _Found, command: Command, baseline: Baseline | None
    ) -> list[Callable[[bytes], None]]:
        def markers(block: bytes) -> None:
            if not found.oom_marker:
                found.oom_marker = self._markers.search(block)

        looks: list[Callable[[bytes], None]] = [markers]
        if (expect := command.expect) is not None:

            def expected(block: bytes) -> None:
                found.expected = found.expected or _matches(expect, block, found)

            looks.append(expected)
        if (reject := command.reject) is not None:

            def rejected(block: bytes) -> None:
                found.rejected = found.rejected or _matches(reject, block, found)

            looks.append(rejected)
        if baseline is not None:
            looks.append(lambda block: _collect(baseline, block, found))
        return looks

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines up to the present end of the log, about BLOCK bytes at a time.

        An empty log is one empty block: `^$` matches there.
        """
        kept = b""
        started = self.size
        while data := os.pread(self._log, BLOCK, self.size):
            self.size += len(data)
            self._hash.update(data)
            block = kept + data
            cut = block.rfind(b"\n") + 1
            if cut:
                yield block[:cut]
                kept = block[cut:]
            else:
                yield block
                kept = block[-OVERLAP:]
        if kept or self.size == started:
            yield kept


class _Markers:
    """OOM markers over bytes; the default ones only where a plain substring shows up."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._literals = LITERALS if patterns == OOM_MARKERS else (b"",)
        self._patterns = patterns

    def search(self, block: bytes) -> str:
        """The line that matches, printable; "" for none."""
        if not any(literal in block for literal in self._literals):
            return ""
        for pattern in _compiled(self._patterns):
            try:
                match = _bounded(partial(pattern.search, block))
            except _TooSlow:
                continue
            if match:
                return _line_at(block, match.start())
        return ""


@cache
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[bytes], ...]:
    """One expression of all patterns, ten times as fast, where they can be joined."""
    try:
        return (re.compile("|".join(f"(?:{p})" for p in patterns).encode(), re.MULTILINE),)
    except re.error:  # flags inside a pattern, or references to groups
        return tuple(re.compile(p.encode(), re.MULTILINE) for p in patterns)


def _line_at(block: bytes, position: int) -> str:
    start = block.rfind(b"\n", 0, position) + 1
    return printable(block[start : start + 200].split(b"\n")[0].decode(errors="replace"))


def _matches(pattern: str, block: bytes, found: _Found) -> bool:
    matched = search(pattern, block.decode(errors="replace"))
    if matched is None:
        found.trouble = _too_slow(pattern)
    return bool(matched)


def _collect(baseline: Baseline, block: bytes, found: _Found) -> None:
    """Add the block's metric values to those found before, as `baseline.match` wants them."""
    if found.trouble or (baseline.match is Match.FIRST and found.values):
        return
    compiled = re.compile(baseline.regex, re.MULTILINE)
    text = block.decode(errors="replace")
    try:
        values = _bounded(lambda: [match[1] or "" for match in compiled.finditer(text)])
    except _TooSlow:
        found.trouble = _too_slow(baseline.regex)
        return
    if not values:
        return
    if baseline.match is Match.FIRST:
        found.values = (values[0],)
    elif baseline.match is Match.LAST:
        found.values = (values[-1],)
    else:
        found.values = tuple(dict.fromkeys((*found.values, *values)))[:_DISTINCT]


def search(pattern: str, text: str) -> bool | None:
    """Whether the expression matches somewhere in the text; None when it takes too long."""
    compiled = re.compile(pattern, re.MULTILINE)
    try:
        return _bounded(lambda: compiled.search(text)) is not None
    except _TooSlow:
        return None


def _too_slow(pattern: str) -> str:
    return f"the regular expression {pattern!r} took longer than {REGEX_SECONDS:g} s on its log"


def _bounded(search: Callable[[], T]) -> T:
    """Run a search in the main thread, interrupted when it takes too long."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, REGEX_SECONDS)
    try:
        return search()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tail(log: int, size: int) -> bytes:
    """The last `size` bytes of an open log."""
    end = os.fstat(log).st_size
    return os.pread(log, size, max(0, end - size))


def last_line(log: int) -> str:
    """The last line that is not blank, printable."""
    for line in reversed(tail(log, TAIL).decode(errors="replace").splitlines()):
        if text := printable(line.strip()):
            return text
    return ""
