"""Marks: how what is left of a run is known when its runner and its guard are both dead.

The mark is a number that stands in the limit on file locks, which the kernel passes on to every
child and has not enforced since Linux 2.4 (getrlimit(2)). Its two halves say who a process is:

    soft and hard unlimited    nobody of ours
    soft set, hard unlimited   a keeper: the process that started a guard
    soft and hard set          sealed: a guard, or what descends from one

No process lifts its hard limit unless it has CAP_SYS_RESOURCE, as root has where no container
takes it away. So what is sealed stays sealed, and nothing sealed can pass for a keeper.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import sys

from openloop import tree

SIGN = "OPENLOOP_MARK_"  # what the names of all signs begin with
_LOCKS = 10  # RLIMIT_LOCKS, the same on every architecture; `resource` has no name for it
_LEAST, _MOST = 1 << 51, 1 << 52  # JSON readers keep such a number exactly
_CAP_SYS_RESOURCE = 1 << 24
_UNLIMITED = b"unlimited"


def draw() -> int:
    """A mark for a new run. It is smaller than that of the run which this process is a part of."""
    hard = own() or _MOST
    return _LEAST + secrets.randbelow(max(hard - _LEAST, 1))


def announce(mark: int) -> None:
    """Make this process a keeper, unless it is sealed or there is no such limit."""
    if _own_limit() == resource.RLIM_INFINITY:
        _limit(mark, resource.RLIM_INFINITY)


def seal(mark: int) -> None:
    """Give this process and all it will start the mark. Does nothing where that cannot be."""
    _limit(mark, mark)


def lift() -> None:
    """Take the mark from this process and all that it will start, where the system allows it."""
    _limit(resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _limit(soft: int, hard: int) -> None:
    if sys.platform == "linux":  # the number means another limit elsewhere
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(_LOCKS, (soft, hard))


def _own_limit() -> int | None:
    """The hard one; None where there is no such limit."""
    if sys.platform != "linux":
        return None
    try:
        return resource.getrlimit(_LOCKS)[1]
    except (ValueError, OSError):
        return None


def own() -> int | None:
    """The mark that this process carries, given by a run that it is a part of."""
    hard = _own_limit()
    return hard if hard is not None and _LEAST <= hard < _MOST else None


def can_be_lifted() -> bool:
    """Whether this process, and so all that it starts, may lift limits."""
    found = _line(os.getpid(), "status", b"CapEff:")
    return any(int(word, 16) & _CAP_SYS_RESOURCE for word in found)


def can_be_set() -> bool:
    """Whether the limit exists here and nobody but a run has lowered it."""
    return _own_limit() == resource.RLIM_INFINITY or own() is not None


def sign(mark: int) -> str:
    """The name of an environment variable that says the same as the mark.

    A second sign for processes that may lift their limit. A run within a run sets another name and
    hides none. A cgroup would be surer, but only root and systemd hand one out; the session, the
    parent and the working folder are what a daemon changes first.
    """
    return f"{SIGN}{mark}"


def carriers(mark: int) -> tree.Processes:
    """Living processes with the mark or its sign, wherever they hang, this one left out."""
    found: tree.Processes = {}
    limit, variable = str(mark).encode(), b"\0%b=" % sign(mark).encode()
    for pid, _, start in tree.alive():
        if pid != os.getpid() and (
            _limits_of(pid)[1:] == [limit] or variable in b"\0" + _read(pid, "environ")
        ):
            found[pid] = start
    return found


def strays() -> tree.Processes:
    """Living sealed processes of this user with no keeper above them: their run is dead.

    None for a process that is sealed itself: the run that it is a part of looks after them. None
    for one that may lift limits: so may its agents, and a limit says nothing.
    """
    if _own_limit() != resource.RLIM_INFINITY or can_be_lifted():
        return {}
    parents: dict[int, int] = {}
    starts: tree.Processes = {}
    for pid, parent, start in tree.alive():
        parents[pid] = parent
        starts[pid] = start
    user = _user(os.getpid())
    return {
        pid: start
        for pid, start in starts.items()
        if _is_sealed(pid) and _has_no_keeper(pid, parents) and _user(pid) == user
    }


def _has_no_keeper(pid: int, parents: dict[int, int]) -> bool:
    """False as well when one of those above it is gone meanwhile or hidden."""
    while pid in parents and _is_sealed(pid):
        pid = parents[pid]
    return _limits_of(pid) == [_UNLIMITED, _UNLIMITED]


def _is_sealed(pid: int) -> bool:
    limits = _limits_of(pid)
    return bool(limits) and limits[1] != _UNLIMITED


def _limits_of(pid: int) -> list[bytes]:
    """[soft, hard] as the kernel writes them; empty for a process that is gone."""
    return _line(pid, "limits", b"Max file locks")[:2]


def _user(pid: int) -> list[bytes]:
    """The user that it is of. The owner of its folder is root when it hides its memory."""
    return _line(pid, "status", b"Uid:")[:1]


def _line(pid: int, file: str, name: bytes) -> list[bytes]:
    """The words of one line, after its name, of a file in /proc/PID; none when it is gone."""
    _, _, rest = (b"\n" + _read(pid, file)).partition(b"\n" + name)
    return rest.partition(b"\n")[0].split()


def _read(pid: int, file: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
            return opened.read()
    except OSError:
        return b""
