"""A bounded listing of a project: the names of its files, and the text of the first ones."""

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
_FOREIGN = re.compile("node_modules|site-packages|__pycache__|vendor|third_party|deps")
_TEST_DATA = re.compile("fixtures|testdata")
_BESIDE_SOURCES = re.compile("build|dist|target|out|obj|coverage|htmlcov|examples|samples|docs")
# Below these, the names of folders are those of packages: src/main/java/org/example/samples.
_SOURCES = re.compile("(^|/)(src|lib|internal|pkg|cmd)/")


@dataclass(frozen=True, slots=True)
class ProjectListing:
    """The files of a project as far as they were looked at; paths relative, with slashes.

    whole: whether all of them were. test_data: folders whose files are left out because they are
    data of tests. No method raises an error.
    """

    root: str
    files: tuple[str, ...]
    whole: bool
    test_data: tuple[str, ...] = ()

    @classmethod
    def below(cls, root: str) -> ProjectListing:
        """The files that git knows, or those found by a walk if git gives no answer in time."""
        known, test_data = _known_to_git(root)
        if not known:
            return cls._walked(root)
        found = (path for path in known if os.path.isfile(os.path.join(root, path)))
        files = tuple(itertools.islice(found, GIT_FILES + 1))
        return cls(root, files[:GIT_FILES], len(files) <= GIT_FILES, test_data)

    @classmethod
    def without_files(cls, root: str) -> ProjectListing:
        """A listing for questions about paths that are known, not about which files there are."""
        return cls(root, (), True)

    @classmethod
    def _walked(cls, root: str) -> ProjectListing:
        files: list[str] = []
        test_data: list[str] = []
        waiting, left, whole = deque([""]), ENTRIES, True
        while waiting and left > 0:
            entries, seen, complete = _entries(root, waiting.popleft(), min(left, FOLDER_ENTRIES))
            left -= seen
            whole = whole and complete
            files += [path for path, is_folder in entries if not is_folder]
            for path in (path for path, is_folder in entries if is_folder):
                (test_data if _TEST_DATA.fullmatch(_name(path)) else waiting).append(path)
        return cls(root, tuple(files), whole and not waiting, tuple(test_data))

    def has(self, name: str) -> bool:
        """Whether a file exists at the root, asked of the disk because the listing is bounded."""
        if "*" in name:
            return any("/" not in path for path in self.named(name))
        return os.path.exists(os.path.join(self.root, name))

    def first(self, *names: str) -> str:
        return next((name for name in names if self.has(name)), "")

    def named(self, *patterns: str) -> list[str]:
        """The files whose own name, not path, matches one of the patterns."""
        fits = _one_of(patterns).match
        return [path for path in self.files if fits(_name(path))]

    def text(self, path: str, limit: int = FILE_BYTES) -> str:
        """The beginning of a file; "" for one that is missing, unreadable or not regular. limit:
        bytes to read."""
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

    def text_matches(self, name: str, pattern: str) -> bool:
        """Whether a file is there and its text matches; "" matches whatever is there."""
        if not pattern:
            return self.has(name)
        return bool(re.search(pattern, self.text(name), re.MULTILINE))

    def with_text(self, paths: Iterable[str], pattern: str) -> list[str]:
        """Those of the first files whose text matches."""
        return [
            path for path in itertools.islice(paths, FILES_READ) if self.text_matches(path, pattern)
        ]


def top_name(path: str) -> str:
    """The file or folder at the root that a path begins with."""
    return path.partition("/")[0]


@functools.cache
def _one_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)))


def _known_to_git(root: str) -> tuple[list[str], tuple[str, ...]]:
    """The paths of the project's own files, the highest first, and the folders of test data; both
    empty where git says nothing."""
    folder = os.fsencode(root)
    try:
        if not git.has_repository(folder):
            return [], ()
        names = map(os.fsdecode, git.Git(root).files(folder, patience=GIT_PATIENCE))
        paths = set(names)
    except (git.GitRefused, ValueError):
        return [], ()
    test_data: set[str] = set()

    @functools.cache
    def is_own(folder: str) -> bool:
        if not folder:
            return True
        aside = _is_aside(folder) or f"{folder}/{_ENVIRONMENT}" in paths
        if aside or not _is_plain(_name(folder)) or not is_own(os.path.dirname(folder)):
            return False
        if is_data := bool(_TEST_DATA.fullmatch(_name(folder))):
            test_data.add(folder)
        return not is_data

    own = [path for path in paths if is_own(os.path.dirname(path)) and _is_plain(_name(path))]
    return sorted(own, key=lambda path: (path.count("/"), path)), tuple(sorted(test_data))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_aside(folder: str) -> bool:
    """Whether a folder is not the project's own work, as far as its path says."""
    name = _name(folder)
    if name.startswith(".") or _FOREIGN.fullmatch(name):
        return True
    return bool(_BESIDE_SOURCES.fullmatch(name)) and not _SOURCES.search(folder)


def _entries(root: str, folder: str, limit: int) -> tuple[list[tuple[str, bool]], int, bool]:
    """Up to `limit` (path, is a folder) of one folder by name; how many were seen; if all were."""
    try:
        with os.scandir(os.path.join(root, folder)) as scan:
            seen = list(itertools.islice(scan, limit + 1))
    except (OSError, ValueError):
        return [], 0, True
    entries = []
    for entry in sorted(seen[:limit], key=lambda entry: entry.name):
        path = f"{folder}/{entry.name}".lstrip("/")
        kind = _kind(entry, path)
        if kind is not None and _is_plain(entry.name):
            entries.append((path, kind))
    return entries, len(seen), len(seen) <= limit


def _kind(entry: os.DirEntry[str], path: str) -> bool | None:
    """True for a folder to go into, False for a file, None for an entry to leave out."""
    try:
        if entry.is_dir(follow_symlinks=False):
            aside = _is_aside(path) or os.path.exists(f"{entry.path}/{_ENVIRONMENT}")
            return None if aside else True
        return False if entry.is_file() else None
    except OSError:
        return None  # a symlink to itself


def _is_plain(name: str) -> bool:
    """A name that can stand in a command, a glob and JSON: no option, placeholder, stray byte."""
    return name.isprintable() and name[:1] not in ("", "-") and not set(name) & set("{}*?[]\\")
