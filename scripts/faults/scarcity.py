"""Nothing left: disk, descriptors, processes, room for arguments; and disks that fail."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from faults.bench import (
    INJECTED,
    QUIET,
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
from faults.kills import MISSION, ROUNDS, durable_calls
from faults.record import intact, whole
from support import ROOT, Done, Workspace, environment, snapshot

ENDINGS = (0, 1, 2, 3, 5)  # documented exit codes of a run that nobody signals
NOBODY = 61_234  # a user who owns no other process
CHATTY: dict[str, Any] = {
    "total_rounds": 50,
    "commands": {"verify": "head -c 3000 /dev/zero; false"},
    "limits": {"max_consecutive_failures": 100_000},
}


def rows(bench: Bench) -> Iterator[Row]:
    yield failing_disk(bench)
    yield small_files(bench)
    if bench.mounts:
        yield disk_full(bench)
        yield log_disk_full(bench)
        yield read_only(bench)
        yield no_more_processes(bench)
    else:
        for fault in ("disk full", "log disk full", "read-only workspace", "no more processes"):
            yield Row(fault, figures="left out: needs root and mounts")
    yield no_more_descriptors(bench)
    yield arguments_too_long(bench)


def goes_on(place: Workspace, *words: str, codes: tuple[int, ...] = (0, 1)) -> None:
    """Once the want is over the run is resumed, and the record is whole."""
    ends(run("run", place.path, *words), *codes)
    whole(place)
    discard(place)


def failing_disk(bench: Bench) -> Row:
    """ENOSPC or EIO at a durable call of the runner, once or from then on, half a write before."""
    names = durable_calls(bench)
    items = [
        (number, code, times)
        for number in range(1, len(names) + 1)
        for code in (errno.ENOSPC, errno.EIO, errno.EROFS)
        for times in (1, 100_000)
    ]

    def once(item: tuple[int, int, int]) -> Trial:
        number, code, times = item
        place = bench.place(f"failing-{number}-{code}-{times}", **MISSION)
        plan = {"fail": number, "errno": code, "times": times, "torn": number % 2 == 0}
        done = ends(run("run", place.path, *ROUNDS, plan=plan), *ENDINGS)
        explained = done.code != 5 or os.strerror(code) in done.err + done.out
        require(explained, f"exit code 5 without the reason: {done.err}")
        intact(place)
        goes_on(place, *ROUNDS)
        return Trial()

    chosen = bench.sample(items[:: bench.count(1, 11)], 6)
    return bench.each("disk full or I/O error at a durable call", chosen, once)


def small_files(bench: Bench) -> Row:
    """RLIMIT_FSIZE: writes of the runner, or of a command to its log, fail at some size."""

    def once(number: int) -> Trial:
        size = bench.chance("fsize", number).randrange(100, 40_000)
        place = bench.place(f"fsize-{number}", **CHATTY)
        plan = {"limit": {"RLIMIT_FSIZE": size}}
        done = ends(run("run", place.path, "--max-rounds", "9", plan=plan), *ENDINGS)
        require(done.code in (1, 5), f"{size} bytes allowed: exit code {done.code}")
        intact(place)
        goes_on(place, "--max-rounds", "1")
        return Trial()

    return bench.each("files limited in size", range(bench.count(3, 60)), once)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def unmount(path: str) -> None:
    subprocess.run(["umount", "-l", path], check=True, capture_output=True)


def disk_full(bench: Bench) -> Row:
    """A workspace on a small file system that fills up while the run goes on, then grows."""

    def once(number: int) -> Trial:
        pages = bench.chance("disk", number).randint(8, 60)
        place = bench.place(f"disk-{number}")
        mount("-t", "tmpfs", "-o", f"size={pages * 4096}", "tmpfs", place.path)
        try:
            place.configure(CHATTY)
            done = ends(run("run", place.path), *ENDINGS)
            require(done.code == 5, f"{pages} pages: exit code {done.code}: {done.err}")
            require("No space left" in done.err, f"the reason is missing: {done.err}")
            intact(place)
            ends(run("status", place.path), 0, 1)
            mount("-o", "remount,size=64m", place.path)
            ends(run("run", place.path, "--max-rounds", "2"), 1)
            whole(place)
        finally:
            unmount(place.path)
        discard(place)
        return Trial()

    return bench.each("disk full", range(bench.count(2, 40)), once)


def log_disk_full(bench: Bench) -> Row:
    """Only the logs have no room: a command's own writes fail, the record goes on."""

    def once(number: int) -> Trial:
        write = "head -c 1000000 /dev/zero"
        place = bench.place(f"logs-{number}", total_rounds=2, commands={"verify": write})
        logs = place.file("logs")
        os.mkdir(logs)
        mount("-t", "tmpfs", "-o", f"size={4096 * (8 + number)}", "tmpfs", logs)
        try:
            done = ends(run("run", place.path), *ENDINGS)
            require(done.code in (1, 5), f"exit code {done.code}")
            outcomes = {outcome for _, _, outcome in place.steps()}
            require(outcomes <= {"failed"}, f"outcomes {outcomes}")
            intact(place)
        finally:
            unmount(logs)
        discard(place)
        return Trial()

    return bench.each("log disk full", range(bench.count(1, 10)), once)


