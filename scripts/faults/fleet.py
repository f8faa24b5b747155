"""A fleet's coordinator, launches, engines and files, killed, late, full and doubled.

Whatever happens: in the end every task is over, none was run twice, none is called lost that is
not, and nothing is left running.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from faults.bench import Bench, Row, Trial, end, ends, finish, require, run, start, until
from faults.kills import Point, children
from fleet import engines
from fleet.fleets import LAUNCH, SAYS_SO, Engine, Place, names
from support import recomputed_head

TASKS = ("a", "b", "c")
QUICK: dict[str, Any] = {"total_rounds": 1, "commands": {"verify": f"{SAYS_SO}; sleep 0.05"}}
SLOW: dict[str, Any] = {
    "total_rounds": 1,
    "limits": {"kill_grace_seconds": 0.2},
    "commands": {"verify": f"{SAYS_SO}; sleep 0.6"},
}
LATE = 30.0  # seconds after which a shared file system shows an end file


def rows(bench: Bench) -> Iterator[Row]:
    yield at_every_call(bench)
    yield at_random_moments(bench)
    yield with_worktrees(bench)
    yield killed_launches(bench)
    yield disk_full(bench)
    yield claims(bench)
    yield several_coordinators(bench)
    yield outages(bench)
    yield late_files(bench)
    yield cancelled(bench)
    yield from slurm(bench)
    yield from ssh(bench)


def place(bench: Bench, name: str, config: dict[str, Any] | None = None, **fleet: Any) -> Place:
    folder = os.path.join(bench.folder, f"fleet-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    fleet = {"tasks": names(*TASKS), "max_parallel": 2, **fleet}
    return Place(folder, QUICK if config is None else config, **fleet)


# --- what must hold ---


def left(where: Place) -> list[int]:
    """Processes that work below the fleet's folder, or were told of it."""
    found = []
    below = where.folder.encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            here = os.fsencode(os.readlink(f"/proc/{name}/cwd"))
            with open(f"/proc/{name}/cmdline", "rb") as file:
                told = below + b"/" in file.read()
            if int(name) != os.getpid() and (told or here == below):
                found.append(int(name))
    return found


def intact(where: Place) -> None:
    """The chain holds, but for a torn last line that a kill may leave."""
    path = os.path.join(where.state, "events.jsonl")
    if os.path.exists(path):
        with open(path, "rb") as file:
            whole = file.read().rpartition(b"\n")
        with open(f"{path}.whole", "wb") as file:
            file.write(whole[0] + whole[1])
        recomputed_head(_Record(f"{path}.whole"))  # type: ignore[arg-type]


class _Record:
    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, name: str) -> str:
        return self.path


def once(where: Place, tasks: tuple[str, ...] = TASKS) -> None:
    ran = Counter(where.ran())
    require(ran == Counter(tasks), f"run were {dict(ran)}")


def completed(where: Place, trial: Trial, tasks: tuple[str, ...] = TASKS, **how: Any) -> Trial:
    """The same command once more comes to the same end as if nothing had happened."""
    ends(run("fleet", "run", where.path, **how), 0)
    once(where, tasks)
    intact(where)
    require(set(where.states().values()) == {"complete"}, f"states are {where.states()}")
    until(lambda: not left(where), "nothing to be left", patience=10)
    shutil.rmtree(where.folder, ignore_errors=True)
    return trial


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


def killed(where: Place, plan: dict[str, Any]) -> bool:
    """Run with a kill inside; returns whether it came to that."""
    process = start("fleet", "run", where.path, plan=plan)
    process.communicate(timeout=60)
    intact(where)
    return process.returncode == -signal.SIGKILL


def at_random_moments(bench: Bench) -> Row:
    def chain(number: int) -> Trial:
        chance = bench.chance("fleet moment", number)
        where = place(bench, f"moment-{number}")
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            process = start("fleet", "run", where.path)
            time.sleep(chance.uniform(0.1, 0.9))
            end([process.pid])
            process.communicate(timeout=60)
            trial.count += process.returncode == -signal.SIGKILL
            intact(where)
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
            if chance.random() < 0.5:
                how = chance.choice(("before", "torn", "after"))
                trial.count += killed(where, {"kill": chance.randint(1, 60), "how": how})
                continue
            process = start("fleet", "run", where.path)
            time.sleep(chance.uniform(0.1, 0.8))
            end([process.pid])
            process.communicate(timeout=60)
            trial.count += process.returncode == -signal.SIGKILL
        ends(run("fleet", "run", where.path), 0)
        for name in TASKS:
            kept = git(where.folder, "show", f"openloop/{name}:{name}")
            require(kept == f"{name}\n", f"the branch of {name} holds {kept!r}")
        until(lambda: not left(where), "nothing to be left", patience=10)
        ends(run("fleet", "land", where.path), 0)
        tree = sorted(git(where.folder, "ls-tree", "--name-only", "main").split())
        require(tree == ["a", "b", "begin", "c"], f"main holds {tree}")
        shutil.rmtree(where.folder)
        return trial

    return bench.each(fault, range(bench.count(2, 60)), chain)


