"""The open events.jsonl of its one writer: append to it, detect changes by others, restore it.

What this process appends goes to a second file as well, without a name and on the same disk, so
that a record which a command cut, edited, replaced or removed can be put together again. So does
what was there before, unless it is long: then it is taken from the file itself, and only when its
chain still leads to the head known at the start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from openloop.core.errors import TamperError
from openloop.fs import files
from openloop.record import chain, integrity, reader
from openloop.record.chain import BrokenChain
from openloop.record.integrity import RecordMismatch
from openloop.record.lock import Lock
from openloop.record.workspace import EVENTS, Workspace
from openloop.record.writer.tamper_watch import signature

SHADOWED = 4 << 20  # bytes of an older record that are copied; more would slow every start
_BLOCK = 1 << 20  # bytes


class EventLog:
    """The open record. `size` is in bytes, `head` the chain's head after them."""

    def __init__(self, workspace: Workspace, lock: Lock, *, check_files: bool) -> None:
        """check_files: whether the files that the latest rounds name must fit them. Raises
        TamperError when the record is not intact, OSError when it cannot be opened."""
        self._lock = lock
        self._folder = lock.folder
        self._events = _open_events(workspace, self._folder)
        try:
            lock.take_record(self._events)
            with _as_tampering(workspace):
                self.loaded = integrity.load(workspace, self._events)
                if check_files:
                    integrity.check_latest(workspace, self._events, self.loaded)
        except BaseException:
            os.close(self._events)
            raise
        self.size = self._kept = self.loaded.size
        self.head = self._kept_head = self.loaded.head
        # `_kept` bytes at the start are not in the shadow; `_kept_head` is the head after them.
        self._shadow = files.create_unlinked_file(self._folder)
        if self.size <= SHADOWED:
            _copy(self._events, self._shadow, self.size)
            self._kept, self._kept_head = 0, chain.FIRST_PREV
        self._own = signature(os.fstat(self._events))

    @property
    def descriptor(self) -> int:
        """A descriptor for reading the whole record."""
        return self._events

    def drop_torn(self) -> str:
        """Cut off a torn last line. Returns the name its copy is kept under; "" without one."""
        torn = self.loaded.torn
        if not torn:
            return ""
        name = files.free_name(EVENTS, folder=self._folder, word="torn")
        files.replace(name, torn, folder=self._folder)
        os.ftruncate(self._events, self.size)
        self._own = signature(os.fstat(self._events))
        return name

    def append(self, line: bytes, *, durable: bool) -> None:
        """Append one line. Raises OSError; then nothing of the line is left."""
        data = line + b"\n"
        try:
            files.write_all(self._events, data)
            files.write_all(self._shadow, data)
            if durable:
                os.fsync(self._events)
        except OSError:
            with contextlib.suppress(OSError):  # half a line is worse than none
                os.ftruncate(self._events, self.size)
                os.ftruncate(self._shadow, self.size - self._kept)
            raise
        self.size += len(data)
        self.head = chain.head_of(line)
        self._own = signature(os.fstat(self._events))

    def difference(self) -> str:
        """A sentence about how others changed events.jsonl since the last append; "" if they did
        not."""
        try:
            named = os.stat(EVENTS, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return f"{EVENTS} was removed while a command ran"
        if signature(named) == self._own:
            return ""
        held = os.fstat(self._events)
        if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            return f"{EVENTS} was replaced while a command ran"
        if held.st_size != self.size or not self._tail_is_ours():
            return f"{EVENTS} was edited while a command ran"
        self._own = signature(named)  # touched, but not changed
        return ""

    def _tail_is_ours(self) -> bool:
        """Whether the file still holds the lines of this process, and those before them."""
        appended = self.size - self._kept
        for start in range(0, appended, _BLOCK):
            length = min(_BLOCK, appended - start)
            ours = os.pread(self._shadow, length, start)
            if os.pread(self._events, length, self._kept + start) != ours:
                return False
        return self._start_holds()

    def _start_holds(self) -> bool:
        """Whether the lines from before the start still lead to the head known then."""
        head = chain.FIRST_PREV
        with contextlib.suppress(BrokenChain):
            lines = reader.lines(self._events, end=self._kept)
            for _, line in chain.check_chain(lines):
                head = chain.head_of(line)
            return head == self._kept_head
        return False

    def restore(self) -> str:
        """Restore the record; returns a sentence about the changed one. Raises OSError. A part that
        cannot be restored stays as it is, and `audit` names it."""
        if os.fstat(self._events).st_size < self._kept or not self._start_holds():
            return ", and cannot be restored: the part from before this run is damaged too"
        words = ", restored"
        if files.exists(EVENTS, folder=self._folder):
            words += f", the other one kept as {files.set_aside(EVENTS, folder=self._folder)}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        restored = files.open_regular(EVENTS, flags, folder=self._folder)
        _copy(self._events, restored, self._kept)
        _copy(self._shadow, restored, self.size - self._kept)
        os.fsync(restored)
        self._lock.take_record(restored)
        os.close(self._events)
        self._events = restored
        self._own = signature(os.fstat(restored))
        return words

    def close(self) -> None:
        os.close(self._shadow)
        os.close(self._events)


@contextlib.contextmanager
def _as_tampering(workspace: Workspace) -> Iterator[None]:
    try:
        yield
    except (BrokenChain, RecordMismatch) as error:
        events = workspace.shown(EVENTS)
        where, why = getattr(error, "where", events), str(error).removeprefix(f"{events}: ")
        raise TamperError(
            f"{EVENTS} is not intact: {why}",
            where=where,
            fix=f"look at it: openloop audit {workspace.quoted}; "
            f"to start a new record: openloop init --force {workspace.quoted}",
        ) from None


def _copy(source: int, target: int, length: int) -> None:
    for start in range(0, length, _BLOCK):
        files.write_all(target, os.pread(source, min(_BLOCK, length - start), start))


def _open_events(workspace: Workspace, folder: int) -> int:
    try:
        return files.open_regular(EVENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT, folder=folder)
    except files.NotRegular:
        raise TamperError(
            f"{EVENTS} is not a regular file",
            where=workspace.shown(EVENTS),
            fix="remove the entry, and move the record back",
        ) from None
