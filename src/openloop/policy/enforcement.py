"""Enforce the policy in a run: a violation is recorded before it is undone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from openloop.core.errors import LimitError, TamperError
from openloop.core.text import printable_path
from openloop.core.vocabulary import Kind, OnViolation, Status, Step
from openloop.fs.content import Tick, no_tick
from openloop.loop.state import State
from openloop.policy.step_violations import StepViolations, listed
from openloop.record.mission import Mission
from openloop.record.workspace import CONFIG, HOLDOUT, HOLDOUT_COPY

if TYPE_CHECKING:  # slow to import: loaded by a mission that needs them
    from openloop.policy.change_diff import ChangeDiff
    from openloop.policy.holdout import Holdout
    from openloop.policy.project_policy import ProjectPolicy
    from openloop.policy.replaced_files import ReplacedFiles

Record = Callable[..., object]


class EnforcementResult(NamedTuple):
    """The result for one step, in words; "" for nothing.

    violation: changes that the policy forbids. damage: paths that cannot be restored, and why.
    """

    violation: str = ""
    damage: str = ""


class Enforcement:
    """Applies the policy; does nothing without a policy, `keep_best` and a holdout/ folder."""

    def __init__(
        self, mission: Mission, record: Record, tick: Tick = no_tick, show: Tick = no_tick
    ) -> None:
        """record: appends an event and shows it; takes the fields of `Store.record`.
        tick: see `snapshot.scan`. show: see Holdout."""
        self._mission = mission
        self._tick = tick
        self._show = show
        self._record = record
        policy, baseline = mission.config.policy, mission.config.baseline
        self._replaced: ReplacedFiles | None = None
        self._project: ProjectPolicy | None = None
        if policy is not None or (baseline is not None and baseline.keep_best):
            from openloop.policy.replaced_files import ReplacedFiles

            self._replaced = ReplacedFiles(mission.workspace, tick)
            self._project = self._new_project_policy()
        self._held_out: Holdout | None = None
        self._on_violation = policy.on_violation if policy else OnViolation.RESTORE

    def _new_project_policy(self) -> ProjectPolicy:
        from openloop.policy.project_policy import ProjectPolicy

        assert self._replaced
        return ProjectPolicy(self._mission, self._replaced, self._tick)

    def _copies_in_words(self) -> str:
        """The place of the copies of replaced files, see `ReplacedFiles.words`."""
        return self._replaced.words() if self._replaced else ""

    @property
    def _holdout(self) -> Holdout | None:
        """None until there is such a folder, or the copy of one."""
        if self._held_out is None:
            places = map(self._mission.workspace.file, (HOLDOUT, HOLDOUT_COPY))
            if not any(map(os.path.lexists, places)):
                return None
            from openloop.policy.holdout import Holdout

            self._held_out = Holdout(self._mission.workspace, self._tick, self._show)
        return self._held_out

    def _take_holdout_reference(self) -> str:
        """Make the folder as it is its reference; returns the digest, "" without a folder."""
        return self._holdout.take_reference() if self._holdout else ""

    def _holdout_differs(self, earlier: State) -> str:
        """How the folder differs from what it was when that run began, in words; "" if it does
        not."""
        digest = earlier.digests.get(HOLDOUT, "")
        if self._take_holdout_reference() == digest:
            return ""
        copy = self._holdout.place_of_copy(digest) if self._holdout else ""
        return f"{HOLDOUT}/ is not what it was when run {earlier.run} began{copy}"

    def begin(self, earlier: State) -> dict[str, Any]:
        """Take the reference of a new run, and record changes since the run before; returns fields
        for its run_started."""
        if self._replaced:
            self._replaced.must_keep = False
        digests: dict[str, str] = {}
        if self._project:
            digests = self._project.take_reference(earlier.digests)
            for words in self._project.reference.changed:
                self._record(Kind.NOTE, note="changed", text=f"{words} since run {earlier.run}")
            if names := self._project.reference.unfollowed:
                text = (
                    f"ignore rules changed since run {earlier.run} in {listed(names)}: not followed"
                )
                fix = f"{text}, before openloop accept {self._mission.workspace.quoted}"
                self._record(Kind.NOTE, note="ignore_rules", text=fix)
        if digest := self._take_holdout_reference():
            digests[HOLDOUT] = digest
        if self._holdout:
            self._holdout.remove_copy()
        return {"checkpoints": digests} if digests else {}

    def restore_earlier(self, earlier: State) -> None:
        """Restore the protected paths that the latest run left altered, so that none of them
        becomes a reference. Raises TamperError for what a person has to look at."""
        edited = earlier.config_sha256 != self._mission.config_sha256
        cut_off = earlier.status is Status.RUNNING and edited and not earlier.changes_now
        left = bool(earlier.unsettled) and earlier.status is not Status.RUNNING  # else: resumed
        if not (left or cut_off):
            return
        why = f"{CONFIG} was edited since" if left and edited else self._restore_latest(earlier)
        if why:
            raise TamperError(
                f"no new run can begin on what run {earlier.run} left: {why}",
                where=self._mission.root,
                fix="restore it by hand and run again, or accept the workspace as it is now: "
                f"openloop accept {self._mission.workspace.quoted}",
            )

    def _restore_latest(self, earlier: State) -> str:
        """Restore the protected paths of the latest run. Returns why that is impossible, or ""."""
        if holdout := self._holdout_differs(earlier):
            return holdout
        if self._project is None or not self._project.has_reference(earlier.digests):
            return ""
        project = self._new_project_policy()
        try:
            restored = project.load_reference(earlier.digests)
            if earlier.cut_off:
                found = project.violations(earlier.cut_off)
                project.restore(earlier.cut_off, found, self._announce)
                restored += [printable_path(path) for path in found.restored_paths]
            else:
                restored += project.restore_protected(self._announce)
        except TamperError as error:
            return error.what
        self._record_restored(restored, earlier)
        return ""

    def _record_restored(self, paths: Sequence[str], earlier: State) -> None:
        if paths:
            text = f"restored {listed(paths)}, as in run {earlier.run}{self._copies_in_words()}"
            self._record(Kind.CHECKPOINT_RESTORED, why="settled", text=text, paths=paths)

    def differences(self, earlier: State) -> list[str]:
        """The differences from the reference of the latest run, in words. Raises LimitError."""
        found: list[str] = []
        if holdout := self._holdout_differs(earlier):
            found.append(holdout)
        if self._project and self._project.has_reference(earlier.digests):
            try:
                found += self._project.differences(earlier.digests)
            except LimitError:  # what differs is not known
                raise
            except TamperError as error:
                found.append(error.what)
        return found

    def resume(self, earlier: State) -> str:
        """Load the reference of a resumed run, and enforce the policy on its interrupted step.

        Returns why that is impossible, because a command damaged the store, or "".
        """
        if holdout := self._holdout_differs(earlier):
            return holdout
        if self._holdout:
            self._holdout.remove_copy()
        if self._project is None or not earlier.digests:
            return ""
        try:
            self._record_restored(self._project.load_reference(earlier.digests), earlier)
        except TamperError as error:
            return error.what
        damage = self.enforce(earlier.running).damage if earlier.running else ""
        if self._replaced:
            self._replaced.must_keep = False
        return damage

    def save_before(self, step: Step) -> dict[str, Any]:
        """Save the state before a step: the project for a change, holdout/ for a gate; returns
        fields for its step_started."""
        if step.is_gate and self._holdout:
            self._holdout.copy_contents()
        if self._project is None or not step.is_change:
            return {}
        return {"before": self._project.before_change()}

    def copies(self) -> list[str]:
        """Absolute paths of files that hold contents of withheld files."""
        return self._project.reference.copies() if self._project else []

    def enforce(self, step: Step, planted: Sequence[str] = ()) -> EnforcementResult:
        """Record the step's violations, then undo them.

        planted: printable paths that it created in place of withheld files, already removed.
        """
        violations: list[str] = []
        try:
            if step.is_gate and self._holdout:  # before the scan, which a signal may end
                in_holdout = StepViolations().with_words(self._holdout.changes())
                violations += self._recorded(step, in_holdout)
                self._holdout.restore()
            found = self._project.violations(step) if self._project else StepViolations()
            found = found.with_planted(planted)
            violations += self._recorded(step, found)
            if self._project:
                self._project.restore(step, found, self._announce)
        except TamperError as error:
            return EnforcementResult("; ".join(violations), error.what)
        if paths := found.restored_paths:
            names = listed([printable_path(path) for path in paths])
            text = f"restored {names}{self._copies_in_words()}"
            self._record(Kind.CHECKPOINT_RESTORED, step=step, why="policy", text=text, paths=())
        return EnforcementResult("; ".join(violations))

    def _recorded(self, step: Step, found: StepViolations) -> list[str]:
        """Record the violations; returns them in words, none for none."""
        if not found.text:
            return []
        self._record(
            Kind.POLICY_VIOLATED,
            step=step,
            text=found.text,
            paths=found.paths,
            on_violation=self._on_violation,
        )
        return [found.text]

    def written_by_gate(self, step: Step) -> tuple[str, ...]:
        """The printable paths of allowed files that a gate wrote, once its violations are
        restored."""
        if self._project is None or not step.is_gate:
            return ()
        return self._project.written_by_gate()

    def change_diff(self, step: Step) -> ChangeDiff | None:
        """The differences that a change left, once its violations are restored. None for a gate, or
        without a checkpoint to compare with."""
        if self._project is None or not step.is_change:
            return None
        with contextlib.suppress(TamperError):  # reported already
            return self._project.change_diff()
        return None

    def after_hook(self) -> EnforcementResult:
        """Restore protected files after a hook; its other changes stay and are reported."""
        if self._project is None:
            return EnforcementResult()
        try:
            words, restored = self._project.changes_of_hook()
        except TamperError as error:
            return EnforcementResult(damage=error.what)
        if restored:
            text = f"restored {listed(restored)}{self._copies_in_words()}"
            self._record(Kind.CHECKPOINT_RESTORED, why="policy", text=text, paths=())
        return EnforcementResult(words)

    def keep_best(self, value: float, reason: str) -> None:
        """Save the current project as the best checkpoint."""
        assert self._project is not None
        digest = self._project.keep_best()
        text = f"kept: {reason}"
        self._record(Kind.NOTE, note="kept", text=text, value=value, checkpoint=digest)

    def restore_best(self, reason: str) -> str:
        """Restore the best checkpoint. Returns why that is impossible, or ""."""
        assert self._project is not None
        try:
            paths = self._project.restore_best(self._announce)
        except TamperError as error:
            return error.what
        text = f"restored: {reason}"
        self._record(Kind.CHECKPOINT_RESTORED, why="keep_best", text=text, paths=paths)
        return ""

    def _announce(self, intent: str) -> None:
        self._record(Kind.NOTE, note="restoring", text="restoring files", intent=intent)
