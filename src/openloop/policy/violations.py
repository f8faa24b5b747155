"""What became of a project, and what of that its policy does not let stay.

Protected paths have one reference, their state when the run began. Everything else is compared
with the state before the step. Nothing is put back here, and nothing is remembered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from openloop.config.config import Policy
from openloop.core.text import printable
from openloop.core.vocabulary import Step
from openloop.fs import files
from openloop.fs.diff import Changes, difference
from openloop.fs.ignore_rules import IgnoreRules
from openloop.fs.line_diff import changed_lines
from openloop.fs.snapshot import FILE, FOLDER, SYMLINK, Entry, Manifest, is_too_deep
from openloop.policy.path_rules import Rules, is_litter

_NAMED = 5  # paths that a sentence names
_RECORDED = 200  # paths that the record names


@dataclass(frozen=True, slots=True)
class Undo:
    """What one step did that is not to stay.

    text: what of it breaks the policy, "" for nothing; paths: the same, printable.
    to_reference, to_before: paths that are put back to the one state or the other.
    """

    text: str = ""
    paths: tuple[str, ...] = ()
    to_reference: tuple[bytes, ...] = ()
    to_before: tuple[bytes, ...] = ()

    def with_planted(self, planted: Sequence[str]) -> Undo:
        """The same, and these printable paths, at which something was withheld."""
        found = self.with_words([f"put something where {path} was withheld" for path in planted])
        return replace(found, paths=(*self.paths, *planted)[:_RECORDED])

    def with_words(self, said: Sequence[str]) -> Undo:
        """The same, and what else breaks the policy."""
        words = sentence(said)
        return replace(self, text="; ".join(filter(None, (self.text, words))))

    @property
    def is_empty(self) -> bool:
        return not (self.to_reference or self.to_before)

    @property
    def is_silent(self) -> bool:
        """Whether only what tools leave behind is put back, which is not worth a word."""
        return all(map(is_litter, (*self.to_reference, *self.to_before)))


@dataclass(frozen=True, slots=True)
class Conduct:
    """One project at three times, under one policy: what was done to it.

    root: its absolute path. policy: None where only the best is kept. ignored, unwanted: the
    rules, and the files they ignored, when the run began. reference: the project then; before:
    before the step; now: as it was last looked at.
    read: the bytes of a file of `before`.
    """

    root: str
    policy: Policy | None
    rules: Rules
    ignored: IgnoreRules
    unwanted: frozenset[bytes]
    reference: Manifest
    before: Manifest
    now: Manifest
    read: Callable[[Entry], bytes]

    def judge(self, step: Step) -> Undo:
        """What of it the step was not to do. Raises what `read` and `ignored` raise."""
        return self._judge_gate() if step.is_gate else self._judge_change()

    def protected(self) -> list[bytes]:
        """Protected paths that are not as in the reference."""
        paths = difference(self.reference, self.now).paths
        return [path for path in paths if self.rules.protects(path)]

    def since_before(self) -> tuple[bytes, ...]:
        """All that is not as it was before, protected paths apart; a new folder only where nothing
        is to stay in it."""
        others = self._others()
        going = {*others.paths, *self._hidden()}
        used = _folders_above(path for path in self.now if path not in going)
        return tuple(sorted(going - (set(others.created_folders) & used)))

    def told(self) -> str:
        """The same in words, without folders and what checks leave behind; "" for nothing."""
        files_only = self._others()[:3]
        return sentence([self._words(p) for group in files_only for p in group if not is_litter(p)])

    def _others(self) -> Changes:
        """What differs from before and is neither protected nor was ignored when the run began."""
        seen = difference(self.before, self.now)
        ignored = ignored_among(self.ignored, seen.paths, self.now, self.before) | self.unwanted

        def counts(path: bytes) -> bool:
            return not self.rules.covers(path) and path not in ignored

        return Changes(*(tuple(filter(counts, group)) for group in seen))

    def _hidden(self) -> list[bytes]:
        """What can no longer be looked into, or could hold what is protected and is too deep to
        be seen: no pattern can tell what it is, so none allows it."""
        counts = self.policy is not None and self.policy.limits_changes
        new = [
            path
            for path in self.now.unreadable
            if not ((old := self.before.entries.get(path)) and old.is_unreadable)
            and (counts or self.now[path].kind == FOLDER)
        ]
        ignored = ignored_among(self.ignored, new, self.now) if new else set()
        return [path for path in new if is_too_deep(path) or path not in ignored]

    def _judge_gate(self) -> Undo:
        """A gate may create protected files (they are only removed), not change or remove them."""
        protected, others = self.protected(), self._others()
        broken = [path for path in protected if path in self.reference]
        outside = [path for path in others.created if not self.rules.allows(path)]
        outside += self._idle_folders(others._replace(changed_folders=()), outside)
        said = [f"{self._words(path)} while it ran" for path in broken]
        back = (*outside, *self._hidden())
        return Undo(sentence(said), shown(broken), tuple(protected), back)

    def _judge_change(self) -> Undo:
        protected, others = self.protected(), self._others()
        written = sorted((*others.created, *others.changed, *others.removed))
        outside = [path for path in written if not self.rules.allows(path)]
        inside = tuple(path for path in written if self.rules.allows(path))
        outside += self._idle_folders(others, outside)
        hidden = self._hidden()
        strayed = [path for path in outside if not is_litter(path) and path not in hidden]
        too_much = self._too_much(inside)
        said = [
            *(self._words(path) for path in protected),
            *(f"{self._words(path)} outside what is allowed" for path in strayed),
            *(f"{self._words(path)} where nobody can look" for path in hidden),
        ]
        broken = [*protected, *strayed, *hidden, *(inside if too_much else ())]
        back = (*outside, *hidden, *(others.paths if too_much else ()))
        text = "; ".join(filter(None, (sentence(said), *too_much)))
        return Undo(text, shown(broken), tuple(protected), back)

    def _idle_folders(self, others: Changes, back: Iterable[bytes]) -> list[bytes]:
        """Folders outside what is allowed that changed by themselves: made, and nothing is to
        stay in them; removed, and nothing that was in them is to stay away; their permissions.

        back: what is put back anyway.
        """
        strayed = [
            path
            for group in (others.created_folders, others.changed_folders, others.removed_folders)
            for path in group
            if not self.rules.allows_folder(path)
        ]
        if not strayed:
            return []
        going = {*back, *strayed}
        used = _folders_above(path for path in self.now if path not in going)
        left = _folders_above(path for path in others.removed if path not in going)
        made, gone = set(others.created_folders) - used, set(others.removed_folders) - left
        return [path for path in strayed if path in made | gone | {*others.changed_folders}]

    def _words(self, path: bytes) -> str:
        """`changed tests/test_a.py`, said of a path as it differs from where it is held to."""
        protected = self.rules.protects(path)
        old = (self.reference if protected else self.before).entries.get(path)
        new = self.now.entries.get(path)
        verb = "created" if old is None else "removed" if new is None else "changed"
        words = f"{verb} {'protected ' if protected else ''}{readable(path)}"
        other = self.rules.because(path) if protected else b""
        return f"{words} (to which {readable(other)} leads)" if other else words

    def _too_much(self, inside: Sequence[bytes]) -> list[str]:
        """Which maxima these paths go beyond, in words."""
        said: list[str] = []
        if self.policy is None:
            return said
        most_files, most_lines = self.policy.max_changed_files, self.policy.max_diff_lines
        if most_files is not None and len(inside) > most_files:
            said.append(f"changed {len(inside)} files, max_changed_files is {most_files}")
        if most_lines is not None and (count := sum(map(self._lines, inside))) > most_lines:
            said.append(f"changed {count} lines, max_diff_lines is {most_lines}")
        return said

    def _lines(self, path: bytes) -> int:
        """Lines that the change added to and removed from one file; a symlink is one line."""
        old, new = self.before.entries.get(path), self.now.entries.get(path)
        return changed_lines(self._bytes_before(old), self._bytes_now(path, new))

    def _bytes_before(self, entry: Entry | None) -> bytes:
        if entry is not None and entry.is_hashed:
            return self.read(entry)
        return _target(entry)

    def _bytes_now(self, path: bytes, entry: Entry | None) -> bytes:
        if entry is None or entry.kind != FILE:
            return _target(entry)
        try:
            return files.read(os.path.join(self.root, os.fsdecode(path)))
        except OSError:
            return b""


def ignored_among(rules: IgnoreRules, paths: Iterable[bytes], *trees: Manifest) -> set[bytes]:
    """Those that were ignored when the run began; a folder is when whatever is in it is.

    trees: what says which of the paths are folders, the first that knows a path. Raises what
    `IgnoreRules.ignored` raises.
    """
    asked = {}
    for path in paths:
        if not is_litter(path):
            entry = next(filter(None, (tree.entries.get(path) for tree in trees)), None)
            asked[path + b"/x" if entry and entry.kind == FOLDER else path] = path
    return set(map(asked.__getitem__, rules.ignored(asked)))


def _target(entry: Entry | None) -> bytes:
    return entry.target if entry and entry.kind == SYMLINK else b""


def _folders_above(paths: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in found:
            found.add(path)
    return found


# --- words ------------------------------------------------------------------------------


def readable(path: bytes) -> str:
    """A path, printable."""
    return printable(os.fsdecode(path))


def shown(paths: Iterable[bytes]) -> tuple[str, ...]:
    """As many of the paths as the record names, printable."""
    return tuple(readable(path) for path in tuple(paths)[:_RECORDED])


def sentence(said: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return ", ".join(said[:_NAMED]) + more
