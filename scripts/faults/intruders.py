"""Others in the workspace: second runners, removed locks and folders, planted files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator

from faults.bench import (
    Bench,
    Row,
    Trial,
    discard,
    ends,
    finish,
    require,
    run,
    start,
    tree_gone,
    until,
)
from faults.record import intact
from support import Done, Workspace, snapshot

AT_ONCE = 2.0  # seconds in which a second runner must have given up
STATE_PATHS = (
    "events.jsonl",
    "heartbeat.json",
    ".heartbeat.json.new",
    "progress.md",
    ".progress.md.new",
    "logs",
    "artifacts",
    "knowledge",
    "output",
    "artifacts/round-0001.json",
    "artifacts/.round-0001.json.new",
    "artifacts/round-0001-fix-prompt.md",
    "logs/round-0001-verify.log",
    "events.jsonl.torn-1",
    "openloop.lock",
)


def rows(bench: Bench) -> Iterator[Row]:
    yield second_runner(bench)
    yield many_runners(bench)
    yield removed_while_running(bench)
    yield planted(bench)
    yield planted_while_running(bench)


def waiting(bench: Bench, name: str) -> Workspace:
    """A workspace whose verify ends once its project holds `go`."""
    wait = "until test -e go; do sleep 0.01; done"
    limits = {"kill_grace_seconds": 0.2}
    return bench.place(name, commands={"verify": wait}, limits=limits)


def let_go(place: Workspace) -> None:
    with open(place.project_file("go"), "w", encoding="utf-8"):
        pass


def second_runner(bench: Bench) -> Row:
    """Exit code 4 at once, and not a byte written. The first one stands still meanwhile."""

    def once(number: int) -> Trial:
        place = waiting(bench, f"second-{number}")
        first = start("run", place.path)
        until(lambda: place.running_step("verify"), "the step")
        first.send_signal(signal.SIGSTOP)
        before = snapshot(place.folder)
        began = time.monotonic()
        ends(run("run", place.path), 4)
        seconds = time.monotonic() - began
        same = snapshot(place.folder) == before
        first.send_signal(signal.SIGCONT)
        let_go(place)
        ends(finish(first), 0)
        require(same, "the second runner wrote")
        allowed = AT_ONCE * bench.gone_within
        require(seconds <= allowed, f"it took {seconds:.2f} s to give up")
        intact(place)
        discard(place)
        return Trial(1, [seconds])

    return bench.each("second runner", range(bench.count(2, 20)), once)


def many_runners(bench: Bench) -> Row:
    """Several at the same moment: one runs, the others end with 4."""

    def once(number: int) -> Trial:
        place = waiting(bench, f"many-{number}")
        runners = [start("run", place.path) for _ in range(5)]
        until(lambda: sum(r.poll() is None for r in runners) == 1, "four to give up", patience=30)
        let_go(place)
        codes = sorted(finish(runner).code for runner in runners)
        require(codes == [0, 4, 4, 4, 4], f"exit codes {codes}")
        require(len(place.events_of("run_started")) == 1, "two runs were opened")
        intact(place)
        discard(place)
        return Trial(5)

    return bench.each("five runners at once", range(bench.count(1, 8)), once)


def _move_workspace(place: Workspace) -> None:
    os.rename(place.path, f"{place.path}.moved")


def _replace_workspace(place: Workspace) -> None:
    os.rename(place.path, f"{place.path}.moved")
    shutil.copytree(f"{place.path}.moved", place.path)


def _remove_workspace(place: Workspace) -> None:
    shutil.rmtree(place.path)


def _remove(*names: str) -> Callable[[Workspace], None]:
    def remove(place: Workspace) -> None:
        for name in names:
            path = place.file(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    return remove


def _remove_locks(place: Workspace) -> None:
    for where, _, names in os.walk(place.path):
        for name in names:
            if "lock" in name or name.endswith(".pid"):
                os.unlink(os.path.join(where, name))


# What is done to a running workspace, and the exit codes that may follow.
REMOVALS: dict[str, tuple[Callable[[Workspace], None], tuple[int, ...]]] = {
    "workspace moved away": (_move_workspace, (5,)),
    "workspace replaced by a copy": (_replace_workspace, (5,)),
    "workspace removed": (_remove_workspace, (3,)),
    "lock files removed": (_remove_locks, (0,)),
    "events.jsonl removed": (_remove("events.jsonl"), (3,)),
    "heartbeat.json removed": (_remove("heartbeat.json"), (0,)),
    "progress.md removed": (_remove("progress.md"), (0,)),
    "logs removed": (_remove("logs"), (3,)),
    "artifacts removed": (_remove("artifacts"), (0,)),
    "openloop.json removed": (_remove("openloop.json"), (3,)),
}


def removed_while_running(bench: Bench) -> Row:
    def once(name: str) -> Trial:
        remove, codes = REMOVALS[name]
        place = waiting(bench, f"removed-{name}")
        runner = start("run", place.path)
        until(lambda: place.running_step("verify"), "the step")
        remove(place)
        if codes != (5,):
            let_go(place)
        ends(finish(runner, patience=30), *codes)
        seconds = tree_gone(bench, place)
        if codes == (0,):
            intact(place)
        discard(place)
        return Trial(1, [seconds])

    return bench.each("locks, folders and state files removed in a run", REMOVALS, once)


def _fifo(path: str, victim: str) -> None:
    os.mkfifo(path)


def _symlink(path: str, victim: str) -> None:
    os.symlink(victim, path)


def _dangling(path: str, victim: str) -> None:
    os.symlink(f"{victim}-not-there", path)


def _folder(path: str, victim: str) -> None:
    os.makedirs(f"{path}/inside")


def _socket(path: str, victim: str) -> None:
    here = os.open(os.path.dirname(path), os.O_RDONLY)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
    finally:
        os.close(here)


KINDS = {each.__name__[1:]: each for each in (_fifo, _symlink, _dangling, _folder, _socket)}


def planted(bench: Bench) -> Row:
    """Before the run: nothing is followed, nothing hangs."""
    items = [(name, kind) for name in STATE_PATHS for kind in KINDS]

    def once(item: tuple[str, str]) -> Trial:
        name, kind = item
        place = bench.place(
            f"planted-{kind}-{name}",
            total_rounds=2,
            commands={"play": "test -e fixed", "fix": "touch fixed", "verify": "true"},
        )
        victim = _victim(place)
        os.makedirs(os.path.dirname(place.file(name)), exist_ok=True)
        KINDS[kind](place.file(name), victim)
        done = ends(run("run", place.path), 0, 3)
        if "/round-" in name:  # it says that somebody removed the record
            require(done.code == 3 and "no event is left" in done.err, f"{done.code}: {done.err}")
        elif name != "events.jsonl":
            require(done.code == 0, f"exit code {done.code}: {done.err[-300:]}")
        _unharmed(place, victim, done)
        discard(place)
        return Trial()

    return bench.each("planted at a state path before a run", bench.sample(items, 6), once)


def planted_while_running(bench: Bench) -> Row:
    """In a run, in place of what stood there: at most the run is blocked."""
    items = [(name, kind) for name in STATE_PATHS for kind in KINDS]

    def once(item: tuple[str, str]) -> Trial:
        name, kind = item
        place = waiting(bench, f"swapped-{kind}-{name}")
        victim = _victim(place)
        runner = start("run", place.path)
        until(lambda: place.running_step("verify"), "the step")
        _plant_over(place.file(name), lambda path: KINDS[kind](path, victim))
        let_go(place)
        done = ends(finish(runner, patience=30), 0, 3, 5)
        _unharmed(place, victim, done)
        discard(place)
        return Trial()

    return bench.each("planted at a state path in a run", bench.sample(items, 6), once)


def _plant_over(path: str, plant: Callable[[str], None]) -> None:
    """Put it where the runner keeps writing, too: it may be quicker than us."""
    for _ in range(100):
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            plant(path)
            return
        except FileExistsError:
            continue


def _victim(place: Workspace) -> str:
    path = f"{place.folder}/victim"
    with open(path, "w", encoding="utf-8") as file:
        file.write("mine\n")
    return path


def _unharmed(place: Workspace, victim: str, done: Done) -> None:
    """Nothing planted was followed, and what is left can be read. done: the run that is over."""
    with open(victim, encoding="utf-8") as file:
        require(file.read() == "mine\n", "what a symlink points to was written")
    require(not os.path.lexists(f"{victim}-not-there"), "a dangling symlink was followed")
    if done.code == 0:
        intact(place)
    ends(run("status", place.path), 0, 1)
