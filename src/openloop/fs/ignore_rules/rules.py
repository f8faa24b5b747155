"""The ignore rules of a project, frozen when a run begins so that no command can change them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from openloop.config.globs import Globs
from openloop.core.errors import RecordError, TamperError
from openloop.fs import dirfd, files

_RULES = "rules.json"
VERSION = 2
_LARGEST = 1 << 28  # bytes of rules read
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
        """data: the result of `save`, or of `reader`. Raises ValueError and others for anything
        else."""
        self._data = data
        document = json.loads(data)
        if document.get("version") != VERSION:
            raise ValueError("another version of OpenLoop wrote them, or something else did")
        self.digest = hashlib.sha256(data).hexdigest()
        self.note: str = document["note"]
        zones = map(Zone.from_json, document["zones"])
        self._zones = {zone.prefix: zone for zone in zones}
        if b"" not in self._zones:
            raise ValueError("they do not cover the project root")
        tracked = [zone.prefix + path for zone in self._zones.values() for path in zone.tracked]
        self._in_use = {above for path in (*tracked, *self._zones) for above in folders_above(path)}
        self._in_use.update(self._zones)

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
                raise ValueError("they differ from the frozen ones")
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
        zone = next(self._zones[above] for above in folders_above(path) if above in self._zones)
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


def folders_above(path: bytes) -> Iterator[bytes]:
    """The folders above a path, deepest first, each ending in a slash; empty for the root."""
    while path:
        path = path[: path.rfind(b"/", 0, -1) + 1]
        yield path


class Zone:
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
    def from_json(cls, data: Mapping[str, Any]) -> Zone:
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
