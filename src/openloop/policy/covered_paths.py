"""The paths on the disk that patterns cover: whole folders where they can be named, else files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from openloop.config import globs
from openloop.config.globs import Globs
from openloop.record.workspace import HOME

PROJECT, WORKSPACE = "project", "workspace"  # the two trees in which something can lie
Item = tuple[str, bytes]  # one of them, and a path relative to it
Skip = Callable[[bytes], bool]  # path of a folder below the root → not to be looked into


class CoveredPaths:
    """The outermost paths below a root that a list of patterns covers."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._covers = Globs(patterns)
        # `tests/**` covers all that can ever lie below `tests`, but not `tests` itself.
        takes_back = any(pattern.startswith("!") for pattern in patterns)
        self._holds = Globs([] if takes_back else list(filter(None, map(_home, patterns))))
        self._names_git = any(".git" in pattern.split("/") for pattern in patterns)

    def covers(self, path: bytes, *, folder: bool) -> bool:
        """Whether the path itself is covered, not only what lies below it."""
        return self._covers.matches(path, folder=folder)

    def walk(self, root: str, *, skip: Skip) -> Iterator[tuple[bytes, bool]]:
        """(relative path, is a folder of which all that is below is covered). What cannot be
        listed is passed over; no symlink is followed."""
        yield from self._walk(os.fsencode(root), b"", skip)

    def _walk(self, place: bytes, prefix: bytes, skip: Skip) -> Iterator[tuple[bytes, bool]]:
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            path = prefix + entry.name
            folder = entry.is_dir(follow_symlinks=False)
            if folder and (skip(path) or (entry.name == b".git" and not self._names_git)):
                continue
            if self._covers.matches(path, folder=folder):
                yield path, folder
            elif folder and self._holds.matches(path, folder=True):
                yield path, True
            elif folder:
                yield from self._walk(entry.path, path + b"/", skip)


def _home(pattern: str) -> str:
    """The pattern of the folders below which `pattern` covers everything; "" for none."""
    stem = pattern.removesuffix("/**").removesuffix("/*")
    if stem == pattern or globs.check(anchored := "/" + stem.removeprefix("/") + "/"):
        return ""
    return anchored


def unless_openloop(root: str, workspace: str) -> Skip:
    """The `skip` that leaves out the workspace and every `.openloop` folder."""
    inside = os.fsencode(os.path.relpath(workspace, root))
    home = os.fsencode(HOME)
    return lambda path: path == inside or path.rpartition(b"/")[2] == home


def below(folder: str, path: str) -> bool:
    """Whether `path` is `folder` or lies below it; both absolute."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