def read_only(bench: Bench) -> Row:
    """Refused with the reason; once it can be written, the run goes on."""

    def once(number: int) -> Trial:
        place = bench.place(f"ro-{number}")
        mount("-t", "tmpfs", "tmpfs", place.path)
        try:
            place.configure(CHATTY)
            if number % 2:  # a run was cut off before
                process = start("run", place.path)
                until(lambda: place.exists("artifacts/round-0001.json"), "a round")
                process.kill()
                process.communicate()
                tree_gone(bench, place)
            until(lambda: _remount_read_only(place.path), "no file to be open for writing")
            before = snapshot(place.path)
            done = ends(run("run", place.path), 2, 5)
            require("ead-only" in done.err, f"the reason is missing: {done.err}")
            require(snapshot(place.path) == before, "it was written all the same")
            ends(run("status", place.path), 0, 1)
            mount("-o", "remount,rw", place.path)
            ends(run("run", place.path, "--max-rounds", "1"), 1)
            whole(place)
        finally:
            unmount(place.path)
        discard(place)
        return Trial()

    return bench.each("read-only workspace", range(bench.count(2, 20)), once)


def _remount_read_only(path: str) -> bool:
    """False while it is busy: a process that is seen no longer may still be closing its files."""
    words = ["mount", "-o", "remount,ro", path]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def no_more_descriptors(bench: Bench) -> Row:
    """RLIMIT_NOFILE at every number, from what Python itself needs upwards."""

    def once(limit: int) -> Trial:
        place = bench.place(f"nofile-{limit}", **MISSION)
        plan = {"limit": {"RLIMIT_NOFILE": limit}}
        done = ends(run("run", place.path, *ROUNDS, plan=plan), *ENDINGS)
        _explained(done, os.strerror(errno.EMFILE), place)
        intact(place)
        goes_on(place, *ROUNDS)
        return Trial()

    return bench.each("no more descriptors", range(6, bench.count(22, 40), bench.count(4, 1)), once)


def _explained(done: Done, reason: str, place: Workspace) -> None:
    """An exit code 5 gives the reason; so does a step that could not be started."""
    if done.code == 5:
        require(reason in done.err, f"exit code 5 without the reason: {done.err}")
    for event in place.events:
        if event["event"] == "step_finished" and event["outcome"] == "error":
            require(event["detail"], f"an error without a reason: {event}")


def no_more_processes(bench: Bench) -> Row:
    """RLIMIT_NPROC at every number, as a user whom it binds."""
    python, checkout = _for_everybody(bench)
    injected = os.path.join(checkout, "scripts", "faults", os.path.basename(INJECTED))
    env = environment(
        PYTHONPATH=os.path.join(checkout, "src"),
        HOME="/nonexistent",
        LD_LIBRARY_PATH=os.path.join(bench.folder, "python", "lib"),  # of a shared build
    )

    def run_limited(place: Workspace, user: int, plan: dict[str, Any]) -> Done:
        words = [python, "-P", injected, json.dumps(plan), "run", place.path, *ROUNDS]
        who = {"user": user, "group": NOBODY, "extra_groups": []}
        return finish(subprocess.Popen(words, env=env, **QUIET, **who))

    def once(limit: int) -> Trial:
        place, user = bench.place(f"nproc-{limit}", **MISSION), NOBODY + limit
        for path in (place.folder, place.path, place.project, place.file("openloop.json")):
            os.chown(path, user, NOBODY)
        done = ends(run_limited(place, user, {"limit": {"RLIMIT_NPROC": limit}}), *ENDINGS)
        _explained(done, "", place)
        intact(place)
        ends(run_limited(place, user, {}), 1)
        whole(place)
        discard(place)
        return Trial()

    row = bench.each("no more processes", range(1, bench.count(7, 13), bench.count(2, 1)), once)
    for name in ("python", "checkout"):
        unmount(os.path.join(bench.folder, name))
    return row


def _for_everybody(bench: Bench) -> tuple[str, str]:
    """A Python and the checkout where another user can reach them."""
    os.chmod(bench.folder, 0o755)
    for source, name in ((sys.base_prefix, "python"), (ROOT, "checkout")):
        target = os.path.join(bench.folder, name)
        os.makedirs(target, exist_ok=True)
        mount("--bind", source, target)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = os.path.join(bench.folder, "python", "bin", version)
    return python, os.path.join(bench.folder, "checkout")


def arguments_too_long(bench: Bench) -> Row:
    """A command or an environment that no system takes: outcome `error`, the record written."""
    big = {f"X{number}": "x" * 100_000 for number in range(30)}
    cases: dict[str, Any] = {
        "environment of 3 MB": {"run": "true", "env": big},
        "variable of 3 MB": {"run": "true", "env": {"X": "x" * 3_000_000}},
        "long command": {"run": f": {'x' * bench.count(300_000, 3_000_000)}"},
    }

    def once(name: str) -> Trial:
        place = bench.place(f"long-{name}", total_rounds=1, commands={"verify": cases[name]})
        done = ends(run("run", place.path, "--json"), 1)
        outcomes = [outcome for _, _, outcome in place.steps()]
        require(outcomes == ["error"], f"outcomes {outcomes}")
        reason = os.strerror(errno.E2BIG)
        details = [step["detail"] for step in place.artifact(1)["steps"]]
        require(any(reason in detail for detail in details), f"details {details}")
        require(reason in done.out, "the event stream does not tell the reason")
        whole(place)
        discard(place)
        return Trial()

    return bench.each("argument list too long", cases, once)
