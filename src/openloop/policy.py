"""The policy on real files: what a step did to the project, and what of it is put back.

Protected paths have one reference, their state when the run began. Everything else is compared
with the state before the change. Checkpoints of both are kept in a store of the workspace's
own; the bytes of what is protected stay in reach of this process as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from openloop import files, manifest
from openloop.changes import Changes, difference, same
from openloop.checkpoint import Checkpoints, Damaged, Incomplete, Vault
from openloop.config import Policy
from openloop.contents import ChangedMeanwhile
from openloop.diffs import changed_lines
from openloop.errors import RecordError, TamperError
from openloop.globs import Globs
from openloop.ignored import IgnoreRules
from openloop.manifest import FILE, FOLDER, SYMLINK, Entry, Manifest
from openloop.mission import Mission
from openloop.states import Step
from openloop.text import printable
from openloop.workspace import CHECKPOINTS

REFERENCE, BEFORE, BEST = "reference", "before", "best"  # names of checkpoints in the store
IGNORED, INTENT = "ignored", "intent"  # names of other digests that the record carries
_NAMED = 5  # paths that a sentence names
_RECORDED = 200  # paths that the record names
_TRIES = 5  # looks at a project that somebody else is writing to
_LITTER = (b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis", b".coverage")


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

    @property
    def is_empty(self) -> bool:
        return not (self.to_reference or self.to_before)

    @property
    def is_silent(self) -> bool:
        """Whether only what tools leave behind is put back, which is not worth a word."""
        return all(map(is_litter, (*self.to_reference, *self.to_before)))


class Rules:
    """The policy's patterns as questions about a path."""

    def __init__(self, policy: Policy | None) -> None:
        protect = policy.protect if policy else ()
        allow = policy.allow if policy else None
        self._protect = Globs(protect)
        self._allow = None if allow is None else Globs(allow)
        self._byte_code_too = any("pyc" in glob for glob in protect)
        self.names_git = any(".git" in glob.split("/") for glob in protect)

    def covers(self, path: bytes) -> bool:
        """Whether the path lies in what is protected, byte code included."""
        return self._protect.matches(path)

    def protects(self, path: bytes) -> bool:
        """Whether the path is held against the reference; byte code is cleared instead."""
        return self.covers(path) and (self._byte_code_too or not is_byte_code(path))

    def allows(self, path: bytes) -> bool:
        return self._allow is None or self._allow.matches(path)


def is_byte_code(path: bytes) -> bool:
    """What Python writes beside the sources it reads, and may read instead of them."""
    return b"__pycache__" in path.split(b"/") or path.endswith((b".pyc", b".pyo"))


def is_litter(path: bytes) -> bool:
    """What checks leave behind whoever runs them: removed, and nobody's fault."""
    return is_byte_code(path) or path.split(b"/", 1)[0] in _LITTER


