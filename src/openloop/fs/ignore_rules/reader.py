"""Read the ignore rules of a project.

In a repository git's rules apply: every ignore file (.gitignore above, at and below the project
root, info/exclude, the person's global one) is read once. A repository inside the project,
submodule or not, has rules of its own. Tracked files are never ignored.

Elsewhere, and where git refuses, built-in patterns apply: LISTED at any depth, LISTED_BESIDE next
to a file that shows what built the folder.
"""

from __future__ import annotations

import contextlib
import json
import os

from openloop.config.globs import Globs, literal
from openloop.core.text import printable_path
from openloop.fs import files, git
from openloop.fs.content import Tick, no_tick
from openloop.fs.git import GitRefused
from openloop.fs.ignore_rules.rules import VERSION, IgnoreRules, PatternFile, Zone, folders_above

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
_NOT_WALKED = (b".git", b".openloop")
_BUILT_IN = "the built-in list"
_LARGEST = 16 << 20  # bytes read of a file of rules


def read(root: str, home: str, tick: Tick = no_tick) -> IgnoreRules:
    """The current rules of the project at `root`. home: a folder outside the project.
    tick: called for each folder and while git works; reading ends when it raises.

    Folders that cannot be read, or whose path is too long, count as having no rules.
    """
    return IgnoreRules(_Reader(os.path.realpath(root), os.path.realpath(home), tick).read())


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
        zones: list[Zone] = []
        while self._waiting:
            zones.append(self._zone(self._waiting.pop()))
        document = {
            "version": VERSION,
            "note": "; ".join(self._notes),
            "zones": [zone.to_json() for zone in zones],
        }
        return json.dumps(document).encode()

    def _zone(self, prefix: bytes) -> Zone:
        try:
            return self._repository(prefix)
        except GitRefused as refusal:
            if str(refusal):
                where = f" in {printable_path(prefix)}" if prefix else ""
                self._notes.append(f"{refusal}; a list decides instead what is ignored{where}")
            return Zone(prefix, b"", [PatternFile(_BUILT_IN, b"", self._listed(prefix))], False)

    def _repository(self, prefix: bytes) -> Zone:
        folder = os.path.join(self._root, prefix)
        if not prefix and not git.has_repository(folder):
            raise GitRefused
        inside = self._git.place(folder)
        top = git.top(folder, inside)
        everywhere, exclude = self._git.global_file(folder), self._git.exclude_file(folder)
        sources = [
            PatternFile(os.fsdecode(everywhere), b"", _patterns_in(everywhere)),
            PatternFile(self._name(exclude), b"", _patterns_in(exclude)),
        ]
        for above in reversed([*folders_above(inside)]):
            sources.append(self._source(os.path.join(top, above), above))
        zone = Zone(prefix, inside, sources, self._git.ignores_case(folder))
        if zone.ignores_itself():
            shown = printable_path(top)
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
        return PatternFile(self._name(path), folder, _patterns_in(path))

    def _read_below(self, zone: Zone) -> None:
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


def _patterns_in(path: bytes) -> tuple[str, ...]:
    """The patterns in a file; none when it cannot be read."""
    try:
        data = files.read(os.fsdecode(path), limit=_LARGEST)
    except OSError:
        return ()
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found = [
        _without_spaces(line.removesuffix(b"\r")) for line in lines if not line.startswith(b"#")
    ]
    return tuple(filter(None, found))


def _without_spaces(line: bytes) -> str:
    """The line without trailing spaces, except one after a backslash."""
    short = line.rstrip(b" ")
    escaped = (len(short) - len(short.rstrip(b"\\"))) % 2 == 1
    return os.fsdecode(line[: len(short) + escaped])
