"""Read a finished log once: its hash, OOM markers, and matches of the user's expressions.

A log may have gigabytes without a newline, so it is read in blocks with bounded memory. Each search
begins OVERLAP before the new block; only a match longer than OVERLAP can be missed.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import FrameType
from typing import AnyStr, Generic, TypeVar

from openloop.config.config import Baseline, Command
from openloop.config.oom_markers import LITERALS, OOM_MARKERS
from openloop.core.text import printable, without_escapes
from openloop.core.vocabulary import Match
from openloop.loop.gates import LogFacts

BLOCK = 1 << 20  # bytes
OVERLAP = 1 << 16  # bytes, or characters, that are searched twice
REGEX_SECONDS = 2.0  # for one expression over one block
_UNESCAPED = 1 << 20  # bytes that are searched again without their escapes
_REST_OF_A_NUMBER = r"\d|\.\d|[eE][-+]?\d|_\d"
_SEPARATED = r",\d{3}(?!\d)"
_BEGUN_NUMBER = r"(?:\d[._]?|\d[eE][-+]?|(?<!\S)[-+]|(?<![\w.])\.)$"
_MARKER_LINE = 4096  # bytes after a marker that are read before its line is quoted
_DISTINCT = 6  # different metric values kept to show that they differ
T = TypeVar("T")


class _TooSlow(Exception):
    """An expression of the user's took longer than REGEX_SECONDS."""


class LogReader:
    """Reads a log stretch by stretch (one for each repetition) and hashes all of it."""

    def __init__(self, log: int, oom_markers: tuple[str, ...]) -> None:
        self._log = log
        self._hash = hashlib.sha256()
        self._markers = oom_markers
        self.size = 0  # bytes read so far

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, command: Command, baseline: Baseline | None, code: int | None) -> LogFacts:
        """Facts of the output since the last call.

        baseline: has the metric to extract. code: what the command exited with; OOM markers
        count, and are searched, only when it is not 0.
        """
        begin = self.size
        markers = _Markers(self._markers if code != 0 else ())
        asked = [
            _Search(pattern) if pattern is not None else None
            for pattern in (command.expect, command.reject)
        ]
        metric = _MetricReader(baseline) if baseline else None
        searches = [search for search in (*asked, metric) if search]
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for data, last in self._blocks():
            markers.feed(data, last)
            text = decoder.decode(data, last) if searches else ""
            for search in searches:
                search.feed(text, last)
        return LogFacts(
            oom_marker=markers.line,
            expected=asked[0].found if asked[0] else None,
            rejected=asked[1].found if asked[1] else None,
            values=tuple(metric.values) if metric else (),
            trouble=next((one.trouble for one in (*searches, markers) if one.trouble), ""),
            obscured=any(self._is_obscured(one, begin) for one in searches if not one.has_found),
        )

    def _is_obscured(self, search: _Search | _MetricReader, begin: int) -> bool:
        """Whether a search matches the log's end without its escapes. begin: of the stretch."""
        start = max(begin, self.size - _UNESCAPED)
        text = os.pread(self._log, self.size - start, start).decode(errors="replace")
        plain = without_escapes(text)
        if plain == text:
            return False
        again = search.restarted()
        again.feed(plain, last=True)
        return again.has_found

    def _blocks(self) -> Iterator[tuple[bytes, bool]]:
        """(bytes, whether they are the last) up to the present end of the log.

        An empty log is one empty block: `^$` matches there.
        """
        data = os.pread(self._log, BLOCK, self.size)
        while True:
            self.size += len(data)
            following = os.pread(self._log, BLOCK, self.size) if data else b""
            if not following:
                self._hash.update(data)
                yield data, True
                return
            # Hashing releases the interpreter's lock, so the caller searches meanwhile.
            hashing = threading.Thread(target=self._hash.update, args=(data,))
            hashing.start()
            yield data, False
            hashing.join()
            data = following


class _NewText(Generic[AnyStr]):
    """New text after the end of the earlier text.

    A match near the end of the window waits for the next one, because it may go on there.
    """

    def __init__(self, nothing: AnyStr) -> None:
        self._kept: AnyStr = nothing
        self._given = -1  # position in `_kept` up to which matches have been yielded
        self.trouble = ""

    def matches(
        self, pattern: re.Pattern[AnyStr], new: AnyStr, last: bool
    ) -> Iterator[re.Match[AnyStr]]:
        """Every match that no earlier window has yielded. Raises _TooSlow."""
        # The first character only shows whether a line begins after it.
        start, given = 1 if len(self._kept) >= OVERLAP else 0, self._given
        window = self._kept + new
        certain = len(window) if last else len(window) - OVERLAP // 2
        self._kept = window[-OVERLAP:]
        self._given = max(-1, certain - (len(window) - len(self._kept)))
        for match in pattern.finditer(window, start):
            if given < match.end() <= certain:
                yield match


