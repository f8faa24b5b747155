"""The mark of a run, by which its processes are found when runner and guard are both dead.

Every child inherits it twice: in the name of an environment variable, and as the limit on file
locks, which Linux has not enforced since 2.4 (getrlimit(2)). A process that changes both is not
found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys

from openloop.process import tree

SIGN = "OPENLOOP_MARK_"  # prefix of these variables
GUARD = b"openloop-guard"  # the command line of every guard
_LOCKS = 10  # RLIMIT_LOCKS, the same on every architecture; `resource` has no name for it
_LEAST, _MOST = 1 << 51, 1 << 52  # JSON readers keep such a number exactly


def new_mark() -> int:
    """A mark for a new run, smaller than an enclosing run's: only root may raise the limit."""
    hard = resource.getrlimit(_LOCKS)[1] if sys.platform == "linux" else resource.RLIM_INFINITY
    most = hard if _LEAST < hard < _MOST else _MOST
    # `secrets` would take megabytes of the guard's memory
    return _LEAST + int.from_bytes(os.urandom(8)) % (most - _LEAST)


def set_mark(mark: int, environment: dict[str, str]) -> None:
    """Set the mark on this process and in its children's environment."""
    environment[mark_variable(mark)] = "1"
    with contextlib.suppress(ValueError, OSError):  # file locks are limited already
        resource.setrlimit(_LOCKS, (mark, mark))


def mark_variable(mark: int) -> str:
    """The name of the environment variable."""
    return f"{SIGN}{mark}"


def marked_processes(mark: int) -> tree.Processes:
    """Living processes with the mark, this one left out.

    Empty while a guard with this mark lives: the run is still alive, so this workspace is a copy.
    """
    living = [(pid, start) for pid, _, start in tree.alive() if pid != os.getpid()]
    found = {pid: start for pid, start in living if _carries(pid, mark)}
    return {} if any(map(_is_guard, found)) else found


def _carries(pid: int, mark: int) -> bool:
    limit = _read(pid, "limits").partition(b"\nMax file locks ")[2].split(maxsplit=2)[1:2]
    variable = b"\0%b=" % mark_variable(mark).encode()
    return limit == [b"%d" % mark] or variable in b"\0" + _read(pid, "environ")


def name_guard() -> None:
    """Make GUARD the command line of this process, for `ps` and for the functions below. A guard
    that was forked would have its runner's, and `pkill -f` with words of it would hit both."""
    set_command_line(GUARD)


def set_command_line(words: bytes) -> None:
    """Make these words, separated by NUL, the command line of this process, as far as the one that
    it was started with has room for them."""
    start, end = map(int, _read(os.getpid(), "stat").rpartition(b")")[2].split()[45:47])
    room = end - start
    ctypes.memmove(start, words[: room - 1].ljust(room, b"\0"), room)


def guard_above() -> int:
    """The guard whose command this process belongs to; 0 when there is none in sight."""
    pid = os.getppid()
    while pid > 1 and not _is_guard(pid):
        pid = tree.parent(pid) or 0
    return pid if pid > 1 else 0


def _is_guard(pid: int) -> bool:
    return _read(pid, "cmdline").rstrip(b"\0") == GUARD


def _read(pid: int, file: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
            return opened.read()
    except OSError:  # gone, or of another user
        return b""
