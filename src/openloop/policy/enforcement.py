"""The policy in a run: what it undoes is put on record first, and every checkpoint's digest too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from openloop.core.errors import TamperError
from openloop.core.vocabulary import Kind, OnViolation, Step
from openloop.loop.state import State
from openloop.policy.holdout import Holdout
from openloop.policy.project_policy import Keeper
from openloop.policy.violations import Undo
from openloop.record.mission import Mission
from openloop.record.workspace import HOLDOUT

Record = Callable[..., None]


class Enforcement:
    """Does nothing at all where the configuration asks for nothing and no holdout/ is there."""

    def __init__(self, mission: Mission, record: Record) -> None:
        """record: appends an event and shows it; takes the fields of `Store.record`."""
        keeper = Keeper(mission)
        self._keeper = keeper if keeper.is_needed else None
        self._holdout = Holdout(mission.workspace)
        self._record = record
        policy = mission.config.policy
        self._on_violation = policy.on_violation if policy else OnViolation.RESTORE

    def begin(self) -> dict[str, Any]:
        """Take the reference of a new run; returns fields for its run_started."""
        digests = self._keeper.begin() if self._keeper else {}
        if digest := self._holdout.begin():
            digests[HOLDOUT] = digest
        return {"checkpoints": digests} if digests else {}

    def resume(self, before: State) -> str:
        """Take up a run in the state it was found in, and settle the step that was cut off.

        Returns what makes that impossible, because a command damaged what was kept.
        """
        if self._holdout.begin() != before.digests.get(HOLDOUT, ""):
            return f"{HOLDOUT}/ was changed since the run began"
        if self._keeper is None or not before.digests:
            return ""
        try:
            self._keeper.resume(before.digests)
        except TamperError as error:
            return error.what
        return self.settle(before.running)[1] if before.running else ""

    def before(self, step: Step) -> dict[str, Any]:
        """Keep what a change starts from, and what no gate may rewrite; returns fields for the
        step's step_started."""
        if step.is_gate:
            self._holdout.hold()
        if self._keeper is None or not step.is_change:
            return {}
        return {"before": self._keeper.before_change()}

    def copies(self) -> list[str]:
        """Absolute paths of what is kept of withheld files."""
        return self._keeper.copies() if self._keeper else []

    def settle(self, step: Step, planted: Sequence[str] = ()) -> tuple[str, str]:
        """Put back what the step was not allowed to do.

        planted: printable paths of what it put where something was withheld, removed already.
        Returns (what broke the policy, what a command did to the store so that this cannot be
        put back); each "" for nothing.
        """
        broken = ""
        try:
            found = self._keeper.after(step) if self._keeper else Undo()
            found = found.with_planted(planted)
            if step.is_gate:
                found = found.with_words(self._holdout.look())
            broken = found.text
            if found.text:
                self._record(
                    Kind.POLICY_VIOLATED,
                    step=step,
                    text=found.text,
                    paths=found.paths,
                    on_violation=self._on_violation,
                )
            if step.is_gate:
                self._holdout.put_back()
            if self._keeper is None:
                return broken, ""
            self._keeper.undo(step, found, self._announce)
        except TamperError as error:
            return broken, error.what
        if not found.is_silent:
            self._record(
                Kind.CHECKPOINT_RESTORED, step=step, why="policy", text=_words(found), paths=()
            )
        return broken, ""

    def look_again(self) -> tuple[str, str]:
        """Told after a hook. Returns (what it did to the project, what it did to the store); each
        "" for nothing."""
        if self._keeper is None:
            return "", ""
        try:
            return self._keeper.look_again(), ""
        except TamperError as error:
            return "", error.what

    def keep(self, value: float, reason: str) -> None:
        """Keep the project as it is now as the best."""
        assert self._keeper is not None
        digest = self._keeper.keep_best()
        text = f"kept: {reason}"
        self._record(Kind.NOTE, note="kept", text=text, value=value, checkpoint=digest)

    def put_back(self, reason: str) -> str:
        """Return to the best checkpoint. Returns what makes that impossible."""
        assert self._keeper is not None
        try:
            paths = self._keeper.put_back_best(self._announce)
        except TamperError as error:
            return error.what
        self._record(
            Kind.CHECKPOINT_RESTORED, why="keep_best", text=f"put back: {reason}", paths=paths
        )
        return ""

    def _announce(self, intent: str) -> None:
        self._record(Kind.NOTE, note="restoring", text="putting files back", intent=intent)


def _words(found: Undo) -> str:
    count = len(found.to_reference) + len(found.to_before)
    return f"put back {count} {'path' if count == 1 else 'paths'}"
