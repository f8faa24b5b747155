"""The mark of a run: how its processes are found when runner and guard are both dead.

It stands in two places that every child inherits: in the name of an environment variable, and in
the limit on file locks, which the kernel has not enforced since Linux 2.4 (getrlimit(2)). A process
that has cleared the one and changed the other is not found.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from openloop.process import tree

SIGN = "OPENLOOP_MARK_"  # what the names of all such variables begin with
# The program text of a guard: its command line tells that it is one, and of which run.
GUARD = (
    "import sys; sys.path.append(sys.argv.pop(1)); from openloop.process.guard import main; main()"
)
_LOCKS = 10  # RLIMIT_LOCKS, the same on every architecture; `resource` has no name for it
_LEAST, _MOST = 1 << 51, 1 << 52  # JSON readers keep such a number exactly


def draw() -> int:
    """A mark for a new run. It is smaller than that of the run which this process is a part of, for
    nobody but root may raise the limit again."""
    hard = resource.getrlimit(_LOCKS)[1] if sys.platform == "linux" else resource.RLIM_INFINITY
    most = hard if _LEAST < hard < _MOST else _MOST
    # `secrets` would take megabytes of the guard's memory
    return _LEAST + int.from_bytes(os.urandom(8)) % (most - _LEAST)


def carry(mark: int, environment: dict[str, str]) -> None:
    """Give the mark to this process, and the environment of its children."""
    environment[sign(mark)] = "1"
    with contextlib.suppress(ValueError, OSError):  # somebody has limited file locks
        resource.setrlimit(_LOCKS, (mark, mark))


def sign(mark: int) -> str:
    """The name of the environment variable."""
    return f"{SIGN}{mark}"


def carriers(mark: int) -> tree.Processes:
    """Living processes with the mark, this one left out.

    None while a guard of this mark lives: then so does its run, whose record was copied to where
    this one goes on with it.
    """
    living = [(pid, start) for pid, _, start in tree.alive() if pid != os.getpid()]
    if any(_is_guard(pid, mark) for pid, _ in living):
        return {}
    return {pid: start for pid, start in living if _carries(pid, mark)}


def _carries(pid: int, mark: int) -> bool:
    limit = _read(pid, "limits").partition(b"\nMax file locks ")[2].split(maxsplit=2)[1:2]
    variable = b"\0%b=" % sign(mark).encode()
    return limit == [b"%d" % mark] or variable in b"\0" + _read(pid, "environ")


def _is_guard(pid: int, mark: int) -> bool:
    words = _read(pid, "cmdline").split(b"\0")
    return GUARD.encode() in words and str(mark).encode() in words


def _read(pid: int, file: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
            return opened.read()
    except OSError:  # gone, or of another user
        return b""
