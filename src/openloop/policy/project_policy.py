"""The policy on real files: checkpoints of the project, and what a step did to it put back.

The state when the run began and the state before a change are kept in a store of the workspace's
own; the bytes of what is protected stay in reach of this process as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from openloop.core.errors import RecordError, TamperError, UsageError
from openloop.core.vocabulary import Step
from openloop.fs import snapshot
from openloop.fs.checkpoints import Checkpoints, Damaged, Incomplete, Vault
from openloop.fs.diff import same
from openloop.fs.ignore_rules import IgnoreRules
from openloop.fs.object_store import ChangedMeanwhile
from openloop.fs.snapshot import FOLDER, MAX_DEPTH, Entry, Manifest, is_too_deep
from openloop.fs.symlinks import Aliases, aliases
from openloop.policy.path_rules import Border, Rules, is_byte_code
from openloop.policy.violations import Conduct, Undo, ignored_among, readable, sentence, shown
from openloop.record.mission import Mission
from openloop.record.workspace import CHECKPOINTS

REFERENCE, BEFORE, BEST = "reference", "before", "best"  # names of checkpoints in the store
OUTSIDE = "outside"  # what stood in the tree and was not the project when the run began
_IN_STORE = (REFERENCE, BEFORE, BEST, OUTSIDE)
IGNORED, INTENT = "ignored", "intent"  # names of other digests that the record carries
_TRIES = 5  # looks at a project that somebody else is writing to


def unfit(tree: Manifest, rules: Rules) -> Iterator[tuple[str, str]]:
    """(what, how to mend it) of every path of which nobody could tell what became of it."""
    for path in tree.unreadable:
        if is_too_deep(path):
            what = f"{readable(path)[:80]}… lies more than {MAX_DEPTH} folders deep"
            yield f"{what}: no policy can look there", "remove it, or move it up"
        elif rules.protects(path):
            fix = "make it readable (chmod u+rX), or leave it out of protect and withhold"
            yield f"{readable(path)} is protected and cannot be read", fix


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
        self._border = Border(mission.root, mission.workspace.path, self._rules)
        self._unwanted: frozenset[bytes] = frozenset()  # ignored when the run began
        self._best: Manifest | None = None
        self._digests: dict[str, str] = {}  # of saved checkpoints by name

    @property
    def is_needed(self) -> bool:
        """Whether the configuration asks for checkpoints of the project at all."""
        return self._policy is not None or self._hill_climbs

    # --- the checkpoints of a run ---

    def begin(self) -> dict[str, str]:
        """Take the reference of a new run. Returns the digests that its record must carry.

        Raises UsageError for a project that cannot be held against its policy."""
        os.makedirs(self._home, exist_ok=True)
        self._ignored = IgnoreRules.freeze(self._root, f"{self._home}/{IGNORED}")
        first = snapshot.scan(self._root, skip=self._border, wanted=self._rules.protects)
        outside = self._border.close()
        self._rules.follow(self._aliases(first))
        self._refuse_unreadable(first)
        self._reference = self._last = self._before = self._kept_now(self._first_look(first))
        self._save(REFERENCE, self._reference)
        self._save(OUTSIDE, outside)
        self._store.prune(self._digests.items())
        self._fill_vault()
        self._clear_byte_code()
        return {**self._digests, IGNORED: self._ignored.digest}

    def _aliases(self, tree: Manifest) -> Aliases:
        """Other names of what symlinks lead to. What was ignored when the run began has none: a
        build that the tests link to is made anew."""
        found = aliases(self._root, tree)
        ignored = ignored_among(self._ignored, found, tree)
        return {place: links for place, links in found.items() if place not in ignored}

    def _refuse_unreadable(self, tree: Manifest) -> None:
        for what, fix in unfit(tree, self._rules):
            raise UsageError(what, where=self._root, fix=fix)

    def resume(self, digests: Mapping[str, str]) -> None:
        """Take up the checkpoints of a run that is resumed; finish what was being put back.

        digests: those that its record carries. Raises TamperError when what lies in the
        store is not what was recorded.
        """
        self._digests = {name: digests[name] for name in _IN_STORE if name in digests}
        home = f"{self._home}/{IGNORED}"
        self._ignored = IgnoreRules.load(self._root, home, digests[IGNORED])
        if INTENT in digests:
            with _as_tampering():
                self._store.recover(self._root, digests[INTENT])
        self._border.resume(self._load(OUTSIDE))
        self._reference = self._load(REFERENCE)
        self._rules.follow(self._aliases(self._reference))
        self._last = self._first_look(self._reference)
        self._before = self._load(BEFORE) if BEFORE in digests else self._last
        self._best = self._load(BEST) if BEST in digests else None
        self._fill_vault()

    def _first_look(self, known: Manifest) -> Manifest:
        """Scan with what was ignored when the run began left unhashed."""
        paths = [p for p, e in known.items() if e.kind != FOLDER and not self._rules.covers(p)]
        self._unwanted = frozenset(self._ignored.ignored(paths))
        return self._scan(known)

    def _scan(self, before: Manifest) -> Manifest:
        return snapshot.scan(self._root, skip=self._border, before=before, wanted=self._is_wanted)

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

    def _load(self, name: str) -> Manifest:
        with _as_tampering():
            return self._store.load(name, self._digests[name])

    def _save(self, name: str, tree: Manifest) -> str:
        self._digests[name] = digest = self._store.save(name, tree)
        return digest

    def _fill_vault(self) -> None:
        paths = [path for path in self._reference if self._rules.protects(path)]
        self._vault: Vault | None = None
        # In a resumed run protected files may differ already; then the store has them.
        with contextlib.suppress(ChangedMeanwhile):
            self._vault = Vault(self._root, self._reference, paths, folder=self._home)

    # --- around the steps ---

    def look_again(self) -> str:
        """Take what a person's hook did for given, so that no step is blamed for it. Returns what
        of the project it changed, "" for nothing."""
        self._before = self._last
        self._last = self._scan(self._last)
        seen = self._conduct()
        told = seen.told()
        if strayed := seen.protected():
            self._restore(self._reference, strayed, lambda digest: None)
            self._last = self._scan(self._last)
        return told

    def before_change(self) -> str:
        """Keep the state before a change; returns the digest that its event must carry."""
        self._before = self._last = self._kept_now(self._last)
        on_record = set(self._digests.items())
        digest = self._save(BEFORE, self._before)
        with contextlib.suppress(Damaged):  # told when something has to come from there
            self._store.prune(on_record | {(BEFORE, digest)})
        return digest

    def copies(self) -> list[str]:
        """Absolute paths of what the store holds of withheld files."""
        withheld = {path: e for path, e in self._reference.items() if self._rules.withholds(path)}
        return self._store.places(withheld.values()) if withheld else []

    def after(self, step: Step) -> Undo:
        """What the step did that is not to stay; nothing is put back yet."""
        if step.is_gate:
            self._before = self._last
        self._last = self._scan(self._last)
        return self._conduct().judge(step)

    def _conduct(self) -> Conduct:
        """The project as it was last looked at, beside what it is held to."""
        return Conduct(
            root=self._root,
            policy=self._policy,
            rules=self._rules,
            ignored=self._ignored,
            unwanted=self._unwanted,
            reference=self._reference,
            before=self._before,
            now=self._last,
            read=self._read,
        )

    def _read(self, entry: Entry) -> bytes:
        with _as_tampering():
            return self._store.read(entry)

    # --- putting back ---

    def undo(self, step: Step, found: Undo, announce: Callable[[str], None]) -> None:
        """Put back what `after` found, and look whether it is. announce: see Checkpoints.restore.

        Raises TamperError for what cannot be put back.
        """
        for _ in range(_TRIES):
            if found.is_empty:
                break
            if found.to_reference:
                self._restore(self._reference, found.to_reference, announce)
            if found.to_before:
                self._restore(self._before, found.to_before, announce)
            self._last = self._scan(self._last)
            found = self._conduct().judge(step)  # what was set aside, or only now came to light
        else:
            raise _cannot_put_back((*found.to_reference, *found.to_before))
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
        return self._save(BEST, self._best)

    def put_back_best(self, announce: Callable[[str], None]) -> tuple[str, ...]:
        """Return to the best checkpoint; returns what was put back, printable."""
        assert self._best is not None
        self._before = self._best
        self._last = self._scan(self._last)
        first: tuple[bytes, ...] | None = None
        for _ in range(_TRIES):
            strayed = self._conduct().since_before()
            first = strayed if first is None else first
            if not strayed:
                return shown(first)
            self._restore(self._best, strayed, announce)
            self._last = self._scan(self._last)
        raise _cannot_put_back(strayed)

    def _clear_byte_code(self) -> None:
        """Remove byte code beside protected sources: an interpreter would believe it."""
        known = [
            path
            for path, entry in self._last.items()
            if is_byte_code(path) and entry.kind != FOLDER and not self._rules.protects(path)
        ]
        if not known:
            return
        homes = {os.path.dirname(p) for p in self._reference if self._rules.protects(p)}
        found = [
            path for path in known if self._rules.covers(path) or _source_folder(path) in homes
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


def _cannot_put_back(paths: Iterable[bytes]) -> TamperError:
    left = sentence(shown(paths))
    return TamperError(
        f"the project cannot be put back as it was: {left} will not go back",
        fix="look at the project, and mend that by hand",
    )
