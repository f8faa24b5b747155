"""`openloop doctor --probe N`: run verify on the untouched project, count, and try canaries."""

from __future__ import annotations

from collections.abc import Callable

from openloop.core.clock import monotonic
from openloop.core.vocabulary import Step
from openloop.loop.gates import Verdict
from openloop.process.signals import Interrupts
from openloop.process.supervisor import Processes
from openloop.record.lock import Lock
from openloop.record.mission import Mission
from openloop.runner.execution import Trials
from openloop.setup.canaries import Canaries
from openloop.setup.finding import Finding, ok, problem, warning
from openloop.views.console import duration


def probe(mission: Mission, times: int, show: Callable[[str], None]) -> list[Finding]:
    """Run verify that often, under the workspace's lock, and say what its flake rate can be; then
    whether the gates notice what is broken on purpose.

    show: told what is being tried. Raises HeldError when a live runner holds the workspace,
    KeyboardInterrupt on a signal.
    """
    lock = Lock(mission.workspace, patience=0)
    try:
        with Interrupts() as interrupts:
            flakes = _flakes(mission, times, lock.folder, interrupts, show)
            return [flakes, *Canaries(mission, lock.folder, interrupts, show).findings()]
    finally:
        lock.release()


def _flakes(
    mission: Mission, times: int, lock: int, interrupts: Interrupts, show: Callable[[str], None]
) -> Finding:
    began = monotonic()
    processes = Processes(lock, interrupts, lambda gap: None)
    trials = Trials(mission, processes, mission.root)
    verdicts = []
    try:
        for number in range(1, times + 1):
            show(f"verify {number} of {times}")
            verdict = trials.once(Step.VERIFY, mission.config.command(Step.VERIFY))
            verdicts.append(verdict)
    finally:
        processes.close()
    return _finding(verdicts, duration((monotonic() - began) / times))


def _finding(verdicts: list[Verdict], each: str) -> Finding:
    """What so many verdicts say. Without a failure in N runs the rate lies below 3/N with a
    confidence of 95 % (the rule of three)."""
    times = len(verdicts)
    failed = [verdict for verdict in verdicts if not verdict.outcome.passed]
    if not failed:
        bound = min(1.0, 3 / times)
        words = f"verify passed {times} of {times} times, {each} each"
        return ok(f"{words}: it fails by chance at most {bound:.1%} of the time (95 % sure)")
    why = f"{failed[0].outcome} ({failed[0].detail})"
    if len(failed) == times:
        return warning(
            f"verify failed {times} of {times} times: {why}",
            "mend the check, unless the project is known to be broken",
        )
    return problem(
        f"verify is flaky: it failed {len(failed)} of {times} times on the same files: {why}",
        "find the cause; until then give it a repeat, so that it passes only when every run does",
    )
