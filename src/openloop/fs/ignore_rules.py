"""Which files were ignored when a run began: nothing that a command does later changes it.

In a repository git's own rules decide. They are frozen: every ignore file (.gitignore above,
at and below the project root, info/exclude, the person's global one) is copied into a shadow, a
repository without content in a folder of ours, and git is asked there, out of reach of the
project's repository, the environment and every configuration. A repository inside the project,
submodule or not, has a shadow of its own. Tracked files are never ignored.

Elsewhere, and where git refuses, a list decides: LISTED at any depth, and what LISTED_BESIDE
names next to a file that says what the folder is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openloop.config.globs import Globs, literal
from openloop.core.errors import RecordError, TamperError
from openloop.core.text import printable
from openloop.fs import files, git
from openloop.fs.frozen_git import Shadow, write
from openloop.fs.git import Refused

LISTED = (
    *("__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/"),
    *(".tox/", ".nox/", ".venv/", "/venv/", ".eggs/", "*.egg-info/", ".ipynb_checkpoints/"),
    *(".coverage", ".coverage.*", "htmlcov/", ".nyc_output/"),
    *("node_modules/", ".next/", ".nuxt/", ".svelte-kit/", ".parcel-cache/", ".turbo/"),
    *(".cache/", ".gradle/", ".terraform/", ".DS_Store", "Thumbs.db"),
)
# Folders with names that sources have as well: only beside such a file, as it stood at the start.
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
_LARGEST = 1 << 30  # bytes; no file of ours is larger, and a larger one is not read
_RULES = "rules.json"
_TRACKED = "tracked"  # paths, each ended by a NUL
_NOT_WALKED = (b".git", b".openloop")


class IgnoreRules:
    """The rules as they were when the run began.

    note: why a list decides though there is a repository; "" when nothing is amiss.
    digest: sha256 of everything that `freeze` wrote. Kept where no command can reach it and
    given to `load`, it makes sure that a later process answers as this one does.
    """

    def __init__(self, root: str, home: str, digest: str) -> None:
        """What `freeze` left in `home`, whose sha256 is `digest`. See `load` for errors."""
        self.digest = digest
        self._root = root
        self._home = os.fsencode(os.path.abspath(home))  # git runs in another folder
        document = json.loads(files.read(os.path.join(home, _RULES)))
        self.note: str = document["note"]
        zones = [_Zone.from_json(data) for data in document["zones"]]
        self._zones = {zone.prefix: zone for zone in zones}
        if b"" not in self._zones:
            raise ValueError("they do not cover the project root")
        self._globs = {zone.prefix: Globs(zone.patterns) for zone in zones if not zone.shadow}
        tracked = files.read(os.path.join(home, _TRACKED))
        self._tracked = frozenset(tracked.split(b"\0")[:-1])

    @classmethod
    def freeze(cls, root: str, home: str) -> IgnoreRules:
        """Keep the rules of the project at `root` in the folder `home`, which is made anew.

        The project is only read. Folders that cannot be read, or whose path is too long, are
        taken to hold no rules. Raises RecordError when `home` cannot be written.
        """
        root = os.path.realpath(root)
        place, name = os.path.split(os.path.abspath(home))
        home = os.path.join(os.path.realpath(place), name)
        building = home + ".new"
        try:
            _remove(os.fsencode(building))
            os.mkdir(building)
            _Freezer(root, building, (home, building)).freeze()
            _remove(os.fsencode(home))
            os.rename(building, home)
        except OSError as error:
            raise RecordError(f"cannot keep the ignore rules: {error}", where=home) from error
        return cls.load(root, home)

    @classmethod
    def load(cls, root: str, home: str, digest: str = "") -> IgnoreRules:
        """What an earlier process has frozen.

        Raises TamperError when `home` is damaged, or is not what `digest` stands for; without
        a digest a change that is well made goes unseen.
        """
        try:
            return cls(root, home, _verified(os.fsencode(home), digest))
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise _tampered(root, home, error) from error

    def ignored(self, paths: Iterable[bytes]) -> set[bytes]:
        """Those of the paths that were ignored when the run began, whether they exist or not.

        paths: of files, relative to the project root, in their shortest form. One git process
        answers for each repository among them. Raises TamperError when a command has changed
        what was frozen, RecordError when git cannot answer any more.
        """
        asked: dict[bytes, list[bytes]] = {}
        for path in paths:
            if path not in self._tracked:
                asked.setdefault(self._zone_of(path), []).append(path)
        if any(self._zones[prefix].shadow for prefix in asked):
            self._check_home()
        return {path for prefix, some in asked.items() for path in self._answer(prefix, some)}

    def _zone_of(self, path: bytes) -> bytes:
        """The prefix of the innermost zone that a path lies in."""
        end = path.rfind(b"/") if len(self._zones) > 1 else -1
        while end >= 0:
            if path[: end + 1] in self._zones:
                return path[: end + 1]
            end = path.rfind(b"/", 0, end)
        return b""

    def _answer(self, prefix: bytes, paths: list[bytes]) -> Iterator[bytes]:
        zone = self._zones[prefix]
        if not zone.shadow:
            globs = self._globs[prefix]
            return (path for path in paths if globs.matches(path[len(prefix) :]))
        names = {zone.inside + path[len(prefix) :]: path for path in paths}
        try:
            found = Shadow(os.path.join(self._home, zone.shadow)).ignored(names)
        except Refused as refusal:
            raise RecordError(
                f"cannot tell which files of {self._root} were ignored: {refusal}",
                fix="see that git can be run, then run again",
            ) from refusal
        return map(names.__getitem__, found)

    def _check_home(self) -> None:
        try:
            _verified(self._home, self.digest)
        except (OSError, ValueError) as error:
            raise _tampered(self._root, os.fsdecode(self._home), error) from error


def _tampered(root: str, home: str, error: Exception) -> TamperError:
    return TamperError(
        f"the ignore rules frozen for {root} were damaged: {error}",
        where=home,
        fix="look for what wrote there, then start a new run",
    )


@dataclass(frozen=True, slots=True)
class _Zone:
    """A part of the project with rules of its own.

    prefix: its folder's path from the project root, empty or ending in a slash.
    shadow: the name of its shadow in `home`; empty where `patterns` decide.
    inside: the folder's path from the top of its repository, empty or ending in a slash.
    """

    prefix: bytes
    shadow: bytes = b""
    inside: bytes = b""
    patterns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        names = {name: os.fsdecode(getattr(self, name)) for name in ("prefix", "shadow", "inside")}
        return {**names, "patterns": self.patterns}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> _Zone:
        prefix, shadow, inside = (
            os.fsencode(data[name]) for name in ("prefix", "shadow", "inside")
        )
        return cls(prefix, shadow, inside, tuple(data["patterns"]))


class _Freezer:
    """Finds the rules of a project and writes them to `home`."""

    def __init__(self, root: str, home: str, without: Iterable[str]) -> None:
        """without: folders that do not belong to the project."""
        self._root = os.fsencode(root)
        self._home = os.fsencode(home)
        self._without = set(map(os.fsencode, without))
        self._waiting = [b""]  # prefixes of zones
        self._known = {b""}
        self._tracked: list[bytes] = []
        self._notes: list[str] = []

    def freeze(self) -> None:
        zones: list[_Zone] = []
        while self._waiting:
            zones.append(self._zone(self._waiting.pop(), b"repository-%d" % len(zones)))
        document = {"note": "; ".join(self._notes), "zones": [zone.to_json() for zone in zones]}
        write(self._own(_RULES), json.dumps(document).encode())
        write(self._own(_TRACKED), b"".join(path + b"\0" for path in self._tracked))

    def _own(self, name: str) -> bytes:
        return os.path.join(self._home, os.fsencode(name))

    def _zone(self, prefix: bytes, shadow: bytes) -> _Zone:
        try:
            return self._repository(prefix, shadow)
        except Refused as refusal:
            _remove(os.path.join(self._home, shadow))
            if str(refusal):
                where = f" in {printable(os.fsdecode(prefix))}" if prefix else ""
                self._notes.append(f"{refusal}; a list decides instead what is ignored{where}")
            return _Zone(prefix, patterns=self._listed(prefix))

    def _repository(self, prefix: bytes, name: bytes) -> _Zone:
        folder = os.path.join(self._root, prefix)
        if not prefix and not git.is_near(folder):
            raise Refused
        zone = _Zone(prefix, name, git.place(folder))
        top = git.top(folder, zone.inside)
        shadow = Shadow(os.path.join(self._home, name))
        shadow.make(
            git.exclude(folder),
            git.everywhere(top),
            ignore_case=git.ignores_case(folder),
        )
        self._copy_above(zone, shadow, top)
        links = self._track(zone)
        self._copy_below(zone, shadow)
        for link in links:  # also where an ignored folder holds them
            self._is_repository(link)
        return zone

    def _copy_above(self, zone: _Zone, shadow: Shadow, top: bytes) -> None:
        """The rules of the folders above the zone. Raises Refused if they ignore all of it."""
        folder = b""
        for name in zone.inside.split(b"/")[:-1]:
            shadow.add_rules(folder, git.rules_in(os.path.join(top, folder, b".gitignore")))
            folder += name + b"/"
        if zone.inside and shadow.ignored_folders([zone.inside]):
            shown = printable(os.fsdecode(top))
            raise Refused(f"the repository {shown} ignores the project root as a whole")

    def _track(self, zone: _Zone) -> list[bytes]:
        """Take note of what is tracked. Returns the folders that are submodules."""
        links = []
        listed = git.ask(os.path.join(self._root, zone.prefix), "ls-files", "--stage", "-z")
        for line in listed.split(b"\0")[:-1]:
            about, _, path = line.partition(b"\t")
            self._tracked.append(zone.prefix + path)
            if about.startswith(b"160000 "):
                links.append(zone.prefix + path + b"/")
        return links

    def _copy_below(self, zone: _Zone, shadow: Shadow) -> None:
        """The rules of the zone's folder and those below, as far as they are not ignored."""
        level = [b""]
        while level:
            inner = []
            for folder in level:
                place = os.path.join(self._root, zone.prefix + folder, b".gitignore")
                shadow.add_rules(zone.inside + folder, git.rules_in(place))
                inner += [folder + name for name in self._scan(zone.prefix + folder)[0]]
            ignored = shadow.ignored_folders(zone.inside + folder for folder in inner)
            level = [
                folder
                for folder in inner
                if zone.inside + folder not in ignored
                and not self._is_repository(zone.prefix + folder)
            ]

    def _is_repository(self, prefix: bytes) -> bool:
        """Whether a folder is the top of a repository, which then waits for its turn."""
        folder = os.path.join(self._root, prefix)
        if not os.path.lexists(os.path.join(folder, b".git")):
            return False
        with contextlib.suppress(Refused):
            if git.place(folder):
                return False  # something else of that name; git looks further up
        if prefix not in self._known:
            self._known.add(prefix)
            self._waiting.append(prefix)
        return True

    def _listed(self, prefix: bytes) -> tuple[str, ...]:
        """The patterns of the list, those beside the files that stand below the prefix too."""
        everywhere, beside = Globs(LISTED), dict.fromkeys(LISTED)
        level = [b""]
        while level:
            inner = []
            for folder in level:
                folders, names = self._scan(prefix + folder)
                made = [
                    out for mark, outs in LISTED_BESIDE.items() if mark in names for out in outs
                ]
                beside |= dict.fromkeys(literal(folder) + out for out in made)
                inner += [folder + name for name in folders if os.fsdecode(name) not in made]
            level = [folder for folder in inner if not everywhere.matches(folder[:-1], folder=True)]
        return tuple(beside)

    def _scan(self, folder: bytes) -> tuple[list[bytes], set[str]]:
        """The folders in a folder, each with a slash at its end, and the names of the rest."""
        folders, names = [], set()
        with contextlib.suppress(OSError), os.scandir(os.path.join(self._root, folder)) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    names.add(os.fsdecode(entry.name))
                elif entry.name not in _NOT_WALKED and entry.path not in self._without:
                    folders.append(entry.name + b"/")
        return folders, names


