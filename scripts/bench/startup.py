"""Start-up: what a person or a script waits for before anything happens."""

from __future__ import annotations

from collections.abc import Iterator

from bench.history import grown
from bench.lab import Goal, Lab, Row, in_turn, medians


def version(lab: Lab) -> Iterator[Row]:
    yield from _against_nothing(lab, "version", 1.5, "--version")


def help(lab: Lab) -> Iterator[Row]:
    yield from _against_nothing(lab, "help", 3.0, "--help")


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
    what = f"openloop {' '.join(words)}, against python -c pass"
    yield Row(key, what, found["floor"] * 1e3, found["openloop"] * 1e3, "ms", Goal(limit))


def status(lab: Lab) -> Iterator[Row]:
    """On a short history and on a long one."""
    few, many = 10, lab.amount(2_000, 100_000)
    young, old = grown(lab, few), grown(lab, many)
    found = medians(
        in_turn(
            lab,
            lab.amount(15, 101),
            {
                "floor": lambda: lab.seconds(lab.python, "-c", "pass"),
                "young": lambda: lab.seconds(lab.openloop, "status", young.path),
                "old": lambda: lab.seconds(lab.openloop, "status", old.path),
            },
        )
    )
    floor, short, long = (found[name] * 1e3 for name in ("floor", "young", "old"))
    yield Row(
        "status", f"status after {few} rounds, against python -c pass", floor, short, "ms", Goal(4)
    )
    what = f"status after {many:,} rounds, against {few} rounds"
    yield Row("status", what, short, long, "ms", Goal(1.1))
