"""Reads the end of a record, with its chain checked but no events replayed: enough for `status`.

Imports little, because `status` starts with it; `reader` makes a state of the same lines.
"""

from __future__ import annotations

import json
import os

from openloop.core.vocabulary import HISTORY, Kind, Status
from openloop.fs import files
from openloop.record import chain
from openloop.record.chain import BrokenChain
from openloop.record.workspace import EVENTS, HEARTBEAT, Workspace

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

WINDOW = 1 << 20  # bytes at the end of events.jsonl that every start checks
SHORT_WINDOW = 1 << 16  # bytes that `status` checks
_HEARTBEAT_LIMIT = 1 << 20  # bytes
_BLOCK = 1 << 16  # bytes


class RecordWindow:
    """The whole lines at the end of events.jsonl, back to the latest round_started at least.

    first: number of the first line. rounds: where in `lines` rounds begin, at least one position.
    size: bytes of all whole lines of the file; torn: an incomplete last line.
    """

    __slots__ = ("first", "lines", "rounds", "size", "torn")

    def __init__(
        self, lines: list[bytes], first: int, rounds: list[int], size: int, torn: bytes
    ) -> None:
        self.lines = lines
        self.first = first
        self.rounds = rounds
        self.size = size
        self.torn = torn

    @property
    def prev(self) -> str | None:
        """The hash that the first line must name; None accepts any."""
        return chain.FIRST_PREV if self.first == 1 else None


def window(events: int, length: int = WINDOW, count: int = 1) -> RecordWindow:
    """The end of an open events.jsonl. length: bytes to begin with; more are read until they hold
    the starts of `count` rounds. Raises BrokenChain when the first line carries no number."""
    end = whole_size(events)
    lines: list[bytes] = []
    rounds: list[int] = []  # positions from the end
    start = end
    for line in backward(events, end):
        if end - start >= length and len(rounds) >= count:
            break
        if chain.kind_of(line) == Kind.ROUND_STARTED:
            rounds.append(len(lines))
        lines.append(line)
        start -= len(line) + 1
    lines.reverse()
    begins = [len(lines) - 1 - position for position in reversed(rounds)]
    first = _number(lines[0]) if start else 1
    return RecordWindow(lines, first, begins or [0], end, b"".join(blocks(events, end)))


def whole_size(events: int) -> int:
    """The bytes of an open record up to the end of its last whole line."""
    end = os.fstat(events).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(events, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def backward(events: int, end: int) -> Iterator[bytes]:
    """The whole lines before byte `end`, without their newlines, the last one first."""
    kept: list[bytes] = []  # parts of a line whose beginning is not read yet, the last one first
    if end == 0:
        return
    end -= 1  # the newline of the last line
    while end > 0:
        start = max(0, end - _BLOCK)
        first, *lines = os.pread(events, end - start, start).split(b"\n")
        if lines:
            lines[-1] += b"".join(reversed(kept))
            kept = []
            yield from reversed(lines)
        kept.append(first)
        end = start
    yield b"".join(reversed(kept))


def blocks(events: int, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of an open file from `start` to `end`, or to its own end, in pieces."""
    while end is None or start < end:
        data = os.pread(events, _BLOCK if end is None else min(_BLOCK, end - start), start)
        if not data:
            return
        start += len(data)
        yield data


def _number(line: bytes) -> int:
    try:
        number = json.loads(line)["seq"]
        if type(number) is not int:
            raise ValueError(f"seq is {number!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenChain(0, f"near the end: not an event: {error}") from None
    return number


class RecordEnd:
    """The facts about a run at the end of its record.

    head: the hash of the last event. config_sha256: the hash of the configuration that the run was
    started with, "" before the first run. undone: what the policy restored in this run, the latest
    last. status: of the run, `running` until the record says how it ended. log: path and bytes of
    the latest finished log of the round, None while its step runs."""

    __slots__ = ("config_sha256", "head", "log", "status", "undone")

    def __init__(self) -> None:
        self.head = chain.FIRST_PREV
        self.config_sha256 = ""
        self.status = str(Status.READY)
        self.log: tuple[str, Any] | None = None
        self.undone: list[dict[str, Any]] = []

    def take(self, event: dict[str, Any]) -> None:
        """Apply an event, as `transitions` does to the whole state. Raises KeyError, TypeError or
        ValueError."""
        match event["event"]:
            case Kind.RUN_STARTED:
                self.status = Status.RUNNING
                self.config_sha256 = event["config_sha256"]
                self.undone = self.undone if event["resumed"] else []
            case Kind.ROUND_STARTED:
                self.status = Status.RUNNING
                self._carried(event.get("state"))
            case Kind.STEP_STARTED:
                self.log = None
            case Kind.STEP_FINISHED:
                self.log = (str(event.get("log_path", "")), event.get("log_bytes", 0))
            case Kind.POLICY_VIOLATED:
                one = _undone(event["round"], event["step"], event["text"])
                self.undone = [*self.undone, one][-HISTORY:]
            case Kind.NOTE if event.get("note") == "tampered" and event.get("unsettled"):
                self.undone = [one for one in self.undone if one["round"] != event["round"]]
            case Kind.NOTE if event.get("note") == "accepted":
                self.log = None  # a person took it as it is
            case Kind.RUN_FINISHED:
                self.status = str(event["status"])

    def _carried(self, state: dict[str, Any] | None) -> None:
        """Take the earlier state that a round_started carries."""
        if state is not None:
            self.config_sha256 = state["config_sha256"]
            self.undone = [_undone(*one[:3]) for one in state["undone"]]


def _undone(number: int, step: str, text: str) -> dict[str, Any]:
    return {"round": number, "step": step, "text": text}


def read_end(workspace: Workspace) -> RecordEnd:
    """Read the end of a record that others may be writing. Raises BrokenChain, OSError."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return RecordEnd()
    try:
        end = window(events, SHORT_WINDOW)
    finally:
        os.close(events)
    seen = RecordEnd()
    for number, line in chain.check_chain(end.lines, first=end.first, prev=end.prev):
        seen.head = chain.head_of(line)
        if number - end.first >= end.rounds[-1]:
            _take(seen, number, line)
    return seen


def _take(seen: RecordEnd, number: int, line: bytes) -> None:
    try:
        event = json.loads(line)
        if event["seq"] != number:
            raise ValueError(f"carries seq {event['seq']}: lines are missing or moved")
        seen.take(event)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenChain(number, f"not an event: {error}") from None


def _finite(text: str) -> float:
    """A finite float. Raises ValueError for NaN, which would make every document with it
    invalid."""
    number = float(text)
    if number - number != 0:  # NaN or infinite
        raise ValueError(text)
    return number


def heartbeat(workspace: Workspace) -> dict[str, Any] | None:
    """The document in heartbeat.json; None when it is missing or invalid."""
    try:
        data = files.read(workspace.file(HEARTBEAT), limit=_HEARTBEAT_LIMIT)
        document = json.loads(data, parse_float=_finite, parse_constant=_finite)
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and isinstance(document.get("status"), str)
    return document if known else None
