"""Start-up: what a person or a script waits for before anything happens."""

from __future__ import annotations

from collections.abc import Iterator

from bench.history import grown
from bench.lab import Goal, Lab, Row, endless, in_turn, medians
from bench.trees import POLICY


def version(lab: Lab) -> Iterator[Row]:
    yield from _against_nothing(lab, "version", 1.5, "--version")


def help(lab: Lab) -> Iterator[Row]:
    yield from _against_nothing(lab, "help", 3.0, "--help")


def doctor(lab: Lab) -> Iterator[Row]:
    place = lab.place("doctor", **endless())
    yield from _against_nothing(lab, "doctor", 7.0, "doctor", place.path)


def start(lab: Lab) -> Iterator[Row]:
    """`run` until its first command, in a workspace without a history."""
    found = medians(
        in_turn(
            lab,
            lab.amount(9, 51),
            {
                "floor": lambda: lab.seconds(lab.python, "-c", "pass"),
                "plain": lambda: lab.place("start", **endless()).until_first_step(),
                "policy": lambda: lab.place("start", **endless(policy=POLICY)).until_first_step(),
            },
        )
    )
    floor, plain, policy = (found[name] * 1e3 for name in ("floor", "plain", "policy"))
    what = "run until its first command"
    yield Row("start", f"{what}, against python -c pass", floor, plain, "ms", Goal(7))
    yield Row("start", f"{what}, with a policy", floor, policy, "ms")


def _against_nothing(lab: Lab, key: str, limit: float, *words: str) -> Iterator[Row]:
    found = medians(
        in_turn(
            lab,
            lab.amount(15, 101),
            {
                "floor": lambda: lab.seconds(lab.python, "-c", "pass"),
                "openloop": lambda: lab.seconds(lab.openloop, *words),
            },
        )
    )
    what = f"openloop {' '.join(word for word in words if '/' not in word)}"
    floor, figure = found["floor"] * 1e3, found["openloop"] * 1e3
    yield Row(key, f"{what}, against python -c pass", floor, figure, "ms", Goal(limit))


def status(lab: Lab) -> Iterator[Row]:
    """Before the first run, on a short history and on a long one."""
    empty = lab.place("empty", **endless())
    few, many = 10, lab.amount(2_000, 100_000)
    young, old = grown(lab, few), grown(lab, many)
    found = medians(
        in_turn(
            lab,
            lab.amount(15, 101),
            {
                "floor": lambda: lab.seconds(lab.python, "-c", "pass"),
                "empty": lambda: lab.seconds(lab.openloop, "status", empty.path, code=1),
                "young": lambda: lab.seconds(lab.openloop, "status", young.path),
                "old": lambda: lab.seconds(lab.openloop, "status", old.path),
            },
        )
    )
    floor, none, short, long = (found[name] * 1e3 for name in ("floor", "empty", "young", "old"))
    what = "status before the first run, against python -c pass"
    yield Row("status", what, floor, none, "ms", Goal(5))
    yield Row(
        "status", f"status after {few} rounds, against python -c pass", floor, short, "ms", Goal(4)
    )
    what = f"status after {many:,} rounds, against {few} rounds"
    yield Row("status", what, short, long, "ms", Goal(1.1))
