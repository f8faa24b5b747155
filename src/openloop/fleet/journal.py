"""events.jsonl of a fleet: appended by the one coordinator that holds its lock, read by everyone.

Each line is `{"seq", "time", "event", "task", …, "prev"}` with the hash of the line before, as in a
workspace's record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from openloop.core import clock
from openloop.core.errors import HeldError, OpenLoopError, RecordError, TamperError
from openloop.fs import files
from openloop.record import chain

EVENTS = "events.jsonl"
_BLOCK = 1 << 20  # bytes
_PROBE = 0.1  # seconds in which a reader's look at the lock is over
Event = dict[str, Any]


class Journal:
    """The open record. `listeners` are called with each event and its line once it is written."""

    def __init__(self, folder: str) -> None:
        """Raises HeldError while another coordinator lives, TamperError, RecordError."""
        self.path = os.path.join(folder, EVENTS)
        with _kept(self.path):
            os.makedirs(folder, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            self._descriptor = files.open_regular(self.path, flags)
        try:
            _lock(self._descriptor, folder)
            self.events, self._head, self.size = _load(self._descriptor, self.path)
            with _kept(self.path):
                os.ftruncate(self._descriptor, self.size)  # drops a torn last line
        except BaseException:
            os.close(self._descriptor)
            raise
        self._seq = len(self.events)

    def append(self, events: list[Event], *, durable: bool = False) -> list[tuple[Event, bytes]]:
        """Record events, all of them or none. Each holds at least `event`. Raises RecordError."""
        now, head, lines, written = clock.utc(), self._head, [], []
        for number, event in enumerate(events, self._seq + 1):
            whole = {"seq": number, "time": now, **event, "prev": head}
            line = json.dumps(whole).encode()
            head = chain.head_of(line)
            lines.append(line + b"\n")
            written.append((whole, line))
        data = b"".join(lines)
        with _kept(self.path):
            self._write(data, durable)
        self._head, self.size, self._seq = head, self.size + len(data), self._seq + len(events)
        return written

    def _write(self, data: bytes, durable: bool) -> None:
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(0, "it was removed")
        try:
            files.write_all(self._descriptor, data)
            if durable:
                os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # half a line is worse than none
                os.ftruncate(self._descriptor, self.size)
            raise

    def close(self) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def _kept(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"the fleet's record cannot be kept: {error.strerror or error}",
            where=path,
            fix="make room or give yourself permission, then run again: what runs is adopted",
        ) from None


def _lock(descriptor: int, folder: str) -> None:
    deadline = clock.monotonic() + _PROBE
    while True:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if clock.monotonic() > deadline:
            fix = "wait for it, or end it with Ctrl-C"
            raise HeldError(f"a live coordinator holds {folder}", fix=fix)
        time.sleep(_PROBE / 10)


def is_held(folder: str) -> bool:
    """Whether a live coordinator writes this record."""
    try:
        descriptor = files.open_regular(os.path.join(folder, EVENTS), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read(folder: str) -> list[Event]:
    """Every whole event of a record that a coordinator may be writing. Raises TamperError."""
    path = os.path.join(folder, EVENTS)
    try:
        descriptor = files.open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    except OSError as error:
        what = f"the fleet's record cannot be read: {error.strerror}"
        raise OpenLoopError(what, where=path) from None
    try:
        return _load(descriptor, path, check=False)[0]
    finally:
        os.close(descriptor)


def _load(descriptor: int, path: str, *, check: bool = True) -> tuple[list[Event], str, int]:
    """(events, the chain's head, bytes of whole lines). check: every hash, not the last alone."""
    data = b"".join(iter(lambda: os.read(descriptor, _BLOCK), b""))
    whole = data.rpartition(b"\n")[0]
    lines = whole.split(b"\n") if whole else []
    try:
        head = chain.FIRST_PREV
        if check:
            for _, line in chain.check_chain(lines):
                head = chain.head_of(line)
        events: list[Event] = json.loads(b"[" + b",".join(lines) + b"]")
        for number, event in enumerate(events, 1):
            if event["seq"] != number:
                raise chain.Broken(number, "lines are missing or moved")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TamperError(
            f"the fleet's record is not intact: {error}",
            where=path,
            fix="restore it, or move the folder away to begin a new fleet",
        ) from None
    return events, head, len(whole) + 1 if lines else 0


def of_task(kind: str, task: str, **more: Any) -> Event:
    return {"event": kind, "task": task, **more}
