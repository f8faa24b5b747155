"""The ignore rules of a project, frozen when a run begins so that no command can change them.

In a repository git's rules apply: every ignore file (.gitignore above, at and below the project
root, info/exclude, the person's global one) is read once. A repository inside the project,
submodule or not, has rules of its own. Tracked files are never ignored.

Elsewhere, and where git refuses, built-in patterns apply: LISTED at any depth, LISTED_BESIDE next
to a file that shows what built the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from openloop.config.globs import Globs, literal
from openloop.core.errors import RecordError, TamperError
from openloop.core.text import printable
from openloop.fs import dirfd, files, git
from openloop.fs.content import Tick, no_tick
from openloop.fs.git import GitRefused

LISTED = (
    *("__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/"),
    *(".tox/", ".nox/", ".venv/", "/venv/", ".eggs/", "*.egg-info/", ".ipynb_checkpoints/"),
    *(".coverage", ".coverage.*", "coverage.xml", "htmlcov/", ".nyc_output/", ".benchmarks/"),
    *("/env/", ".aider*", ".claude/"),
    *("node_modules/", ".next/", ".nuxt/", ".svelte-kit/", ".parcel-cache/", ".turbo/"),
    *(".cache/", ".gradle/", ".terraform/", ".DS_Store", "Thumbs.db"),
)
# Folders whose names source folders have too: ignored only beside such a file.
LISTED_BESIDE = {
    "Cargo.toml": ("target/",),
    "pom.xml": ("target/",),
    "build.sbt": ("target/",),
    "build.gradle": ("build/",),
    "build.gradle.kts": ("build/",),
    "CMakeLists.txt": ("build/",),
    "pyproject.toml": ("build/", "dist/"),
    "setup.py": ("build/", "dist/"),
    "package.json": ("dist/", "coverage/"),
    "mix.exs": ("_build/",),
}
_RULES = "rules.json"
_VERSION = 2
_LARGEST = 1 << 28  # bytes of rules read
_NOT_WALKED = (b".git", b".openloop")
_BUILT_IN = "the built-in list"
# Raised by damaged rules.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_Active = list[tuple[int, Globs]]  # (length of the folder they are relative to, patterns)


class PatternFile(NamedTuple):
    """The patterns of one file, or the built-in ones.

    name: for a person, not made printable. folder: the one that the patterns are relative to, from
    the top of the repository, empty or ending in a slash.
    """

    name: str
    folder: bytes
    patterns: tuple[str, ...]


class IgnoreRules:
    """The rules as they were when the run began.

    note: why the built-in patterns apply in a repository; "" otherwise. digest: sha256 of the saved
    rules; a caller that keeps it out of a command's reach and gives it to `load` gets these rules.
    """

    def __init__(self, data: bytes) -> None:
        """data: written by `save`. Raises ValueError and others for anything else."""
        self._data = data
        document = json.loads(data)
        if document.get("version") != _VERSION:
            raise ValueError("another version of OpenLoop wrote them, or something else did")
        self.digest = hashlib.sha256(data).hexdigest()
        self.note: str = document["note"]
        zones = map(_Zone.from_json, document["zones"])
        self._zones = {zone.prefix: zone for zone in zones}
        if b"" not in self._zones:
            raise ValueError("they do not cover the project root")
        tracked = [zone.prefix + path for zone in self._zones.values() for path in zone.tracked]
        self._in_use = {above for path in (*tracked, *self._zones) for above in _folders(path)}
        self._in_use.update(self._zones)

    @classmethod
    def read(cls, root: str, home: str, tick: Tick = no_tick) -> IgnoreRules:
        """The current rules of the project at `root`. home: a folder outside the project.
        tick: called for each folder and while git works; reading ends when it raises.

        Folders that cannot be read, or whose path is too long, count as having no rules.
        """
        return cls(_Reader(os.path.realpath(root), os.path.realpath(home), tick).read())

    def save(self, home: str) -> None:
        """Write the rules to the folder `home`. Raises RecordError when that fails."""
        above, name = os.path.split(os.path.abspath(home))
        try:
            with dirfd.open_tree(above) as opened:
                folder = opened.folder(os.fsencode(name), dirfd.open_or_make)
                for other in set(os.listdir(folder)) - {_RULES}:  # of an earlier version
                    dirfd.remove(os.fsencode(other), folder)
                files.replace(_RULES, self._data, folder=folder, durable=True)
        except OSError as error:
            raise RecordError(f"cannot keep the ignore rules: {error}", where=home) from error

    @classmethod
    def load(cls, root: str, home: str, digest: str = "") -> IgnoreRules:
        """The rules that an earlier process saved.

        Raises TamperError when `home` is damaged or does not match the digest; without a digest a
        careful change goes unnoticed.
        """
        try:
            with dirfd.open_tree(home) as opened:
                rules = cls(files.read(_RULES, folder=opened.folder(b""), limit=_LARGEST))
            if digest and digest != rules.digest:
                raise ValueError("they are not what was frozen")
            return rules
        except _DAMAGED as error:
            raise TamperError(
                f"the ignore rules kept for {root} cannot be used: {error}",
                where=home,
                fix="look for what wrote there, then start a new run",
            ) from error

    def ignored(self, paths: Iterable[bytes]) -> set[bytes]:
        """The ignored ones of these paths, which need not exist.

        paths: of files, relative to the project root, in their shortest form.
        """
        return {path for path in paths if self._ignores(path)}

    def ignores_all_in(self, folder: bytes) -> bool:
        """Whether every file in a folder is ignored, future ones included."""
        return folder + b"/" not in self._in_use and self._ignores(folder + b"/")

    def _ignores(self, path: bytes) -> bool:
        if len(self._zones) == 1:
            return self._zones[b""].ignores(path)
        zone = next(self._zones[above] for above in _folders(path) if above in self._zones)
        return zone.ignores(path[len(zone.prefix) :])

    def changed_since(self, before: IgnoreRules) -> tuple[str, ...]:
        """The names of the files of rules that changed, sorted."""
        now, then = self._sources(), before._sources()
        return tuple(sorted({name for name, _ in now ^ then}))

    def _sources(self) -> set[tuple[str, tuple[str, ...]]]:
        return {
            (source.name, source.patterns)
            for zone in self._zones.values()
            for source in zone.sources
        }


def _folders(path: bytes) -> Iterator[bytes]:
    """The folders above a path, deepest first, each ending in a slash; empty for the root."""
    while path:
        path = path[: path.rfind(b"/", 0, -1) + 1]
        yield path


class _Zone:
    """A part of the project with rules of its own.

    prefix: its folder's path from the project root, empty or ending in a slash. inside: the same
    from the top of its repository. sources: of those that match a path, the last one for the
    deepest folder decides. tracked: files below the folder that are never ignored.
    """

    def __init__(
        self, prefix: bytes, inside: bytes, sources: list[PatternFile], ignore_case: bool
    ) -> None:
        self.prefix = prefix
        self.inside = inside
        self.sources: list[PatternFile] = []
        self.tracked: frozenset[bytes] = frozenset()
        self._ignore_case = ignore_case
        self._globs: dict[bytes, Globs] = {}
        self._known: dict[bytes, _Active | None] = {}
        for source in sources:
            self.add(source)

    def to_json(self) -> dict[str, Any]:
        return {
            "prefix": os.fsdecode(self.prefix),
            "inside": os.fsdecode(self.inside),
            "ignore_case": self._ignore_case,
            "sources": [
                (each.name, os.fsdecode(each.folder), each.patterns) for each in self.sources
            ],
            "tracked": sorted(map(os.fsdecode, self.tracked)),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> _Zone:
        sources = [
            PatternFile(name, os.fsencode(folder), tuple(patterns))
            for name, folder, patterns in data["sources"]
        ]
        prefix, inside = os.fsencode(data["prefix"]), os.fsencode(data["inside"])
        zone = cls(prefix, inside, sources, data["ignore_case"])
        zone.tracked = frozenset(map(os.fsencode, data["tracked"]))
        return zone

    def ignores(self, path: bytes) -> bool:
        """Whether a path below the zone's folder is ignored; a folder's ends in a slash."""
        if path in self.tracked:
            return False
        path = self.inside + path
        active = self._active(path[: path.rfind(b"/", 0, -1) + 1])
        return active is None or _is_covered(path, active)

    def ignores_itself(self) -> bool:
        return self._active(self.inside) is None

    def add(self, source: PatternFile) -> None:
        """Add a source. No path below its folder has been asked for yet."""
        if not source.patterns:
            return
        self.sources.append(source)
        patterns = [
            p for each in self.sources if each.folder == source.folder for p in each.patterns
        ]
        self._globs[source.folder] = Globs.lenient(patterns, ignore_case=self._ignore_case)
        self._known.pop(source.folder, None)

    def _active(self, folder: bytes) -> _Active | None:
        """The patterns that apply in a folder, the deepest last; None where it is ignored as a
        whole."""
        if folder in self._known:
            return self._known[folder]
        active: _Active | None = []
        end = 0
        while active is not None:
            above = folder[:end]
            if above in self._known:
                active = self._known[above]
            else:
                if end and _is_covered(above, active):
                    active = None
                elif above in self._globs:
                    active = [*active, (end, self._globs[above])]
                self._known[above] = active
            if end == len(folder):
                break
            end = folder.find(b"/", end) + 1
        return active


def _is_covered(path: bytes, active: _Active) -> bool:
    for start, globs in reversed(active):
        verdict = globs.verdict(path[start:])
        if verdict is not None:
            return verdict
    return False


class _Reader:
    """Reads the rules of a project."""

    def __init__(self, root: str, home: str, tick: Tick) -> None:
        self._root = os.fsencode(root)
        self._home = os.fsencode(home)
        self._tick = tick
        self._git = git.Git(root, tick)
        self._waiting = [b""]  # prefixes of zones
        self._seen = {b""}
        self._notes: list[str] = []

    def read(self) -> bytes:
        zones: list[_Zone] = []
        while self._waiting:
            zones.append(self._zone(self._waiting.pop()))
        document = {
            "version": _VERSION,
            "note": "; ".join(self._notes),
            "zones": [zone.to_json() for zone in zones],
        }
        return json.dumps(document).encode()

    def _zone(self, prefix: bytes) -> _Zone:
        try:
            return self._repository(prefix)
        except GitRefused as refusal:
            if str(refusal):
                where = f" in {printable(os.fsdecode(prefix))}" if prefix else ""
                self._notes.append(f"{refusal}; a list decides instead what is ignored{where}")
            return _Zone(prefix, b"", [PatternFile(_BUILT_IN, b"", self._listed(prefix))], False)

    def _repository(self, prefix: bytes) -> _Zone:
        folder = os.path.join(self._root, prefix)
        if not prefix and not git.has_repository(folder):
            raise GitRefused
        inside = self._git.place(folder)
        top = git.top(folder, inside)
        everywhere, exclude = self._git.global_file(folder), self._git.exclude_file(folder)
        sources = [
            PatternFile(os.fsdecode(everywhere), b"", git.rules_in(everywhere)),
            PatternFile(self._name(exclude), b"", git.rules_in(exclude)),
        ]
        for above in reversed([*_folders(inside)]):
            sources.append(self._source(os.path.join(top, above), above))
        zone = _Zone(prefix, inside, sources, self._git.ignores_case(folder))
        if zone.ignores_itself():
            shown = printable(os.fsdecode(top))
            raise GitRefused(f"the repository {shown} ignores the project root as a whole")
        index = list(self._git.tracked(folder))
        self._read_below(zone)
        zone.tracked = frozenset(path for path, _ in index if zone.ignores(path))
        for path, is_submodule in index:  # even in an ignored folder
            if is_submodule:
                self._is_repository(prefix + path + b"/")
        return zone

    def _name(self, path: bytes) -> str:
        return os.fsdecode(path.removeprefix(self._root + b"/"))

    def _source(self, place: bytes, folder: bytes) -> PatternFile:
        path = os.path.join(place, b".gitignore")
        return PatternFile(self._name(path), folder, git.rules_in(path))

    def _read_below(self, zone: _Zone) -> None:
        """Add the rules of the zone's folder and of those below that are not ignored."""
        waiting = [b""]
        while waiting:
            self._tick(0)
            folder = waiting.pop()
            place = os.path.join(self._root, zone.prefix + folder)
            folders, names = _scan(place)
            if ".gitignore" in names:
                zone.add(self._source(place, zone.inside + folder))
            waiting += [
                inner
                for inner in (
                    folder + name for name in folders if place + name + b"/" != self._home
                )
                if not zone.ignores(inner) and not self._is_repository(zone.prefix + inner)
            ]

    def _is_repository(self, prefix: bytes) -> bool:
        """Whether a folder is the top of a repository, which is then queued."""
        folder = os.path.join(self._root, prefix)
        if not os.path.lexists(os.path.join(folder, b".git")):
            return False
        with contextlib.suppress(GitRefused):
            if self._git.place(folder):
                return False  # not a repository of its own: git answers for one above
        if prefix not in self._seen:
            self._seen.add(prefix)
            self._waiting.append(prefix)
        return True

    def _listed(self, prefix: bytes) -> tuple[str, ...]:
        """The built-in patterns, with those of LISTED_BESIDE for files found below the prefix."""
        everywhere, beside = Globs(LISTED), dict.fromkeys(LISTED)
        waiting = [b""]
        while waiting:
            self._tick(0)
            folder = waiting.pop()
            folders, names = _scan(os.path.join(self._root, prefix + folder))
            made = [out for mark, outs in LISTED_BESIDE.items() if mark in names for out in outs]
            beside |= dict.fromkeys(literal(folder) + out for out in made)
            waiting += [
                folder + name
                for name in folders
                if os.fsdecode(name) not in made
                and not everywhere.matches(folder + name[:-1], folder=True)
            ]
        return tuple(beside)


def _scan(folder: bytes) -> tuple[list[bytes], set[str]]:
    """(folders in a folder, each ending in a slash; names of the other entries)."""
    folders, names = [], set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                names.add(os.fsdecode(entry.name))
            elif entry.name not in _NOT_WALKED:
                folders.append(entry.name + b"/")
    return folders, names
