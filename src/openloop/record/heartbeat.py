"""heartbeat.json as its one writer holds it: replaced whole, by two files that change places.

A new file for each beat would cost a file system that has to find an inode, and to force out what
is renamed over another file, more than everything else that a beat does (measured on ext4: 0.2 to
1.1 ms against 0.02). So the file that was shown before is written and exchanged with the one that
is shown now, RENAME_EXCHANGE of renameat2(2). Whoever has opened a heartbeat keeps what it was: a
file is written only under a write lease, which the kernel grants when nobody else has it open.

Both have the same size, with spaces at the end, and their blocks from the start: a power cut
leaves the one content or the other, and never none. Where somebody has the file open or has been
at it, the beat is a new file, and every beat is one where names cannot be exchanged.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import signal
import stat
from typing import Any

from openloop.fs import files
from openloop.record.workspace import HEARTBEAT

SPARE = f".{HEARTBEAT}.spare"
_GRAIN = 512  # bytes by which the files grow
_EXCHANGE = 2  # RENAME_EXCHANGE


class HeartbeatFile:
    """The file in one workspace. Not for two threads at once."""

    def __init__(self, folder: int) -> None:
        """folder: the workspace's descriptor, which stays the caller's."""
        self._folder = folder
        self._size = 0  # bytes of both files
        self._shown = self._spare = -1  # descriptors
        self._can_exchange = True

    def write(self, data: bytes) -> None:
        """Show these bytes from now on. Raises OSError."""
        if not self._can_exchange:
            files.replace(HEARTBEAT, data, folder=self._folder)
            return
        if len(data) > self._size:
            self._size = -(-len(data) // _GRAIN) * _GRAIN
        data = data.removesuffix(b"\n").ljust(self._size - 1) + b"\n"
        if not self._rewrite_spare(data):
            self._make_spare(data)
        self._show_spare()

    def _rewrite_spare(self, data: bytes) -> bool:
        """False where that cannot be: then it is as it was, or not to be shown."""
        if not self._spare_is_ours():
            return False
        try:
            fcntl.fcntl(self._spare, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError:  # somebody has it open
            return False
        try:
            return os.pwrite(self._spare, data, 0) == len(data)
        finally:
            fcntl.fcntl(self._spare, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _spare_is_ours(self) -> bool:
        """Whether its name leads to our file, and no other name does."""
        if self._spare < 0:
            return False
        held = os.fstat(self._spare)
        try:
            named = os.stat(SPARE, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        same = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
        return same and held.st_nlink == 1 and held.st_size == self._size

    def _make_spare(self, data: bytes) -> None:
        self._keep_folder()
        files.replace(SPARE, data, folder=self._folder)
        self._let_go(self._spare)
        self._spare = -1
        descriptor = files.open_regular(SPARE, os.O_RDWR, folder=self._folder)
        try:
            os.fdatasync(descriptor)  # from now on it has its blocks
            # Who opens a file under a lease is announced by a signal: by one that does nothing.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        except OSError:
            self._let_go(descriptor)
            raise
        self._spare = descriptor

    def _keep_folder(self) -> None:
        """Keep a folder that stood in the heartbeat's place: it may hold something."""
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(SPARE, dir_fd=self._folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                aside = files.free_name(HEARTBEAT, folder=self._folder, word="edited")
                os.rename(SPARE, aside, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _show_spare(self) -> None:
        error = _exchange(self._folder, SPARE, HEARTBEAT)
        if error == 0:
            self._shown, self._spare = self._spare, self._shown
            return
        self._can_exchange = error == errno.ENOENT  # there was none; or nothing here can
        os.rename(SPARE, HEARTBEAT, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._let_go(self._shown)
        self._shown, self._spare = self._spare, -1

    def _let_go(self, descriptor: int) -> None:
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Leave nothing but the heartbeat itself."""
        if self._shown >= 0:
            with contextlib.suppress(OSError):
                self._keep_folder()
                files.remove(SPARE, folder=self._folder)
        self._let_go(self._shown)
        self._let_go(self._spare)
        self._shown = self._spare = -1


def _exchange(folder: int, one: str, other: str) -> int:
    """Let two names in a folder change places. Returns an errno, 0 for none."""
    call = _renameat2()
    if call is None:
        return errno.ENOSYS
    failed = call(folder, one.encode(), folder, other.encode(), _EXCHANGE)
    return ctypes.get_errno() if failed else 0


@functools.cache
def _renameat2() -> Any:
    """None where the C library does not know it."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
