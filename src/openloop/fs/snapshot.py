"""The manifest of a project tree: what stands at every path, without holding the bytes.

Files are read again only when their stat signature moved since an earlier scan, so that a
look at an unchanged tree costs one `stat` a file. ctime is part of the signature and cannot be
set by a program: an edit that puts size and mtime back is noticed all the same.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter, methodcaller
from typing import NamedTuple

FILE, SYMLINK, FOLDER, OTHER = "file", "symlink", "folder", "other"
UNHASHED = ""  # content of a file that nobody wanted hashed
UNREADABLE = "?"  # content of a file that cannot be read, of a folder that cannot be listed
MAX_DEPTH = 200  # folders below each other; each costs a descriptor while it is walked
TICK = 50_000_000  # ns, of the clock that files are stamped with, amply
COARSE_TICK = 2_000_000_000  # ns, the same where stamps are whole seconds
CHUNK = 1 << 20  # bytes read at a time

Skip = Callable[[bytes, bool], bool]  # (relative path, is a folder) → not of the project
Wanted = Callable[[bytes], bool]
Signature = tuple[int, int, int, int, int, int]  # dev, ino, size, mtime_ns, ctime_ns, st_mode
SIGNATURE: Callable[[os.stat_result], Signature] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode"
)
_SIZE, _MTIME, _CTIME, _MODE = 2, 3, 4, 5
_KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFDIR: FOLDER}
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine's trouble, not the tree's
_NEVER = sys.maxsize  # newer than any clock: what has this age is looked at again
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_NAME: Callable[[os.DirEntry[str]], str] = attrgetter("name")
_STAT: Callable[[os.DirEntry[str]], os.stat_result] = methodcaller("stat", follow_symlinks=False)


class Entry(NamedTuple):
    """What stands at one path.

    content: a file's sha256 in hex, UNHASHED or UNREADABLE; a symlink's target, undecodable
    bytes as surrogates; FOLDER or UNREADABLE; for anything else its type in octal.
    """

    content: str
    signature: Signature

    @property
    def kind(self) -> str:
        return _KINDS.get(stat.S_IFMT(self.signature[_MODE]), OTHER)

    @property
    def mode(self) -> int:
        """The permission bits, 0 to 0o7777."""
        return stat.S_IMODE(self.signature[_MODE])

    @property
    def size(self) -> int:
        """Bytes."""
        return self.signature[_SIZE]

    @property
    def modified(self) -> int:
        """When the content was written last, in ns UTC."""
        return self.signature[_MTIME]

    @property
    def is_hashed(self) -> bool:
        """A regular file whose content is known."""
        return self.kind == FILE and self.content not in (UNHASHED, UNREADABLE)

    @property
    def is_unreadable(self) -> bool:
        return self.content == UNREADABLE and self.kind != SYMLINK  # which may point to `?`

    @property
    def target(self) -> bytes:
        """Where a symlink points."""
        return to_bytes(self.content)


class _Listing(NamedTuple):
    """One folder as a scan saw it; the next scan takes it whole where nothing moved."""

    names: list[str]
    signatures: list[Signature]
    settled: int  # ns, when all in it was; _NEVER when something has to be looked at again
    entries: dict[bytes, Entry]
    folders: list[tuple[str, bytes]]  # (name, path)

    def _shared_with(self, earlier: _Listing | None) -> _Listing:
        """The same, with the earlier one's entries where they are equal: see `is_taken_over`."""
        if earlier is None or earlier.entries != self.entries:
            return self
        return self._replace(entries=earlier.entries)