def _remove(path: bytes) -> None:
    """Remove whatever stands at a path, if anything does."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    for entry in reversed(list(_below(path))):
        if entry.is_dir(follow_symlinks=False):
            os.rmdir(entry)
        else:
            os.unlink(entry)
    os.rmdir(path)


def _verified(home: bytes, digest: str) -> str:
    """The sha256 of what is there. Raises ValueError when it is not `digest`, if one is given."""
    found = _fingerprint(home)
    if digest and digest != found:
        raise ValueError("they are not what was frozen")
    return found


def _fingerprint(folder: bytes) -> str:
    """sha256 of all that stands below a folder: names, kinds and content. Raises OSError."""
    whole = hashlib.sha256()
    for entry in _below(folder):
        about = entry.stat(follow_symlinks=False)
        content = b""
        if stat.S_ISREG(about.st_mode):
            if about.st_size > _LARGEST:
                raise OSError(errno.EFBIG, "is no file of ours", os.fsdecode(entry.path))
            content = files.read(os.fsdecode(entry.path))
        name = entry.path.removeprefix(folder)
        digest = hashlib.sha256(content).digest()
        whole.update(b"%b\0%d\0%b" % (name, stat.S_IFMT(about.st_mode), digest))
    return whole.hexdigest()


def _below(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
    """Everything below a folder in a fixed order, each folder before what is in it."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        yield from found
        waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
