"""The workspace's holdout/ folder, which no gate may rewrite: restored after each of them.

Changes are judged by these files, and gates run code that changes wrote. While a gate runs, an
unlinked file holds a copy. The record has a digest of the folder, which a resumed run checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator

from openloop.core.errors import TamperError
from openloop.core.text import printable
from openloop.fs import restore as restoring
from openloop.fs import snapshot
from openloop.fs.checkpoints import UnlinkedCopy
from openloop.fs.content import FileSection, Tick, no_tick
from openloop.fs.diff import difference
from openloop.fs.manifest import Entry, Manifest, to_text
from openloop.fs.object_store import ChangedMeanwhile
from openloop.policy.path_rules import is_litter
from openloop.record.workspace import HOLDOUT, Workspace

_NAME = os.fsencode(HOLDOUT)


class Holdout:
    """The folder during a run; without `take_reference`, nothing of it was there at the start."""

    def __init__(self, workspace: Workspace, tick: Tick = no_tick, show: Tick = no_tick) -> None:
        """tick: see `snapshot.scan`. show: called instead while the folder is restored, which is
        always finished: nothing but the copy has its contents."""
        self._root = workspace.path
        self._tick = tick
        self._show = show
        self._unlinked: UnlinkedCopy | None = None
        self._reference = self._last = Manifest({}, 0)

    def take_reference(self) -> str:
        """Scan the folder as the reference; returns its digest, "" without one. Raises OSError."""
        self._reference = self._last = self._scan(None)
        return _digest(self._reference) if self._reference else ""

    def copy_contents(self) -> None:
        """Copy its contents before a gate runs. If they have changed already there is no copy,
        which `restore` reports."""
        if not self._reference:
            return
        with contextlib.suppress(ChangedMeanwhile, OSError):
            paths = self._reference
            self._unlinked = UnlinkedCopy(
                self._root, paths, paths, folder=self._root, tick=self._tick
            )

    def changes(self) -> list[str]:
        """The gate's changes and removals in it, printable; nothing is restored yet. New files and
        litter are no violation: `restore` removes them."""
        self._last = self._scan(self._last)
        found = difference(self._reference, self._last)
        changed = [("changed", path) for path in (*found.changed, *found.changed_folders)]
        removed = [("removed", path) for path in (*found.removed, *found.removed_folders)]
        return [
            f"{done} {printable(to_text(path))} while it ran"
            for done, path in (*changed, *removed)
            if not is_litter(path.removeprefix(_NAME + b"/"))
        ]

    def restore(self) -> None:
        """Restore it and close the copy, out of any change's reach. Raises TamperError, OSError."""
        try:
            if paths := difference(self._reference, self._last).paths:
                intent = restoring.plan(self._root, self._last, self._reference, paths)
                _refuse(restoring.carry_out(intent, self._find, tick=self._show))
        finally:
            if self._unlinked:
                self._unlinked.close()
            self._unlinked = None

    def _scan(self, before: Manifest | None) -> Manifest:
        return snapshot.scan(self._root, skip=_is_outside, before=before, tick=self._tick)

    def _find(self, entry: Entry) -> Iterator[FileSection]:
        return self._unlinked.find(entry) if self._unlinked else iter(())


def _refuse(failures: list[restoring.NotRestored]) -> None:
    if failures:
        raise TamperError(
            f"{printable(to_text(failures[0].path))} is not what it was when the run began and "
            f"cannot be restored: {failures[0].why}",
            fix="look at it, and take what is missing from your own copy",
        )


def _is_outside(path: bytes, is_folder: bool) -> bool:
    return path.split(b"/", 1)[0] != _NAME


def _digest(tree: Manifest) -> str:
    """A digest of paths, kinds, modes and contents, not of times and inodes."""
    rows = [(to_text(path), entry.kind, entry.mode, entry.content) for path, entry in tree.items()]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
