"""Trees that do not want to end: what survives a step or its runner, and for how long."""

from __future__ import annotations

import glob
import os
import shlex
import time
from collections.abc import Iterator

from faults.bench import (
    Bench,
    Row,
    Trial,
    carries,
    discard,
    ends,
    require,
    run,
    start,
    until,
)
from faults.record import intact
from support import PATIENCE, Workspace, agent

BOMB = 100  # children of the bounded fork bomb
LIMIT = 0.3  # seconds until a command that does not end is ended
GRACE = 0.1  # seconds between TERM and KILL
# Shell text after which a leader has gone and left something; `{pid}` is the file of its PID.
LEAVING = {
    "setsid twice, empty environment": agent("daemonizes", "PIDFILE"),
    "leader gone, a sibling left": f"{agent('sleeps', 'PIDFILE')} >&- 2>&- & {{wait}}",
    "log held open by a child": f"{agent('sleeps', 'PIDFILE')} & {{wait}}",
    "bounded fork bomb": agent("breeds", "PIDFILE", BOMB),
}
STAYING = {
    "TERM ignored": agent("ignores_term", "PIDFILE"),
    "stopped": agent("stops", "PIDFILE"),
    "output closed, running on": agent("closes_output", "PIDFILE"),
    "daemon and leader": agent("daemonizes", "PIDFILE", "stay"),
}
WAIT = "while ! test -s PIDFILE; do sleep 0.005; done"


def rows(bench: Bench) -> Iterator[Row]:
    yield left_at_the_end(bench)
    yield ended_by_a_limit(bench)
    yield runner_killed(bench)


def shell(text: str, folder: str) -> str:
    """The command, its PID file named after the round."""
    waiting = text.replace("{wait}", WAIT)
    return waiting.replace("PIDFILE", f"{shlex.quote(folder)}/pid-$OPENLOOP_ROUND")


def prepare(bench: Bench, name: str, text: str, rounds: int, **limits: float) -> Workspace:
    place = bench.place(name)
    limits = {"kill_grace_seconds": GRACE, "max_consecutive_failures": 100_000, **limits}
    verify = shell(text, place.folder)
    place.configure({"total_rounds": rounds, "commands": {"verify": verify}, "limits": limits})
    return place


def survivors(place: Workspace) -> list[int]:
    """Processes of the trees that still live."""
    found = []
    for path in glob.glob(f"{place.folder}/pid-*"):
        with open(path, encoding="utf-8") as file:
            found += [int(line) for line in file if line.endswith("\n")]
    return [pid for pid in found if carries(pid, f"{place.folder}/pid-")]


def emptied(place: Workspace, allowed: float, *, of_leader: bool) -> list[float]:
    """For each step the seconds from when its tree should have ended until it was empty.

    of_leader: counted from the leader's own end, else from the limit.
    """
    started = [e["elapsed"] for e in place.events_of("step_started")]
    seconds = []
    for begin, event in zip(started, place.events_of("step_finished"), strict=True):
        due = event["duration_seconds"] if of_leader else LIMIT
        seconds.append(max(0.0, event["elapsed"] - begin - due))
    require(max(seconds) <= allowed, f"a tree was empty after {max(seconds):.2f} s")
    return seconds


def none_survived(place: Workspace) -> None:
    living = survivors(place)
    require(not living, f"{len(living)} survivors: {living}")


def tell(row: Row) -> None:
    """Survivors are violations; the figures say so in a word."""
    row.tell_spread()
    row.figures += f", trees with survivors: {sum('survivors' in v for v in row.violations)}"


def left_at_the_end(bench: Bench) -> Row:
    rounds = bench.count(3, 20)

    def several(shape: str) -> Trial:
        place = prepare(bench, f"left-{shape}", f"{LEAVING[shape]}; false", rounds)
        ends(run("run", place.path), 1)
        none_survived(place)
        outcomes = {e["outcome"] for e in place.events_of("step_finished")}
        require(outcomes == {"failed"}, f"outcomes {outcomes}")
        intact(place)
        seconds = emptied(place, bench.gone_within, of_leader=True)
        discard(place)
        return Trial(rounds, seconds)

    row = bench.each("tree left behind by its leader", LEAVING, several)
    tell(row)
    return row


def ended_by_a_limit(bench: Bench) -> Row:
    rounds = bench.count(2, 20)

    def several(shape: str) -> Trial:
        place = prepare(
            bench, f"limit-{shape}", STAYING[shape], rounds, command_timeout_seconds=LIMIT
        )
        ends(run("run", place.path), 1)
        none_survived(place)
        outcomes = {e["outcome"] for e in place.events_of("step_finished")}
        require(outcomes == {"timeout"}, f"outcomes {outcomes}")
        intact(place)
        seconds = emptied(place, bench.gone_within + GRACE, of_leader=False)
        discard(place)
        return Trial(rounds, seconds)

    row = bench.each("tree ended by a limit", STAYING, several)
    tell(row)
    return row


def runner_killed(bench: Bench) -> Row:
    shapes = {
        **STAYING,
        **{name: f"{text}; sleep 60" for name, text in LEAVING.items()},
    }
    items = [(shape, number) for shape in shapes for number in range(bench.count(1, 10))]

    def once(item: tuple[str, int]) -> Trial:
        place = prepare(bench, f"killed-{item[0]}-{item[1]}", shapes[item[0]], 1)
        runner = start("run", place.path)
        until(lambda: read_pids(place), "the tree", patience=PATIENCE)
        time.sleep(bench.chance(*item).uniform(0, 0.05))
        killed = time.monotonic()
        runner.kill()
        runner.communicate(timeout=60)
        until(lambda: not survivors(place), "survivors to be gone", patience=20)
        seconds = time.monotonic() - killed
        require(seconds <= bench.gone_within, f"the tree lived {seconds:.2f} s")
        intact(place)
        discard(place)
        return Trial(1, [seconds])

    row = bench.each("tree of a killed runner", items, once)
    tell(row)
    return row


def read_pids(place: Workspace) -> bool:
    """Whether the tree of the first round is up, all of it."""
    path = f"{place.folder}/pid-1"
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        lines = file.read().count("\n")
    return lines in (1, BOMB)