class Manifest(Mapping[bytes, Entry]):
    """Relative path → Entry, the root itself left out. began: ns UTC, when its scan did."""

    __slots__ = ("asked", "began", "entries", "listings")

    def __init__(self, entries: dict[bytes, Entry], began: int) -> None:
        self.entries = entries
        self.began = began
        self.asked: tuple[Skip, Wanted] | None = None
        self.listings: dict[bytes, _Listing] = {}

    def __getitem__(self, path: bytes) -> Entry:
        return self.entries[path]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def unreadable(self) -> tuple[bytes, ...]:
        """Files that could not be read and folders that could not be listed, sorted."""
        found = [path for path, entry in self.entries.items() if entry.content == UNREADABLE]
        return tuple(sorted(path for path in found if self.entries[path].is_unreadable))

    def knows(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those that do not lie in a folder that could not be listed: whether they are in the
        manifest or not says what was there."""
        paths = list(paths)
        if not paths:
            return []
        closed = tuple(path + b"/" for path in self.unreadable)
        return [path for path in paths if not path.startswith(closed)]

    def is_taken_over(self, before: Manifest) -> bool:
        """Whether this scan found in every folder what an earlier one had found there, so that
        both hold the same. False may also mean that nobody can tell so cheaply."""
        known = before.listings
        return known.keys() == self.listings.keys() != set() and all(
            listing.entries is known[folder].entries for folder, listing in self.listings.items()
        )

    def only(self, paths: Iterable[bytes]) -> Manifest:
        """The part that stands at these paths; what is not here is left out."""
        entries = self.entries
        return Manifest({path: entries[path] for path in paths if path in entries}, self.began)

    def to_json(self) -> bytes:
        """One line. Columns, not rows: three times as fast for 10,000 entries."""
        entries = self.entries.values()
        document = {
            "version": 1,
            "began": self.began,
            "paths": list(map(to_text, self.entries)),
            "contents": [entry.content for entry in entries],
            "signatures": list(zip(*[entry.signature for entry in entries], strict=True)),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Raises ValueError for what `to_json` did not write."""
        try:
            document = json.loads(data)
            if document["version"] != 1:
                raise ValueError(f"a manifest of version {document['version']!r}")
            paths = map(to_bytes, document["paths"])
            rows = map(Entry, document["contents"], zip(*document["signatures"], strict=True))
            return cls(dict(zip(paths, rows, strict=True)), document["began"])
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a manifest: {error}") from None


def to_text(name: bytes) -> str:
    """Any bytes as text, and back by `to_bytes`, whatever the locale is."""
    return name.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def is_too_deep(path: bytes) -> bool:
    """Whether a folder at this path is not looked into."""
    return path.count(b"/") >= MAX_DEPTH


def everything(path: bytes) -> bool:
    return True


def settles(signature: Signature) -> int:
    """When (ns UTC) no further change of a file can leave it this signature: one in the same
    tick of the clock could. A scan that began earlier must not be believed."""
    ctime = signature[_CTIME]
    return ctime + (TICK if ctime % 1_000_000_000 else COARSE_TICK)


def outside_project(root: str, workspace: str) -> Skip:
    """The usual `skip`: the workspace, any folder called `.openloop`, and `.git` at any depth.

    root, workspace: absolute, symlinks resolved.
    """
    inside = os.fsencode(os.path.relpath(workspace, root))

    def skip(path: bytes, is_folder: bool) -> bool:
        name = path[path.rfind(b"/") + 1 :]
        return name == b".git" or (is_folder and (name == b".openloop" or path == inside))

    return skip


def scan(
    root: str, *, skip: Skip, before: Manifest | None = None, wanted: Wanted = everything
) -> Manifest:
    """The tree below `root` as it stands now; no symlink is followed.

    skip: what is not of the project; nothing below a skipped folder is looked at.
    before: an earlier scan, whose hashes are taken over for files that did not move since. Where
    `skip` and `wanted` are the same objects as then, unchanged folders are taken over whole
    without asking them.
    wanted: which files to hash.

    Nothing that stands in the tree raises. A file that cannot be read, and a folder that cannot
    be listed or lies deeper than MAX_DEPTH, is UNREADABLE; what vanishes meanwhile is left out;
    a file that changes while it is read has some mixture's hash and is read again by the next
    scan. A root that is gone, closed or no folder any more holds nothing; it has to be there for
    a scan without `before`. Raises OSError for this, and for want of descriptors or memory.
    """
    looking = _Scan(skip, wanted, before)
    try:
        descriptor = os.open(root, _OPEN_FOLDER)
        try:
            looking.folder(descriptor, b"", 0)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        if before is None:  # whoever took this for the state to go back to would lose everything
            raise
    return looking.manifest


class _Scan:
    def __init__(self, skip: Skip, wanted: Wanted, before: Manifest | None) -> None:
        self.manifest = Manifest({}, time.time_ns())
        self.manifest.asked = skip, wanted
        self._skip = skip
        self._wanted = wanted
        self._entries = self.manifest.entries
        self._old = before.entries if before else {}
        self._began = before.began if before else 0
        self._known = before.listings if before and before.asked == self.manifest.asked else {}

    def folder(self, descriptor: int, prefix: bytes, depth: int) -> None:
        """Enter all that stands in an open folder. Raises OSError when it cannot be listed."""
        names, signatures = _list(descriptor)
        listing = self._known.get(prefix)
        if (
            listing is None
            or listing.settled > self._began
            or listing.names != names
            or listing.signatures != signatures
        ):
            listing = self._read(descriptor, prefix, names, signatures)._shared_with(listing)
        self.manifest.listings[prefix] = listing
        self._entries.update(listing.entries)
        for name, path in listing.folders:
            if not self._go_down(descriptor, name, path, depth + 1):
                self._entries[path] = self._entries[path]._replace(content=UNREADABLE)

    def _go_down(self, parent: int, name: str, path: bytes, depth: int) -> bool:
        if depth > MAX_DEPTH:
            return False
        try:
            descriptor = os.open(name, _OPEN_FOLDER, dir_fd=parent)
            try:
                self.folder(descriptor, path + b"/", depth)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in OURS:
                raise
            return False
        return True

    def _read(
        self, folder: int, prefix: bytes, names: list[str], signatures: list[Signature]
    ) -> _Listing:
        settled = 0
        entries: dict[bytes, Entry] = {}
        folders: list[tuple[str, bytes]] = []
        for name, signature in zip(names, signatures, strict=True):
            path = prefix + name.encode(_ENCODING, _ERRORS)
            settled = max(settled, settles(signature))
            is_folder = stat.S_ISDIR(signature[_MODE])
            if self._skip(path, is_folder):
                continue
            entry = self._known_entry(path, signature) or self._look(folder, name, path, signature)
            if entry is None:
                settled = _NEVER
                continue
            entries[path] = entry
            if is_folder:
                folders.append((name, path))
            elif entry.content == UNREADABLE:
                settled = _NEVER
        return _Listing(names, signatures, settled, entries, folders)

    def _known_entry(self, path: bytes, signature: Signature) -> Entry | None:
        old = self._old.get(path)
        if old is None or old.signature != signature or settles(signature) > self._began:
            return None
        if old.content == UNREADABLE or (old.content == UNHASHED and self._wanted(path)):
            return None
        return old

    def _look(self, folder: int, name: str, path: bytes, signature: Signature) -> Entry | None:
        """An entry from the tree itself; None when it vanished."""
        kind = stat.S_IFMT(signature[_MODE])
        try:
            if kind == stat.S_IFREG:
                return _file(folder, name) if self._wanted(path) else Entry(UNHASHED, signature)
            if kind == stat.S_IFLNK:
                target = os.readlink(os.fsencode(name), dir_fd=folder)
                return Entry(to_text(target), signature)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in OURS:
                raise
            return Entry(UNREADABLE, signature)
        return Entry(FOLDER if kind == stat.S_IFDIR else f"{kind:o}", signature)


def _list(folder: int) -> tuple[list[str], list[Signature]]:
    """Names and signatures, in the folder's own order, by loops that run in C."""
    with os.scandir(folder) as found:
        items = list(found)
        try:
            signatures = list(map(SIGNATURE, map(_STAT, items)))
        except FileNotFoundError:
            items = [item for item in items if _lasts(item)]
            signatures = [SIGNATURE(_STAT(item)) for item in items]
    return list(map(_NAME, items)), signatures


def _lasts(item: os.DirEntry[str]) -> bool:
    try:
        _STAT(item)  # which the item remembers
    except FileNotFoundError:
        return False
    return True


def _file(folder: int, name: str) -> Entry:
    """Signature and bytes of one and the same file. The signature is from before the bytes are
    read: whatever changes meanwhile does not have it any more."""
    descriptor = os.open(name, _OPEN, dir_fd=folder)
    try:
        signature = SIGNATURE(os.fstat(descriptor))
        if not stat.S_ISREG(signature[_MODE]):
            return Entry(UNREADABLE, signature)
        return Entry(_hash(descriptor, signature[_SIZE]), signature)
    finally:
        os.close(descriptor)


def _hash(descriptor: int, size: int) -> str:
    digest = hashlib.sha256()
    wanted = min(size + 1, CHUNK)  # one more than it has: a short read is its end
    while chunk := os.read(descriptor, wanted):
        digest.update(chunk)
        if len(chunk) < wanted:
            break
    return digest.hexdigest()
