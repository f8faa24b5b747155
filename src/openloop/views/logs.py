"""`openloop logs`: print the latest log, an older one, or one while it is written.

A terminal gets text in which every escape is visible. Anything else gets the bytes as they are.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from openloop.core.errors import OutputError, UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Kind, Step
from openloop.fs import files
from openloop.loop.events import Event
from openloop.record import chain, event_format, lock, record_end
from openloop.record.workspace import EVENTS, LOGS, Workspace
from openloop.views import status_watch

POLL_INTERVAL = 0.5  # seconds between two looks at a live run
_BLOCK = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class LogSelection:
    """The logs to show, by round and step; None for any."""

    round: int | None = None
    step: Step | None = None

    def wants(self, event: Event) -> bool:
        return (
            event.kind is Kind.STEP_STARTED
            and self.round in (None, event.round)
            and self.step in (None, event.step)
        )

    def is_over(self, event: Event) -> bool:
        """Whether no selected log can follow this event."""
        if self.round is None:
            return False
        return event.round > self.round or (
            event.kind is Kind.ROUND_FINISHED and event.round == self.round
        )

    def __str__(self) -> str:
        words = f" of {self.step}" if self.step else ""
        return f"{words} in round {self.round}" if self.round is not None else words


class Sink(Protocol):
    """Writes a log to standard output."""

    def write(self, data: bytes) -> None: ...

    def end(self) -> None:
        """End the output of a log, because it is complete or another one follows."""


class BytesSink:
    """Writes to a pipe or a file: the bytes as they are."""

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def end(self) -> None:
        pass


class TerminalSink:
    """Writes to a terminal: escapes and control characters become visible and do nothing."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._held = ""  # a carriage return that may belong to a line's end
        self._in_line = False

    def write(self, data: bytes) -> None:
        self._say(self._held + self._decode(data))

    def _say(self, text: str, *, last: bool = False) -> None:
        self._held = "" if last or not text.endswith("\r") else "\r"
        shown = visible(text.removesuffix(self._held))
        sys.stdout.write(shown)
        self._in_line = not shown.endswith("\n") if shown else self._in_line

    def end(self) -> None:
        self._say(self._held + self._decode(b"", True), last=True)
        if self._in_line:
            sys.stdout.write("\n")
            self._in_line = False


def visible(text: str) -> str:
    """The text with line ends and tabs as they are, and other control characters as escapes."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def show(workspace: Workspace, asked: LogSelection, *, follow: bool) -> None:
    """Write the latest log that is asked for to standard output; with `follow` go on until the
    run is over. Raises UsageError when there is no such log."""
    sink: Sink = TerminalSink() if sys.stdout.isatty() else BytesSink()
    if follow:
        status_watch.for_first_run(workspace)
    shown = _ShownLog(workspace, sink)
    record = _FollowedRecord(workspace)
    latest = record.latest(asked)
    if latest:
        shown.turn_to(latest)
    if follow:
        _follow(workspace, record, asked, shown)
    shown.copy()
    shown.end()
    if not shown.any:
        raise _no_log(workspace, record, asked)


def _no_log(workspace: Workspace, record: _FollowedRecord, asked: LogSelection) -> UsageError:
    if record.latest(LogSelection()):
        fix = f"look at what there is: ls {workspace.shown(LOGS)}"
        return UsageError(f"there is no log{asked}", where=workspace.shown(LOGS), fix=fix)
    what = f"there is no log yet: nothing has run in {workspace.given}"
    return UsageError(what, fix=f"openloop run {workspace.quoted}")


def _follow(
    workspace: Workspace, record: _FollowedRecord, asked: LogSelection, shown: _ShownLog
) -> None:
    """Write log after log until the run, or the selected round, is over."""
    over = False
    while not over:
        lives = lock.runner_lives(workspace)  # first: what is read after it is all there is
        for event in record.new():
            over = over or asked.is_over(event)
            if asked.wants(event):
                shown.turn_to(event)
        over = over or not lives
        shown.copy()
        if not over:
            _wait()


def _wait() -> None:
    """Wait for the next poll, or until the reader of standard output has gone."""
    sys.stdout.flush()
    gone = select.poll()
    gone.register(sys.stdout.fileno(), 0)
    if gone.poll(POLL_INTERVAL * 1000):
        raise BrokenPipeError


class _ShownLog:
    """The log that is shown, and the position up to which it was shown."""

    def __init__(self, workspace: Workspace, sink: Sink) -> None:
        self._workspace = workspace
        self._sink = sink
        self._log = -1
        self._offset = 0
        self.any = False

    def turn_to(self, event: Event) -> None:
        """Write the current log to its end, then open the log of a step_started."""
        self.copy()
        self.end()
        name = os.path.basename(str(event.data.get("log_path")))
        sys.stdout.flush()
        print(printable(f"==> {LOGS}/{name}"), file=sys.stderr, flush=True)
        self._log, self._offset, self.any = _open(self._workspace, name), 0, True

    def copy(self) -> None:
        """Write the bytes that were added since the last call."""
        if self._log < 0:
            return
        try:
            while data := os.pread(self._log, _BLOCK, self._offset):
                self._offset += len(data)
                self._sink.write(data)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the log cannot be shown: {error.strerror}") from None

    def end(self) -> None:
        if self._log >= 0:
            self._sink.end()
            os.close(self._log)
            self._log = -1


def _open(workspace: Workspace, name: str) -> int:
    path = workspace.shown(f"{LOGS}/{name}")
    try:
        folder = files.open_folder(workspace.file(LOGS))
        try:
            return files.open_regular(name, os.O_RDONLY, folder=folder)
        finally:
            os.close(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"a log that the record names cannot be read: {why}",
            where=path,
            fix="look at the whole record: openloop audit",
        ) from None


class _FollowedRecord:
    """events.jsonl, searched from its end and then read as it grows; its chain is not checked."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._offset = 0  # bytes of it that `new` need not read any more

    def latest(self, asked: LogSelection) -> Event | None:
        """The latest selected step_started; `new` continues after it, or at the end."""
        events = self._open()
        if events < 0:
            return None
        try:
            found = None
            end = self._offset = record_end.whole_size(events)
            for line in record_end.backward(events, end):
                found = _event(line)
                if found and asked.wants(found):
                    self._offset = end
                    return found
                end -= len(line) + 1
            return None
        finally:
            os.close(events)

    def new(self) -> Iterator[Event]:
        """The events about logs that were recorded since the last call."""
        events = self._open()
        if events < 0:
            return
        try:
            data = b"".join(record_end.blocks(events, self._offset))
        finally:
            os.close(events)
        whole, newline, _ = data.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        yield from filter(None, map(_event, whole.split(b"\n")))

    def _open(self) -> int:
        try:
            return files.open_regular(self._workspace.file(EVENTS), os.O_RDONLY)
        except OSError:
            return -1


def _event(line: bytes) -> Event | None:
    """The event of a line if it concerns logs; None otherwise."""
    if chain.kind_of(line) not in (Kind.STEP_STARTED, Kind.ROUND_FINISHED):
        return None
    try:
        return event_format.decode(line)
    except ValueError:
        return None
