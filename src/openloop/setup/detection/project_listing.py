"""A bounded look at a project: the names of its files, and what the first of them say."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import os
import re
import stat
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from openloop.fs import git

ENTRIES = 2000  # looked at in all where git does not help: a home folder, a data set
FOLDER_ENTRIES = 500  # of one folder, so that a heap of data cannot hide its neighbours
GIT_FILES = 20_000  # of those that git knows
GIT_PATIENCE = 10.0  # seconds for its answer
FILE_BYTES = 65_536  # read of one file
FILES_READ = 60  # of one kind, for what their text says

_ENVIRONMENT = "pyvenv.cfg"  # lies in a virtual environment, whatever that is called
# Not the project's own work; folders whose names begin with a dot are left out as well.
_ASIDE = re.compile(
    "node_modules|site-packages|__pycache__|vendor|third_party|deps|build|dist"
    "|target|out|obj|coverage|htmlcov|examples|samples|docs|fixtures|testdata"
)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a project as far as they were looked at; paths relative, with slashes.

    whole: whether all of them were. No method raises for what it finds, or does not.
    """

    root: str
    files: tuple[str, ...]
    whole: bool

    @classmethod
    def below(cls, root: str) -> Listing:
        """What git knows of the project, or what a walk finds where git gives no answer in time."""
        known = _known_to_git(root)
        if not known:
            return cls._walked(root)
        found = (path for path in known if os.path.isfile(os.path.join(root, path)))
        files = tuple(itertools.islice(found, GIT_FILES + 1))
        return cls(root, files[:GIT_FILES], len(files) <= GIT_FILES)

    @classmethod
    def _walked(cls, root: str) -> Listing:
        files: list[str] = []
        waiting, left, whole = deque([""]), ENTRIES, True
        while waiting and left > 0:
            entries, seen, complete = _entries(root, waiting.popleft(), min(left, FOLDER_ENTRIES))
            left -= seen
            whole = whole and complete
            files += [path for path, is_folder in entries if not is_folder]
            waiting += [path for path, is_folder in entries if is_folder]
        return cls(root, tuple(files), whole and not waiting)

    def has(self, name: str) -> bool:
        """Asked of the disk: a heap of other files at the root cannot hide a project file."""
        if "*" in name:
            return any("/" not in path for path in self.named(name))
        return os.path.exists(os.path.join(self.root, name))

    def first(self, *names: str) -> str:
        return next((name for name in names if self.has(name)), "")

    def named(self, *patterns: str) -> list[str]:
        """The files whose own name, not path, matches one of the patterns."""
        fits = _one_of(patterns).match
        return [path for path in self.files if fits(path.rpartition("/")[2])]

    def text(self, path: str, limit: int = FILE_BYTES) -> str:
        """What a file begins with; "" for one that is missing, unreadable or not regular.

        limit: bytes that are read.
        """
        try:
            # O_NONBLOCK: a FIFO must not hang us.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(os.path.join(self.root, path), flags)
        except (OSError, ValueError):
            return ""
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return os.read(descriptor, limit).decode("utf-8-sig", "replace") if is_file else ""
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def says(self, name: str, pattern: str) -> bool:
        """Whether a file is there and its text matches; "" matches whatever is there."""
        if not pattern:
            return self.has(name)
        return bool(re.search(pattern, self.text(name), re.MULTILINE))

    def telling(self, paths: Iterable[str], pattern: str) -> list[str]:
        """Those of the first files whose text matches."""
        return [path for path in itertools.islice(paths, FILES_READ) if self.says(path, pattern)]


def top(path: str) -> str:
    """The file or folder at the root that a path begins with."""
    return path.partition("/")[0]


@functools.cache
def _one_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)))


def _known_to_git(root: str) -> list[str]:
    """The paths of the project's own files, the highest first; empty where git says nothing."""
    folder = os.fsencode(root)
    try:
        if not git.has_repository(folder):
            return []
        names = map(os.fsdecode, git.Git(root).files(folder, patience=GIT_PATIENCE))
        paths = set(names)
    except (git.Refused, ValueError):
        return []

    @functools.cache
    def is_own(folder: str) -> bool:
        above, _, name = folder.rpartition("/")
        if not folder:
            return True
        aside = _is_aside(name) or f"{folder}/{_ENVIRONMENT}" in paths
        return not aside and _is_plain(name) and is_own(above)

    own = (path for path in paths if is_own(path.rpartition("/")[0]) and _is_plain_path(path))
    return sorted(own, key=lambda path: (path.count("/"), path))


def _is_plain_path(path: str) -> bool:
    name = path.rpartition("/")[2]
    return bool(name) and _is_plain(name)


def _is_aside(folder: str) -> bool:
    return folder.startswith(".") or bool(_ASIDE.fullmatch(folder))


def _entries(root: str, folder: str, limit: int) -> tuple[list[tuple[str, bool]], int, bool]:
    """Up to `limit` (path, is a folder) of one folder by name; how many were seen; if all were."""
    try:
        with os.scandir(os.path.join(root, folder)) as scan:
            seen = list(itertools.islice(scan, limit + 1))
    except (OSError, ValueError):
        return [], 0, True
    entries = []
    for entry in sorted(seen[:limit], key=lambda entry: entry.name):
        kind = _kind(entry)
        if kind is not None and _is_plain(entry.name):
            entries.append((f"{folder}/{entry.name}".lstrip("/"), kind))
    return entries, len(seen), len(seen) <= limit


def _kind(entry: os.DirEntry[str]) -> bool | None:
    """True for a folder to go into, False for a file, None for what is left out."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return (
                None
                if _is_aside(entry.name) or os.path.exists(f"{entry.path}/{_ENVIRONMENT}")
                else True
            )
        return False if entry.is_file() else None
    except OSError:
        return None  # a symlink to itself


def _is_plain(name: str) -> bool:
    """A name that can stand in a command, a glob and JSON: no option, placeholder, stray byte."""
    return name.isprintable() and name[0] != "-" and not set(name) & set("{}*?[]\\")
