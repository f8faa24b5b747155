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
from collections.abc import Callable, Iterator
from typing import Any, Self

from openloop.core import clock
from openloop.core.errors import HeldError, OpenLoopError, RecordError, TamperError
from openloop.fleet.state import EventName
from openloop.fs import files
from openloop.record import chain

EVENTS = "events.jsonl"
_BLOCK = 1 << 20  # bytes
_PROBE = 0.1  # seconds in which a reader's look at the lock is over
Event = dict[str, Any]
Take = Callable[[Event], None]


class Journal:
    """The open record. `size` is in bytes."""

    def __init__(self, folder: str, take: Take) -> None:
        """take: gets every event that is there. Raises HeldError while another coordinator lives,
        TamperError, RecordError."""
        self.path = os.path.join(folder, EVENTS)
        with raising_record_errors(self.path):
            _make(folder)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            self._descriptor = files.open_regular(self.path, flags)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, self._descriptor)
            _lock(self._descriptor, folder)
            self._seq, self._head, self.size = _scan(self._descriptor, self.path, take)
            with raising_record_errors(self.path):
                os.ftruncate(self._descriptor, self.size)  # drops a torn last line
            on_failure.pop_all()

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
        with raising_record_errors(self.path):
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

    @staticmethod
    def is_in(folder: str) -> bool:
        """Whether a folder holds a record."""
        return os.path.lexists(os.path.join(folder, EVENTS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def raising_record_errors(path: str) -> Iterator[None]:
    """A context that turns errors of writing into RecordError."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"the fleet's files cannot be kept: {error.strerror or error}",
            where=str(error.filename or path),
            fix="make room or give yourself permission, then run again: what runs is adopted",
        ) from None


def _make(folder: str) -> None:
    """Make the fleet's folder, which git ignores."""
    os.makedirs(folder, exist_ok=True)
    with (
        contextlib.suppress(FileExistsError),
        open(os.path.join(folder, ".gitignore"), "x", encoding="utf-8") as file,
    ):
        file.write("*\n")


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


def read(folder: str, take: Take) -> None:
    """Hand over every whole event of a record that a coordinator may be writing. Raises
    OpenLoopError."""
    path = os.path.join(folder, EVENTS)
    try:
        descriptor = files.open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    except OSError as error:
        what = f"the fleet's record cannot be read: {error.strerror}"
        fix = f"move {folder} away to begin a new fleet, or give yourself permission to read it"
        raise OpenLoopError(what, where=path, fix=fix) from None
    try:
        _scan(descriptor, path, take, check=False)
    finally:
        os.close(descriptor)


def _scan(descriptor: int, path: str, take: Take, *, check: bool = True) -> tuple[int, str, int]:
    """(number of events, the chain's head, bytes of whole lines). check: the hashes too."""
    count, head, size = 0, chain.FIRST_PREV, 0
    try:
        for whole in _blocks(descriptor):
            lines = whole.split(b"\n")
            if check:
                for _, line in chain.check_chain(lines, first=count + 1, prev=head):
                    head = chain.head_of(line)
            for event in json.loads(b"[" + b",".join(lines) + b"]"):
                count += 1
                if event["seq"] != count:
                    raise chain.BrokenChain(count, "lines are missing or moved")
                take(event)
            size += len(whole) + 1
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TamperError(
            f"the fleet's record is not intact: near line {count}: {error}",
            where=path,
            fix="restore it, or move the folder away to begin a new fleet",
        ) from None
    return count, head, size


def _blocks(descriptor: int) -> Iterator[bytes]:
    """Whole lines, many at a time, without the last newline of each block."""
    unfinished = b""
    while data := os.read(descriptor, _BLOCK):
        whole, newline, rest = (unfinished + data).rpartition(b"\n")
        unfinished = rest
        if newline:
            yield whole


def of_task(kind: str, task: str, **more: Any) -> Event:
    """An event of one task, to be recorded."""
    return {"event": kind, "task": task, **more}


def ended(name: str, state: str, reason: str, **more: object) -> Event:
    """The event that ends a task in this state."""
    return of_task(EventName.TASK_ENDED, name, state=str(state), reason=reason, **more)
