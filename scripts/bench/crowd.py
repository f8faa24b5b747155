"""Many loops on one machine, each with a workspace and processes of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench.commands import NOOP, bare_words
from bench.lab import Goal, Lab, Row, Stream, cpu, endless, in_turn, medians, proportional, slope
from bench.lab import switches as sleeps

BEATS = 1.0  # a second


def crowd(lab: Lab) -> Iterator[Row]:
    loops = lab.amount(4, 50)
    few, many = 5, lab.amount(25, 45)

    def together(start: Callable[[int], list[str]]) -> Callable[[int], float]:
        """Seconds until so many commands in each of all loops have been run."""

        def cost(commands: int) -> float:
            began = time.perf_counter()
            started = [lab.start(*start(commands), cwd=lab.fresh("crowd")) for _ in range(loops)]
            for process in started:
                process.wait()
            return (time.perf_counter() - began) / loops

        return cost

    def ours(commands: int) -> list[str]:
        place = lab.place("crowd", **endless())
        place.configure(commands={"verify": "false"})
        return place.command("--quiet", "--max-rounds", str(commands))

    samples = {
        "floor": lambda: slope(together(lambda n: bare_words(n, NOOP)), few, many),
        "openloop": lambda: slope(together(ours), few, many),
    }
    found = medians(in_turn(lab, 3, samples))
    words = f"{loops} loops at once"
    floor, figure = found["floor"] * 1e3, found["openloop"] * 1e3
    yield Row("crowd", f"{words}: one no-op command", floor, figure, "ms", Goal(2.5))
    yield from _at_rest(lab, loops, words)


def _at_rest(lab: Lab, loops: int, words: str) -> Iterator[Row]:
    """While every loop's command sleeps: memory, CPU, and how often a process wakes up."""
    seconds = lab.amount(3, 20)
    streams = [Stream(lab.place("crowd", **endless(command="sleep 600"))) for _ in range(loops)]
    try:
        for stream in streams:
            stream.until("step_started")
        time.sleep(2)
        pids = [pid for stream in streams for pid in stream.processes]
        before = cpu(pids), sleeps(pids), time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - before[2]
        used, woken = cpu(pids) - before[0], sleeps(pids) - before[1]
        held = sum(map(proportional, pids)) / loops
    finally:
        for stream in streams:
            stream.process.terminate()
        for stream in streams:
            stream.process.communicate()
    yield Row("crowd", f"{words}: memory of each", None, held, "MB", Goal(14, "MB"))
    minute = used / loops / passed * 60e3
    yield Row(
        "crowd", f"{words}, at rest: CPU a minute of each", None, minute, "ms", Goal(60, "ms")
    )
    rate = woken / loops / passed
    yield Row("crowd", f"{words}, at rest: wake-ups a second of each", None, rate, "", Goal(3, ""))
