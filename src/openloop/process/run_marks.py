"""Marks: how what is left of a run is known when its runner and its guard are both dead.

The mark is a number that stands in the limit on file locks, which the kernel passes on to every
child and has not enforced since Linux 2.4 (getrlimit(2)). Its two halves say who a process is:

    soft a mark, hard unlimited   a keeper: the process that started a guard; it ignores KEEPING
    soft and hard set             sealed: a guard, or what descends from one
    anything else                 nobody of ours

A person may limit file locks as well (`ulimit -x`, limits.conf, LimitLOCKS). What is sealed has
therefore a limit on real time too, which hardly anybody sets in addition, and where there is a
limit already nothing is sealed.

No process lifts its hard limit unless it has CAP_SYS_RESOURCE, as root has where no container
takes it away. So what is sealed stays sealed, and nothing sealed can pass for a keeper. The soft
limit of another process is anybody's to set (prlimit(2)), so init could be made to look like one;
what a process ignores, only itself can say.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

from openloop.process import tree

SIGN = "OPENLOOP_MARK_"  # what the names of all signs begin with
KEEPING = 57  # a real-time signal that nothing is known to use
_LOCKS = 10  # RLIMIT_LOCKS, the same on every architecture; `resource` has no name for it
_REALTIME = 15  # RLIMIT_RTTIME: microseconds without a pause of what has real-time priority
_LEAST, _MOST = 1 << 51, 1 << 52  # JSON readers keep such a number exactly
_CAP_SYS_RESOURCE = 1 << 24
_UNLIMITED = b"unlimited"


def draw() -> int:
    """A mark for a new run. It is smaller than that of the run which this process is a part of."""
    hard = own() or _MOST
    number = int.from_bytes(os.urandom(8))  # `secrets` would take megabytes of the guard's memory
    return _LEAST + number % max(hard - _LEAST, 1)


def announce(mark: int) -> None:
    """Make this process a keeper, unless it is sealed or there is no such limit."""
    if _own_limit() == resource.RLIM_INFINITY:
        _limit(_LOCKS, mark, resource.RLIM_INFINITY)
        _handle(KEEPING, signal.SIG_IGN)


def seal(mark: int) -> None:
    """Give this process and all it will start the mark, and seal them where their keeper could
    announce itself. Does nothing where that cannot be."""
    # What a keeper ignores its guard does, too, until a command is started.
    if _own_limit() == resource.RLIM_INFINITY and _ignores(os.getpid(), KEEPING):
        _limit(_REALTIME, mark, mark)  # 70 years: nothing feels it
    _limit(_LOCKS, mark, mark)


def lift() -> None:
    """Take the mark from this process and all that it will start, where the system allows it."""
    _limit(_LOCKS, resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    _limit(_REALTIME, resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    _handle(KEEPING, signal.SIG_DFL)


def _handle(signum: int, handler: int) -> None:
    """What `signal.signal` does in the main thread alone."""
    with contextlib.suppress(OSError, AttributeError):  # a guard then seals nothing
        ctypes.CDLL(None).signal(signum, ctypes.c_void_p(handler))


def _limit(which: int, soft: int, hard: int) -> None:
    if sys.platform == "linux":  # the number means another limit elsewhere
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (soft, hard))


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
    """Living processes with the mark or its sign, wherever they hang, this one left out.

    Those below a keeper of this mark are left out as well: their run lives, and its record was
    copied to where this one goes on with it.
    """
    found: tree.Processes = {}
    keepers: list[int] = []
    limit, variable = str(mark).encode(), b"\0%b=" % sign(mark).encode()
    for pid, _, start in tree.alive():
        limits = _limits_of(pid)
        if limits[:1] == [limit] and _is_keeper(pid, limits):
            keepers.append(pid)
        elif pid != os.getpid() and (
            limits[1:2] == [limit] or variable in b"\0" + _read(pid, "environ")
        ):
            found[pid] = start
    for keeper in keepers:
        for pid in tree.descendants(keeper):
            found.pop(pid, None)
    return found


def strays() -> tree.Processes:
    """Living sealed processes of this user with no keeper above them: their run is dead.

    None for a process that is sealed itself: the run that it is a part of looks after them. None
    for one that may lift limits: so may its agents, and a limit says nothing.
    """
    if _own_limit() != resource.RLIM_INFINITY or can_be_lifted():
        return {}
    starts: tree.Processes = {}
    children: dict[int, list[int]] = {}
    sealed: set[int] = set()
    queue: list[int] = []  # nobody keeps what is sealed below these
    # All are listed before any limit is read: whoever started a listed guard is a keeper by then.
    for pid, parent, start in tree.alive():
        starts[pid] = start
        children.setdefault(parent, []).append(pid)
        limits = _limits_of(pid)
        if _are_sealed(limits):
            sealed.add(pid)
        elif limits and not _is_keeper(pid, limits):
            queue.append(pid)
    if 1 not in starts:  # hidden, see `hidepid` in proc(5): of another user, so no keeper of ours
        queue.append(1)
    found: tree.Processes = {}
    user = _user(os.getpid())
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid in sealed:
                queue.append(pid)
                if _user(pid) == user:
                    found[pid] = starts[pid]
    return found


def _is_keeper(pid: int, limits: list[bytes]) -> bool:
    soft, hard = limits[:2]
    if hard != _UNLIMITED or soft == _UNLIMITED or not _LEAST <= int(soft) < _MOST:
        return False
    return _ignores(pid, KEEPING)


def _ignores(pid: int, signum: int) -> bool:
    """True as well for a process that is gone or hidden meanwhile."""
    found = _line(pid, "status", b"SigIgn:")
    return not found or bool(int(found[0], 16) >> (signum - 1) & 1)


def _are_sealed(limits: list[bytes]) -> bool:
    return bool(limits) and _UNLIMITED not in limits[1:]


def _limits_of(pid: int) -> list[bytes]:
    """[soft, hard, that on real time, hard] as the kernel writes them; empty for a process that
    is gone or hidden."""
    text = _read(pid, "limits")
    return _words(text, b"Max file locks")[:2] + _words(text, b"Max realtime timeout")[1:2]


def _user(pid: int) -> list[bytes]:
    """The user that it is of. The owner of its folder is root when it hides its memory."""
    return _line(pid, "status", b"Uid:")[:1]


def _line(pid: int, file: str, name: bytes) -> list[bytes]:
    """The words of one line, after its name, of a file in /proc/PID; none when it is gone."""
    return _words(_read(pid, file), name)


def _words(text: bytes, name: bytes) -> list[bytes]:
    _, _, rest = (b"\n" + text).partition(b"\n" + name)
    return rest.partition(b"\n")[0].split()


def _read(pid: int, file: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
            return opened.read()
    except OSError:
        return b""
