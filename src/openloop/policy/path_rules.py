"""Whether a path is protected, withheld or allowed, and whether it belongs to the project."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from openloop.config.config import Policy
from openloop.config.globs import Globs
from openloop.core.text import printable_path
from openloop.fs import snapshot
from openloop.fs.ignore_rules.rules import IgnoreRules
from openloop.fs.manifest import Entry, Manifest, signature_of
from openloop.fs.snapshot import MAX_DEPTH, is_too_deep
from openloop.fs.symlinks import Aliases, alternative_paths

SMALL = 16 << 20  # bytes of a protected, ignored file (a dependency) up to which it is kept
KEPT = 128 << 20  # bytes, their total up to which they are kept, the smallest first
HASHED = 1 << 30  # bytes, their total up to which they are hashed, the smallest first
_LITTER = (
    *(b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis"),
    *(b".coverage", b"htmlcov", b"coverage.xml", b".benchmarks", b"coverage", b".nyc_output"),
    *(b".phpunit.cache", b".phpunit.result.cache"),
)
AGENT_FILES = (b".aider", b".claude/")  # beginnings of paths; a person may write there, too
_LITTER_STEMS = (b".coverage.", *AGENT_FILES)
_LITTER_ENDING = b".egg-info"
_INSIDE = b"/\0"  # appended to a folder's path: any file in it, by a name that no pattern has


class PathRules:
    """protect, withhold and allow. Withheld paths are protected too, and so are the targets of
    protected symlinks, see `follow`."""

    def __init__(self, policy: Policy | None) -> None:
        protect = policy.protect if policy else ()
        allow = policy.allow if policy else None
        self._protect = Globs(protect)
        self._withhold = Globs(policy.withhold if policy else ())
        self._allow = None if allow is None else Globs(allow)
        self._excepts_folders = any(g.startswith("!") and g.endswith("/") for g in protect)
        self._aliases: Aliases = {}
        self._byte_code_too = any("pyc" in glob for glob in protect)
        self.withholds_any = bool(policy and policy.withhold)
        self.names_git = any(".git" in glob.split("/") for glob in protect)
        self.limits_changes = policy is not None and policy.limits_changes

    def follow(self, aliases: Aliases) -> None:
        """Match paths by these other names as well from now on."""
        self._aliases = aliases

    def covers(self, path: bytes) -> bool:
        """Whether the path is protected or below a protected folder, byte code included."""
        if not self._aliases:
            return self._matches(path)
        return any(map(self._matches, alternative_paths(path, self._aliases)))

    def _matches(self, name: bytes) -> bool:
        return self._is_protected(name) or (self.withholds_any and self.withholds(name))

    def _is_protected(self, name: bytes) -> bool:
        """Whether `protect` covers the name. A path that is included again as a folder is not
        covered, whatever it is: else a folder that a gate creates there would have to be
        removed."""
        if not self._protect.matches(name):
            return False
        return not self._excepts_folders or self._protect.matches(name, folder=True)

    def withholds(self, path: bytes) -> bool:
        """Whether the path is withheld from changes."""
        return self._withhold.matches(path)

    def protects(self, path: bytes) -> bool:
        """Whether the path is compared with the reference; byte code is removed instead. A folder
        is compared if every path in it would be: `tests/**` protects the mode of `tests` too."""
        if not (self.covers(path) or self.covers(path + _INSIDE)):
            return False
        return self._byte_code_too or not is_byte_code(path)

    def reaches(self, folder: bytes) -> bool:
        """Whether a path in the folder could be covered; False is certain."""
        return any(
            self._protect.reaches(name) or self._withhold.reaches(name)
            for name in alternative_paths(folder, self._aliases)
        )

    def protecting_name(self, path: bytes) -> bytes:
        """The path through a symlink by which a path is protected; empty if by its own name."""
        found = [
            name
            for name in alternative_paths(path, self._aliases)
            if self._matches(name) or self._matches(name + _INSIDE)
        ]
        return b"" if not found or found[0] == path else found[0]

    def allows(self, path: bytes) -> bool:
        return self._allow is None or self._allow.matches(path)

    def is_cache(self, path: bytes) -> bool:
        """Whether the path lies in the cache of a tool in `node_modules`, for which `protect` has
        an exception."""
        above, found, below = (b"/" + path).partition(b"/node_modules/.")
        if not found or b"/" not in below or self.covers(path):
            return False
        return self.covers(above[1:] + b"/node_modules"[not above :] + _INSIDE)

    def leaves_open(self, name: bytes) -> bool:
        """Whether a change could write a file of ignore rules unnoticed. name: as given by
        `IgnoreRules.changed_since`, a path in the project or elsewhere."""
        in_project = name.endswith(b".gitignore") and not os.path.isabs(name)
        return not in_project or (self.allows(name) and not self.protects(name))

    def allows_folder(self, path: bytes) -> bool:
        """Whether the folder, or every path in it, is allowed."""
        return self.allows(path) or self.allows(path + _INSIDE)


def is_byte_code(path: bytes) -> bool:
    """Whether Python writes such a file beside sources, and may read it instead of them."""
    return b"__pycache__" in path.split(b"/") or path.endswith((b".pyc", b".pyo"))


def is_litter(path: bytes) -> bool:
    """Whether checks or agents leave such a file behind: it is removed, and no violation."""
    top = path.split(b"/", 1)[0]
    is_known = top in _LITTER or top.endswith(_LITTER_ENDING)
    return is_known or (path + b"/").startswith(_LITTER_STEMS) or is_byte_code(path)


def source_folder(byte_code: bytes) -> bytes:
    """The folder of the sources that a byte-code file was compiled from."""
    folder = os.path.dirname(byte_code)
    return os.path.dirname(folder) if os.path.basename(folder) == b"__pycache__" else folder


def incomparable_paths(tree: Manifest, rules: PathRules) -> Iterator[tuple[str, str]]:
    """(what, fix) for every path that the policy cannot compare."""
    for path in tree.unreadable:
        if is_too_deep(path):
            what = f"{printable_path(path)[:80]}… lies more than {MAX_DEPTH} folders deep"
            yield f"{what}: no policy can look there", "remove it, or move it up"
        elif rules.protects(path):
            fix = "make it readable (chmod u+rX), or leave it out of protect and withhold"
            yield f"{printable_path(path)} is protected and cannot be read", fix


def largest_exceeding(total: int, paths: Iterable[bytes], known: Manifest) -> Iterator[bytes]:
    """The largest of these files, which make the sum of their sizes exceed `total`."""
    for path in sorted(paths, key=lambda path: (known[path].size, path)):
        total -= known[path].size
        if total < 0:
            yield path


class ProjectBoundary:
    """A `skip` for scans that leaves out the workspace, `.openloop`, `.git`, and ignored folders
    without any path that could be protected.

    A change must not hide files under these names: an entry that did not exist when the run began
    is scanned if it is protected, or lies below the root and is not allowed. A repository of the
    project that was moved is the exception: it must never be deleted.
    """

    def __init__(self, root: str, workspace: str, rules: PathRules) -> None:
        """root, workspace: absolute, symlinks resolved."""
        self._root = os.fsencode(root)
        self._usual = snapshot.outside_project(root, workspace)
        self._rules = rules
        self.ignored: IgnoreRules | None = None  # as they were when the run began
        self._seen: dict[bytes, Entry] | None = {}
        self._outside: Manifest = Manifest({}, 0)
        self._own: frozenset[tuple[int, int]] = frozenset()  # (device, inode)

    def __call__(self, path: bytes, is_folder: bool) -> bool:
        name = path[path.rfind(b"/") + 1 :]
        if not self._usual(path, is_folder) or (name == b".git" and self._rules.names_git):
            return is_folder and self._can_skip(path)
        if self._seen is not None:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(self._root, path))
                self._seen[path] = Entry("", signature_of(found))
            return True
        counts = self._rules.covers(path) or (b"/" in path and not self._rules.allows(path))
        if path in self._outside or not counts:
            return True
        return self._is_own(path)

    def _can_skip(self, folder: bytes) -> bool:
        """Whether a folder can be left out; byte code may be beside protected sources."""
        return (
            self.ignored is not None
            and not is_byte_code(folder)
            and self.ignored.ignores_all_in(folder)
            and not self._rules.reaches(folder)
        )

    def _is_own(self, path: bytes) -> bool:
        try:
            found = os.lstat(os.path.join(self._root, path))
        except OSError:
            return False
        return (found.st_dev, found.st_ino) in self._own

    def close(self) -> Manifest:
        """End the first scan; returns the paths it left out, which alone stay outside."""
        met = Manifest.of(self._seen or {})
        self.resume(met)
        return met

    def resume(self, outside: Manifest) -> None:
        """Use the paths that `close` returned when the run began."""
        self._seen = None
        self._outside = outside
        self._own = frozenset(entry.signature[:2] for entry in outside.values())
