"""A long history, made by the project's own loop and writer; only the processes are left out.

As a program: PLACE ROUNDS adds rounds to the workspace at PLACE. Its fsyncs do nothing, because
nobody needs this history after a power cut, and it beats only at its end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.lab import Place


def grow(place: Place, rounds: int) -> None:
    """Add rounds to a workspace."""
    if rounds:
        place.lab.output(place.lab.python, os.path.abspath(__file__), place.path, str(rounds))


class NoProcesses:
    """Stands where the processes stand: every command fails at once."""

    mark = 0

    def run(
        self, job: Any, log: int, *, on_start: Callable[[int], None], on_beat: Callable[[int], None]
    ) -> Any:
        from openloop.gates import Exit

        on_start(os.getpid())
        return Exit(code=1, pid=os.getpid(), peak_rss_bytes=1 << 20, cpu_seconds=0.001)


def main() -> None:
    from openloop import mission
    from openloop.console import Quiet
    from openloop.interrupts import Interrupts
    from openloop.lock import Lock
    from openloop.runner import Runner
    from openloop.store import Store

    os.fsync = lambda descriptor: None
    chosen = mission.load(sys.argv[1])
    lock = Lock(chosen.workspace, patience=10)
    store = Store(chosen, lock)
    store.prepare()
    beat, store.beat = store.beat, lambda: None
    with Interrupts() as interrupts:
        processes: Any = NoProcesses()
        Runner(chosen, store, processes, interrupts, [], Quiet()).run(int(sys.argv[2]))
    store.beat = beat
    store.close()
    lock.release()


if __name__ == "__main__":
    main()
