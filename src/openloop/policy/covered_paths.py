"""The paths on the disk that patterns cover: whole folders where possible, otherwise files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from openloop.fs.content import Tick, no_tick
from openloop.record.workspace import HOME

PROJECT, WORKSPACE = "project", "workspace"  # the two trees with covered paths
Item = tuple[str, bytes]  # (one of them, a path relative to it)
Skip = Callable[[bytes], bool]  # path of a folder below the root → do not enter it


class CoveredPaths:
    """The outermost paths below a root that a list of patterns covers."""

    def __init__(self, patterns: Sequence[str], tick: Tick = no_tick) -> None:
        """tick: called for each folder of a walk, which ends when it raises."""
        from openloop.config.globs import Globs  # slow to import, and most missions have none

        self._tick = tick
        self._covers = Globs(patterns)
        # `tests/**` covers every path below `tests`, but not `tests` itself.
        takes_back = any(pattern.startswith("!") for pattern in patterns)
        self._holds = Globs([] if takes_back else list(filter(None, map(_home, patterns))))
        self._names_git = any(".git" in pattern.split("/") for pattern in patterns)

    def covers(self, path: bytes, *, folder: bool) -> bool:
        """Whether the path itself is covered, not only paths below it."""
        return self._covers.matches(path, folder=folder)

    def walk(self, root: str, *, skip: Skip) -> Iterator[tuple[bytes, bool]]:
        """(relative path, whether it is a folder that is covered with every path below it).
        Folders that cannot be listed are skipped; no symlink is followed."""
        yield from self._walk(os.fsencode(root), b"", skip)

    def _walk(self, place: bytes, prefix: bytes, skip: Skip) -> Iterator[tuple[bytes, bool]]:
        self._tick(0)
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
            elif folder and self._covers.reaches(path):
                yield from self._walk(entry.path, path + b"/", skip)


def _home(pattern: str) -> str:
    """The pattern of the folders below which `pattern` covers everything; "" for none."""
    from openloop.config import globs

    stem = pattern.removesuffix("/**").removesuffix("/*")
    if stem == pattern or globs.check(anchored := "/" + stem.removeprefix("/") + "/"):
        return ""
    return anchored


def descend(root: str, path: bytes) -> Iterator[bytes]:
    """A path and the paths below it, sorted, each folder before its entries."""
    yield path
    full = os.path.join(os.fsencode(root), path)
    if os.path.isdir(full) and not os.path.islink(full):
        for name in sorted(os.listdir(full)):
            yield from descend(root, os.path.join(path, name))


def skip_openloop(root: str, workspace: str) -> Skip:
    """A `skip` that leaves out the workspace and every `.openloop` folder."""
    inside = os.fsencode(os.path.relpath(workspace, root))
    home = os.fsencode(HOME)
    return lambda path: path == inside or path.rpartition(b"/")[2] == home


def lies_in(folder: str, path: str) -> bool:
    """Whether `path` is `folder` or lies below it; both absolute."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
