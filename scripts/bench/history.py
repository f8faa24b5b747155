"""A long history, made by the project's own loop and writer; only the processes are left out.

As a program: PLACE ROUNDS adds rounds to the workspace at PLACE. Its fsyncs do nothing, because
nobody needs this history after a power cut, and it beats only at its end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench.lab import Lab, Place, endless

REAL = 1_000  # rounds that a real loop makes in seconds
COMMANDS = {"verify": "false"}


def grown(lab: Lab, rounds: int) -> Place:
    """The workspace of this lab that has so many rounds behind it."""
    if rounds not in lab.histories:
        lab.histories[rounds] = fresh(lab, rounds)
    return lab.histories[rounds]


def fresh(lab: Lab, rounds: int) -> Place:
    """A workspace of its own: a real loop of no-ops where that takes seconds, else the writer."""
    place = lab.place(f"rounds{rounds}", **endless())
    place.configure(commands=COMMANDS)
    if rounds <= REAL:
        place.run("--max-rounds", str(rounds))
    else:
        lab.output(lab.python, os.path.abspath(__file__), place.path, str(rounds))
    return place


class NoProcesses:
    """Stands where the processes stand: every command fails at once."""

    mark = 0

    def __init__(self, *where: Any, **how: Any) -> None:
        pass

    def run(
        self, job: Any, log: int, *, on_start: Callable[[int], None], on_beat: Callable[[int], None]
    ) -> Any:
        from openloop.loop.gates import Exit

        on_start(os.getpid())
        return Exit(code=1, pid=os.getpid(), peak_rss_bytes=1 << 20, cpu_seconds=0.001)

    def close(self) -> None:
        pass


def main() -> None:
    from openloop.core.vocabulary import Status
    from openloop.process.signals import Interrupts
    from openloop.record import mission
    from openloop.record.projections import LiveFacts
    from openloop.record.store import Store
    from openloop.runner import mission_run
    from openloop.views.console import QuietView

    beat = Store.beat

    def last_beat(store: Store, live: LiveFacts | None = None) -> None:
        if store.state.status is not Status.RUNNING:
            beat(store, live)

    for place, name, instead in (
        (os, "fsync", lambda descriptor: None),
        (mission_run, "Processes", NoProcesses),
        (Store, "beat", last_beat),
    ):
        setattr(place, name, instead)
    chosen, rounds = mission.load(sys.argv[1]), int(sys.argv[2])
    with Interrupts() as interrupts:
        mission_run.run(chosen, max_rounds=rounds, view=QuietView(), interrupts=interrupts)


if __name__ == "__main__":
    main()
