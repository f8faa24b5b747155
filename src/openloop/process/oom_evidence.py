"""Evidence that the kernel killed a process because memory ran out."""

from __future__ import annotations

import os
import signal

_SHELL_SAYS_KILLED = 128 + signal.SIGKILL


class OomCounters:
    """The kernel's counts of OOM kills, kept open: of our cgroup and of the whole machine."""

    def __init__(self) -> None:
        self._cgroup = _open_first(_cgroup_files())
        self._machine = _open_first(["/proc/vmstat"])

    def read(self, *, machine: bool = True) -> tuple[int, int]:
        """(kills counted by our cgroup, by the machine); 0 where there is no such counter.

        machine: whether its count is wanted; the kernel makes all of /proc/vmstat for it.
        """
        return _count(self._cgroup), _count(self._machine) if machine else 0

    def close(self) -> None:
        for descriptor in (self._cgroup, self._machine):
            if descriptor is not None:
                os.close(descriptor)


def evidence(
    before: tuple[int, int], after: tuple[int, int], *, code: int | None, by_signal: str | None
) -> str:
    """The evidence for a command that ended by itself; "" for none.

    confirmed: our own cgroup counted a kill meanwhile. probable: the machine did, and the
    command died of a SIGKILL that was not ours. A SIGKILL alone proves nothing.
    """
    if after[0] > before[0]:
        return "confirmed: the cgroup counted an OOM kill while it ran"
    if died_of_sigkill(code, by_signal) and after[1] > before[1]:
        return "probable: it died of SIGKILL and the kernel counted an OOM kill meanwhile"
    return ""


def died_of_sigkill(code: int | None, by_signal: str | None) -> bool:
    """Whether a command died of SIGKILL: only then is the machine's count evidence."""
    return by_signal == "SIGKILL" or code == _SHELL_SAYS_KILLED


def _cgroup_files() -> list[str]:
    """Where the memory controller of our cgroup counts, version 2 first, then version 1."""
    files: list[str] = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files.insert(0, f"/sys/fs/cgroup{path.rstrip('/')}/memory.events")
        elif "memory" in controllers.split(","):
            files.append(f"/sys/fs/cgroup/memory{path.rstrip('/')}/memory.oom_control")
    return files


def _open_first(paths: list[str]) -> int | None:
    for path in paths:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None


def _count(descriptor: int | None) -> int:
    if descriptor is None:
        return 0
    try:
        counters = os.pread(descriptor, 1 << 16, 0)
    except OSError:
        return 0
    _, _, rest = (b"\n" + counters).partition(b"\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if rest else 0