def repository(bench: Bench, name: str) -> Place:
    script = 'name=$(basename "$(dirname "$OPENLOOP_WORKSPACE")"); echo "$name" > "$name"'
    config = {"total_rounds": 1, "commands": {"verify": script}}
    where = place(bench, name, config, isolation="worktree")
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


def killed_launches(bench: Bench) -> Row:
    """The launch, its runner, or both: told as crashed or lost, and whole after a retry."""

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
        order = {"launch": "l", "workspace": folder, "cwd": folder,
                 "argv": ["/bin/sh", "-c", f"echo once >> {ran}"]}  # fmt: skip
        with open(os.path.join(folder, "order.json"), "w", encoding="utf-8") as file:
            json.dump(order, file)
        words = [sys.executable, "-I", "-S", LAUNCH, "run", folder]
        quiet = {"stdout": subprocess.DEVNULL}
        twins = [subprocess.Popen(words, **quiet) for _ in range(3)]  # type: ignore[call-overload]
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


# --- the engine ---


def engine_fleet(bench: Bench, name: str, **more: Any) -> tuple[Engine, Place]:
    where = place(bench, name)
    engine = Engine(os.path.join(where.folder, "engine"), **more)
    where.configure(tasks=names(*TASKS), max_parallel=3, launcher=engine.launcher)
    return engine, where


def outages(bench: Bench) -> Row:
    """An engine that cannot be asked now and then, answers that get lost, and a coordinator that is
    killed meanwhile."""

    def trouble(number: int) -> Trial:
        chance = bench.chance("fleet outage", number)
        engine, where = engine_fleet(bench, f"outage-{number}", grace_seconds=3)
        if chance.random() < 0.5:
            engine.set("lose-answer")
        process = start("fleet", "run", where.path)
        begun: list[subprocess.Popen[bytes]] = []
        deadline = time.monotonic() + 60
        while len(begun) < len(engine.queue) or len(where.ran()) < len(TASKS):
            require(time.monotonic() < deadline, f"ran {where.ran()}, queued {engine.queue}")
            down = os.path.exists(engine.file("down"))
            if chance.random() < 0.3:
                engine.set("down", not down)
            if not down and len(begun) < len(engine.queue) and chance.random() < 0.5:
                begun.append(engine.begin(len(begun)))
            if chance.random() < 0.1:
                end([process.pid])
                process.communicate()
                process = start("fleet", "run", where.path)
            time.sleep(0.1)
        if os.path.exists(engine.file("down")):
            engine.set("down", False)
        for one in begun:
            one.wait(30)
        code = finish(process).code
        require(code == 0, f"exit code {code}, states {where.states()}")
        return completed(where, Trial())

    return bench.each("fleet: a queue that cannot be asked", range(bench.count(1, 40)), trouble)


def late_files(bench: Bench) -> Row:
    """The end file is shown long after the queue has forgotten the launch."""
    late = LATE if bench.full else LATE / 10

    def hide(number: int) -> Trial:
        engine, where = engine_fleet(bench, f"late-{number}", grace_seconds=2 * late)
        process = start("fleet", "run", where.path)
        until(lambda: len(engine.queue) == len(TASKS), "three launches")
        folders = [folder for _, folder in engine.queue]
        for position, folder in enumerate(folders):
            # What another host writes is not seen here: it is written elsewhere and comes late.
            hidden = f"{folder}.hidden"
            shutil.copytree(folder, hidden)
            subprocess.run([sys.executable, "-I", "-S", LAUNCH, "run", hidden], check=True)
            require(not os.path.exists(os.path.join(folder, "end.json")), f"{position} is seen")
        for folder in folders:  # the claim is older, and was seen
            shutil.copy(os.path.join(f"{folder}.hidden", "claim"), os.path.join(folder, "claim"))
        engine.forget()
        time.sleep(late)
        require(process.poll() is None, "the coordinator did not wait")
        for folder in folders:
            os.rename(f"{folder}.hidden/end.json", os.path.join(folder, "end.json"))
        ends(finish(process), 0)
        return completed(where, Trial(len(TASKS)))

    row = bench.each("fleet: end files that appear late", range(bench.count(1, 4)), hide)
    row.figures = f"{late:g} s after the queue has said gone"
    return row


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


