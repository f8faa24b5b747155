"""`openloop doctor --probe N`: run every gate on the project as it is, and try canaries."""

from __future__ import annotations

import math
from collections.abc import Callable

from openloop.core.clock import monotonic
from openloop.core.vocabulary import Step
from openloop.loop.gates import Verdict
from openloop.process.signals import Interrupts
from openloop.process.supervisor import Processes
from openloop.record.lock import Lock
from openloop.record.mission import Mission
from openloop.runner.gate_runner import GateRunner
from openloop.setup import gate_writes
from openloop.setup.canaries import Canaries
from openloop.setup.findings import Finding, ok, problem, warning
from openloop.setup.gate_writes import AllowedFiles
from openloop.views.console import duration

_ENOUGH = 20  # runs of verify that say something


def probe(mission: Mission, times: int, show: Callable[[str], None]) -> list[Finding]:
    """Run every gate on the project as it is, verify that often, under the workspace's lock, and
    say what its flake rate can be; then whether the gates that pass notice what is broken on
    purpose.

    show: called with what is tried. Raises HeldError when a live runner holds the workspace,
    KeyboardInterrupt on a signal.
    """
    lock = Lock(mission.workspace, patience=0)
    try:
        with Interrupts() as interrupts:
            gates = _gates(mission, times, lock.folder, interrupts, show)
            return [*gates, *Canaries(mission, lock.folder, interrupts, show).findings()]
    finally:
        lock.release()


def _gates(
    mission: Mission, times: int, lock: int, interrupts: Interrupts, show: Callable[[str], None]
) -> list[Finding]:
    processes = Processes(lock, interrupts, lambda gap: None)
    gates = GateRunner(mission, processes, mission.root)
    policy = mission.config.policy
    files = AllowedFiles(mission, policy) if policy and policy.allow is not None else None
    found = []
    try:
        for gate in mission.config.gates:
            if gate is Step.VERIFY:
                found.append(_repeat_verify(mission, gates, times, show))
            else:
                show(str(gate))
                found.append(_on_gate(gate, gates.run(gate)))
            if files and files.written():
                show(f"{gate} again, because it wrote files")
                gates.run(gate)
                if written := files.written():
                    found.append(gate_writes.finding(gate, written))
    finally:
        processes.close()
    return found


def _on_gate(gate: Step, verdict: Verdict) -> Finding:
    if verdict.outcome.passed:
        return ok(f"{gate} passes now")
    what = f"{gate} fails now: {verdict.outcome} ({verdict.detail})"
    fix = (
        "correct the gate, unless this is what a run shall repair: no run completes while it fails"
    )
    return warning(what, fix)


def _repeat_verify(
    mission: Mission, gates: GateRunner, times: int, show: Callable[[str], None]
) -> Finding:
    began, verdicts = monotonic(), []
    for number in range(1, times + 1):
        show(f"verify {number} of {times}")
        verdicts.append(gates.run_once(Step.VERIFY, mission.config.command(Step.VERIFY)))
    return _on_verify(verdicts, duration((monotonic() - began) / times))


def _bound(times: int) -> float:
    """The highest flake rate at which so many passes in a row still have a chance of 5 %."""
    return 1.0 - math.exp(math.log(0.05) / times)


def _on_verify(verdicts: list[Verdict], each: str) -> Finding:
    """The finding about these verdicts of verify."""
    times = len(verdicts)
    failed = [verdict for verdict in verdicts if not verdict.outcome.passed]
    if not failed:
        more = (
            "" if times >= _ENOUGH else f"; {_ENOUGH} runs would bound it at {_bound(_ENOUGH):.0%}"
        )
        return ok(
            f"verify passed {times} of {times} times, {each} each: it may still fail by chance in "
            f"up to {_bound(times):.0%} of runs (95 % sure){more}"
        )
    why = f"{failed[0].outcome} ({failed[0].detail})"
    if len(failed) == times:
        return warning(
            f"verify fails now, {times} of {times} times: {why}",
            "correct the check, unless the project is known to be broken",
        )
    return problem(
        f"verify is flaky: it failed {len(failed)} of {times} times on the same files: {why}",
        "find the cause; until then give it a repeat, so that it passes only when every run does",
    )
