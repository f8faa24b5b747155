"""`openloop accept`: a person takes a workspace as it is, whatever a run left in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from openloop.core.errors import LimitError, UsageError
from openloop.core.vocabulary import Decision, Kind, RoundOutcome, Status
from openloop.fs.content import Tick
from openloop.loop.actions import FinishRound
from openloop.policy.enforcement import Enforcement
from openloop.record.lock import Lock
from openloop.record.mission import Mission
from openloop.record.store import Store, opened
from openloop.record.workspace import CONFIG
from openloop.runner.mission_run import end_leftovers
from openloop.runner.snapshot_watch import SnapshotWatch

_REASON = "a person accepted the workspace as it is"


class Acceptance(NamedTuple):
    """The result of `accept`. run: the number of the latest run. differences: between the project
    and the state that the run left, in words."""

    run: int
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"run": self.run, "differences": list(self.differences)}


def accept(mission: Mission, show: Callable[[str], None]) -> Acceptance:
    """Record that the present state may be the next run's reference, with what differs from the
    latest run's. Nothing is recorded where nothing differs.

    show: called about once a second with words on a scan that takes longer than that.

    Raises HeldError when a live runner holds the workspace, TamperError when the record itself
    is broken, UsageError when the scan of the project takes longer than a limit allows.
    """
    grace = mission.config.limits.kill_grace
    with contextlib.ExitStack() as stack:
        lock = Lock(mission.workspace, patience=grace + 10)
        stack.callback(lock.release)
        store = stack.enter_context(opened(mission, lock, check_files=False))
        end_leftovers(store.state, grace)
        store.prepare()
        before = store.state
        files = store.mismatches()
        watch = SnapshotWatch((), mission.config.limits, show)  # a signal ends this process at once
        try:
            differences = tuple(_differences(mission, store, files, watch.tick))
        except LimitError as error:
            raise UsageError(f"nothing was accepted: {error.what}", fix=error.fix) from None
        if differences:
            _close_run(store)
            text = f"{_REASON}: {'; '.join(differences)}"
            store.record(
                Kind.NOTE,
                note="accepted",
                durable=True,
                text=text,
                files=sorted(files),
                differences=differences,
            )
        return Acceptance(before.run, differences)


def _differences(
    mission: Mission, store: Store, files: dict[str, str], tick: Tick
) -> Iterator[str]:
    state = store.state
    if state.run == 0:
        return
    if state.config_sha256 != mission.config_sha256:
        yield f"{CONFIG} was edited since run {state.run} began"
    yield from Enforcement(mission, store.record, tick).differences(state)
    yield from (f"{name} {why}" for name, why in files.items())
    if state.unsettled:
        yield f"run {state.run} left open: {state.unsettled}"
    elif state.running:
        yield f"run {state.run} was killed in the middle of {state.running}"


def _close_run(store: Store) -> None:
    """End a run that was cut off, so that the next one is a new run."""
    state = store.state
    if state.in_round:
        failures = state.consecutive_failures
        store.finish_round(
            FinishRound(RoundOutcome.INTERRUPTED, Decision.CONTINUE, _REASON, failures)
        )
    if state.status is Status.RUNNING:
        store.record(Kind.RUN_FINISHED, durable=True, status=Status.INTERRUPTED, reason=_REASON)
