"""The workspace's holdout/ folder, which no gate may rewrite: restored after each of them.

Changes are judged by these files, and gates run code that changes wrote. While a gate runs there
are two copies: an unlinked file, which no command can remove, and the folder `withheld/holdout/`,
which outlives this process. The record has a digest of the folder, which a resumed run checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator

from openloop.core.errors import TamperError
from openloop.core.text import printable
from openloop.fs import dirfd, snapshot
from openloop.fs import restore as restoring
from openloop.fs.checkpoints import UnlinkedCopy
from openloop.fs.content import FileSection, Tick, no_tick
from openloop.fs.diff import difference
from openloop.fs.manifest import Entry, Manifest, to_text
from openloop.fs.object_store import ChangedMeanwhile
from openloop.policy.path_rules import is_litter
from openloop.record.workspace import HOLDOUT, HOLDOUT_COPY, Workspace

_NAME = os.fsencode(HOLDOUT)
_NOTHING = Manifest({}, 0)


class Holdout:
    """The folder during a run; without `take_reference`, nothing of it was there at the start."""

    def __init__(self, workspace: Workspace, tick: Tick = no_tick, show: Tick = no_tick) -> None:
        """tick: see `snapshot.scan`. show: called while the folder is compared and restored,
        in place of tick; it must not raise, because a restore is never cut short."""
        self._root = workspace.path
        self._copy = workspace.file(HOLDOUT_COPY)
        self._tick = tick
        self._show = show
        self._unlinked: UnlinkedCopy | None = None
        self._reference = self._last = _NOTHING

    def take_reference(self) -> str:
        """Scan the folder as the reference; returns its digest, "" without one. Raises OSError."""
        self._reference = self._last = self._scan(self._root)
        return _digest(self._reference)

    def copy_contents(self) -> None:
        """Copy its contents before a gate runs. If they have changed already there is no copy,
        which `restore` reports."""
        if not self._reference:
            return
        with contextlib.suppress(ChangedMeanwhile, OSError):
            tree = self._reference
            self._unlinked = UnlinkedCopy(
                self._root, tree, tree, folder=self._root, tick=self._tick
            )
            self.remove_copy()
            intent = restoring.plan(os.path.dirname(self._copy), _NOTHING, tree, tree)
            restoring.carry_out(intent, self._find, keep_times=True, tick=self._tick)

    def remove_copy(self) -> None:
        """Remove `withheld/holdout/`, which no change may read. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # a gate removed its home
            dirfd.remove_path(self._copy)

    def place_of_copy(self, digest: str) -> str:
        """The place in the workspace of the copy that a killed run left, in words; "" when there is
        none with this digest."""
        try:
            copy = self._scan(os.path.dirname(self._copy))
        except OSError:
            return ""
        return f"; a copy as it was then is in {HOLDOUT_COPY}/" if _digest(copy) == digest else ""

    def changes(self) -> list[str]:
        """The gate's changes and removals in it, printable; nothing is restored yet. New files and
        litter are no violation: `restore` removes them."""
        self._last = snapshot.scan(
            self._root,
            skip=_is_outside,
            before=self._last,
            wanted=self._has_size_of_reference,
            tick=self._show,
        )
        found = difference(self._reference, self._last)
        changed = [("changed", path) for path in (*found.changed, *found.changed_folders)]
        removed = [("removed", path) for path in (*found.removed, *found.removed_folders)]
        return [
            f"{done} {printable(to_text(path))} while it ran"
            for done, path in (*changed, *removed)
            if not is_litter(path.removeprefix(_NAME + b"/"))
        ]

    def restore(self) -> None:
        """Restore it, then remove both copies, out of any change's reach. Raises TamperError, and
        then `withheld/holdout/` stays, OSError."""
        try:
            if paths := difference(self._reference, self._last).paths:
                intent = restoring.plan(self._root, self._last, self._reference, paths)
                _raise_for(restoring.carry_out(intent, self._find, tick=self._show))
            self.remove_copy()
        finally:
            if self._unlinked:
                self._unlinked.close()
            self._unlinked = None

    def _scan(self, root: str) -> Manifest:
        return snapshot.scan(root, skip=_is_outside, tick=self._tick)

    def _has_size_of_reference(self, path: bytes) -> bool:
        """Whether a file has the size that it had: any other has changed, whatever its hash."""
        entry = self._reference.get(path)
        try:
            size = os.lstat(os.path.join(os.fsencode(self._root), path)).st_size
        except OSError:
            return False
        return entry is not None and entry.size == size

    def _find(self, entry: Entry) -> Iterator[FileSection]:
        return self._unlinked.find(entry) if self._unlinked else iter(())


def _raise_for(failures: list[restoring.NotRestored]) -> None:
    if failures:
        raise TamperError(
            f"{printable(to_text(failures[0].path))} is not what it was when the run began and "
            f"cannot be restored: {failures[0].why}",
            fix=f"look at it; a copy as it was is in {HOLDOUT_COPY}/, if the disk had room for one",
        )


def _is_outside(path: bytes, is_folder: bool) -> bool:
    return path.split(b"/", 1)[0] != _NAME


def _digest(tree: Manifest) -> str:
    """A digest of paths, kinds, modes and contents, not of times and inodes; "" for no path."""
    if not tree:
        return ""
    rows = [(to_text(path), entry.kind, entry.mode, entry.content) for path, entry in tree.items()]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
