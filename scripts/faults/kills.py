"""SIGKILL of the runner, alone and with its guard, wherever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from faults.bench import (
    PLANTED,
    Bench,
    Row,
    Trial,
    discard,
    end,
    ends,
    require,
    run,
    start,
    tree_gone,
    until,
)
from faults.record import intact, is_open, runs_opened, whole
from support import Workspace

CHAIN = 6  # kills in a row over one workspace, at most
# Announce what is done; whoever runs beside what is left of an earlier command tells.
EFFECT = (
    'echo "$OPENLOOP_ROUND $OPENLOOP_STEP" >> effects; '
    "exec 9>>../alone; flock -n 9 || touch ../overlapped"
)
MISSION: dict[str, Any] = {
    "total_rounds": 100_000,
    "commands": {
        "play": f"{EFFECT}; test $((OPENLOOP_ROUND % 2)) = 1",
        "fix": f"{EFFECT}; setsid sleep 30 & rm kept; test ! -e secret && sleep 0.02",
        "verify": f"{EFFECT}; echo verified",
        "improve": f"{EFFECT}; sleep 0.01",
    },
    "baseline": {"command": f"{EFFECT}; echo m=1", "regex": "m=(.)", "value": 2},
    "limits": {"max_consecutive_failures": 100_000, "kill_grace_seconds": 0.2},
    "policy": {"protect": PLANTED[:1], "withhold": PLANTED[1:]},
}
ROUNDS = ("--max-rounds", "1")


def rows(bench: Bench) -> Iterator[Row]:
    yield at_every_call(bench)
    yield at_random_moments(bench)
    yield with_the_guard(bench)


class Point(NamedTuple):
    """The first kill of a chain: the number of a durable call, and how to die there."""

    call: int
    how: str


def durable_calls(bench: Bench) -> list[str]:
    """The names of the durable calls of one run that nothing disturbs."""
    place = bench.place("calls", **MISSION)
    path = os.path.join(place.folder, "trace")
    ends(run("run", place.path, *ROUNDS, plan={"trace": path}), 1)
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def at_every_call(bench: Bench) -> Row:
    names = durable_calls(bench)
    points = [
        Point(number, how)
        for number, name in enumerate(names, 1)
        for how in ("before", *(["torn"] if name == "write" else []))
    ]

    def chain(point: Point) -> Trial:
        chance = bench.chance("call", point)
        plans = [{"kill": point.call, "how": point.how}]
        for _ in range(chance.choice((0, 0, 0, 0, 1, CHAIN - 1))):
            how = chance.choice(("before", "torn", "after"))
            plans.append({"kill": chance.randint(1, len(names)), "how": how})
        place = bench.place(f"call-{point.call}-{point.how}", **MISSION)
        trial = Trial(0)
        for plan in plans:
            killed = start("run", place.path, *ROUNDS, plan=plan)
            killed.communicate(timeout=60)
            if killed.returncode == -signal.SIGKILL:
                trial.count += 1
                trial.seconds.append(tree_gone(bench, place))
            intact(place)
        return completed(place, trial)

    row = bench.each("kill -9 at every durable call, chained", bench.sample(points, 8), chain)
    row.figures = f"{len(names)} calls a run, {row.tries} kills"
    return row


def completed(place: Workspace, trial: Trial) -> Trial:
    """The run after the last kill goes to its end, and the record is whole."""
    before = is_open(place)
    ends(run("run", place.path, *ROUNDS), 1)
    last = [event for event in place.events if event["event"] == "run_started"][-1]
    require(last["resumed"] == before, f"resumed={last['resumed']}, a run was open: {before}")
    whole(place)
    discard(place)
    return trial


def started(place: Workspace, moment: float) -> subprocess.Popen[bytes]:
    """A runner so many seconds after it opened its run; a negative moment does not wait for
    that, and counts from the interpreter's start."""
    before = runs_opened(place)
    runner = start("run", place.path, *ROUNDS)
    if moment >= 0:
        until(lambda: runner.poll() is not None or runs_opened(place) > before, "an open run")
    time.sleep(abs(moment))
    return runner


def at_random_moments(bench: Bench) -> Row:
    def chain(number: int) -> Trial:
        chance = bench.chance("moment", number)
        place = bench.place(f"moment-{number}", **MISSION)
        trial = Trial(0)
        for _ in range(chance.randint(1, CHAIN)):
            runner = started(place, chance.uniform(-0.05, 0.25))
            end([runner.pid])
            runner.communicate(timeout=60)
            trial.count += runner.returncode == -signal.SIGKILL
            trial.seconds.append(tree_gone(bench, place))
            intact(place)
        return completed(place, trial)

    row = bench.each("kill -9 at a random moment, chained", range(bench.count(3, 200)), chain)
    row.tell_spread()
    return row


def with_the_guard(bench: Bench) -> Row:
    """Nobody is left to end the tree: the next run does that before it starts anything. Half of
    them at a durable call, half at a random moment and in any order."""

    def chain(number: int) -> Trial:
        chance = bench.chance("guard", number)
        place = bench.place(f"guard-{number}", **MISSION)
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            if chance.random() < 0.5:
                how = chance.choice(("before", "torn", "after"))
                plan = {"kill": chance.randint(1, 160), "how": how, "guard": True}
                runner = start("run", place.path, *ROUNDS, plan=plan)
            else:
                runner = started(place, chance.uniform(0, 0.3))
                guards = children(runner.pid)
                end(chance.sample([*guards, runner.pid], len(guards) + 1))
            runner.communicate(timeout=60)
            trial.count += runner.returncode == -signal.SIGKILL
            intact(place)
        return completed(place, trial)

    return bench.each("kill -9 of runner and guard, chained", range(bench.count(3, 80)), chain)


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
