"""What the loop costs around each command: against a bare loop of the shell, and other tools."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.lab import ROOT, Goal, Lab, Row, Stream, Tool, Trouble, endless, in_turn, medians, slope

INJECTED = os.path.join(ROOT, "scripts", "faults", "injected.py")
NOOP = "true"
STAMP = "date +%s%N"
PAUSE = 0.3  # seconds that a command of the gap rows takes
BARE = 'n=0; while [ $n -lt {rounds} ]; do n=$((n+1)); sh -c "{command}" > log-$n; done'


def bare_words(rounds: int, command: str) -> list[str]:
    """The floor: a loop of bash that keeps the output of each command in a file of its own."""
    text = BARE.replace("{rounds}", str(rounds)).replace("{command}", command)
    return ["bash", "-c", text]


def _bare(lab: Lab, rounds: int, command: str) -> float:
    return lab.seconds(*bare_words(rounds, command), cwd=lab.fresh("bare"))


def _other(lab: Lab, tool: Tool, command: str, rounds: int) -> float:
    return lab.seconds(*tool.words(rounds, command), code=None, cwd=lab.fresh("other"))


def noop(lab: Lab) -> Iterator[Row]:
    """One more command that does nothing, everything recorded."""
    few, many = lab.amount(20, 50), lab.amount(100, 450)

    def rounds(*steps: str) -> Callable[[int], float]:
        def cost(commands: int) -> float:
            place = lab.place("noop", **endless(*steps, command=NOOP))
            return place.run("--max-rounds", str(commands // (len(steps) + 1)))

        return cost

    samples: dict[str, Callable[[], float]] = {
        "floor": lambda: slope(lambda n: _bare(lab, n, NOOP), few, many),
        "four": lambda: slope(rounds("play", "scan", "fix"), few, many),
        "one": lambda: slope(rounds(), few, many),
    }
    for tool in lab.tools:
        samples[tool.name] = partial(slope, partial(_other, lab, tool, NOOP), few, many)
    found = medians(in_turn(lab, lab.amount(3, 7), samples))
    floor = found["floor"] * 1e3
    what = "one no-op command"
    yield Row("noop", f"{what}, four a round", floor, found["four"] * 1e3, "ms", Goal(2.5))
    yield Row("noop", f"{what}, one a round", floor, found["one"] * 1e3, "ms", Goal(2.5))
    for tool in lab.tools:
        yield Row("noop", what, floor, found[tool.name] * 1e3, "ms", name=tool.name)


def durable(lab: Lab) -> Iterator[Row]:
    """fsyncs of one more round, counted in the runner."""

    def count(rounds: int) -> float:
        place = lab.place("durable", **endless("fix", command=NOOP))
        trace = os.path.join(place.folder, "trace")
        plan = f'{{"trace": "{trace}"}}'
        words = ("run", place.path, "--quiet", "--max-rounds", str(rounds))
        lab.output(lab.python, "-P", INJECTED, plan, *words, code=1)
        with open(trace, encoding="utf-8") as file:
            return float(file.read().split().count("fsync"))

    each = slope(count, 3, 13)
    yield Row("durable", "fsyncs of one round", None, each, "fsyncs", Goal(3, ""))


# --- moments ----------------------------------------------------------------------------


def gap(lab: Lab) -> Iterator[Row]:
    """From the end of one command to the start of the next, as the commands see it."""
    rounds = lab.amount(6, 15)

    def stamped(run: Callable[[str], float]) -> Callable[[], float]:
        def sample() -> float:
            stamps = os.path.join(lab.fresh("gap"), "stamps")
            run(f"{STAMP} >> {stamps}; sleep {PAUSE}; {STAMP} >> {stamps}")
            return _gaps(stamps)

        return sample

    def ours(command: str) -> float:
        return lab.place("gap", **endless(command=command)).run("--max-rounds", str(rounds))

    samples = {"floor": stamped(lambda c: _bare(lab, rounds, c)), "openloop": stamped(ours)}
    for tool in lab.tools:
        samples[tool.name] = stamped(partial(_other, lab, tool, rounds=rounds))
    found = medians(in_turn(lab, lab.amount(1, 3), samples))
    what = f"from a {PAUSE} s command's end to the next one's start"
    floor = found["floor"] * 1e3
    yield Row("gap", what, floor, found["openloop"] * 1e3, "ms", Goal(2.2))
    for tool in lab.tools:
        yield Row("gap", what, floor, found[tool.name] * 1e3, "ms", name=tool.name)


def _gaps(path: str) -> float:
    """Median seconds between each second stamp and the one after it."""
    try:
        with open(path, encoding="ascii") as file:
            stamps = [int(line) for line in file]
    except OSError:
        stamps = []
    ends = zip(stamps[1:-1:2], stamps[2::2], strict=True)
    gaps = [start - end for end, start in ends]
    if not gaps:
        raise Trouble("no command was run twice: nothing to measure a gap by")
    return statistics.median(gaps) / 1e9


def result(lab: Lab) -> Iterator[Row]:
    """From a command's last act to the moment at which its result is known outside."""
    commands = lab.amount(25, 75)
    last_act = f"sleep 0.05; exec {STAMP}"
    waited: list[float] = []
    again: list[float] = []
    known: list[float] = []
    place = lab.place("result", **endless())
    # Longer than the floors that are taken meanwhile: no event waits to be read.
    slower = f"sleep 0.2; {last_act}"
    place.configure(commands={"verify": {"run": slower, "expect": "^never$"}})
    place_log = place.file("logs/round-{:04d}-verify.log")
    with Stream(place, "--max-rounds", str(commands)) as stream:
        for number in range(1, commands + 1):
            _, now = stream.until("step_finished")
            with open(place_log.format(number), encoding="ascii") as file:
                known.append((now - int(file.read())) / 1e9)
            waited.append(_waited(lab, last_act))
            if lab.full:
                again.append(_waited(lab, last_act))
    lab.control(waited, again)
    floor, figure = (statistics.median(each) * 1e3 for each in (waited, known))
    what = "from a command's end to its result, against a blocking waitid"
    yield Row("result", what, floor, figure, "ms", Goal(4.5))


def _waited(lab: Lab, command: str) -> float:
    """The floor: a blocking wait of the parent."""
    process = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    now = time.time_ns()
    stamp, _ = process.communicate()
    return (now - int(stamp)) / 1e9
