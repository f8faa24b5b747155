"""The reference of a run: the project as it was when the run began, kept in the workspace.

A store in the workspace keeps it, with the state before a change and the best one; an unlinked
file, which no command can remove, has the contents of protected files too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from openloop.core.errors import RecordError, TamperError, UsageError
from openloop.core.text import printable_path
from openloop.fs import files, snapshot
from openloop.fs.checkpoints import (
    Checkpoints,
    DamagedStore,
    IncompleteRestore,
    KeepReplaced,
    UnlinkedCopy,
)
from openloop.fs.content import Tick
from openloop.fs.diff import difference, same, with_folders
from openloop.fs.ignore_rules import reader
from openloop.fs.ignore_rules.rules import IgnoreRules
from openloop.fs.manifest import FILE, FOLDER, Entry, Manifest
from openloop.fs.object_store import ChangedMeanwhile
from openloop.fs.snapshot import Hasher, Wanted
from openloop.fs.symlinks import Aliases, aliases
from openloop.policy.path_rules import (
    HASHED,
    KEPT,
    SMALL,
    PathRules,
    ProjectBoundary,
    incomparable_paths,
    is_byte_code,
    largest_exceeding,
    source_folder,
)
from openloop.policy.step_violations import listed
from openloop.policy.violations import IgnoredPaths
from openloop.record.mission import Mission
from openloop.record.workspace import CHECKPOINTS

REFERENCE, BEFORE, BEST = "reference", "before", "best"  # names of checkpoints in the store
OUTSIDE = "outside"  # paths in the tree that were not of the project when the run began
_IN_STORE = (REFERENCE, BEFORE, BEST, OUTSIDE)
IGNORED, INTENT = "ignored", "intent"  # names of other digests in the record
RESTORE_BY_HAND = (
    "restore it by hand, from version control or a copy of your own; if it is part of a "
    "dependency, install that again"
)
_WHOLE = 32 << 20  # bytes of a project up to which all of it is kept, for the diffs of changes
_TRIES = 5  # scans of a project that somebody else is writing to


class ProjectReference:
    """The reference that a project is compared with and restored from during a run."""

    ignored: IgnoredPaths  # when the run began

    def __init__(self, mission: Mission, rules: PathRules, tick: Tick) -> None:
        """tick: see `snapshot.scan`."""
        self.tree = Manifest({}, 0)  # the reference itself, empty until it is taken or loaded
        self._tick = tick
        self._root = mission.root
        baseline = mission.config.baseline
        self._keeps_all = rules.limits_changes or bool(baseline and baseline.keep_best)
        self._rules = rules
        self._home = mission.workspace.file(CHECKPOINTS)
        self._where = mission.workspace.shown(CHECKPOINTS)
        self._store = Checkpoints(self._home, tick)
        self._boundary = ProjectBoundary(mission.root, mission.workspace.path, rules)
        self._unlinked: UnlinkedCopy | None = None
        self.changed: list[str] = []  # protected paths that changed since the run before, in words
        self.unfollowed: list[str] = []  # names of ignore rules that changed since that run
        self._unkept: frozenset[bytes] = frozenset()  # files whose contents are never copied
        self._installed: set[bytes] = set()  # byte code of protected, ignored sources
        self._digests: dict[str, str] = {}  # of saved checkpoints by name

    # --- taking and loading it ---

    def take(self, earlier: Mapping[str, str]) -> dict[str, str]:
        """Save the current project as the reference of a new run. Returns the digests for its
        record. Raises UsageError for a project that no policy can protect.

        earlier: the digests of the run before, for `changed` and `unfollowed`.
        """
        self._make_private_home()
        rules = self._boundary.ignored = self._rules_to_follow(earlier)
        first = self.scan(None, _no_file)
        outside = self._boundary.close()
        self.ignored = IgnoredPaths(rules)
        self._rules.follow(self._aliases(first))
        self._sort_out_ignored(first)
        with self._store.hasher(self._is_kept_with_others) as hasher:
            now = self.scan(first, hasher=hasher)
        for what, fix in incomparable_paths(now, self._rules):
            raise UsageError(what, where=self._root, fix=fix)
        self.tree = self.keep(now)
        self.changed = self._changed_since(earlier)
        self.save(REFERENCE, self.tree)
        self.save(OUTSIDE, outside)
        self._store.prune(self._digests.items())
        self._copy_protected()
        return {**self._digests, IGNORED: rules.digest}

    def load(
        self, digests: Mapping[str, str], keep_replaced: KeepReplaced
    ) -> tuple[Manifest, list[str]]:
        """Load the reference of an earlier process and finish an interrupted restore. Returns (the
        project as it is now, the restored paths, printable).

        digests: those in the record. Raises TamperError when the store does not match them, or a
        path cannot be restored.
        """
        self._make_private_home()
        self._digests = {name: digests[name] for name in _IN_STORE if name in digests}
        home = f"{self._home}/{IGNORED}"
        rules = self._boundary.ignored = IgnoreRules.load(self._root, home, digests[IGNORED])
        self.ignored = IgnoredPaths(rules)
        restored: tuple[bytes, ...] = ()
        if INTENT in digests:
            with _as_tampering():
                restored = self._store.recover(self._root, digests[INTENT], keep_replaced)
        self._boundary.resume(self.checkpoint(OUTSIDE))
        self.tree = self.checkpoint(REFERENCE)
        self._rules.follow(self._aliases(self.tree))
        self._sort_out_ignored(self.tree)
        now = self.scan(self.tree)
        self._copy_protected()
        return now, [printable_path(path) for path in restored]

    def _changed_since(self, earlier: Mapping[str, str]) -> list[str]:
        """`tests/t.txt changed`, for protected paths that a person changed."""
        try:
            before = self._store.load(REFERENCE, earlier[REFERENCE], self.tree)
        except (DamagedStore, KeyError):  # removed by a person, or no earlier run
            return []
        found = difference(before, self.tree)
        groups = {"created": found.created, "changed": found.changed, "removed": found.removed}
        return [
            f"{listed(names)} {verb}"
            for verb, paths in groups.items()
            if (names := [printable_path(path) for path in paths if self._rules.protects(path)])
        ]

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
        """Other names of symlink targets. Ignored targets are left out: a build that the tests link
        to is rewritten again and again. So are ignored symlinks: npm links the packages of a
        workspace, whose sources are to be changed, into node_modules."""
        found = aliases(self._root, tree)
        links = {link for names in found.values() for link in names}
        ignored = self.ignored.among({*found, *links}, tree)
        kept = {
            place: tuple(link for link in names if link not in ignored)
            for place, names in found.items()
            if place not in ignored
        }
        return {place: names for place, names in kept.items() if names}

    def _copy_protected(self) -> None:
        paths = [path for path in self.tree if self._rules.protects(path)]
        paths = [path for path in paths if path not in self._unkept]
        # In a resumed run protected files may differ already; then the store has them.
        with contextlib.suppress(ChangedMeanwhile):
            self._unlinked = UnlinkedCopy(
                self._root, self.tree, paths, folder=self._home, tick=self._tick
            )

    # --- ignore rules ---

    def _rules_to_follow(self, earlier: Mapping[str, str]) -> IgnoreRules:
        """The current ignore rules, or those of the run before if a change, or a process it left,
        may have written the new ones."""
        home = f"{self._home}/{IGNORED}"
        now = reader.read(self._root, home, self._tick)
        with contextlib.suppress(TamperError, KeyError):  # removed by a person, or no earlier run
            before = IgnoreRules.load(self._root, home, earlier[IGNORED])
            if unfollowed := self._unfollowed(now, before):
                self.unfollowed = unfollowed
                return before
        now.save(home)
        return now

    def changed_ignore_rules(self) -> list[str]:
        """The names of the ignore rules that differ from those of the reference and that a change
        could have written."""
        now = reader.read(self._root, f"{self._home}/{IGNORED}", self._tick)
        return self._unfollowed(now, self.ignored.rules)

    def _unfollowed(self, now: IgnoreRules, before: IgnoreRules) -> list[str]:
        names = now.changed_since(before) if self._rules.limits_changes else ()
        return [name for name in names if self._rules.leaves_open(os.fsencode(name))]

    # --- scanning the project ---

    def scan(
        self,
        before: Manifest | None,
        wanted: Wanted | None = None,
        hasher: Hasher | None = None,
    ) -> Manifest:
        """The project as it is now; the files that were ignored at first are not hashed."""
        return snapshot.scan(
            self._root,
            skip=self._boundary,
            before=before,
            wanted=wanted or self._is_wanted,
            hasher=hasher,
            tick=self._tick,
        )

    def _is_wanted(self, path: bytes) -> bool:
        return path not in self.ignored.files

    def _sort_out_ignored(self, known: Manifest) -> None:
        """Find out which files are ignored: later scans hash only the protected ones, and the
        contents of large ones are not copied."""
        rules = self.ignored.rules
        found = rules.ignored(path for path, entry in known.items() if entry.kind != FOLDER)
        protected = set(filter(self._rules.covers, found))
        unhashed = (found - protected) | set(largest_exceeding(HASHED, protected, known))
        self.ignored = IgnoredPaths(rules, frozenset(unhashed))
        large = {path for path in protected if known[path].size > SMALL}
        self._unkept = frozenset(large.union(largest_exceeding(KEPT, protected - large, known)))
        homes = {os.path.dirname(path) for path in protected if not is_byte_code(path)}
        self._installed = {
            path for path in protected if is_byte_code(path) and source_folder(path) in homes
        }
        sizes = (e.size for path, e in known.items() if e.kind == FILE and path not in found)
        self._keeps_all = self._keeps_all or sum(sizes) <= _WHOLE

    def has_installed(self, byte_code: bytes, now: Entry) -> bool:
        """Whether byte code of dependencies is what it was when the run began: with it a gate
        starts seconds earlier."""
        then = self.tree.get(byte_code) if byte_code in self._installed else None
        return then is not None and same(then, now)

    # --- the store ---

    def _is_kept_with_others(self, path: bytes) -> bool:
        """Whether `keep` copies the file, and not into a pack for withheld ones."""
        return self._is_kept(path) and not self._rules.withholds(path)

    def _is_kept(self, path: bytes) -> bool:
        if path in self._unkept or not self._is_wanted(path):
            return False
        return self._keeps_all or self._rules.protects(path)

    def keep(self, now: Manifest) -> Manifest:
        """Copy the contents that a restore may need. Returns the manifest of the copy, `now` unless
        a file changed meanwhile. Raises RecordError."""
        for _ in range(_TRIES):
            with contextlib.suppress(ChangedMeanwhile):  # by an editor or a hook: scan again
                if self._rules.withholds_any:  # in packs of their own, which `copies` names
                    self._store.keep(self._root, now, self._rules.withholds)
                self._store.keep(self._root, now, self._is_kept)
                return now
            now = self.scan(now)
        raise RecordError(
            "the project keeps changing while it is copied",
            where=self._root,
            fix="stop what writes to it while nothing of the loop runs",
        )

    def save(self, name: str, tree: Manifest) -> str:
        """Save a checkpoint; returns its digest."""
        self._digests[name] = digest = self._store.save(name, tree)
        return digest

    def save_before(self, tree: Manifest) -> str:
        """Save the state before a change and drop those of earlier changes; returns its digest."""
        on_record = set(self._digests.items())
        digest = self.save(BEFORE, tree)
        if (BEFORE, digest) in on_record:
            return digest
        with contextlib.suppress(DamagedStore):  # reported when something has to come from there
            self._store.prune(on_record | {(BEFORE, digest)})
        return digest

    def checkpoint(self, name: str) -> Manifest:
        """A saved checkpoint. Raises TamperError."""
        with _as_tampering():
            return self._store.load(name, self._digests[name], self.tree)

    def read(self, entry: Entry, limit: int) -> bytes:
        """The kept bytes of a file, at most `limit`. Raises TamperError."""
        with _as_tampering():
            return self._store.read(entry, limit)

    def copies(self) -> list[str]:
        """Absolute paths of the store's files that hold contents of withheld files."""
        if not self._rules.withholds_any:
            return []
        withheld = [e for path, e in self.tree.items() if self._rules.withholds(path)]
        return self._store.places(withheld) if withheld else []

    def restore(
        self,
        now: Manifest,
        target: Manifest,
        paths: Iterable[bytes],
        announce: Callable[[str], None],
        keep_replaced: KeepReplaced | None = None,
    ) -> None:
        """Restore paths, and the folders they need, to what `target` says of them. now, announce,
        keep_replaced: see `Checkpoints.restore`. Raises TamperError."""
        with _as_tampering():
            self._store.restore(
                self._root,
                now,
                target,
                with_folders(paths, now, target),
                unlinked=self._unlinked,
                announce=announce,
                keep_replaced=keep_replaced,
            )

    def remove(self, now: Manifest, paths: Iterable[bytes]) -> None:
        """Remove paths from the project. Raises TamperError."""
        with _as_tampering():
            self._store.restore(self._root, now, Manifest({}, 0), paths)


def _no_file(path: bytes) -> bool:
    return False


@contextlib.contextmanager
def _as_tampering() -> Iterator[None]:
    """Report damage to the checkpoint store as tampering by a command."""
    try:
        yield
    except (DamagedStore, IncompleteRestore, ChangedMeanwhile) as error:
        raise TamperError(str(error), fix=RESTORE_BY_HAND) from None
