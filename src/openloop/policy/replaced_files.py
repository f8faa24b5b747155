"""Copies of the files that a restore replaces or removes: a person may have written them.

    replaced/1/tests/test_a.py.replaced     what the first restore found there

A workspace may lie in its project: the suffix keeps test runners and linters, which look for names
in every folder, away from the copies. Nothing is ever removed from this folder of the workspace.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping

from openloop.core.errors import TamperError
from openloop.core.text import printable
from openloop.fs import restore, snapshot
from openloop.fs.content import FileSection, Tick
from openloop.fs.dirfd import OWNER
from openloop.fs.manifest import FILE, FOLDER, MODE, SYMLINK, Entry, Manifest, to_text
from openloop.fs.object_store import ChangedMeanwhile, sources
from openloop.fs.restore import RestoreIntent
from openloop.fs.snapshot import Skip, Wanted
from openloop.policy.path_rules import AGENT_FILES, is_litter
from openloop.policy.violations import folders_above_any
from openloop.record.workspace import REPLACED, Workspace

SUFFIX = b".replaced"
MOST_FILES = 10_000  # in the folder, when a run adds to it
MOST_BYTES = 1 << 28  # on the disk, likewise: holes do not count
_BLOCK = 512  # bytes; the unit of st_blocks
_NOTHING = Manifest({}, 0)
_FOLDER = Entry(FOLDER, (0, 0, 0, 0, 0, stat.S_IFDIR | OWNER))


class ReplacedFiles:
    """The copies in one workspace.

    must_keep: refuse a restore that cannot keep every replaced file. Set between runs, when the
    edits may be a person's; during a run, commands could fill the disk."""

    def __init__(self, workspace: Workspace, tick: Tick) -> None:
        """tick: see `snapshot.scan`."""
        self._workspace = workspace.path
        self._tick = tick
        self._places: dict[str, None] = {}  # of the copies since the last call of `words`
        self._left_out: list[str] = []  # since then, in words
        self.must_keep = True

    def words(self) -> str:
        """Where the copies since the last call are, as the end of a sentence; "" for none."""
        places = ", ".join(self._places)
        words = f"; the replaced content is kept in {places}" if places else ""
        if self._left_out:
            more = f" and {len(self._left_out) - 1} more" if self._left_out[1:] else ""
            words += f"; not kept: {self._left_out[0]}{more}"
        self._places, self._left_out = {}, []
        return words

    def keep(self, intent: RestoreIntent) -> None:
        """Copy the files and symlinks that the intent replaces or removes, unless an earlier copy
        is the same. Raises TamperError for too many if `must_keep` is set, OSError."""
        found = self._replaced_by(intent)
        if not found:
            return
        home = os.path.join(self._workspace, REPLACED)
        copies = {path + SUFFIX: path for path in found}
        earlier = self._scan(home, lambda path: path.partition(b"/")[2] in copies)
        known = {}
        for path, entry in earlier.items():
            number, _, copy = path.partition(b"/")
            known[copies.get(copy), entry.content] = number
        numbers = {known.get((path, entry.content), b"") for path, entry in found.items()}
        new = {path: e for path, e in found.items() if (path, e.content) not in known}
        if fitting := self._fitting(intent.root, new, earlier):
            number = b"%d" % (1 + max(map(int, filter(bytes.isdigit, earlier)), default=0))
            self._copy(intent.root, fitting, number)
            numbers.add(number)
        self._places |= {
            f"{REPLACED}/{os.fsdecode(name)}": None for name in sorted(numbers) if name
        }

    def _scan(
        self, root: str, wanted: Wanted, skip: Skip = lambda path, is_folder: False
    ) -> Manifest:
        return snapshot.scan(root, skip=skip, wanted=wanted, before=_NOTHING, tick=self._tick)

    def _replaced_by(self, intent: RestoreIntent) -> dict[bytes, Entry]:
        """The entries to copy, by path."""
        paths = {p for p in intent.paths if not is_litter(p) or p.startswith(AGENT_FILES)}
        used = paths | folders_above_any(paths)
        tree = self._scan(intent.root, snapshot.accept_all, lambda path, _: path not in used)
        found = {}
        for path in paths:
            entry, target = tree.get(path), intent.target.get(path)
            if entry is None or entry.kind not in (FILE, SYMLINK):
                continue
            if entry.is_unreadable:
                self._left_out.append(f"{printable(to_text(path))} (it cannot be read)")
            elif target is None or (target.kind, target.content) != (entry.kind, entry.content):
                found[path] = entry
        return found

    def _fitting(
        self, root: str, new: Mapping[bytes, Entry], earlier: Manifest
    ) -> dict[bytes, Entry]:
        """The entries that still fit into the bounds."""
        count = size = 0
        if not self.must_keep:
            home = os.path.join(self._workspace, REPLACED)
            count, size = len(earlier), sum(_on_disk(home, path) for path in earlier)
        fitting = {}
        for path, entry in sorted(new.items()):
            count, more = count + 1, _on_disk(root, path)
            if count <= MOST_FILES and size + more <= MOST_BYTES:
                size += more
                fitting[path] = entry
                continue
            shown = printable(to_text(path))
            if self.must_keep:
                raise TamperError(
                    f"{shown} was edited, and no restore replaces more than {MOST_FILES:,} "
                    f"files or {MOST_BYTES >> 20} MiB: move {shown} elsewhere"
                )
            self._left_out.append(f"{shown} (no room in {REPLACED}/)")
        return fitting

    def _copy(self, root: str, entries: Mapping[bytes, Entry], number: bytes) -> None:
        """Copy these files of the project to `replaced/NUMBER`, for the owner alone."""
        place = os.fsencode(REPLACED) + b"/" + number
        target = {os.fsencode(REPLACED): _FOLDER, place: _FOLDER}
        paths = {}
        for path, entry in entries.items():
            mode = stat.S_IFMT(entry.signature[MODE]) | stat.S_IRUSR | entry.mode & OWNER
            status = (0, 0, entry.size, entry.modified, 0, mode)
            target[place + b"/" + path + SUFFIX] = Entry(entry.content, status)
            paths[entry.content] = path, entry

        def find(entry: Entry) -> Iterator[FileSection]:
            with contextlib.suppress(ChangedMeanwhile):
                for _, _, source in sources(root, [paths[entry.content]]):
                    yield source

        wanted = Manifest.of(target)
        plan = restore.plan(self._workspace, _NOTHING, wanted, wanted)
        for path, why, _ in restore.carry_out(plan, find, keep_times=True, tick=self._tick):
            name = path.removeprefix(place + b"/").removesuffix(SUFFIX)
            self._left_out.append(f"{printable(to_text(name))} ({why})")


def _on_disk(root: str, path: bytes) -> int:
    """Bytes that the entry takes."""
    with contextlib.suppress(OSError):
        return os.lstat(os.path.join(os.fsencode(root), path)).st_blocks * _BLOCK
    return 0