class Keeper:
    """Holds one project against its policy while a run lasts."""

    def __init__(self, mission: Mission) -> None:
        self._root = mission.root
        self._policy = mission.config.policy
        baseline = mission.config.baseline
        self._hill_climbs = bool(baseline and baseline.keep_best)
        self._rules = Rules(self._policy)
        self._home = mission.workspace.file(CHECKPOINTS)
        self._store = Checkpoints(self._home)
        outside = manifest.outside_project(mission.root, mission.workspace.path)
        self._skip = _unless_git(outside) if self._rules.names_git else outside
        self._unwanted: frozenset[bytes] = frozenset()  # ignored when the run began
        self._best: Manifest | None = None

    @property
    def is_needed(self) -> bool:
        """Whether the configuration asks for checkpoints of the project at all."""
        return self._policy is not None or self._hill_climbs

    # --- the checkpoints of a run ---

    def begin(self) -> dict[str, str]:
        """Take the reference of a new run. Returns the digests that its record must carry."""
        os.makedirs(self._home, exist_ok=True)
        self._ignored = IgnoreRules.freeze(self._root, f"{self._home}/{IGNORED}")
        first = manifest.scan(self._root, skip=self._skip, wanted=self._rules.protects)
        self._reference = self._last = self._before = self._kept_now(self._first_look(first))
        digest = self._store.save(REFERENCE, self._reference)
        self._store.prune([REFERENCE])
        self._fill_vault()
        self._clear_byte_code()
        return {REFERENCE: digest, IGNORED: self._ignored.digest}

    def resume(self, digests: Mapping[str, str]) -> None:
        """Take up the checkpoints of a run that is resumed; finish what was being put back.

        digests: those that its record carries. Raises TamperError when what lies in the
        store is not what was recorded.
        """
        home = f"{self._home}/{IGNORED}"
        self._ignored = IgnoreRules.load(self._root, home, digests[IGNORED])
        if INTENT in digests:
            with _as_tampering():
                self._store.recover(self._root, digests[INTENT])
        self._reference = self._load(REFERENCE, digests)
        self._last = self._first_look(self._reference)
        self._before = self._load(BEFORE, digests) if BEFORE in digests else self._last
        self._best = self._load(BEST, digests) if BEST in digests else None
        self._fill_vault()

    def _first_look(self, known: Manifest) -> Manifest:
        """Scan with what was ignored when the run began left unhashed."""
        paths = [p for p, e in known.items() if e.kind != FOLDER and not self._rules.covers(p)]
        self._unwanted = frozenset(self._ignored.ignored(paths))
        return self._scan(known)

    def _scan(self, before: Manifest) -> Manifest:
        return manifest.scan(self._root, skip=self._skip, before=before, wanted=self._is_wanted)

    def _is_wanted(self, path: bytes) -> bool:
        return path not in self._unwanted

    def _kept_now(self, before: Manifest) -> Manifest:
        """The project as it is now, its bytes kept. Raises RecordError."""
        for _ in range(_TRIES):
            now = self._scan(before)
            with contextlib.suppress(ChangedMeanwhile):  # an editor, a hook: look again
                self._keep(now)
                return now
        raise RecordError(
            "the project keeps changing while it is copied",
            where=self._root,
            fix="stop what writes to it while nothing of the loop runs",
        )

    def _keep(self, now: Manifest) -> None:
        """Copy the bytes that putting back may need."""
        policy = self._policy
        whole = self._hill_climbs or (policy is not None and policy.limits_changes)
        needed = self._is_wanted if whole else self._rules.protects
        self._store.keep(self._root, now.only([path for path in now if needed(path)]))

    def _load(self, name: str, digests: Mapping[str, str]) -> Manifest:
        with _as_tampering():
            return self._store.load(name, digests[name])

    def _fill_vault(self) -> None:
        paths = [path for path in self._reference if self._rules.protects(path)]
        self._vault: Vault | None = None
        # In a resumed run protected files may differ already; then the store has them.
        with contextlib.suppress(ChangedMeanwhile):
            self._vault = Vault(self._root, self._reference, paths, folder=self._home)

    # --- around the steps ---

    def look_again(self) -> None:
        """Take what a person's hook did for given, so that no step is blamed for it."""
        self._last = self._scan(self._last)
        seen = difference(self._reference, self._last).paths
        strayed = [path for path in seen if self._rules.protects(path)]
        if strayed:
            self._restore(self._reference, strayed, lambda digest: None)
            self._last = self._scan(self._last)

    def before_change(self) -> str:
        """Keep the state before a change; returns the digest that its event must carry."""
        self._before = self._last = self._kept_now(self._last)
        digest = self._store.save(BEFORE, self._before)
        with contextlib.suppress(Damaged):  # told when something has to come from there
            self._store.prune([REFERENCE, BEFORE, *([BEST] if self._best else [])])
        return digest

    def after(self, step: Step) -> Undo:
        """What the step did that is not to stay; nothing is put back yet."""
        if step.is_gate:
            self._before = self._last
        self._last = self._scan(self._last)
        protected = [
            path
            for path in difference(self._reference, self._last).paths
            if self._rules.protects(path)
        ]
        others = self._others(difference(self._before, self._last))
        if step.is_gate:
            return self._judge_gate(protected, others)
        return self._judge_change(protected, others)

    def _others(self, seen: Changes) -> Changes:
        """Files that are neither protected nor were ignored when the run began."""
        files = (*seen.created, *seen.changed, *seen.removed)
        ignored = self._ignored.ignored([path for path in files if not is_litter(path)])

        def counts(path: bytes) -> bool:
            return not self._rules.covers(path) and path not in ignored | self._unwanted

        kept = [
            tuple(filter(counts, group)) for group in (seen.created, seen.changed, seen.removed)
        ]
        return Changes(*kept)

    def _judge_gate(self, protected: list[bytes], others: Changes) -> Undo:
        """A gate may create protected files (they are only removed), not change or remove them."""
        broken = [path for path in protected if path in self._reference]
        outside = tuple(path for path in others.created if not self._rules.allows(path))
        said = [f"{self._words(path)} while it ran" for path in broken]
        return Undo(_sentence(said), _shown(broken), tuple(protected), outside)

    def _judge_change(self, protected: list[bytes], others: Changes) -> Undo:
        outside = tuple(path for path in others.paths if not self._rules.allows(path))
        litter = {path for path in outside if is_litter(path)}
        strayed = [path for path in outside if path not in litter]
        inside = tuple(path for path in others.paths if self._rules.allows(path))
        too_much = self._too_much(inside)
        said = [
            *(self._words(path) for path in protected),
            *(f"{self._words(path)} outside what is allowed" for path in strayed),
        ]
        broken = [*protected, *strayed, *(inside if too_much else ())]
        back = (*outside, *(inside if too_much else ()))
        text = "; ".join(filter(None, (_sentence(said), *too_much)))
        return Undo(text, _shown(broken), tuple(protected), back)

    def _words(self, path: bytes) -> str:
        """`changed tests/test_a.py`, said of a path as it differs from where it is held to."""
        protected = self._rules.protects(path)
        old = (self._reference if protected else self._before).entries.get(path)
        new = self._last.entries.get(path)
        verb = "created" if old is None else "removed" if new is None else "changed"
        return f"{verb} {'protected ' if protected else ''}{_name(path)}"

    def _too_much(self, inside: Sequence[bytes]) -> list[str]:
        said: list[str] = []
        if self._policy is None:
            return said
        most_files, most_lines = self._policy.max_changed_files, self._policy.max_diff_lines
        if most_files is not None and len(inside) > most_files:
            said.append(f"changed {len(inside)} files, max_changed_files is {most_files}")
        if most_lines is not None and (count := sum(map(self._lines, inside))) > most_lines:
            said.append(f"changed {count} lines, max_diff_lines is {most_lines}")
        return said

    def _lines(self, path: bytes) -> int:
        """Lines that the change added to and removed from one file; a symlink is one line."""
        old, new = self._before.entries.get(path), self._last.entries.get(path)
        return changed_lines(self._bytes_before(old), self._bytes_now(path, new))

    def _bytes_before(self, entry: Entry | None) -> bytes:
        if entry is None or not entry.is_hashed:
            return entry.target if entry and entry.kind == SYMLINK else b""
        with _as_tampering():
            return self._store.read(entry)

    def _bytes_now(self, path: bytes, entry: Entry | None) -> bytes:
        if entry is None or entry.kind != FILE:
            return entry.target if entry and entry.kind == SYMLINK else b""
        try:
            return files.read(os.path.join(self._root, os.fsdecode(path)))
        except OSError:
            return b""

    # --- putting back ---

    def undo(self, found: Undo, announce: Callable[[str], None]) -> None:
        """Put back what `after` found. announce: see Checkpoints.restore. Raises TamperError."""
        if found.to_reference:
            self._restore(self._reference, found.to_reference, announce)
        if found.to_before:
            self._restore(self._before, found.to_before, announce)
        if not found.is_empty:
            self._last = self._scan(self._last)
        self._clear_byte_code()

    def _restore(
        self, target: Manifest, paths: Iterable[bytes], announce: Callable[[str], None]
    ) -> None:
        with _as_tampering():
            self._store.restore(
                self._root,
                self._last,
                target,
                _with_folders(paths, self._last, target),
                vault=self._vault,
                announce=announce,
            )

    def keep_best(self) -> str:
        """Keep the project as it is now as the best; returns the digest of its checkpoint."""
        self._best = self._last = self._kept_now(self._last)
        return self._store.save(BEST, self._best)

    def put_back_best(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Return to the best checkpoint; returns what was put back, printable."""
        assert self._best is not None
        self._last = self._scan(self._last)
        seen = self._others(difference(self._best, self._last))
        self._restore(self._best, seen.paths, announce)
        self._last = self._scan(self._last)
        return _shown(seen.paths)

    def _clear_byte_code(self) -> None:
        """Remove byte code beside protected sources: an interpreter would believe it."""
        homes = {os.path.dirname(p) for p in self._reference if self._rules.protects(p)}
        found = [
            path
            for path, entry in self._last.items()
            if entry.kind != FOLDER
            and is_byte_code(path)
            and not self._rules.protects(path)
            and (self._rules.covers(path) or _source_folder(path) in homes)
        ]
        if found:
            nothing = Manifest({}, 0)
            with _as_tampering():
                self._store.restore(self._root, self._last, nothing, found)
            self._last = self._scan(self._last)


def _source_folder(byte_code: bytes) -> bytes:
    """The folder whose sources a byte-code file stands for."""
    folder = os.path.dirname(byte_code)
    return os.path.dirname(folder) if os.path.basename(folder) == b"__pycache__" else folder


def _unless_git(skip: manifest.Skip) -> manifest.Skip:
    """Look into `.git` too, because the policy protects something in it by name."""
    return lambda path, folder: path.split(b"/")[-1] != b".git" and skip(path, folder)


def _with_folders(paths: Iterable[bytes], current: Manifest, target: Manifest) -> list[bytes]:
    """The paths, and the folders above them that are not as they are in the target; one that is
    not in the target goes when nothing is left in it."""
    wanted = set(paths)
    for path in tuple(wanted):
        while path := os.path.dirname(path):
            old, now = target.entries.get(path), current.entries.get(path)
            if old is None:
                strayed = now is not None and now.kind == FOLDER
            else:
                strayed = now is None or not same(old, now)
            if strayed:
                wanted.add(path)
    return sorted(wanted)


@contextlib.contextmanager
def _as_tampering() -> Iterator[None]:
    """What is wrong with the checkpoint store was done by a command."""
    try:
        yield
    except (Damaged, Incomplete, ChangedMeanwhile) as error:
        raise TamperError(
            f"the project cannot be put back as it was: {error}",
            fix="look at the project, and take what is missing from your version control",
        ) from None


def _name(path: bytes) -> str:
    return printable(os.fsdecode(path))


def _shown(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(_name(path) for path in tuple(paths)[:_RECORDED])


def _sentence(said: Sequence[str]) -> str:
    more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return ", ".join(said[:_NAMED]) + more
