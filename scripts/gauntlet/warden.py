"""Run one command as its warden: `python3 -I -S warden.py TIMEOUT PATIENCE AGAIN COMMAND`.

Every process that descends from the command stays below the warden, daemons too: it is a child
subreaper. When the command has died by a signal it is run again, as a person would, AGAIN times at
most. Then the processes that are left after PATIENCE are counted and ended. Prints one JSON object:
`code` of the last try (null when it took longer than TIMEOUT), `tries`, `left` (command lines).
TIMEOUT and PATIENCE are in seconds. Stands alone, and knows nothing of the tool that it watches.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36
ALIVE = b"RSDTtI"


def main(timeout: float, patience: float, again: int, command: str) -> dict[str, object]:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    deadline = time.monotonic() + timeout
    code: int | None = -signal.SIGKILL
    tries = 0
    while code is not None and code < 0 and tries <= again:
        tries += 1
        code = attend(command, deadline)
    left = survivors(patience) if code is not None else []
    end_all()
    return {"code": code, "tries": tries, "left": left}


def attend(command: str, deadline: float) -> int | None:
    """Run the command to its end; None when the time is up."""
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", command], os.environ, setsid=True, setsigmask=(), setsigdef=[]
    )
    while (left := deadline - time.monotonic()) > 0:
        for dead, status in reaped():
            if dead == pid:
                return os.waitstatus_to_exitcode(status)
        signal.sigtimedwait([signal.SIGCHLD], min(left, 1.0))
    return None


def reaped() -> Iterator[tuple[int, int]]:
    """(PID, wait status) of the children that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def survivors(patience: float) -> list[str]:
    """Command lines of what is left when there was time enough to go."""
    deadline = time.monotonic() + patience
    while (living := below()) and time.monotonic() < deadline:
        list(reaped())
        time.sleep(0.02)
    return [command_line(pid) for pid in living]


def end_all() -> None:
    while living := below():
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in living:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        list(reaped())
        time.sleep(0.01)


def below() -> list[int]:
    """Living processes that descend from this one."""
    children: dict[int, list[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] in ALIVE or int(fields[17]) > 1:
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        more = children.get(queue.pop(), [])
        found += more
        queue += more
    return found


def command_line(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return "gone"


if __name__ == "__main__":
    timeout, patience, again, command = sys.argv[1:]
    print(json.dumps(main(float(timeout), float(patience), int(again), command)))
