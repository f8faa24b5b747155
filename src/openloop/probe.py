"""`openloop doctor --probe N`: run verify on the untouched project, and count."""

from __future__ import annotations

import tempfile

from openloop import gates, template
from openloop.clock import monotonic
from openloop.console import duration
from openloop.doctor import Finding, Level
from openloop.gates import Verdict
from openloop.interrupts import Interrupts
from openloop.lock import Lock
from openloop.logscan import LogReader
from openloop.mission import Mission
from openloop.process import Job, Processes
from openloop.states import Outcome, Step
from openloop.watchdog import Limits


def probe(mission: Mission, times: int) -> Finding:
    """Run verify that often, under the workspace's lock, and say what its flake rate can be.

    Raises HeldError when a live runner holds the workspace, KeyboardInterrupt on a signal.
    """
    began = monotonic()
    lock = Lock(mission.workspace, patience=0)
    try:
        with Interrupts() as interrupts:
            processes = Processes(lock.folder, interrupts, lambda gap: None)
            try:
                verdicts = [_verify(mission, processes) for _ in range(times)]
            finally:
                processes.close()
    finally:
        lock.release()
    each = duration((monotonic() - began) / times)
    return _finding(verdicts, each)


def _verify(mission: Mission, processes: Processes) -> Verdict:
    command = mission.config.command(Step.VERIFY)
    limits = Limits(command.timeout, command.stall_timeout, mission.config.limits.kill_grace)
    environment = {
        **command.env,
        "OPENLOOP_WORKSPACE": mission.workspace.path,
        "OPENLOOP_PROJECT_ROOT": mission.root,
        "OPENLOOP_ROUND": "0",
        "OPENLOOP_STEP": Step.VERIFY,
        "OPENLOOP_LAST_ERROR": "",
        "OPENLOOP_PROMPT_FILE": "",
        "OPENLOOP_MISSION": mission.config.mission,
    }
    text = template.render(command.run, round=0, step=Step.VERIFY)
    with tempfile.TemporaryFile(buffering=0) as log:
        job = Job(text, mission.root, environment, limits)
        end = processes.run(
            job, log.fileno(), on_start=lambda pid: None, on_beat=lambda log_bytes: None
        )
        facts = LogReader(log.fileno(), mission.config.limits.oom_markers).read(command, None)
    verdict = gates.judge(command, end, facts)
    if verdict.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    return verdict


def _finding(verdicts: list[Verdict], each: str) -> Finding:
    """What so many verdicts say. Without a failure in N runs the rate lies below 3/N with a
    confidence of 95 % (the rule of three)."""
    times = len(verdicts)
    failed = [verdict for verdict in verdicts if not verdict.outcome.passed]
    if not failed:
        bound = min(1.0, 3 / times)
        words = f"verify passed {times} of {times} times, {each} each"
        return Finding(
            Level.OK, f"{words}: it fails by chance at most {bound:.1%} of the time (95 % sure)"
        )
    why = f"{failed[0].outcome} ({failed[0].detail})"
    if len(failed) == times:
        return Finding(
            Level.WARNING,
            f"verify failed {times} of {times} times: {why}",
            "mend the check, unless the project is known to be broken",
        )
    return Finding(
        Level.PROBLEM,
        f"verify is flaky: it failed {len(failed)} of {times} times on the same files: {why}",
        "find the cause; until then give it a repeat, so that it passes only when every run does",
    )
