"""The violations of a step, and the paths to restore after it.

Protected paths have one reference: their state when the run began. Everything else is compared
with the state before the step. Nothing is restored or stored here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from openloop.config.config import Policy
from openloop.core.text import counted, printable_path
from openloop.core.vocabulary import Step
from openloop.fs.diff import PathChanges, difference
from openloop.fs.ignore_rules.rules import IgnoreRules
from openloop.fs.manifest import FOLDER, SYMLINK, Entry, Manifest
from openloop.fs.snapshot import is_too_deep
from openloop.policy.path_rules import PathRules, is_byte_code, is_litter
from openloop.policy.step_violations import StepViolations, listed, recorded_paths

CountLines = Callable[[bytes], int]  # path → lines that a change added to it and removed from it


class IgnoredPaths(NamedTuple):
    """The ignore rules of the run, and the files that they ignored when it began."""

    rules: IgnoreRules
    files: frozenset[bytes] = frozenset()

    def among(self, paths: Iterable[bytes], *trees: Manifest) -> set[bytes]:
        """The ignored ones; a folder is ignored if every path in it would be.

        trees: tell which paths are folders; the first tree with the path decides.
        """
        asked = {}
        for path in paths:
            if not is_litter(path):
                entry = next(filter(None, (tree.get(path) for tree in trees)), None)
                asked[path + b"/x" if entry and entry.kind == FOLDER else path] = path
        return {asked[path] for path in self.rules.ignored(asked)}


class ProjectComparison(NamedTuple):
    """The current project, compared with its reference and its state before the step."""

    rules: PathRules
    ignored: IgnoredPaths
    reference: Manifest
    before: Manifest
    now: Manifest

    def violations(self, step: Step, policy: Policy | None, lines: CountLines) -> StepViolations:
        """The violations of the step. Raises what `lines` raises."""
        return self._of_gate() if step.is_gate else self._of_change(policy, lines)

    def protected_changes(self) -> list[bytes]:
        """The protected paths that differ from the reference. A new folder stays for what an
        exception of `protect` lets a tool create there."""
        found = difference(self.reference, self.now)
        paths = {path for path in found.paths if self.rules.protects(path)}
        made = paths.intersection(found.created_folders)
        if made:
            new = [*found.created, *found.created_folders]
            paths -= made & folders_above_any(p for p in new if not self.rules.covers(p))
        return sorted(paths)

    def to_reference(self) -> tuple[bytes, ...]:
        """The protected paths to restore."""
        return self._with_byte_code(self.protected_changes())

    def _with_byte_code(self, protected: Sequence[bytes]) -> tuple[bytes, ...]:
        """With the byte code in new folders, which have to be empty to be removed."""
        new = {path for path in protected if self._is_new_folder(path)}
        byte_code = filter(is_byte_code, self.now) if new else ()
        inside = (path for path in byte_code if not new.isdisjoint(folders_above_any((path,))))
        return tuple(sorted({*protected, *inside}))

    def _is_new_folder(self, path: bytes) -> bool:
        old, new = self.reference.get(path), self.now.get(path)
        return bool(new and new.kind == FOLDER) and not (old and old.kind == FOLDER)

    def cache_changes(self) -> list[bytes]:
        """What differs from before in ignored caches of dependencies, where a link instead of a
        cache counts, and in byte code: a gate would trust it, and no diff shows it."""
        found = difference(self.before, self.now)
        byte_code = [path for path in found.created if is_byte_code(path)]
        byte_code += (path for path in found.changed if b"__pycache__" in path.split(b"/"))
        new = (*found.created, *found.changed)
        folder = {path: path + b"/" for path in new if self.now[path].kind == SYMLINK}
        paths = [path for path in new if self.rules.is_cache(folder.get(path, path))]
        ignored = self.ignored.among(paths, self.now) | self.ignored.files if paths else ()
        paths = [path for path in paths if path in ignored]
        return [*paths, *(path for path in byte_code if not self.rules.protects(path))]

    def protected_words(self) -> list[str]:
        """`changed protected tests/test_a.py` for each of them."""
        return [self._words(path) for path in self.protected_changes()]

    def since_before(self) -> tuple[bytes, ...]:
        """The other paths that differ from before; a new folder only if all its entries do."""
        others = self._others()
        going = {*others.paths, *self._unreadable()}
        used = folders_above_any(path for path in self.now if path not in going)
        return tuple(sorted(going - (set(others.created_folders) & used)))

    def written(self) -> list[bytes]:
        """The paths that differ from before and that a change may write, sorted; without folders
        and the files that checks leave behind."""
        return sorted(path for path in self._others().files if not is_litter(path))

    def since_before_words(self) -> str:
        """The same in words, without folders and litter; "" for none."""
        return listed([self._words(path) for path in self._others().files if not is_litter(path)])

    def _others(self) -> PathChanges:
        """The differences from before in paths that are neither protected nor ignored."""
        seen = difference(self.before, self.now)
        ignored = self.ignored.among(seen.paths, self.now, self.before) | self.ignored.files

        def counts(path: bytes) -> bool:
            return not self.rules.covers(path) and path not in ignored

        return PathChanges(*(tuple(filter(counts, group)) for group in seen))

    def _unreadable(self) -> list[bytes]:
        """Paths that can no longer be read, or folders too deep to be scanned: no pattern allows
        these, because they may contain protected files."""
        new = [
            path
            for path in self.now.unreadable
            if not ((old := self.before.get(path)) and old.is_unreadable)
            and (self.rules.limits_changes or self.now[path].kind == FOLDER)
        ]
        ignored = self.ignored.among(new, self.now) if new else set()
        return [path for path in new if is_too_deep(path) or path not in ignored]

    def _of_gate(self) -> StepViolations:
        """Violations of a gate: it may create protected files, which are removed again, but not
        change or remove them. What it does outside `allow` is undone as well, and no violation."""
        protected, others = self.protected_changes(), self._others()
        broken = [path for path in protected if path in self.reference]
        outside = [path for path in others.files if not self.rules.allows(path)]
        outside += self._stray_folders(others._replace(changed_folders=()), outside)
        phrases = [f"{self._words(path)} while it ran" for path in broken]
        return StepViolations(
            listed(phrases),
            recorded_paths(broken),
            to_reference=self._with_byte_code(protected),
            to_before=(*outside, *self._unreadable()),
        )

    def _of_change(self, policy: Policy | None, lines: CountLines) -> StepViolations:
        protected, others = self.protected_changes(), self._others()
        files = sorted(others.files)
        outside = [path for path in files if not self.rules.allows(path)]
        inside = [p for p in files if self.rules.allows(p) and not is_litter(p)]
        outside += self._stray_folders(others, outside)
        unreadable = self._unreadable()
        strayed = [path for path in outside if not is_litter(path) and path not in unreadable]
        too_much = _above_maxima(policy, inside, lines)
        phrases = [
            *(self._words(path) for path in protected),
            *(f"{self._words(path)} outside what is allowed" for path in strayed),
            *(f"{self._words(path)}, which the policy cannot read" for path in unreadable),
        ]
        broken = [*protected, *strayed, *unreadable, *(inside if too_much else ())]
        return StepViolations(
            "; ".join(filter(None, (listed(phrases), *too_much))),
            recorded_paths(broken),
            to_reference=self._with_byte_code(protected),
            to_before=(*outside, *unreadable, *(others.paths if too_much else ())),
        )

    def _stray_folders(self, others: PathChanges, restored: Iterable[bytes]) -> list[bytes]:
        """Forbidden changes of folders alone: created ones that will be empty, removed ones whose
        entries will be restored, changed permissions. restored: paths that are, anyway."""
        strayed = [
            path
            for group in (others.created_folders, others.changed_folders, others.removed_folders)
            for path in group
            if not self.rules.allows_folder(path)
        ]
        if not strayed:
            return []
        going = {*restored, *strayed}
        used = folders_above_any(path for path in self.now if path not in going)
        left = folders_above_any(path for path in others.removed if path not in going)
        made, gone = set(others.created_folders) - used, set(others.removed_folders) - left
        return [path for path in strayed if path in made | gone | {*others.changed_folders}]

    def _words(self, path: bytes) -> str:
        """`changed tests/test_a.py`, for a path that differs."""
        protected = self.rules.protects(path)
        old = (self.reference if protected else self.before).get(path)
        verb = difference_verb(old, self.now.get(path))
        words = f"{verb} {'protected ' if protected else ''}{printable_path(path)}"
        other = self.rules.protecting_name(path) if protected else b""
        return f"{words} (to which {printable_path(other)} leads)" if other else words


def difference_verb(old: Entry | None, new: Entry | None) -> str:
    return "created" if old is None else "removed" if new is None else "changed"


def _above_maxima(policy: Policy | None, inside: Sequence[bytes], lines: CountLines) -> list[str]:
    """The limits that these changed paths exceed, in words."""
    if policy is None:
        return []
    phrases: list[str] = []
    most_files, most_lines = policy.max_changed_files, policy.max_diff_lines
    if most_files is not None and len(inside) > most_files:
        phrases.append(f"changed {counted(len(inside), 'file')}, max_changed_files is {most_files}")
    if most_lines is not None and (count := sum(map(lines, inside))) > most_lines:
        phrases.append(f"changed {counted(count, 'line')}, max_diff_lines is {most_lines}")
    return phrases


def folders_above_any(paths: Iterable[bytes]) -> set[bytes]:
    """All folders above these paths, the root apart."""
    found: set[bytes] = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in found:
            found.add(path)
    return found
