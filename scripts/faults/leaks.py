"""Many rounds in one run: what the runner holds does not grow with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from faults.bench import Bench, Row, Violation, ends, finish, require, start, until
from faults.kills import children
from faults.record import intact
from support import Workspace, environment

MEMORY = 4096  # KiB that the memory may grow by over all rounds


@dataclass(frozen=True)
class Sample:
    """What a runner and its guard hold at a moment. memory: KiB resident. children: the guard
    and what it runs. temporary: files in the temporary folder and unfinished ones."""

    descriptors: int
    threads: int
    children: int
    memory: int
    guard_descriptors: int
    guard_memory: int
    temporary: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors}+{self.guard_descriptors} descriptors, {self.threads} threads, "
            f"{self.children} children, {self.memory}+{self.guard_memory} KiB, "
            f"{self.temporary} temporary files"
        )


def rows(bench: Bench) -> Iterator[Row]:
    yield no_growth(bench)


def no_growth(bench: Bench) -> Row:
    rounds = bench.count(100, 1000)
    moments = (rounds // 10, rounds)
    wait = "until test -e go-$OPENLOOP_ROUND; do sleep 0.01; done"
    looked_at = "|".join(map(str, moments))
    place = bench.place(
        "leaks",
        total_rounds=rounds,
        commands={"verify": f"case $OPENLOOP_ROUND in {looked_at}) {wait};; esac; false"},
        limits={"max_consecutive_failures": 100_000},
    )
    row = Row(f"leaks over {rounds} rounds of nothing", tries=rounds)
    try:
        first, last = _sampled(place, moments)
        row.figures = f"at round {moments[0]}: {first}; at round {rounds}: {last}"
        _compare(first, last)
        intact(place)
    except Violation as error:
        row.violations.append(f"seed {bench.seed}: {error}")
    return row


def _sampled(place: Workspace, moments: tuple[int, int]) -> list[Sample]:
    """What one runner holds while it waits in these rounds, the last of which ends the run."""
    temporary = os.path.join(place.folder, "tmp")
    os.mkdir(temporary)
    runner = start("run", place.path, "--quiet", env=environment(TMPDIR=temporary))
    samples = []
    for number in moments:
        until(lambda number=number: _waits(place, number), f"round {number}", patience=200)
        samples.append(_look(runner.pid, place, temporary))
        with open(place.project_file(f"go-{number}"), "w", encoding="utf-8"):
            pass
    ends(finish(runner), 1)
    return samples


def _waits(place: Workspace, number: int) -> bool:
    return place.running_step("verify") is not None and place.heartbeat["round"] == number


def _look(runner: int, place: Workspace, temporary: str) -> Sample:
    (guard,) = children(runner)
    spare = [name for name in os.listdir(place.path) if name.startswith(".")]
    return Sample(
        descriptors=len(os.listdir(f"/proc/{runner}/fd")),
        threads=len(os.listdir(f"/proc/{runner}/task")),
        children=1 + len(children(guard)),
        memory=_resident(runner),
        guard_descriptors=len(os.listdir(f"/proc/{guard}/fd")),
        guard_memory=_resident(guard),
        temporary=len(os.listdir(temporary)) + len(spare),
    )


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1])


def _compare(first: Sample, last: Sample) -> None:
    for name in ("descriptors", "threads", "children", "guard_descriptors", "temporary"):
        before, after = getattr(first, name), getattr(last, name)
        require(after <= before, f"{name}: {before} became {after}")
    for name in ("memory", "guard_memory"):
        before, after = getattr(first, name), getattr(last, name)
        require(after <= before + MEMORY, f"{name}: {before} KiB became {after} KiB")
