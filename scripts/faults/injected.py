"""Run openloop with a fault inside its runner: PLAN WORDS…, the plan a JSON object.

The runner's own calls are wrapped before it starts; nothing in the product knows of it. Its
guard, a fork, and the commands keep the real ones. Plans:

    {"kill": N, "how": "before" | "torn" | "after", "guard": BOOL}   SIGKILL at the N-th durable
        call; `torn` writes half of what was to be written; `guard` kills the guard first
    {"fail": N, "errno": E, "times": M, "torn": BOOL}   M durable calls from the N-th on fail
    {"trace": FILE}     write the names of all durable calls, one a line, when the run ends
    {"clock": [SECONDS, …]}    the wall clock jumps to and fro at every look at it
    {"limit": {NAME: N}}       resource limits, NAME as in the resource module
    {"peak": FILE}      write the peak memory of the runner in KiB when the run ends
"""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

DURABLE = ("write", "open", "rename", "fsync", "ftruncate", "unlink", "mkdir")
MAKING = os.O_WRONLY | os.O_RDWR | os.O_CREAT  # an open that only reads leaves nothing behind

Call = Callable[..., Any]
Fault = Callable[[int, str, Call, tuple[Any, ...]], None]


def wrap(fault: Fault) -> None:
    """Call `fault(number, name, real function, arguments)` before every durable call. It may
    raise, kill this process, or return to let the call happen."""
    counter = itertools.count(1)
    for name in DURABLE:
        _wrap(os, name, counter, fault)
    _wrap(socket, "send_fds", counter, fault)  # the order to start a command


def _wrap(module: Any, name: str, counter: itertools.count[int], fault: Fault) -> None:
    real = getattr(module, name)
    runner = os.getpid()

    @functools.wraps(real)
    def wrapped(*words: Any, **how: Any) -> Any:
        if os.getpid() != runner:
            return real(*words, **how)
        if name == "open" and (words[0] == os.devnull or not words[1] & MAKING):
            return real(*words, **how)
        after = fault(next(counter), name, real, words)
        try:
            return real(*words, **how)
        finally:
            if callable(after):
                after()

    setattr(module, name, wrapped)


def kill(plan: dict[str, Any]) -> Call:
    def die() -> None:
        for pid in _guards() if plan.get("guard") else ():
            os.kill(pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def fault(number: int, name: str, real: Call, words: tuple[Any, ...]) -> Call | None:
        if number != plan["kill"]:
            return None
        if plan["how"] == "after":
            return die
        if plan["how"] == "torn" and name == "write":
            real(words[0], bytes(words[1])[: len(words[1]) // 2])
        die()
        return None

    return fault


def _guards() -> list[int]:
    """Children of this process: the guard alone is one."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def fail(plan: dict[str, Any]) -> Call:
    def fault(number: int, name: str, real: Call, words: tuple[Any, ...]) -> None:
        if not plan["fail"] <= number < plan["fail"] + plan["times"] or name == "send_fds":
            return
        if plan.get("torn") and name == "write":
            real(words[0], bytes(words[1])[: len(words[1]) // 2])
        raise OSError(plan["errno"], os.strerror(plan["errno"]))

    return fault


def trace(plan: dict[str, Any]) -> Call:
    names: list[str] = []

    def show() -> None:
        with open(plan["trace"], "w", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in names)

    atexit.register(show)
    return lambda number, name, real, words: names.append(name)


def shift_clock(jumps: list[float]) -> None:
    real, next_jump = time.time, itertools.cycle(jumps)
    time.time = lambda: real() + next(next_jump)


def show_peak(path: str) -> None:
    """From /proc, because the figure of getrusage holds the parent's memory before exec, too."""
    with open("/proc/self/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{line.split()[1]}\n")


def main() -> int:
    plan = json.loads(sys.argv[1])
    from openloop.cli import main as program

    if "clock" in plan:
        shift_clock(plan["clock"])
    for name, amount in plan.get("limit", {}).items():
        resource.setrlimit(getattr(resource, name), (amount, amount))
    if "peak" in plan:
        atexit.register(show_peak, plan["peak"])
    for word, fault in {"kill": kill, "fail": fail, "trace": trace}.items():
        if word in plan:
            wrap(fault(plan))
    return program(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
