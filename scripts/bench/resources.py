"""What a run takes while it runs: long logs, idle time, large trees, memory."""

from __future__ import annotations

import os
import shlex
import statistics
import time
from collections.abc import Iterator

from bench.lab import AT_LEAST, HERE, Goal, Lab, Place, Row, Stream, cpu, endless, memory

PROCESSES = 200
BEAT = 1.0  # seconds
SPOT = os.path.join(HERE, "spot.py")
HASH = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256')"
WRITER = os.path.join(HERE, "writer.py")


def log(lab: Lab) -> Iterator[Row]:
    """A command that writes as fast as it can."""
    size = lab.amount(256, 1024)  # MiB
    taken: dict[str, list[float]] = {"bare": [], "ours": [], "floor": [], "step": []}
    again: dict[str, list[float]] = {"bare": [], "floor": []}
    most = 0.0
    for _ in range(lab.amount(3, 5)):
        for sample in lab.chance.sample((_bare_log, _our_log), 2):
            most = max(most, sample(lab, size, taken))
        if lab.full:
            _bare_log(lab, size, again)
    lab.control(taken["floor"], again["floor"])
    bare, ours, floor, step = (statistics.median(each) for each in taken.values())
    words = f"a log of {size} MiB"
    goal = Goal(0.9, kind=AT_LEAST)
    yield Row("log", f"{words}: its writer", size / 1024 / bare, size / 1024 / ours, "GiB/s", goal)
    what = f"{words}: the whole step, against writer > log and hashlib's sha256"
    yield Row("log", what, floor, step, "s", Goal(1.6))
    yield Row("log", f"{words}: memory of the runner", None, most, "MB", Goal(40, "MB"))


def _bare_log(lab: Lab, size: int, taken: dict[str, list[float]]) -> float:
    folder = lab.fresh("bare-log")
    path, timing = (os.path.join(folder, name) for name in ("log", "timing"))
    hashing = shlex.join([lab.python, "-I", "-S", "-c", HASH, path])
    text = f"{_writer(lab, size, timing)} > {shlex.quote(path)}; {hashing}"
    taken["floor"].append(lab.seconds("/bin/sh", "-c", text))
    taken["bare"].append(_read(timing))
    os.unlink(path)
    return 0.0


def _our_log(lab: Lab, size: int, taken: dict[str, list[float]]) -> float:
    """Returns the runner's memory at its most, in MB."""
    folder = lab.fresh("our-log")
    timing = os.path.join(folder, "timing")
    place = lab.place("log", **endless())
    place.configure(commands={"scan": _writer(lab, size, timing), "verify": "sleep 0.3; false"})
    with Stream(place, "--max-rounds", "1") as stream:
        _, began = stream.until("step_started")
        _, ended = stream.until("step_finished")
        stream.until("step_started")
        most = memory(stream.process.pid, "VmHWM")
    taken["step"].append((ended - began) / 1e9)
    taken["ours"].append(_read(timing))
    place.discard()
    return most


def _writer(lab: Lab, size: int, timing: str) -> str:
    return shlex.join([lab.python, "-I", "-S", WRITER, str(size), timing])


def _read(path: str) -> float:
    with open(path, encoding="ascii") as file:
        return float(file.read())


def idle(lab: Lab) -> Iterator[Row]:
    """A command that sleeps: what is used beside it."""
    seconds = lab.amount(8, 60)
    place = lab.place("idle", **endless(command=f"sleep {seconds + 30}"))
    words = lab.python, "-I", "-S", SPOT, "beat"
    floors = [lab.start(*words, lab.fresh("idle")) for _ in range(1 + lab.full)]

    def used(stream: Stream) -> list[float]:
        return [cpu(stream.processes), *(cpu([each.pid]) for each in floors)]

    try:
        with Stream(place) as stream:
            stream.until("step_started")
            time.sleep(2 * BEAT)
            before = used(stream)
            time.sleep(seconds)
            after = used(stream)
    finally:
        for each in floors:
            each.kill()
            each.wait()
    spent = [now - then for then, now in zip(before, after, strict=True)]
    lab.control(spent[1:2], spent[2:])
    ours, floor = (each * 60e3 / seconds for each in spent[:2])
    what = "CPU a minute while a command sleeps, against a stat and a rewritten file each second"
    yield Row("idle", what, floor, ours, "ms", Goal(60, "ms"))


def tree(lab: Lab) -> Iterator[Row]:
    """A command that ends and leaves a tree of processes."""
    killed, ended, again = [], [], []
    left = 0
    for _ in range(lab.amount(5, 15)):
        mark = f"9{time.time_ns() % 10**8}"
        breed = shlex.join([lab.python, "-I", "-S", SPOT, "breed", str(PROCESSES), mark])
        killed.append(float(lab.output(lab.python, "-I", "-S", SPOT, "killpg", breed)))
        if lab.full:
            again.append(float(lab.output(lab.python, "-I", "-S", SPOT, "killpg", breed)))
        place = lab.place("tree", **endless())
        place.configure(commands={"verify": {"run": breed, "expect": "^never$"}})
        with Stream(place, "--max-rounds", "1") as stream:
            event, now = stream.until("step_finished")
        with open(place.file(event["log_path"]), encoding="ascii") as file:
            ended.append(now / 1e9 - float(file.read()))
        left = max(left, _carrying(mark))
    lab.control(killed, again)
    floor, figure = (statistics.median(each) * 1e3 for each in (killed, ended))
    what = f"end a tree of {PROCESSES} processes, against killpg"
    yield Row("tree", what, floor, figure, "ms", Goal(4), note=f"{left} processes left")


def _carrying(mark: str) -> int:
    """How many living processes have the mark as a word of their command line."""
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                found += mark.encode() in file.read().split(b"\0")
        except OSError:
            continue
    return found


def resident(lab: Lab) -> Iterator[Row]:
    """The runner and its guard while a command runs."""
    bare = lab.start(lab.python, "-I", "-S", SPOT, "beat", lab.fresh("bare"))
    try:
        figure = memory_of_run(lab.place("memory", **endless(command="sleep 60")))
        floor = memory(bare.pid)
    finally:
        bare.kill()
        bare.wait()
    what = "memory of runner and guard, against one bare Python"
    yield Row("memory", what, floor, figure, "MB", Goal(40, "MB"))


def memory_of_run(place: Place) -> float:
    """MB that runner and guard hold together while the first command runs."""
    with Stream(place) as stream:
        stream.until("step_started")
        time.sleep(1.5 * BEAT)
        return sum(map(memory, stream.processes))
