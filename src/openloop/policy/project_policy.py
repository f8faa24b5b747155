"""Checkpoints of the project, and restoring paths that a step must not change.

A store in the workspace keeps the state when the run began and the state before a change; an
unlinked file, which no command can remove, has the contents of protected files too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from openloop.core.errors import RecordError, TamperError, UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Step
from openloop.fs import files, snapshot
from openloop.fs.checkpoints import Before, Checkpoints, Damaged, Incomplete, UnlinkedCopy
from openloop.fs.content import Tick, no_tick
from openloop.fs.diff import LARGEST, changed_lines, difference, with_folders
from openloop.fs.ignore_rules import IgnoreRules
from openloop.fs.manifest import FILE, FOLDER, SYMLINK, Entry, Manifest
from openloop.fs.mounts import mount_points
from openloop.fs.object_store import ChangedMeanwhile
from openloop.fs.snapshot import Wanted
from openloop.fs.symlinks import Aliases, aliases
from openloop.policy.change_diff import COMPARED, ChangeDiff, describe
from openloop.policy.findings import Findings, listed, readable, shown
from openloop.policy.path_rules import (
    SMALL,
    ProjectBoundary,
    Rules,
    is_byte_code,
    is_litter,
    source_folder,
    too_large,
    unfit,
)
from openloop.policy.replaced_files import ReplacedFiles
from openloop.policy.violations import Comparison, IgnoredPaths
from openloop.record.mission import Mission
from openloop.record.workspace import CHECKPOINTS

REFERENCE, BEFORE, BEST = "reference", "before", "best"  # names of checkpoints in the store
OUTSIDE = "outside"  # paths in the tree that were not of the project when the run began
_IN_STORE = (REFERENCE, BEFORE, BEST, OUTSIDE)
IGNORED, INTENT = "ignored", "intent"  # names of other digests in the record
_WHOLE = 32 << 20  # bytes of a project up to which all of it is kept, for the diffs of changes
_TRIES = 5  # looks at a project that somebody else is writing to


class ProjectPolicy:
    """One project under its policy during a run."""

    def __init__(self, mission: Mission, replaced: ReplacedFiles, tick: Tick = no_tick) -> None:
        """replaced: keeps what the policy restores. tick: see `snapshot.scan`."""
        self._replaced = replaced
        self._tick = tick
        self._root = mission.root
        self._policy = mission.config.policy
        baseline = mission.config.baseline
        self._keeps_best = bool(baseline and baseline.keep_best)
        self._rules = Rules(self._policy)
        self._home = mission.workspace.file(CHECKPOINTS)
        self._where = mission.workspace.shown(CHECKPOINTS)
        self._store = Checkpoints(self._home, tick)
        self._boundary = ProjectBoundary(mission.root, mission.workspace.path, self._rules)
        self._is_small = False  # of how many bytes, see _WHOLE
        self._unlinked: UnlinkedCopy | None = None
        self._best: Manifest | None = None
        self._earlier: Manifest | None = None  # the reference of the run before
        self.unfollowed: list[str] = []  # names of ignore rules that changed since that run
        self._cleared = Manifest({}, 0)  # the latest tree without byte code to remove
        self._mounts = mount_points(mission.root)  # when this process began
        self._digests: dict[str, str] = {}  # of saved checkpoints by name

    @staticmethod
    def has_reference(digests: Mapping[str, str]) -> bool:
        """Whether a run with these digests took one."""
        return REFERENCE in digests

    # --- the checkpoints of a run ---

    def take_reference(self, earlier: Mapping[str, str]) -> dict[str, str]:
        """Save the current project as the reference of a new run. Returns the digests for its
        record. Raises UsageError for a project that no policy can protect.

        earlier: the digests of the run before, for `changed_since`.
        """
        self._make_private_home()
        with contextlib.suppress(Damaged, KeyError):  # removed by a person, or no earlier run
            self._earlier = self._store.load(REFERENCE, earlier[REFERENCE])
        rules = self._boundary.ignored = self._rules_to_follow(earlier)
        first = self._scan(None, self._is_small_and_protected)
        outside = self._boundary.close()
        self._ignored = IgnoredPaths(rules)
        self._rules.follow(self._aliases(first))
        now = self._without_ignored(first)
        for what, fix in unfit(now, self._rules):
            raise UsageError(what, where=self._root, fix=fix)
        self._is_small = _bytes_of(now) <= _WHOLE
        self._reference = self._last = self._before = self._keep(now)
        self._save(REFERENCE, self._reference)
        self._save(OUTSIDE, outside)
        self._store.prune(self._digests.items())
        self._copy_protected()
        self._clear_byte_code()
        return {**self._digests, IGNORED: rules.digest}

    def changed_since(self, run: int) -> list[str]:
        """`tests/t.txt changed since run 3`, for protected paths that a person changed."""
        if self._earlier is None:
            return []
        found = difference(self._earlier, self._reference)
        groups = {"created": found.created, "changed": found.changed, "removed": found.removed}
        return [
            f"{listed(names)} {verb} since run {run}"
            for verb, paths in groups.items()
            if (names := [readable(path) for path in paths if self._rules.protects(path)])
        ]

    def differences(self, digests: Mapping[str, str]) -> list[str]:
        """`changed protected tests/test_a.py` for each path that differs from the reference of an
        earlier process, and ignore rules not followed. Raises TamperError when that is lost."""
        without_intent = {name: digest for name, digest in digests.items() if name != INTENT}
        self.load_reference(without_intent)
        now = IgnoreRules.read(self._root, f"{self._home}/{IGNORED}", self._tick)
        unfollowed = self._unfollowed(now, self._ignored.rules)
        rules = [f"the ignore rules changed in {listed(unfollowed)}"] if unfollowed else []
        return self._comparison().protected_words() + rules

    def _rules_to_follow(self, earlier: Mapping[str, str]) -> IgnoreRules:
        """The current ignore rules, or those of the run before if a change, or a process it left,
        may have written the new ones."""
        home = f"{self._home}/{IGNORED}"
        now = IgnoreRules.read(self._root, home, self._tick)
        with contextlib.suppress(TamperError, KeyError):  # removed by a person, or no earlier run
            before = IgnoreRules.load(self._root, home, earlier[IGNORED])
            if unfollowed := self._unfollowed(now, before):
                self.unfollowed = unfollowed
                return before
        now.save(home)
        return now

    def _unfollowed(self, now: IgnoreRules, before: IgnoreRules) -> list[str]:
        """The names of the rules that differ and that a change could have written."""
        names = now.changed_since(before) if self._rules.limits_changes else ()
        return [name for name in names if self._rules.leave_open(os.fsencode(name))]

    def _is_small_and_protected(self, path: bytes) -> bool:
        if not self._rules.protects(path):
            return False
        with contextlib.suppress(OSError):
            return os.lstat(os.path.join(os.fsencode(self._root), path)).st_size <= SMALL
        return True

    def _make_private_home(self) -> None:
        """Create the store's folder for this user only: it has private files. Raises UsageError."""
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._home, 0o700)
            folder = files.open_folder(self._home)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise UsageError(
                f"{CHECKPOINTS} is not a folder", where=self._where, fix="remove it, then run again"
            ) from None
        try:
            if stat.S_IMODE(os.fstat(folder).st_mode) != 0o700:
                os.fchmod(folder, 0o700)
        finally:
            os.close(folder)

    def _aliases(self, tree: Manifest) -> Aliases:
        """Other names of symlink targets, without ignored ones: a build that the tests link to is
        rewritten again and again."""
        found = aliases(self._root, tree)
        ignored = self._ignored.among(found, tree)
        return {place: links for place, links in found.items() if place not in ignored}

    def load_reference(self, digests: Mapping[str, str]) -> list[str]:
        """Load the checkpoints of an earlier process and finish an interrupted restore. Returns the
        paths it restored, printable.

        digests: those in the record. Raises TamperError when the store does not match them, or a
        path cannot be restored.
        """
        self._make_private_home()
        self._digests = {name: digests[name] for name in _IN_STORE if name in digests}
        home = f"{self._home}/{IGNORED}"
        rules = self._boundary.ignored = IgnoreRules.load(self._root, home, digests[IGNORED])
        self._ignored = IgnoredPaths(rules)
        restored: tuple[bytes, ...] = ()
        if INTENT in digests:
            with _as_tampering():
                restored = self._store.recover(self._root, digests[INTENT], self._replaced.keep)
        self._boundary.resume(self._load(OUTSIDE))
        self._reference = self._load(REFERENCE)
        self._is_small = _bytes_of(self._reference) <= _WHOLE
        self._rules.follow(self._aliases(self._reference))
        self._last = self._without_ignored(self._reference)
        self._before = self._load(BEFORE) if BEFORE in digests else self._last
        self._best = self._load(BEST) if BEST in digests else None
        self._copy_protected()
        return [readable(path) for path in restored]

    def _without_ignored(self, known: Manifest) -> Manifest:
        """Scan without hashing the files that were ignored when the run began."""
        rules = self._ignored.rules
        found = rules.ignored(path for path, entry in known.items() if entry.kind != FOLDER)
        protected = set(filter(self._rules.covers, found))
        unhashed = (found - protected) | set(too_large(protected, known))
        self._ignored = IgnoredPaths(rules, frozenset(unhashed))
        return self._scan(known)

    def _scan(self, before: Manifest | None, wanted: Wanted | None = None) -> Manifest:
        return snapshot.scan(
            self._root,
            skip=self._boundary,
            before=before,
            wanted=wanted or self._is_wanted,
            tick=self._tick,
        )

    def _is_wanted(self, path: bytes) -> bool:
        return path not in self._ignored.files

    def _keep(self, now: Manifest) -> Manifest:
        """Copy the contents that a restore may need. Returns the manifest of the copy, `now` unless
        a file changed meanwhile. Raises RecordError."""
        whole = self._keeps_best or self._rules.limits_changes or self._is_small
        needed = self._is_wanted if whole else self._rules.protects
        for _ in range(_TRIES):
            with contextlib.suppress(ChangedMeanwhile):  # an editor, a hook: look again
                if self._rules.withholds_any:  # in packs of their own, which `copies` names
                    self._store.keep(self._root, now, self._rules.withholds)
                self._store.keep(self._root, now, needed)
                return now
            now = self._scan(now)
        raise RecordError(
            "the project keeps changing while it is copied",
            where=self._root,
            fix="stop what writes to it while nothing of the loop runs",
        )

    def _load(self, name: str) -> Manifest:
        with _as_tampering():
            return self._store.load(name, self._digests[name])

    def _save(self, name: str, tree: Manifest) -> str:
        self._digests[name] = digest = self._store.save(name, tree)
        return digest

    def _copy_protected(self) -> None:
        paths = [path for path in self._reference if self._rules.protects(path)]
        # In a resumed run protected files may differ already; then the store has them.
        with contextlib.suppress(ChangedMeanwhile):
            self._unlinked = UnlinkedCopy(self._root, self._reference, paths, folder=self._home)

    # --- around the steps ---

    def changes_of_hook(self) -> tuple[str, tuple[str, ...]]:
        """Accept the changes of a hook, so that no step is blamed for them, but restore protected
        files. Returns (the changes in words, "" for none; the restored paths, printable)."""
        self._before = self._last
        self._last = self._scan(self._last)
        compared = self._comparison()
        words = compared.since_before_words()
        if strayed := compared.protected():
            self._restore(self._reference, strayed, lambda digest: None, self._replaced.keep)
            self._last = self._scan(self._last)
        return words, shown(path for path in strayed if not is_litter(path))

    def before_change(self) -> str:
        """Save the state before a change; returns its digest for the event."""
        self._before = self._last = self._keep(self._scan(self._last))
        on_record = set(self._digests.items())
        digest = self._save(BEFORE, self._before)
        with contextlib.suppress(Damaged):  # reported when something has to come from there
            self._store.prune(on_record | {(BEFORE, digest)})
        return digest

    def copies(self) -> list[str]:
        """Absolute paths of the store's files that hold contents of withheld files."""
        if not self._rules.withholds_any:
            return []
        withheld = [e for path, e in self._reference.items() if self._rules.withholds(path)]
        return self._store.places(withheld) if withheld else []

    def violations(self, step: Step) -> Findings:
        """Compare the project after a step; nothing is restored yet."""
        if step.is_gate:
            self._before = self._last
        self._last = self._scan(self._last)
        mounted = [f"mounted something on {readable(path)}" for path in self._new_mounts()]
        return self._compared_with_policy(step).with_words(mounted)

    def _new_mounts(self) -> list[bytes]:
        return sorted(mount_points(self._root) - self._mounts)

    def _comparison(self) -> Comparison:
        return Comparison(self._rules, self._ignored, self._reference, self._before, self._last)

    def _compared_with_policy(self, step: Step) -> Findings:
        return self._comparison().violations(step, self._policy, self._changed_lines)

    def change_diff(self) -> ChangeDiff:
        """What the latest change left different, once its violations are restored. Raises
        TamperError."""
        paths = self._comparison().written()
        return describe(paths, self._before, self._last, self._kept, self._present)

    def _kept(self, path: bytes, entry: Entry) -> bytes | None:
        self._tick(0)
        with contextlib.suppress(Damaged):
            return self._store.read(entry, COMPARED) if entry.is_hashed else None
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
            with _as_tampering():
                return self._store.read(entry, LARGEST + 1)
        return _target(entry)

    def _bytes_now(self, path: bytes, entry: Entry | None) -> bytes:
        if entry is None or entry.kind != FILE:
            return _target(entry)
        try:
            return files.read(os.path.join(self._root, os.fsdecode(path)), limit=LARGEST + 1)
        except OSError:
            return b""

    # --- restoring ---

    def restore(self, step: Step, found: Findings, announce: Callable[[str], None]) -> None:
        """Restore the paths that `violations` found, and check the result. announce: see
        Checkpoints.restore. Raises TamperError for paths that cannot be restored."""
        if mounts := self._new_mounts():
            place = os.path.join(self._root, os.fsdecode(mounts[0]))
            raise TamperError(f"something is mounted on {printable(place)}: unmount it")
        for _ in range(_TRIES):
            if found.restores_nothing:
                break
            if found.to_reference:
                self._restore(self._reference, found.to_reference, announce, self._replaced.keep)
            if found.to_before:
                self._restore(self._before, found.to_before, announce, self._replaced.keep)
            self._last = self._scan(self._last)
            found = self._compared_with_policy(step)  # paths set aside or newly visible
        else:
            raise _not_restorable((*found.to_reference, *found.to_before))
        self._clear_byte_code()

    def restore_protected(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Restore all protected paths to the reference; returns them, printable. Raises
        TamperError."""
        self._before = self._last
        paths = self._comparison().protected()
        self.restore(Step.VERIFY, Findings(to_reference=tuple(paths)), announce)
        return shown(paths)

    def _restore(
        self,
        target: Manifest,
        paths: Iterable[bytes],
        announce: Callable[[str], None],
        before: Before | None = None,
    ) -> None:
        with _as_tampering():
            self._store.restore(
                self._root,
                self._last,
                target,
                with_folders(paths, self._last, target),
                unlinked=self._unlinked,
                announce=announce,
                before=before,
            )

    def keep_best(self) -> str:
        """Save the current project as the best; returns the digest of the checkpoint."""
        self._best = self._last = self._keep(self._scan(self._last))
        return self._save(BEST, self._best)

    def restore_best(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Restore the best checkpoint; returns the restored paths, printable."""
        assert self._best is not None
        self._before = self._best
        self._last = self._scan(self._last)
        first: tuple[bytes, ...] | None = None
        for _ in range(_TRIES):
            strayed = self._comparison().since_before()
            first = strayed if first is None else first
            if not strayed:
                return shown(first)
            self._restore(self._best, strayed, announce)
            self._last = self._scan(self._last)
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
            homes = {os.path.dirname(p) for p in self._reference if self._rules.protects(p)}
        found = [path for path in known if self._rules.covers(path) or source_folder(path) in homes]
        if not found:
            self._cleared = self._last
            return
        with _as_tampering():
            self._store.restore(self._root, self._last, Manifest({}, 0), found)
        self._last = self._scan(self._last)


def _bytes_of(tree: Manifest) -> int:
    """Of all files whose content is known."""
    return sum(entry.size for _, entry in tree.items() if entry.is_hashed)


def _target(entry: Entry | None) -> bytes:
    return entry.target if entry and entry.kind == SYMLINK else b""


@contextlib.contextmanager
def _as_tampering() -> Iterator[None]:
    """Report damage to the checkpoint store as tampering by a command."""
    try:
        yield
    except (Damaged, Incomplete, ChangedMeanwhile) as error:
        raise TamperError(str(error), fix=_BY_HAND) from None


def _not_restorable(paths: Iterable[bytes]) -> TamperError:
    left = f"{listed(shown(paths))} keeps changing or cannot be replaced"
    return TamperError(f"the project cannot be restored: {left}", fix=_BY_HAND)


_BY_HAND = "restore it by hand, from version control or a copy of your own"
