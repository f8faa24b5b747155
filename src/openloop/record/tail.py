"""What a record says at its end, its chain checked but nothing replayed: enough for `status`.

Imports little, because `status` starts with it; `reader` makes a state of the same lines.
"""

from __future__ import annotations

import json
import os

from openloop.core.vocabulary import HISTORY, Kind
from openloop.fs import files
from openloop.record import chain
from openloop.record.chain import Broken
from openloop.record.workspace import EVENTS, HEARTBEAT, Workspace

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

WINDOW = 1 << 20  # bytes at the end of events.jsonl that every start checks
SHORT_WINDOW = 1 << 16  # bytes that `status` checks
_HEARTBEAT_LIMIT = 1 << 20  # bytes
_ROUND_STARTED = f'"event": "{Kind.ROUND_STARTED}"'.encode()
_ENVELOPE = 120  # bytes in which a line names its event


class Window:
    """The whole lines at the end of events.jsonl, back to the latest round_started at least.

    first: number of the first line. rounds: where in `lines` rounds begin, at least one position.
    size: bytes of all whole lines of the file; torn: what follows them.
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
        """What the first line must name; None takes its word for it."""
        return chain.FIRST_PREV if self.first == 1 else None


def window(events: int, length: int = WINDOW) -> Window:
    """The end of an open events.jsonl. length: bytes to begin with; more are read until they hold
    the start of a round. Raises Broken when the first line carries no number."""
    size = os.fstat(events).st_size
    while True:
        start = max(0, size - length)
        whole, newline, torn = _pread(events, size - start, start).rpartition(b"\n")
        lines = whole.split(b"\n") if newline else []
        if start:
            lines = lines[1:]  # the window may begin in the middle of a line
        rounds = [position for position, line in enumerate(lines) if _begins_round(line)]
        if start == 0 or rounds:
            break
        length *= 4
    first = 1 if start == 0 else _number(lines[0])
    return Window(lines, first, rounds or [0], size - len(torn), torn)


def _pread(descriptor: int, length: int, start: int) -> bytes:
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, start)):
        parts.append(part)
        length -= len(part)
        start += len(part)
    return b"".join(parts)


def _begins_round(line: bytes) -> bool:
    return line.find(_ROUND_STARTED, 0, _ENVELOPE) >= 0


def _number(line: bytes) -> int:
    try:
        number = json.loads(line)["seq"]
        if type(number) is not int:
            raise ValueError(f"seq is {number!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken(0, f"near the end: not an event: {error}") from None
    return number


class Glance:
    """What the end of the record says of the run.

    head: of the chain. config_sha256: of the configuration that the run was started with, "" before
    the first run. undone: what the policy put back in this run, the latest last.
    """

    __slots__ = ("config_sha256", "head", "undone")

    def __init__(self) -> None:
        self.head = chain.FIRST_PREV
        self.config_sha256 = ""
        self.undone: list[dict[str, Any]] = []

    def take(self, event: dict[str, Any]) -> None:
        """As `transitions` does for the whole state. Raises KeyError, TypeError or ValueError."""
        match event["event"]:
            case Kind.RUN_STARTED:
                self.config_sha256 = event["config_sha256"]
                self.undone = self.undone if event["resumed"] else []
            case Kind.ROUND_STARTED if "state" in event:
                self.config_sha256 = event["state"]["config_sha256"]
                self.undone = [_undone(*one[:3]) for one in event["state"]["undone"]]
            case Kind.POLICY_VIOLATED:
                one = _undone(event["round"], event["step"], event["text"])
                self.undone = [*self.undone, one][-HISTORY:]


def _undone(number: int, step: str, text: str) -> dict[str, Any]:
    return {"round": number, "step": step, "text": text}


def look(workspace: Workspace) -> Glance:
    """At a record that others may be writing. Raises Broken, OSError."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return Glance()
    try:
        end = window(events, SHORT_WINDOW)
    finally:
        os.close(events)
    seen = Glance()
    for number, line in chain.check_chain(end.lines, first=end.first, prev=end.prev):
        seen.head = chain.head_of(line)
        if number - end.first >= end.rounds[-1]:
            _take(seen, number, line)
    return seen


def _take(seen: Glance, number: int, line: bytes) -> None:
    try:
        event = json.loads(line)
        if event["seq"] != number:
            raise ValueError(f"carries seq {event['seq']}: lines are missing or moved")
        seen.take(event)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken(number, f"not an event: {error}") from None


def heartbeat(workspace: Workspace) -> dict[str, Any] | None:
    """heartbeat.json as it stands; None when it is missing or garbage."""
    try:
        data = files.read(workspace.file(HEARTBEAT), limit=_HEARTBEAT_LIMIT)
        document = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and isinstance(document.get("status"), str)
    return document if known else None
