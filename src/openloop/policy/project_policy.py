"""One project under its policy during a run: violations after each step, and undoing them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping

from openloop.core import clock
from openloop.core.errors import TamperError
from openloop.core.text import printable, printable_path
from openloop.core.vocabulary import Step
from openloop.fs import files
from openloop.fs.content import Tick, no_tick
from openloop.fs.diff import LARGEST, changed_lines
from openloop.fs.manifest import FILE, SYMLINK, Entry, Manifest
from openloop.fs.mounts import mount_points
from openloop.policy.change_diff import COMPARED, ChangeDiff, describe
from openloop.policy.path_rules import PathRules, is_byte_code, is_litter, source_folder
from openloop.policy.project_reference import (
    BEFORE,
    BEST,
    INTENT,
    REFERENCE,
    RESTORE_BY_HAND,
    ProjectReference,
)
from openloop.policy.replaced_files import ReplacedFiles
from openloop.policy.step_violations import StepViolations, listed, recorded_paths
from openloop.policy.violations import ProjectComparison
from openloop.record.mission import Mission

RECENT = 1.0  # seconds since a step's end, in which a person hardly edits anything
_TRIES = 5  # restores of a project that somebody else is writing to


class ProjectPolicy:
    """Finds and undoes the violations of one project."""

    def __init__(self, mission: Mission, replaced: ReplacedFiles, tick: Tick = no_tick) -> None:
        """replaced: keeps what the policy restores. tick: see `snapshot.scan`."""
        self._replaced = replaced
        self._tick = tick
        self._root = mission.root
        self._policy = mission.config.policy
        self._rules = PathRules(self._policy)
        self.reference = ProjectReference(mission, self._rules, tick)
        self._before = self._last = self.reference.tree  # before the step, and in the latest scan
        self._best: Manifest | None = None
        self._cleared = Manifest({}, 0)  # the latest tree without byte code to remove
        self._seen = 0.0  # monotonic time; when the latest scan ended
        self._mounts = mount_points(mission.root)  # when this process began

    @staticmethod
    def has_reference(digests: Mapping[str, str]) -> bool:
        """Whether a run with these digests took one."""
        return REFERENCE in digests

    def take_reference(self, earlier: Mapping[str, str]) -> dict[str, str]:
        """Begin a new run: see `ProjectReference.take`."""
        digests = self.reference.take(earlier)
        self._last = self._before = self.reference.tree
        self._clear_byte_code()
        return digests

    def load_reference(self, digests: Mapping[str, str]) -> list[str]:
        """Continue the run of an earlier process. Returns the paths that were restored, printable.
        Raises TamperError: see `ProjectReference.load`."""
        self._last, restored = self.reference.load(digests, self._replaced.keep)
        self._before = self.reference.checkpoint(BEFORE) if BEFORE in digests else self._last
        self._best = self.reference.checkpoint(BEST) if BEST in digests else None
        return restored

    def differences(self, digests: Mapping[str, str]) -> list[str]:
        """`changed protected tests/test_a.py` for each path that differs from the reference of an
        earlier process, and ignore rules not followed. Raises TamperError when that is lost."""
        without_intent = {name: digest for name, digest in digests.items() if name != INTENT}
        self.load_reference(without_intent)
        unfollowed = self.reference.changed_ignore_rules()
        rules = [f"the ignore rules changed in {listed(unfollowed)}"] if unfollowed else []
        return self._comparison().protected_words() + rules

    # --- around the steps ---

    def changes_of_hook(self) -> tuple[str, tuple[str, ...]]:
        """Accept the changes of a hook, so that no step is blamed for them, but restore protected
        files. Returns (the changes in words, "" for none; the restored paths, printable)."""
        self._before = self._last
        self._scan_again()
        compared = self._comparison()
        words = compared.since_before_words()
        if strayed := compared.to_reference():
            self.reference.restore(
                self._last, self.reference.tree, strayed, lambda digest: None, self._replaced.keep
            )
            self._scan_again()
        if words:  # a gate may change the same files outside `allow`
            self._last = self.reference.keep(self._last)
        return words, recorded_paths(path for path in strayed if not is_litter(path))

    def written_by_gate(self) -> tuple[str, ...]:
        """The allowed files that the gate has left different, printable; none where no `allow` says
        which files are the code, and which a check may write."""
        if self._policy is None or self._policy.allow is None:
            return ()
        return recorded_paths(filter(self._rules.allows, self._comparison().written()))

    def before_change(self) -> str:
        """Save the state before a change, which is the one that the latest step left if that was
        seen just now; returns its digest for the event."""
        if clock.monotonic() - self._seen > RECENT:
            self._scan_again()
        self._before = self._last = self.reference.keep(self._last)
        return self.reference.save_before(self._before)

    def violations(self, step: Step) -> StepViolations:
        """Compare the project after a step; nothing is restored yet."""
        if step.is_gate:
            self._before = self._last
        self._scan_again()
        mounted = [f"mounted something on {printable_path(path)}" for path in self._new_mounts()]
        return self._compared_with_policy(step).with_words(mounted)

    def _scan_again(self) -> None:
        self._last = self.reference.scan(self._last)
        self._seen = clock.monotonic()

    def _new_mounts(self) -> list[bytes]:
        return sorted(mount_points(self._root) - self._mounts)

    def _comparison(self) -> ProjectComparison:
        return ProjectComparison(
            self._rules, self.reference.ignored, self.reference.tree, self._before, self._last
        )

    def _compared_with_policy(self, step: Step) -> StepViolations:
        return self._comparison().violations(step, self._policy, self._changed_lines)

    def change_diff(self) -> ChangeDiff:
        """The diff of the latest change, once its violations are restored. Raises TamperError."""
        paths = self._comparison().written()
        return describe(paths, self._before, self._last, self._kept, self._present)

    def _kept(self, path: bytes, entry: Entry) -> bytes | None:
        self._tick(0)
        with contextlib.suppress(TamperError):
            return self.reference.read(entry, COMPARED) if entry.is_hashed else None
        return None

    def _present(self, path: bytes, entry: Entry) -> bytes | None:
        with contextlib.suppress(OSError):
            return files.read(os.path.join(self._root, os.fsdecode(path)), limit=COMPARED)
        return None

    def _changed_lines(self, path: bytes) -> int:
        """Lines that the change added to and removed from one file; a symlink is one line."""
        self._tick(0)
        old, new = self._before.get(path), self._last.get(path)
        return changed_lines(self._bytes_before(old), self._bytes_now(path, new))

    def _bytes_before(self, entry: Entry | None) -> bytes:
        if entry is not None and entry.is_hashed:
            return self.reference.read(entry, LARGEST + 1)
        return _target(entry)

    def _bytes_now(self, path: bytes, entry: Entry | None) -> bytes:
        if entry is None or entry.kind != FILE:
            return _target(entry)
        try:
            return files.read(os.path.join(self._root, os.fsdecode(path)), limit=LARGEST + 1)
        except OSError:
            return b""

    # --- restoring ---

    def restore(self, step: Step, found: StepViolations, announce: Callable[[str], None]) -> None:
        """Restore the paths that `violations` found, and check the result. announce: see
        Checkpoints.restore. Raises TamperError for paths that cannot be restored."""
        if mounts := self._new_mounts():
            place = os.path.join(self._root, os.fsdecode(mounts[0]))
            raise TamperError(f"something is mounted on {printable(place)}: unmount it")
        for _ in range(_TRIES):
            if found.restores_nothing:
                break
            if found.to_reference:
                self.reference.restore(
                    self._last,
                    self.reference.tree,
                    found.to_reference,
                    announce,
                    self._replaced.keep,
                )
            if found.to_before:
                self.reference.restore(
                    self._last, self._before, found.to_before, announce, self._replaced.keep
                )
            self._scan_again()
            found = self._compared_with_policy(step)  # paths set aside or newly visible
        else:
            raise _not_restorable((*found.to_reference, *found.to_before))
        # A gate would run code, or believe results, that a change put into a cache.
        if not step.is_gate and (cached := self._comparison().cache_changes()):
            self._remove(cached)
        self._clear_byte_code()

    def restore_protected(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Restore all protected paths to the reference; returns them, printable. Raises
        TamperError."""
        self._before = self._last
        paths = self._comparison().to_reference()
        self.restore(Step.VERIFY, StepViolations(to_reference=paths), announce)
        return recorded_paths(paths)

    def keep_best(self) -> str:
        """Save the current project as the best; returns the digest of the checkpoint."""
        self._best = self._last = self.reference.keep(self.reference.scan(self._last))
        return self.reference.save(BEST, self._best)

    def restore_best(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Restore the best checkpoint; returns the restored paths, printable."""
        assert self._best is not None
        self._before = self._best
        self._scan_again()
        first: tuple[bytes, ...] | None = None
        for _ in range(_TRIES):
            strayed = self._comparison().since_before()
            first = strayed if first is None else first
            if not strayed:
                return recorded_paths(first)
            self.reference.restore(self._last, self._best, strayed, announce)
            self._scan_again()
        raise _not_restorable(strayed)

    def _clear_byte_code(self) -> None:
        """Remove byte code beside protected sources: an interpreter would trust it."""
        known = [
            path
            for prefix, _, listing in self._last.changed_folders(self._cleared)
            for name in listing.names
            if is_byte_code(path := prefix + name) and name not in listing.folders
            if not self._rules.protects(path)
        ]
        homes: set[bytes] = set()
        if known:
            homes = {os.path.dirname(p) for p in self.reference.tree if self._rules.protects(p)}
        found = [
            path
            for path in known
            if self._rules.covers(path) or source_folder(path) in homes
            if not self.reference.has_installed(path, self._last[path])
        ]
        if not found:
            self._cleared = self._last
            return
        self._remove(found)

    def _remove(self, paths: Iterable[bytes]) -> None:
        self.reference.remove(self._last, paths)
        self._scan_again()


def _target(entry: Entry | None) -> bytes:
    return entry.target if entry and entry.kind == SYMLINK else b""


def _not_restorable(paths: Iterable[bytes]) -> TamperError:
    left = f"{listed(recorded_paths(paths))} keeps changing or cannot be replaced"
    return TamperError(f"the project cannot be restored: {left}", fix=RESTORE_BY_HAND)
