"""A second process that checks some folders of a large tree while the scan checks the others."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence

from openloop.fs.content import Tick
from openloop.fs.dirfd import open_tree

Check = Callable[[int, bytes], bool]  # (descriptor of a folder, its path) → it is unchanged
_PATIENCE = 1.0  # seconds that the second half may take longer than the first
_TICK = 0.1  # seconds between two ticks while it is awaited
_CHANGED, _UNCHANGED = b"\0", b"\1"


class ScanWorker:
    """A fork of this process, for one scan.

    It only saves time: where it fails, is killed or takes too long, none of its folders counts as
    unchanged, and the scan reads them itself.
    """

    def __init__(self, root: str, folders: Sequence[bytes], check: Check, tick: Tick) -> None:
        """folders: those that it checks, as paths in the root that end in a slash, or empty. tick:
        called while it is awaited. Raises OSError where no process can be had."""
        self._folders = folders
        self._mine = frozenset(folders)
        self._tick = tick
        self._began = time.monotonic()
        self._unchanged: frozenset[bytes] | None = None  # not known yet
        self._socket, theirs = socket.socketpair()  # nobody can open it by way of /proc
        try:
            self._pid = os.fork()
        except OSError:
            self._socket.close()
            theirs.close()
            raise
        if self._pid == 0:
            try:
                _leave_parent(theirs.fileno())
                theirs.sendall(_look(root, folders, check))
            finally:
                os._exit(0)  # whatever happened: the parent's work is not the child's
        theirs.close()

    def found_unchanged(self, folder: bytes) -> bool:
        """Whether this is one of its folders, and it is unchanged."""
        if folder not in self._mine:
            return False
        if self._unchanged is None:
            self._unchanged = frozenset(
                name
                for name, verdict in zip(self._folders, self._wait(), strict=False)
                if verdict == ord(_UNCHANGED)
            )
        return folder in self._unchanged

    def _wait(self) -> bytes:
        """Its answer, a byte for each folder; nothing when it has none in time."""
        now = time.monotonic()
        deadline = now + (now - self._began) + _PATIENCE
        data = b""
        while time.monotonic() < deadline:
            self._tick(0)
            if select.select([self._socket], [], [], _TICK)[0]:
                piece = self._socket.recv(1 << 16)
                if not piece:
                    return data if len(data) == len(self._folders) else b""
                data += piece
        return b""

    def close(self) -> None:
        """End it, whether it has answered or not."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._socket.close()


def _leave_parent(kept: int) -> None:
    """After the fork: hold no descriptor of the parent's but this, such as that of a lock; leave
    every signal to the parent; copy no shared page for a garbage collection."""
    gc.disable()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _look(root: str, folders: Sequence[bytes], check: Check) -> bytes:
    """A byte for each folder."""
    verdicts = bytearray()
    with open_tree(root) as tree:
        for path in folders:
            try:
                unchanged = check(tree.folder(path[:-1]), path)
            except OSError:
                unchanged = False
            verdicts += _UNCHANGED if unchanged else _CHANGED
    return bytes(verdicts)
