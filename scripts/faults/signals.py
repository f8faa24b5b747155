"""Signals at any moment, a runner that stands still, and a wall clock that jumps."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator

from faults.bench import (
    PATIENCE,
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
from faults.kills import MISSION, ROUNDS, started
from faults.record import intact, is_open, runs_opened, whole
from support import Done

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
DAY = 86_400.0  # seconds


def rows(bench: Bench) -> Iterator[Row]:
    yield at_random_moments(bench)
    yield stopped(bench)
    yield clock_moved(bench)


def at_random_moments(bench: Bench) -> Row:
    """Between steps, in them, while a command is spawned; one signal or two, again and again."""
    unhandled = 0

    def chain(number: int) -> Trial:
        nonlocal unhandled
        chance = bench.chance("signal", number)
        place = bench.place(f"signal-{number}", **MISSION)
        trial = Trial(0)
        for _ in range(chance.randint(1, 4)):
            before = runs_opened(place)
            sent, done = signalled(started(place, chance.uniform(-0.05, 0.15)), chance)
            trial.seconds.append(tree_gone(bench, place))
            intact(place)
            if runs_opened(place) == before:
                unhandled += 1
                require(
                    before_a_run(sent, done), f"no run opened, exit code {done.code}: {done.err}"
                )
                continue
            names = "+".join(sorted(signum.name for signum in sent))
            allowed = {CODES[signum] for signum in sent}
            require(done.code in {*allowed, 1}, f"{names}: exit code {done.code}")
            words = _DROPPED.sub("", done.err)
            require("Traceback" not in words, f"a traceback: {words[-2000:]}")
            trial.count += 1
            if done.code in allowed:
                require(is_open(place), "the run is not open for a resume")
                require(place.heartbeat["status"] == "interrupted", str(place.heartbeat))
        ends(run("run", place.path, *ROUNDS), 1)
        whole(place)
        discard(place)
        return trial

    row = bench.each("signals at a random moment, chained", range(bench.count(5, 50)), chain)
    row.figures = f"{unhandled} more before a run was open"
    return row


# The first words of Python itself where Ctrl-C came while it imported what it starts with.
_PYTHON_STARTS = ("Could not import runpy module", "Fatal Python error: init_")
# Python drops a KeyboardInterrupt that comes while it lets go of an import's lock, and says so.
_DROPPED = re.compile(
    r"Exception ignored in: <function _get_module_lock\b.*\n"
    r"Traceback .*\n(?:  .*\n)+KeyboardInterrupt: ?\n"
)
_IN_OUR_CODE = re.compile(r'/openloop/.*", line \d+, in (?!<module>)')  # of a traceback's lines


def before_a_run(sent: set[signal.Signals], done: Done) -> bool:
    """Whether this is how one of these signals may end the program before it opens a run.

    Up to our first line Python answers, where no handler of ours can be: the signal kills it, it
    prints the traceback of a KeyboardInterrupt, or it cannot start. From our first line on, the
    exit code is that of the signal: without a word while the program loads, with one sentence
    once it scans the project.
    """
    by_python = done.err == "" or (
        signal.SIGINT in sent
        and done.err.rstrip().endswith("KeyboardInterrupt")
        and not _IN_OUR_CODE.search(done.err)
    )
    if -done.code in sent:
        return by_python
    if done.code == 1:
        return by_python and done.err.startswith(_PYTHON_STARTS)
    named = [signum for signum in sent if CODES[signum] == done.code]
    scanned = [f"interrupted by {signum.name} while OpenLoop was looking" for signum in named]
    loading = named == [signal.SIGINT] and done.err == ""
    return loading or any(words in done.err and "Traceback" not in done.err for words in scanned)


def signalled(
    runner: subprocess.Popen[bytes], chance: random.Random
) -> tuple[set[signal.Signals], Done]:
    """Send one signal or two; returns them, and how the program ended. Of two that come at
    once the kernel may deliver the second first."""
    sent = {chance.choice(list(CODES))}
    runner.send_signal(next(iter(sent)))
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0, 0.02))
        second = chance.choice(list(CODES))
        runner.send_signal(second)
        sent.add(second)
    out, err = runner.communicate(timeout=PATIENCE)
    text = out.decode(errors="replace"), err.decode(errors="replace")
    return sent, Done(runner.returncode, *text)


def stopped(bench: Bench) -> Row:
    """SIGSTOP of the runner for longer than the stall limit is not the command's silence."""
    # (what the command does, stall limit, seconds until the runner is stopped, for how long)
    cases = [
        ("for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.4; done", 1.5, 0.5, 2.5),
        ("sleep 7.5", 3, 0.5, 6.2),
    ]

    def once(number: int) -> Trial:
        command, stall, moment, length = cases[number % len(cases)]
        limits = {"stall_timeout_seconds": stall, "command_timeout_seconds": 60}
        place = bench.place(f"stopped-{number}", commands={"verify": command}, limits=limits)
        runner = start("run", place.path)
        until(lambda: place.running_step("verify"), "the step")
        time.sleep(moment)
        runner.send_signal(signal.SIGSTOP)
        time.sleep(length)
        runner.send_signal(signal.SIGCONT)
        done = finish(runner)
        require(done.code == 0, f"{command}: exit code {done.code}: {place.steps()}")
        intact(place)
        discard(place)
        return Trial()

    return bench.each("SIGSTOP beyond the stall limit", range(bench.count(1, 8)), once)


def clock_moved(bench: Bench) -> Row:
    """The wall clock of the runner jumps a day on and back at every look."""

    def once(number: int) -> Trial:
        chance = bench.chance("clock", number)
        jumps = [chance.uniform(-DAY, DAY) for _ in range(7)]
        place = bench.place(
            f"clock-{number}",
            total_rounds=3,
            commands={"play": "test $OPENLOOP_ROUND = 2", "verify": "sleep 0.2"},
            limits={"stall_timeout_seconds": 60, "max_runtime_seconds": 60},
        )
        ends(run("run", place.path, plan={"clock": jumps}), 0)
        steps = [step for _, step, outcome in place.steps() if outcome == "passed"]
        require(steps == ["verify", "play", "verify"], f"steps {place.steps()}")
        for event in place.events_of("round_finished"):
            length = event["duration_seconds"]
            require(0 <= length < 60, f"a round of {length} s")
        whole(place)
        ends(run("status", place.path, "--json"), 0)
        discard(place)
        return Trial()

    return bench.each("wall clock moved by a day", range(bench.count(2, 20)), once)
