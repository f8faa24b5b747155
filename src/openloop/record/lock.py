"""The locks of a workspace: one live runner at a time may write it, and its guard after it.

Two advisory locks. The one on the workspace folder is shared with the guard, so a workspace is
free only when the last process of a run is gone; a folder leaves no lock file to delete. The
one on events.jsonl is the runner's alone and tells a live runner from a dead one's guard.
Neither depends on a PID written in a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from openloop.core.clock import monotonic
from openloop.core.errors import HeldError, RecordError, UsageError
from openloop.fs import files
from openloop.record.workspace import EVENTS, Workspace

_POLL = 0.05  # seconds
_PROBE = 0.1  # seconds in which a reader's look at the lock is over


class Lock:
    """The workspace's lock; `folder` is the locked descriptor of the workspace folder."""

    def __init__(self, workspace: Workspace, *, patience: float) -> None:
        """patience: seconds to wait for a dead runner's guard. Raises HeldError, UsageError."""
        self.workspace = workspace
        try:
            self.folder = files.open_folder(workspace.path)
        except OSError as error:
            raise UsageError(f"cannot open workspace {workspace.given}: {error.strerror}") from None
        try:
            self._acquire(patience)
        except BaseException:
            os.close(self.folder)
            raise

    def _acquire(self, patience: float) -> None:
        deadline = monotonic() + patience
        while not _try(self.folder, fcntl.LOCK_EX, self.workspace):
            if runner_lives(self.workspace) or monotonic() > deadline:
                watch = f"openloop status {self.workspace.quoted} --watch"
                raise HeldError(
                    f"a live runner holds {self.workspace.given}",
                    fix=f"wait for it, or watch it: {watch}",
                )
            time.sleep(_POLL)

    def take_record(self, events: int) -> None:
        """Lock events.jsonl too: from now on readers see a live runner."""
        deadline = monotonic() + _PROBE
        while not _try(events, fcntl.LOCK_EX, self.workspace):
            if monotonic() > deadline:
                raise HeldError(f"another process holds {self.workspace.shown(EVENTS)}")
            time.sleep(_PROBE / 10)

    def check(self) -> bool:
        """Whether the workspace's folder was removed. Then there is a new one at its path, locked
        and under the same descriptor. Raises RecordError where the path names another folder."""
        held = os.fstat(self.folder)
        with contextlib.suppress(OSError):
            named = os.stat(self.workspace.path)
            if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                return False
        if self._is_removed() and os.path.isdir(self.workspace.base):
            self._make_again()
            return True
        raise RecordError(
            f"the workspace folder {self.workspace.path} was moved or replaced, or removed with "
            "its project, while a run wrote to it",
            fix="bring it back, then run again; without it, openloop init makes a new one",
        )

    def _is_removed(self) -> bool:
        return os.readlink(f"/proc/self/fd/{self.folder}").endswith(" (deleted)")

    def _make_again(self) -> None:
        try:
            os.makedirs(self.workspace.path, exist_ok=True)
            folder = files.open_folder(self.workspace.path)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.dup2(folder, self.folder, inheritable=False)
            finally:
                os.close(folder)
        except OSError as error:
            raise RecordError(
                f"the workspace folder was removed and cannot be made again: {error.strerror}",
                where=self.workspace.path,
            ) from None

    def release(self) -> None:
        os.close(self.folder)


def runner_lives(workspace: Workspace) -> bool:
    """Whether a live runner writes this workspace. Changes nothing and waits for nothing."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try(events, fcntl.LOCK_SH, workspace)
    finally:
        os.close(events)


def holders(workspace: Workspace) -> set[int]:
    """The PIDs that hold the record's lock, as the kernel lists them; a live runner is one."""
    try:
        inode = os.stat(workspace.file(EVENTS), follow_symlinks=False).st_ino
        with open("/proc/locks", encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return set()
    # `1: FLOCK ADVISORY WRITE 4242 08:01:131113 0 EOF`
    return {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}")}


def _try(descriptor: int, kind: int, workspace: Workspace) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UsageError(
            f"{workspace.given} cannot be locked: {error.strerror}",
            fix="keep the workspace on a file system with flock (a local disk)",
        ) from None
    return True
