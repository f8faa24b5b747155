"""One mission in this process: lock, record, guard, sandbox and agents, from start to exit code."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from openloop.core.errors import ExitCode, RecordError
from openloop.core.vocabulary import CHANGES, SandboxMode, Status
from openloop.loop.state import State
from openloop.process import supervisor
from openloop.process.signals import Interrupts
from openloop.process.supervisor import Processes
from openloop.record.lock import Lock
from openloop.record.mission import Mission
from openloop.record.store import opened
from openloop.record.workspace import CONFIG, EVENTS
from openloop.runner import documents
from openloop.runner.run_events import RunView
from openloop.runner.runner import Runner

if TYPE_CHECKING:
    from openloop.agents.sessions import ConfiguredAgents
    from openloop.policy.bubblewrap import Sandbox


class RunResult(NamedTuple):
    """How a run ended. head: the hash of the chain's last event. signal: the first one that was
    received."""

    state: State
    head: str
    signal: int | None

    @property
    def exit_code(self) -> int:
        """The exit code of `openloop run`."""
        if self.state.status is Status.INTERRUPTED and self.signal is not None:
            return 128 + self.signal
        codes = {
            Status.COMPLETE: ExitCode.OK,
            Status.EXHAUSTED: ExitCode.FAILED,
            Status.BLOCKED: ExitCode.BLOCKED,
        }
        return codes.get(self.state.status, ExitCode.RECORD)


def run(
    mission: Mission, *, max_rounds: int | None, view: RunView, interrupts: Interrupts
) -> RunResult:
    """Run a mission in this process until it ends. Everything it started is gone then.

    max_rounds: lowers the configured budget; None leaves it. interrupts: entered.
    Raises HeldError when a live runner holds the workspace, TamperError when its record is not
    intact (the heartbeat says `blocked` then), RecordError when it cannot be kept.
    """
    sandbox, unsandboxed = _sandbox(mission)
    agents = _agents(mission)
    gaps: list[float] = []
    grace = mission.config.limits.kill_grace
    with contextlib.ExitStack() as stack:
        lock = Lock(mission.workspace, patience=grace + 10)
        stack.callback(lock.release)
        store = stack.enter_context(opened(mission, lock))
        end_leftovers(store.state, grace)
        record = mission.workspace.file(EVENTS)
        processes = Processes(lock.folder, interrupts, gaps.append, record=record)
        stack.callback(processes.close)
        store.prepare()
        documents.refresh(mission.config, lock.folder)
        runner = Runner(mission, store, processes, interrupts, gaps, view, sandbox, agents)
        state = runner.run(max_rounds, unsandboxed)
        return RunResult(state, store.head, next(iter(interrupts.received), None))


def _agents(mission: Mission) -> ConfiguredAgents | None:
    """The agents that changes name; None when they name none."""
    named = (mission.config.commands.get(step) for step in CHANGES)
    if not any(one and (one.agent or one.fallback) for one in named):
        return None
    from openloop.agents.sessions import ConfiguredAgents

    return ConfiguredAgents(mission.config, mission.workspace.shown(CONFIG))


def _sandbox(mission: Mission) -> tuple[Sandbox | None, str]:
    """(the sandbox of steps, why there is none although one was asked for)."""
    policy = mission.config.policy
    if policy is None or (policy.sandbox is SandboxMode.NONE and not policy.sandbox_gates):
        return None, ""
    from openloop.policy import bubblewrap

    return bubblewrap.choose(mission)


def end_leftovers(before: State, grace: float) -> None:
    """End the processes that a killed run left. Raises RecordError for those that will not end."""
    mark = before.mark if before.status is Status.RUNNING else None
    if left := supervisor.end_leftovers(mark, grace):
        raise RecordError(
            f"PIDs {sorted(left)} of a killed run cannot be ended",
            fix="end them, then run again",
        )
