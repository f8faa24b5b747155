"""Find and end process trees, in the guard and the runner.

Imports little, because the guard starts with it. A tree is all descendants of a child subreaper,
daemons included. For leftovers of a run whose guard is dead too, see `run_marks`.
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
HIDDEN = 0  # start time of a child that /proc hides

ORPHAN_GRACE = 0.4  # seconds between TERM and KILL once the runner is dead
GIVE_UP = 10.0  # seconds of SIGKILL after which survivors are reported
RESCAN = 0.05  # seconds between two scans for newly forked processes
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_DEAD = b"ZX"
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def become_subreaper() -> bool:
    """Adopt every orphan below this process. False where the system cannot do that."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def close_memory() -> bool:
    """Deny other processes of this user, except root, access to this one's memory and descriptors.
    False where the system cannot do that."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def open_memory() -> bool:
    """Undo `close_memory`."""
    return _prctl(_PR_SET_DUMPABLE, 1)


def _prctl(option: int, value: int) -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def descendants(ancestor: int, *, without: Iterable[int] = ()) -> Processes:
    """Living processes below `ancestor`, without those in `without` and their descendants."""
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
    """Living processes below this one, without those in `without` and their descendants.

    With `hidepid`, /proc hides programs that are executable but not readable. They are found once
    no other process is left, because by then they are children of this one.
    """
    left_out = set(without)
    shown = descendants(os.getpid(), without=left_out)
    return shown or {pid: HIDDEN for pid in _hidden_children() if pid not in left_out}


def _hidden_children() -> list[int]:
    """Children of any thread of this process that /proc hides; dead ones are not hidden."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children", "rb") as file:
            found += map(int, file.read().split())
    return [pid for pid in found if not os.access(f"/proc/{pid}/stat", os.R_OK)]


def alive() -> Iterable[tuple[int, int, int]]:
    """(PID, parent, start time) of every process except zombies and kernel threads."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (known := _stat(int(name))):
            yield int(name), *known


def _stat(pid: int) -> tuple[int, int] | None:
    """(parent, start time) of a living process; None for any other PID and kernel threads."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            # The command's name, in parentheses, can contain any character.
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    # A process whose leading thread is a zombie is alive while other threads run.
    if len(fields) < 20 or (fields[0] in _DEAD and int(fields[17]) < 2):
        return None
    if int(fields[6]) & _KERNEL_THREAD:
        return None
    return int(fields[1]), int(fields[19])


def start_time(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot."""
    known = _stat(pid)
    return known[1] if known else None


def parent(pid: int) -> int | None:
    """The parent of a living process."""
    known = _stat(pid)
    return known[0] if known else None


def send(pid: int, start: int, *signals: int) -> None:
    """Signal this process only, never a later one with the same PID."""
    with contextlib.suppress(OSError):  # it has ended, or belongs to another user
        handle = _handle(pid)
        try:
            # A child keeps its PID until it is reaped.
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
    """End the processes that `find` returns: TERM, the grace period, then STOP and KILL.

    empty: a cheap check whether no process is left.
    pause: waits at most that many seconds; returns True to skip the rest of the grace period.
    spared: a PID that gets no TERM, because it exits once the others have.
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
    """Stop every process, new ones included, so that none can fork before the kill."""
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
    """Pause in pieces, each followed by the cheap check. Returns (hurry, whether all are gone)."""
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
    """A `pause` that only waits."""
    time.sleep(min(seconds, 0.005))
    return False


def reap() -> tuple[bool, dict[int, tuple[int, resource.struct_rusage]]]:
    """Collect every dead child. Returns (whether children are left, PID → (wait status, usage)).

    Group leaders may be collected early, because no signal goes to a group.
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