# --- real engines ---


def _left_out(bench: Bench, *programs: str) -> str:
    """Why a row with a real engine is left out, "" when it is not."""
    if not bench.full:
        return "left out: with --full only"
    missing = [name for name in programs if not engines.which(name)]
    if missing or os.geteuid() != 0:
        return f"left out: {', '.join(missing) or 'root'} is missing"
    return ""


def slurm(bench: Bench) -> Iterator[Row]:
    fault = "fleet: kill -9 of slurmctld, slurmd and the coordinator"
    if why := _left_out(bench, *engines.SLURM):
        yield Row(fault, figures=why)
        return
    folder = os.path.join(bench.folder, "slurm")
    os.mkdir(folder)
    os.chmod(bench.folder, 0o755)
    cluster = engines.Slurm(folder)
    env = {**os.environ, "PYTHONPATH": sys.path[0], **cluster.env}
    try:
        yield _one_by_one(
            bench, fault, bench.count(1, 10), lambda n: _strike(bench, n, cluster, env)
        )
    finally:
        cluster.stop()


def _one_by_one(bench: Bench, fault: str, count: int, work: Any) -> Row:
    import dataclasses

    return dataclasses.replace(bench, jobs=1).each(fault, range(count), work)


def _eager(name: str) -> dict[str, Any]:
    from openloop.fleet.launchers import launcher

    return {**launcher.shipped(name), "poll_seconds": 0.5, "grace_seconds": 20}


def _strike(bench: Bench, number: int, cluster: engines.Slurm, env: dict[str, str]) -> Trial:
    chance = bench.chance("fleet slurm", number)
    where = place(bench, f"slurm-{number}", SLOW, launcher=_eager("slurm"), max_parallel=3)
    process = start("fleet", "run", where.path, env=env)
    trial = Trial(0)
    for _ in range(4):
        time.sleep(chance.uniform(0.1, 0.8))
        victim = chance.choice([cluster.controller, *cluster.nodes, None])
        trial.count += 1
        if victim is None:
            end([process.pid])
            process.communicate()
            process = start("fleet", "run", where.path, env=env)
        else:
            victim.kill()
            time.sleep(chance.uniform(0, 1))
            victim.start()
    code = finish(process, patience=180).code
    states = where.states()
    require(code == 0, f"exit code {code}, states {states}")
    until(cluster.is_ready, "the nodes of Slurm")
    return completed(where, trial, env=env)


def ssh(bench: Bench) -> Iterator[Row]:
    fault = "fleet: kill -9 of sshd, its connections and the coordinator"
    if why := _left_out(bench, "sshd", "ssh", "ssh-keygen"):
        yield Row(fault, figures=why)
        return
    folder = os.path.join(bench.folder, "ssh")
    os.mkdir(folder)
    server = engines.Sshd(folder)

    def strike(number: int) -> Trial:
        chance = bench.chance("fleet ssh", number)
        launcher, hosts = _eager("ssh"), ["one", {"name": "two", "slots": 2}]
        how = {"launcher": launcher, "hosts": hosts, "options": server.options}
        where = place(bench, f"ssh-{number}", SLOW, max_parallel=3, **how)
        process = start("fleet", "run", where.path)
        trial = Trial(0)
        for _ in range(4):
            time.sleep(chance.uniform(0.1, 0.8))
            trial.count += 1
            if chance.random() < 0.5:
                end([process.pid])
                process.communicate()
                process = start("fleet", "run", where.path)
            else:
                assert server.daemon.process
                end([server.daemon.process.pid, *children(server.daemon.process.pid)])
                time.sleep(chance.uniform(0, 1))
                server.daemon.kill()
                server.daemon.start()
        code = finish(process, patience=120).code
        require(code == 0, f"exit code {code}, states {where.states()}")
        return completed(where, trial)

    try:
        yield _one_by_one(bench, fault, 12, strike)
    finally:
        server.stop()
