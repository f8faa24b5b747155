"""Engines of a fleet that cannot be asked, lose answers, die, or show files late."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from faults.bench import Bench, Row, Trial, end, ends, finish, require, run, start, until
from faults.fleet_scene import SLOW, TASKS, completed, left, place
from faults.kills import children
from fleet import engines
from fleet.fleets import LAUNCH, SAYS_SO, Engine, Place, names

TROUBLED = 6.0  # seconds
LOOK = 0.5  # seconds between two questions to Slurm: each costs its controller
LATE = 30.0  # seconds after which a shared file system shows an end file


def rows(bench: Bench) -> Iterator[Row]:
    yield outages(bench)
    yield late_files(bench)
    yield from slurm(bench)
    yield from ssh(bench)


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
        began = time.monotonic()
        while len(begun) < len(engine.queue) or len(where.ran()) < len(TASKS):
            passed = time.monotonic() - began
            require(passed < 60, f"ran {where.ran()}, queued {engine.queue}")
            troubled = passed < TROUBLED
            down = os.path.exists(engine.file("down"))
            if down != (troubled and chance.random() < 0.3):
                engine.set("down", not down)
            if not down and len(begun) < len(engine.queue) and chance.random() < 0.5:
                begun.append(engine.begin(len(begun)))
            if troubled and chance.random() < 0.05:
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
            subprocess.run([*LAUNCH, "run", hidden], check=True)
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
    row.figures = f"{late:g} s after the queue printed gone"
    return row


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
    os.chmod(bench.folder, 0o755)
    orphaned: list[str] = []
    row = _on_slurm(bench, fault, bench.count(1, 10), functools.partial(_strike, orphaned))
    if orphaned:
        row.figures = f"{len(orphaned)} lost launches: Slurm itself had ended them as orphans"
    yield row
    yield _on_slurm(
        bench, "fleet: a node dies, and Slurm starts its job again on another one", 2, _requeued
    )


def _on_slurm(bench: Bench, fault: str, count: int, work: Any) -> Row:
    """A row with a cluster of its own, ready again before each try."""
    folder = tempfile.mkdtemp(prefix="slurm-", dir=bench.folder)
    os.chmod(folder, 0o755)
    cluster = engines.Slurm(folder)
    env = {**os.environ, "PYTHONPATH": sys.path[0], **cluster.env}

    def attempt(number: int) -> Trial:
        until(lambda: _recovered(cluster), "the nodes of Slurm", every=LOOK)
        return work(bench, number, cluster, env)

    try:
        return _one_by_one(bench, fault, count, attempt)
    finally:
        cluster.stop()


def _recovered(cluster: engines.Slurm) -> bool:
    cluster.recover()
    return cluster.is_ready()


def _one_by_one(bench: Bench, fault: str, count: int, work: Any) -> Row:
    return dataclasses.replace(bench, jobs=1).each(fault, range(count), work)


def _eager(name: str) -> dict[str, Any]:
    from openloop.fleet.launchers import launcher

    return {**launcher.shipped(name), "poll_seconds": 0.5, "grace_seconds": 20}


def _strike(
    orphaned: list[str], bench: Bench, number: int, cluster: engines.Slurm, env: dict[str, str]
) -> Trial:
    """orphaned: gets the tasks that are lost because Slurm ended their launches."""
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

    def over() -> bool:
        cluster.recover()
        return process.poll() is not None

    until(over, "the coordinator to end", patience=180, every=LOOK)
    code, lost = finish(process).code, _orphans(where, cluster)
    require(code == bool(lost), f"exit code {code}, orphans {lost}, states {where.states()}")
    if not lost:
        return completed(where, trial, env=env)
    orphaned += lost
    others = {state for name, state in where.states().items() if name not in lost}
    require(others <= {"complete"}, f"orphans are {lost}, states {where.states()}")
    ends(run("fleet", "retry", where.path, env=env), 0)
    ran = Counter(where.ran())
    require(all(ran[name] <= 1 + (name in lost) for name in TASKS), f"run were {dict(ran)}")
    until(lambda: not left(where), "nothing to be left", patience=10)
    shutil.rmtree(where.folder)
    return trial


def _orphans(where: Place, cluster: engines.Slurm) -> list[str]:
    """The lost tasks whose jobs a controller that had lost its latest state did not know, or not as
    running: it ends them with SIGKILL, before they can write an end file."""
    with open(cluster.controller.log, encoding="utf-8", errors="replace") as file:
        jobs = set(re.findall(r"(?:Orphan StepId|Registered PENDING JobId)=(\d+)", file.read()))
    job = {event["launch"]: event["job"] for event in where.events_of("task_submitted")}
    ended = [event for event in where.events_of("task_ended") if event["state"] == "lost"]
    return [event["task"] for event in ended if job.get(event["launch"]) in jobs]


def _requeued(bench: Bench, number: int, cluster: engines.Slurm, env: dict[str, str]) -> Trial:
    """Only the daemon of the node is dead: what it has started runs on, beside its twin."""
    config = {**SLOW, "commands": {"verify": f"{SAYS_SO}; until test -e go; do sleep 0.2; done"}}
    how = {"launcher": _eager("slurm"), "options": "--requeue"}
    where = place(bench, f"requeued-{number}", config, tasks=names("a"), **how)
    process = start("fleet", "run", where.path, env=env)
    until(lambda: where.ran() == ["a"], "a running task", patience=60)
    (event,) = where.events_of("task_submitted")
    node = cluster.ask("squeue", "-h", "-o", "%N").strip()
    victim = cluster.nodes[int(node.removeprefix("n")) - 1]
    victim.kill()

    def restarted() -> bool:
        shown = cluster.ask("scontrol", "show", "job", event["job"])
        return "Restarts=1" in shown and "JobState=COMPLETED" in shown

    try:
        until(restarted, "the twin to end", patience=120, every=LOOK)
        require(where.states() == {"a": "running"}, f"states are {where.states()}")
        where.write("go", "")
        ends(finish(process, patience=120), 0)
    finally:
        victim.start()
    _fenced(where, event["launch"])
    return completed(where, Trial(), ("a",), env=env)


def _fenced(where: Place, launched: str) -> None:
    """The twin ran nothing, and the end and the rounds of the first are recorded once."""
    said = where.read("fleet.fleet/tasks/a/launch-1/engine.log")
    require(f"launch {launched} was started before" in said, f"the twin says {said!r}")
    ended = [event["launch"] for event in where.events_of("task_ended")]
    require(ended == [launched], f"ends are recorded of {ended}")
    record = where.read("fleet.fleet/tasks/a/workspace/events.jsonl").splitlines()
    kinds = Counter(json.loads(line)["event"] for line in record)
    require(kinds["round_finished"] == 1 and kinds["run_started"] == 1, f"recorded are {kinds}")


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
