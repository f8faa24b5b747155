"""Process trees: find them and end them. Shared by the guard and the runner.

Imports little, because the guard starts with it. On Linux a tree is what descends from a
child subreaper, however often it daemonized. What is left of a run whose guard is gone as well:
see `run_marks`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable

Processes = dict[int, int]  # PID to start time in clock ticks since boot: names one process
HIDDEN = 0  # start time of a child that does not show itself

ORPHAN_GRACE = 0.4  # seconds between TERM and KILL once the runner is dead
GIVE_UP = 10.0  # seconds of SIGKILL after which survivors are reported
RESCAN = 0.05  # seconds between two looks for processes that were forked meanwhile
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_DEAD = b"ZX"
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def become_subreaper() -> bool:
    """Adopt every orphan below this process. False where the system has no such thing."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def close_memory() -> bool:
    """Keep other processes of this user from this one's memory and descriptors, and from tracing
    it. Root is not kept from it. False where the system has no such thing."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def descendants(ancestor: int, *, without: Iterable[int] = ()) -> Processes:
    """Living processes below `ancestor`, those below the PIDs in `without` left out."""
    parents: dict[int, int] = {}
    starts: Processes = {}
    for pid, parent, start in alive():
        parents[pid] = parent
        starts[pid] = start
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: Processes = {}
    left_out = set(without)
    queue = [ancestor]
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid not in left_out:
                found[pid] = starts[pid]
                queue.append(pid)
    return found


def below_us(*, without: Iterable[int] = ()) -> Processes:
    """Living processes below this one, but for those in `without` and below them.

    Where /proc is mounted with `hidepid`, a program that may be run and not read shows itself to
    nobody. Such ones are found when no other is left: by then they are our children.
    """
    left_out = set(without)
    shown = descendants(os.getpid(), without=left_out)
    return shown or {pid: HIDDEN for pid in _hidden_children() if pid not in left_out}


def _hidden_children() -> list[int]:
    """Of every thread of this process. The dead are not among them: they hide nothing."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children", "rb") as file:
            found += map(int, file.read().split())
    return [pid for pid in found if not os.access(f"/proc/{pid}/stat", os.R_OK)]


def alive() -> Iterable[tuple[int, int, int]]:
    """(PID, parent, start time) of every process that is no zombie and not the kernel's own."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (known := _stat(int(name))):
            yield int(name), *known


def _stat(pid: int) -> tuple[int, int] | None:
    """(parent, start time) of a living process; None when it is dead, gone, or the kernel's."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            # The command's name stands in parentheses and may hold anything.
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    # A leader that is a zombie while other threads of it run on is alive.
    if len(fields) < 20 or (fields[0] in _DEAD and int(fields[17]) < 2):
        return None
    if int(fields[6]) & _KERNEL_THREAD:
        return None
    return int(fields[1]), int(fields[19])


def start_time(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot."""
    known = _stat(pid)
    return known[1] if known else None


def send(pid: int, start: int, *signals: int) -> None:
    """Signal exactly the process that was seen: never another one that got its PID since."""
    with contextlib.suppress(OSError):  # it ended between the look and the signal, or is not ours
        handle = _handle(pid)
        try:
            # A child keeps its PID until we reap it.
            if start_time(pid) != start and not (start == HIDDEN and pid in _hidden_children()):
                return
            for signum in signals:
                if handle is None:
                    os.kill(pid, signum)
                else:
                    signal.pidfd_send_signal(handle, signum)
        finally:
            if handle is not None:
                os.close(handle)


def _handle(pid: int) -> int | None:
    """A pidfd; None where the kernel or a sandbox has none. Raises ProcessLookupError."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None


def end(
    find: Callable[[], Processes],
    *,
    grace: float,
    empty: Callable[[], bool] = lambda: False,
    pause: Callable[[float], bool],
    spared: int | None = None,
) -> Processes:
    """End what `find` finds: TERM, the grace period, then STOP and KILL until nothing is left.

    empty: a cheap check that settles the matter before the next `find`.
    pause: waits that many seconds or less; True asks to skip the rest of the grace period.
    spared: a PID that is not sent TERM: it ends by itself once the others have.
    Returns the survivors of GIVE_UP seconds of SIGKILL, normally none.
    """
    asked: set[tuple[int, int]] = set()
    deadline = time.monotonic() + grace
    hurry = False
    while not hurry and (left := deadline - time.monotonic()) > 0:
        living = find()
        if not living:
            return {}
        for one in living.items():
            if one not in asked and one[0] != spared:
                asked.add(one)
                send(*one, signal.SIGTERM, signal.SIGCONT)
        hurry, gone = _wait(min(RESCAN, left), empty, pause)
        if gone:
            return {}
    return _kill(find, empty, pause)


def _kill(
    find: Callable[[], Processes], empty: Callable[[], bool], pause: Callable[[float], bool]
) -> Processes:
    deadline = time.monotonic() + GIVE_UP
    while living := find():
        if time.monotonic() > deadline:
            return living
        _freeze(find, living)
        for one in living.items():
            send(*one, signal.SIGKILL)
        if _wait(RESCAN, empty, pause)[1]:
            return {}
    return {}


def _freeze(find: Callable[[], Processes], living: Processes) -> None:
    """Stop every process, the new ones too, so that nothing forks away from the kill."""
    new = dict(living)
    deadline = time.monotonic() + 1.0
    while new and time.monotonic() < deadline:
        for one in new.items():
            send(*one, signal.SIGSTOP)
        seen = find()
        new = {pid: start for pid, start in seen.items() if living.get(pid) != start}
        living.update(new)


def _wait(
    seconds: float, empty: Callable[[], bool], pause: Callable[[float], bool]
) -> tuple[bool, bool]:
    """Pause in pieces, each followed by the cheap check. Returns (hurry, nothing left)."""
    deadline = time.monotonic() + seconds
    hurry = False
    while (left := deadline - time.monotonic()) > 0:
        hurry = pause(left) or hurry
        if empty():
            return hurry, True
        if hurry:
            break
    return hurry, False


def sleep(seconds: float) -> bool:
    """The `pause` of a caller that has nothing to listen to."""
    time.sleep(min(seconds, 0.005))
    return False


def reap() -> tuple[bool, dict[int, tuple[int, resource.struct_rusage]]]:
    """Collect every dead child. Returns (children are left, PID → (wait status, usage)).

    The leader of a group may be collected before its group is ended, because nothing is
    ever signalled by group.
    """
    dead: dict[int, tuple[int, resource.struct_rusage]] = {}
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False, dead
        if pid == 0:
            return True, dead
        dead[pid] = (status, usage)