class _Search(_NewText[str]):
    """Searches for any match of a user's expression."""

    def __init__(self, pattern: str) -> None:
        super().__init__("")
        self._pattern = re.compile(pattern, re.MULTILINE)
        self.found = False

    @property
    def has_found(self) -> bool:
        return self.found

    def restarted(self) -> _Search:
        return _Search(self._pattern.pattern)

    def feed(self, new: str, last: bool) -> None:
        if self.found or self.trouble:
            return
        try:
            self.found = _bounded(lambda: any(True for _ in self.matches(self._pattern, new, last)))
        except _TooSlow:
            self.trouble = _too_slow(self._pattern.pattern)


class _MetricReader(_NewText[str]):
    """Collects the values of a metric according to `baseline.match`."""

    def __init__(self, baseline: Baseline) -> None:
        super().__init__("")
        self._baseline = baseline
        self._pattern = re.compile(baseline.regex, re.MULTILINE)
        self._match = baseline.match
        self.values: list[str] = []
        self._is_slow = False

    @property
    def has_found(self) -> bool:
        return bool(self.values)

    def restarted(self) -> _MetricReader:
        return _MetricReader(self._baseline)

    def feed(self, new: str, last: bool) -> None:
        if self._is_slow or (self._match is Match.FIRST and self.values):
            return
        try:
            _bounded(lambda: self._collect(new, last))
        except _TooSlow:
            self._is_slow = True
            self.trouble = _too_slow(self._pattern.pattern)
            self.values = []

    def _collect(self, new: str, last: bool) -> None:
        for match in self.matches(self._pattern, new, last):
            value = match[1] or ""
            if self._match is Match.LAST or not self.trouble:
                self.trouble = self._cut(match)
            if self._match is Match.LAST:
                self.values = [value]
            elif value not in self.values and len(self.values) < _DISTINCT:
                self.values.append(value)
            if self._match is Match.FIRST:
                return

    def _cut(self, match: re.Match[str]) -> str:
        """An error if the match has only a part of a number; "" otherwise."""
        start, end = match.span(1)
        before, after = match.string[max(0, start - 8) : start], match.string[end : end + 8]
        value = match[1] or ""
        is_cut = value[-1:].isdigit() and re.match(_REST_OF_A_NUMBER, after)
        # Text that the expression itself matches beside its group is no part of the number.
        if match.end() == end and value[-1:].isdigit():
            is_cut = is_cut or re.match(_SEPARATED, after)
        if match.start() == start and value[:1].isdigit():
            is_cut = is_cut or re.search(_BEGUN_NUMBER, before)
        if not is_cut:
            return ""
        name = self._baseline.metric_name
        what = f"{name} not measured: the group of baseline.regex holds only a part of the number"
        if self._baseline.command.private:
            return what
        whole = re.split(r"\s", before)[-1] + value + re.split(r"\s", after)[0]
        return f"{what}, {value!r} in {printable(whole)!r}"


class _Markers:
    """Searches bytes for OOM markers; for the default ones only after a literal is found."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._default = patterns == OOM_MARKERS
        self._slow: set[re.Pattern[bytes]] = set()
        self._kept = b""
        self.line = ""  # the line that matches, printable
        self.trouble = ""

    def feed(self, new: bytes, last: bool) -> None:
        if self.line or not self._patterns:
            return
        seen = len(self._kept)
        window = self._kept + new
        self._kept = window[-OVERLAP:]
        if self._default and not any(literal in window for literal in LITERALS):
            return
        start = 1 if seen >= OVERLAP else 0  # after a character that shows whether a line begins
        for pattern in _compiled(self._patterns):
            if pattern in self._slow:
                continue
            try:
                match = _bounded(partial(pattern.search, window, start))
            except _TooSlow:
                self.trouble = _too_slow(pattern.pattern.decode())
                self._slow.add(pattern)
                continue
            if match and (last or len(window) - match.start() > _MARKER_LINE):
                self.line = _line_at(window, match.start())
                return


@cache
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[bytes], ...]:
    """All patterns joined, which is ten times as fast, or each one if they cannot be joined."""
    apart = tuple(re.compile(pattern.encode(), re.MULTILINE) for pattern in patterns)
    if not apart or any(pattern.groups for pattern in apart):
        return apart
    try:
        joined = "|".join(f"(?:{pattern})" for pattern in patterns)
        return (re.compile(joined.encode(), re.MULTILINE),)
    except re.error:  # flags inside a pattern
        return apart


def _line_at(block: bytes, position: int) -> str:
    start = block.rfind(b"\n", 0, position) + 1
    return printable(block[start : start + 200].split(b"\n")[0].decode(errors="replace"))


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
