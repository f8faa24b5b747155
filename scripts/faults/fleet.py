"""A fleet's coordinator and its launches, killed, doubled, cancelled, on a full disk.

Whatever happens: in the end every task is over, none was run twice, none is called lost that is
not, and nothing is left running.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from faults.bench import Bench, Row, Trial, end, ends, finish, require, run, start, until
from faults.fleet_scene import SLOW, TASKS, completed, intact, left, place
from faults.kills import Point, children
from fleet.fleets import LAUNCH, Place


def rows(bench: Bench) -> Iterator[Row]:
    yield at_every_call(bench)
    yield at_random_moments(bench)
    yield with_worktrees(bench)
    yield landings(bench)
    yield killed_launches(bench)
    yield disk_full(bench)
    yield claims(bench)
    yield several_coordinators(bench)
    yield cancelled(bench)


# --- the coordinator ---


def at_every_call(bench: Bench) -> Row:
    where = place(bench, "calls")
    path = where.file("trace")
    ends(run("fleet", "run", where.path, plan={"trace": path}), 0)
    calls = where.read("trace").split()
    points = [
        Point(number, how)
        for number, name in enumerate(calls, 1)
        for how in ("before", *(["torn"] if name == "write" else []), "after")
    ]

    def chain(point: Point) -> Trial:
        chance = bench.chance("fleet call", point)
        where = place(bench, f"call-{point.call}-{point.how}")
        plans = [{"kill": point.call, "how": point.how}]
        for _ in range(chance.choice((0, 0, 1, 3))):
            plans.append({"kill": chance.randint(1, 20), "how": chance.choice(("before", "torn"))})
        trial = Trial(0)
        for plan in plans:
            trial.count += killed(where, plan)
        return completed(where, trial)

    fault = "fleet: kill -9 of the coordinator at every durable call, chained"
    row = bench.each(fault, bench.sample(points, 3), chain)
    row.figures = f"{len(calls)} calls a run, {row.tries} kills"
    return row


def killed(where: Place, plan: dict[str, Any], action: str = "run") -> bool:
    """Run an action with a kill inside; returns whether it came to that."""
    process = start("fleet", action, where.path, plan=plan)
    process.communicate(timeout=60)
    intact(where)
    return process.returncode == -signal.SIGKILL


def struck(where: Place, action: str, seconds: float) -> bool:
    """Kill the action after some seconds; returns whether it came to that."""
    process = start("fleet", action, where.path)
    time.sleep(seconds)
    end([process.pid])
    process.communicate(timeout=60)
    intact(where)
    return process.returncode == -signal.SIGKILL


def struck_somewhere(
    where: Place, action: str, chance: random.Random, *, calls: int, seconds: float
) -> bool:
    """Kill the action at one of its first durable calls, or at a moment before `seconds`."""
    if chance.random() < 0.5:
        how = chance.choice(("before", "torn", "after"))
        return killed(where, {"kill": chance.randint(1, calls), "how": how}, action)
    return struck(where, action, chance.uniform(0.1, seconds))


def at_random_moments(bench: Bench) -> Row:
    def chain(number: int) -> Trial:
        chance = bench.chance("fleet moment", number)
        where = place(bench, f"moment-{number}")
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            trial.count += struck(where, "run", chance.uniform(0.1, 0.9))
        return completed(where, trial)

    fault = "fleet: kill -9 of the coordinator at a random moment, chained"
    return bench.each(fault, range(bench.count(2, 150)), chain)


def with_worktrees(bench: Bench) -> Row:
    """Nothing of the work is lost, and no half-made worktree is worked in."""
    fault = "fleet: kill -9 of the coordinator while it makes and commits worktrees"
    if not shutil.which("git"):
        return Row(fault, figures="left out: git is missing")

    def chain(number: int) -> Trial:
        chance = bench.chance("fleet tree", number)
        where = repository(bench, f"tree-{number}")
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            trial.count += struck_somewhere(where, "run", chance, calls=60, seconds=0.8)
        ends(run("fleet", "run", where.path), 0)
        for name in TASKS:
            kept = git(where.folder, "show", f"openloop/{name}:{name}")
            require(kept == f"{name}\n", f"the branch of {name} holds {kept!r}")
        until(lambda: not left(where), "nothing to be left", patience=10)
        landed(where)
        return trial

    return bench.each(fault, range(bench.count(2, 60)), chain)


def landings(bench: Bench) -> Row:
    """Everything lands once, and no gate of a landing that was killed runs on."""
    fault = "fleet: kill -9 of a landing, at durable calls and at random moments"
    if not shutil.which("git"):
        return Row(fault, figures="left out: git is missing")

    def chain(number: int) -> Trial:
        chance = bench.chance("fleet landing", number)
        where = repository(bench, f"landing-{number}")
        ends(run("fleet", "run", where.path), 0)
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            trial.count += struck_somewhere(where, "land", chance, calls=36, seconds=1.5)
        landed(where)
        return trial

    return bench.each(fault, range(bench.count(2, 60)), chain)


def landed(where: Place) -> None:
    """What `land` leaves behind: each task merged once, and nothing that runs."""
    ends(run("fleet", "land", where.path), 0)
    tree = sorted(git(where.folder, "ls-tree", "--name-only", "main").split())
    require(tree == ["a", "b", "begin", "c"], f"main holds {tree}")
    merges = sorted(git(where.folder, "log", "--merges", "--format=%s", "main").splitlines())
    require(merges == [f"Land openloop/{name}" for name in TASKS], f"merged are {merges}")
    until(lambda: not left(where), "nothing to be left", patience=10)
    shutil.rmtree(where.folder)


def repository(bench: Bench, name: str) -> Place:
    script = (
        'name=$(basename "$(dirname "$OPENLOOP_WORKSPACE")"); '
        'case $name in landing) sleep 0.2 ;; *) echo "$name" > "$name" ;; esac'
    )
    config = {"total_rounds": 1, "commands": {"verify": script}}
    gates = [{"name": n, "set": {"commands.verify": f"{script}; : {n}"}} for n in TASKS]
    where = place(bench, name, config, isolation="worktree", tasks=gates)
    where.write("begin", "")
    git(where.folder, "init", "--quiet", "--initial-branch=main", ".")
    where.write(".git/info/exclude", "fleet.*\nopenloop.json\n")
    git(where.folder, "add", "--all")
    who = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    git(where.folder, *who, "commit", "--quiet", "--message", "begin")
    return where


def git(folder: str, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def disk_full(bench: Bench) -> Row:
    """A durable call fails: the coordinator says so, and the next one has lost nothing."""

    def once_more(number: int) -> Trial:
        chance = bench.chance("fleet disk", number)
        where = place(bench, f"disk-{number}")
        plan = {
            "fail": chance.randint(1, 45),
            "errno": chance.choice((errno.ENOSPC, errno.EIO, errno.EDQUOT)),
            "times": chance.choice((1, 3, 1000)),
            "torn": chance.random() < 0.5,
        }
        ends(run("fleet", "run", where.path, plan=plan), 0, 1, 2, 5)
        intact(where)
        if where.states() and set(where.states().values()) & {"blocked", "lost"}:
            raise AssertionError(f"{plan} ended tasks: {where.states()}")
        return completed(where, Trial())

    fault = "fleet: disk full or I/O error in the coordinator"
    return bench.each(fault, range(bench.count(2, 80)), once_more)


def several_coordinators(bench: Bench) -> Row:
    def race(number: int) -> Trial:
        where = place(bench, f"race-{number}")
        racers = [start("fleet", "run", where.path) for _ in range(4)]
        codes = sorted(finish(one).code for one in racers)
        require(codes.count(0) >= 1 and set(codes) <= {0, 4}, f"exit codes are {codes}")
        return completed(where, Trial())

    return bench.each("fleet: four coordinators at once", range(bench.count(1, 20)), race)


# --- launches ---


def claim_of(where: Place, name: str) -> dict[str, Any]:
    path = where.file("fleet.fleet", "tasks", name, "launch-1", "claim")
    with open(path, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def write_json(folder: str, name: str, document: dict[str, Any]) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(document, file)


def killed_launches(bench: Bench) -> Row:
    """The launch, its runner, or both: reported as crashed or lost, and whole after a retry."""

    def strike(number: int) -> Trial:
        chance = bench.chance("fleet launch", number)
        where = place(bench, f"launch-{number}", SLOW)
        process = start("fleet", "run", where.path)
        until(lambda: len(where.events_of("task_running")) >= 2, "two running tasks")
        time.sleep(chance.uniform(0, 0.5))
        victims: list[int] = []
        with contextlib.suppress(OSError):
            launch = claim_of(where, "a")["pid"]
            both = [launch, *children(launch)]
            victims = chance.sample(both, chance.randint(1, len(both)))
        end(victims)
        done = finish(process)
        ends(done, 0, 1)
        states = where.states()
        allowed = {"complete", "crashed", "lost", "interrupted"}
        require(states["a"] in allowed, f"a is {states['a']}")
        require({states["b"], states["c"]} == {"complete"}, f"states are {states}")
        ends(run("fleet", "retry", where.path), 0)
        until(lambda: not left(where), "nothing to be left", patience=10)
        shutil.rmtree(where.folder)
        return Trial(len(victims))

    fault = "fleet: kill -9 of a launch, its runner, or both"
    return bench.each(fault, range(bench.count(2, 60)), strike)


def claims(bench: Bench) -> Row:
    """Twins of one launch and a coordinator that gives it up, all at once: at most one runs."""
    from openloop.fleet.launchers import launch

    def race(number: int) -> Trial:
        chance = bench.chance("fleet claim", number)
        folder = os.path.join(bench.folder, f"claim-{number}")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        ran = os.path.join(folder, "ran")
        config = {"version": 1, "total_rounds": 1, "commands": {"verify": f"echo once >> {ran}"}}
        write_json(folder, "openloop.json", config)
        write_json(folder, "order.json", {"launch": "l", "workspace": folder, "cwd": folder})
        words = [*LAUNCH, "run", folder]
        twins = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(3)]
        given_up = False
        if chance.random() < 0.7:
            time.sleep(chance.uniform(0, 0.05))
            given_up = launch.claim(folder, {launch.FENCED: True, "launch": "l"})
        codes = [twin.wait(30) for twin in twins]
        require(codes == [0, 0, 0], f"exit codes are {codes}")
        count = 0
        with contextlib.suppress(FileNotFoundError), open(ran, encoding="utf-8") as file:
            count = len(file.readlines())
        require(count == (not given_up), f"ran {count} times, given up: {given_up}")
        require(given_up or launch.read(folder, launch.END), "no end file")
        shutil.rmtree(folder)
        return Trial()

    return bench.each(
        "fleet: twins, and a launch given up, at once", range(bench.count(20, 300)), race
    )


def cancelled(bench: Bench) -> Row:
    """With a coordinator, without one, with one that is killed while it cancels."""

    def stop(number: int) -> Trial:
        chance = bench.chance("fleet cancel", number)
        where = place(bench, f"cancel-{number}", {**SLOW, "commands": {"verify": "sleep 60"}})
        process = start("fleet", "run", where.path)
        until(lambda: where.events_of("task_launching"), "a launch")
        time.sleep(chance.uniform(0, 0.6))
        if chance.random() < 0.5:
            end([process.pid])
        cancelling = start("fleet", "cancel", where.path)
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0.1, 0.8))
            end([process.pid, cancelling.pid])
            cancelling.communicate()
            cancelling = start("fleet", "cancel", where.path)
        ends(finish(cancelling), 0)
        process.communicate(timeout=60)
        require(set(where.states().values()) == {"cancelled"}, f"states are {where.states()}")
        until(lambda: not left(where), "nothing to be left", patience=10)
        shutil.rmtree(where.folder)
        return Trial()

    return bench.each("fleet: cancel", range(bench.count(2, 40)), stop)
