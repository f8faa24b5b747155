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

EVENTS, TASKS = "events.jsonl", "tasks"  # in the fleet's folder
_BLOCK = 1 << 20  # bytes
_PROBE = 0.1  # seconds in which a reader's look at the lock is over
_AWAY = "move the folder away to begin a new fleet"
_FIX = "make room or give yourself permission, then run again: what runs is adopted"
Event = dict[str, Any]
Take = Callable[[Event], None]


class Journal:
    """The open record. `size` is in bytes."""

    def __init__(self, folder: str, take: Take) -> None:
        """take: gets every event that is there. Raises HeldError while another coordinator lives,
        TamperError, RecordError."""
        self.path = os.path.join(folder, EVENTS)
        with raising_record_errors(self.path, f"make room, give yourself permission, or {_AWAY}"):
            _make(folder)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            self._descriptor = files.open_regular(self.path, flags)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, self._descriptor)
            _lock(self._descriptor, folder)
            self._seq, self._head, self.size = _scan(self._descriptor, self.path, take)
            if not self._seq and _has_tasks(folder):
                raise _was_removed(folder)
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
            what = "the fleet's record was removed while its tasks ran"
            raise RecordError(what, where=self.path, fix=f"end what runs, and {_AWAY}")
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
def raising_record_errors(path: str, fix: str = _FIX) -> Iterator[None]:
    """A context that turns errors of writing into RecordError."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"the fleet's files cannot be kept: {error.strerror or error}",
            where=str(error.filename or path),
            fix=fix,
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


def _has_tasks(folder: str) -> bool:
    """Whether tasks were launched: their folder is made after the first event is recorded."""
    return os.path.lexists(os.path.join(folder, TASKS))


def _was_removed(folder: str) -> TamperError:
    """The error when tasks were launched and no event says so."""
    return TamperError(
        "the fleet's record was removed, and some of its tasks may still run",
        where=os.path.join(folder, EVENTS),
        fix=f"restore it; or end what runs, and {_AWAY}",
    )


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
    path, launched, count = os.path.join(folder, EVENTS), _has_tasks(folder), 0
    try:
        descriptor = files.open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = None
    except OSError as error:
        what = f"the fleet's record cannot be read: {error.strerror}"
        fix = f"move {folder} away to begin a new fleet, or give yourself permission to read it"
        raise OpenLoopError(what, where=path, fix=fix) from None
    if descriptor is not None:
        try:
            count, _, _ = _scan(descriptor, path, take, check=False)
        finally:
            os.close(descriptor)
    if launched and not count:
        raise _was_removed(folder)


def _scan(descriptor: int, path: str, take: Take, *, check: bool = True) -> tuple[int, str, int]:
    """(number of events, the chain's head, bytes of whole lines). check: the hashes too."""
    count, head, size = 0, chain.FIRST_PREV, 0
    try:
        for whole in _blocks(descriptor):
            lines = whole.split(b"\n")
            if check:
                for _, line in chain.check_chain(lines, first=count + 1, prev=head):
                    head = chain.head_of(line)
            for event in _parsed(lines, count + 1):
                count += 1
                if event["seq"] != count:
                    raise chain.BrokenChain(count, "lines are missing or moved")
                take(event)
            size += len(whole) + 1
    except chain.BrokenChain as error:
        raise _broken(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _broken(path, chain.BrokenChain(count, "it is no event of a fleet")) from None
    return count, head, size


def _parsed(lines: list[bytes], first: int) -> list[Any]:
    """The documents in these lines, of which the first has this number. Raises BrokenChain."""
    try:
        found: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        return found
    except (ValueError, RecursionError):
        for number, line in enumerate(lines, first):
            try:
                json.loads(line)
            except (ValueError, RecursionError):
                raise chain.BrokenChain(number, "it is not valid JSON") from None
        raise


def _broken(path: str, error: chain.BrokenChain) -> TamperError:
    fix = f"restore it, or {_AWAY}"
    return TamperError(f"the fleet's record is not intact: {error}", where=path, fix=fix)


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
