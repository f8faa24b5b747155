"""Whether anything but `audit` grows with the history of a workspace."""

from __future__ import annotations

import os
import signal
import statistics
from collections.abc import Iterator

from bench.history import COMMANDS, fresh, grown
from bench.lab import Goal, Lab, Place, Row, Stream, in_turn, medians, slope
from bench.resources import memory_of_run

FLAT = 1.5


def growth(lab: Lab) -> Iterator[Row]:
    """Each figure of a workspace with many rounds against the same figure after one round."""
    sizes = (1, lab.amount(50, 1_000), lab.amount(2_000, 100_000))
    places = {rounds: grown(lab, rounds) for rounds in sizes}
    for what, cost in (
        ("one more round", _round),
        ("status", _status),
        ("run's start", Place.until_first_step),
        ("resume", _resume),
    ):
        samples = {str(n): lambda cost=cost, n=n: cost(_young(lab, places, n)) for n in sizes}
        found = medians(in_turn(lab, lab.amount(3, 7), samples))
        for rounds in sizes[1:]:
            floor, figure = (found[str(n)] * 1e3 for n in (1, rounds))
            words = f"{what} after {rounds:,} rounds, against 1 round"
            yield Row("growth", words, floor, figure, "ms", Goal(FLAT))
    yield from _report(lab, places, *sizes[1:])
    yield from _audit(lab, places, *sizes[1:])
    yield from _memory(lab, places, *sizes)


def _young(lab: Lab, places: dict[int, Place], rounds: int) -> Place:
    """The workspace of so many rounds. Measuring adds rounds, so the small one is new each time."""
    if rounds == 1:
        places[1] = fresh(lab, 1)
    places[rounds].configure(commands=COMMANDS)
    return places[rounds]


def _round(place: Place) -> float:
    return slope(lambda rounds: place.run("--max-rounds", str(rounds)), 3, 15)


def _status(place: Place) -> float:
    return place.lab.seconds(place.lab.openloop, "status", place.path)


def _resume(place: Place) -> float:
    """Until the first command after a run whose runner was killed in the middle of a command."""
    place.configure(commands={"verify": "sleep 60"})
    with Stream(place) as stream:
        stream.until("step_started")
        stream.process.send_signal(signal.SIGKILL)
    return place.until_first_step()


def _report(lab: Lab, places: dict[int, Place], some: int, many: int) -> Iterator[Row]:
    samples = {
        str(rounds): lambda rounds=rounds: lab.seconds(lab.openloop, "report", places[rounds].path)
        for rounds in (some, many)
    }
    found = medians(in_turn(lab, 3, samples))
    short, long = found[str(some)] * 1e3, found[str(many)] * 1e3
    what = f"report after {many:,} rounds, against {some:,} rounds"
    yield Row("growth", what, short, long, "ms", Goal(FLAT))


def _audit(lab: Lab, places: dict[int, Place], some: int, many: int) -> Iterator[Row]:
    """Seconds for one MB of record: the same however long it is."""

    def each(rounds: int) -> float:
        place = places[rounds]
        size = os.path.getsize(place.file("events.jsonl")) / 1e6
        nothing = lab.seconds(lab.openloop, "audit", places[1].path)
        return (lab.seconds(lab.openloop, "audit", place.path) - nothing) / size

    short, long = statistics.median(each(some) for _ in range(3)), each(many)
    what = f"audit of one MB of events after {many:,} rounds, against {some:,} rounds"
    note = f"{1 / long:.1f} MB/s, every log and artifact read"
    yield Row("growth", what, short * 1e3, long * 1e3, "ms", Goal(FLAT), note)


def _memory(lab: Lab, places: dict[int, Place], *sizes: int) -> Iterator[Row]:
    found = {}
    for rounds in sizes:
        places[rounds].configure(commands={"verify": "sleep 60"})
        found[rounds] = memory_of_run(places[rounds])
    for rounds in sizes[1:]:
        what = f"memory of runner and guard after {rounds:,} rounds, against 1 round"
        yield Row("growth", what, found[1], found[rounds], "MB", Goal(FLAT))
