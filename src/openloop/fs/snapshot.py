"""The manifest of a project tree: what stands at every path, without holding the bytes.

Files are read again only when their stat signature moved since an earlier scan, so that a
look at an unchanged tree costs one `stat` a file. ctime is part of the signature and cannot be
set by a program: an edit that restores size and mtime is noticed all the same. Folders that did not
change are shared by all manifests of the tree.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from itertools import compress, starmap
from operator import attrgetter, methodcaller
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from openloop.fs import files
from openloop.fs.content import Source, Tick, digest, idle

FILE, SYMLINK, FOLDER, OTHER = "file", "symlink", "folder", "other"
UNHASHED = ""  # content of a file that nobody wanted hashed
UNREADABLE = "?"  # content of a file that cannot be read, of a folder that cannot be listed
MAX_DEPTH = 200  # folders below each other; each costs a descriptor while it is walked
TICK = 50_000_000  # ns, of the clock that files are stamped with, amply
COARSE_TICK = 2_000_000_000  # ns, the same where stamps are whole seconds

Skip = Callable[[bytes, bool], bool]  # (relative path, is a folder) → not of the project
Wanted = Callable[[bytes], bool]
Signature = tuple[int, int, int, int, int, int]  # dev, ino, size, mtime_ns, ctime_ns, st_mode
_SIGNATURE: Callable[[os.stat_result], Signature] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode"
)
_PACKED = Struct("<QQqqqI")  # a signature
_SIZE, _MTIME, _CTIME, _MODE = 2, 3, 4, 5
_LATEST = 2**63 - 1  # ns; files may be dated later, by a joke
_KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFDIR: FOLDER}
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine's trouble, not the tree's
_NEVER = sys.maxsize  # newer than any clock: what has this age is looked at again
_NAME: Callable[[os.DirEntry[str]], str] = attrgetter("name")
_STAT: Callable[[os.DirEntry[str]], os.stat_result] = methodcaller("stat", follow_symlinks=False)
_VERSION = 2  # of a manifest in bytes


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


class Listing:
    """One folder, sorted by name; manifests share it, so it never changes."""

    __slots__ = ("contents", "folders", "names", "signatures", "unreadable")

    def __init__(
        self, names: tuple[bytes, ...], contents: tuple[str, ...], signatures: bytes
    ) -> None:
        """signatures: packed, one after the other. Raises ValueError when they are not as many."""
        if not len(names) == len(contents) == len(signatures) / _PACKED.size:
            raise ValueError("as many names as contents and signatures")
        self.names = names
        self.contents = contents
        self.signatures = signatures
        modes = [signature[_MODE] for signature in _PACKED.iter_unpack(signatures)]
        self.folders = tuple(compress(names, map(stat.S_ISDIR, modes)))
        self.unreadable: tuple[bytes, ...] = ()
        if UNREADABLE in contents:
            self.unreadable = tuple(name for name, entry in self.rows() if entry.is_unreadable)

    @classmethod
    def of(cls, rows: Iterable[tuple[bytes, Entry]]) -> Listing:
        found = sorted(rows)
        return cls(
            tuple(name for name, _ in found),
            tuple(entry.content for _, entry in found),
            b"".join(_PACKED.pack(*entry.signature) for _, entry in found),
        )

    def rows(self) -> Iterator[tuple[bytes, Entry]]:
        signatures = _PACKED.iter_unpack(self.signatures)
        return zip(self.names, map(Entry, self.contents, signatures), strict=True)

    def get(self, name: bytes) -> Entry | None:
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            return None
        signature = _PACKED.unpack_from(self.signatures, at * _PACKED.size)
        return Entry(self.contents[at], signature)

    def same_as(self, other: Listing) -> bool:
        return (self.names, self.contents, self.signatures) == (
            other.names,
            other.contents,
            other.signatures,
        )

    def with_unreadable(self, names: Iterable[bytes]) -> Listing:
        """The same, and these folders could not be listed."""
        rows = dict(self.rows())
        for name in names:
            rows[name] = rows[name]._replace(content=UNREADABLE)
        return Listing.of(rows.items())


NO_LISTING = Listing((), (), b"")


class _Items(ItemsView[bytes, "Entry"]):
    _mapping: Manifest

    def __iter__(self) -> Iterator[tuple[bytes, Entry]]:
        for prefix, listing in self._mapping.listings.items():
            for name, entry in listing.rows():
                yield prefix + name, entry


class Manifest(Mapping[bytes, Entry]):
    """Relative path → Entry, the root itself left out; a folder's entries stand together.

    listings: the folders by path, empty for the root or with a slash at its end. began: ns UTC,
    when its scan did.
    """

    __slots__ = ("asked", "began", "listings", "seen")

    def __init__(self, listings: dict[bytes, Listing], began: int) -> None:
        self.listings = listings
        self.began = began
        # What a later scan needs to know that a folder is as it was: (digest of all that stands in
        # it, ns when that had settled, or _NEVER when something has to be looked at again).
        self.seen: dict[bytes, tuple[bytes, int]] = {}
        self.asked: tuple[Skip, Wanted] | None = None

    @classmethod
    def of(cls, entries: Mapping[bytes, Entry], began: int = 0) -> Manifest:
        rows: dict[bytes, list[tuple[bytes, Entry]]] = {}
        for path, entry in entries.items():
            prefix, name = _split(path)
            rows.setdefault(prefix, []).append((name, entry))
        return cls({prefix: Listing.of(some) for prefix, some in rows.items()}, began)

    def __getitem__(self, path: bytes) -> Entry:
        prefix, name = _split(path)
        entry = self.listings.get(prefix, NO_LISTING).get(name)
        if entry is None:
            raise KeyError(path)
        return entry

    def __iter__(self) -> Iterator[bytes]:
        for prefix, listing in self.listings.items():
            for name in listing.names:
                yield prefix + name

    def __len__(self) -> int:
        return sum(len(listing.names) for listing in self.listings.values())

    def items(self) -> ItemsView[bytes, Entry]:
        return _Items(self)

    @property
    def unreadable(self) -> tuple[bytes, ...]:
        """Files that could not be read and folders that could not be listed, sorted."""
        return tuple(
            sorted(
                prefix + name
                for prefix, listing in self.listings.items()
                for name in listing.unreadable
            )
        )

    def knows(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those that do not lie in a folder that could not be listed: whether they are in the
        manifest or not says what was there."""
        paths = list(paths)
        if not paths:
            return []
        closed = tuple(path + b"/" for path in self.unreadable)
        return [path for path in paths if not path.startswith(closed)]

    def is_taken_over(self, before: Manifest) -> bool:
        """Whether this scan found in every folder what an earlier one had found there."""
        return not any(self.changed_folders(before))

    def changed_folders(self, before: Manifest) -> Iterator[tuple[bytes, Listing, Listing]]:
        """(path, listing before, listing now) of every folder that the two do not share."""
        for prefix, listing in self.listings.items():
            old = before.listings.get(prefix, NO_LISTING)
            if old is not listing:
                yield prefix, old, listing
        for prefix in before.listings.keys() - self.listings.keys():
            yield prefix, before.listings[prefix], NO_LISTING

    def only(self, paths: Iterable[bytes]) -> Manifest:
        """The part that stands at these paths; what is not here is left out."""
        found = ((path, self.get(path)) for path in paths)
        return Manifest.of({path: entry for path, entry in found if entry}, self.began)

    def to_bytes(self) -> bytes:
        """A line of JSON that says how long what follows is, folder by folder."""
        folders, blobs = [], []
        for prefix, listing in self.listings.items():
            names = b"\0".join(listing.names)
            contents = "\0".join(listing.contents).encode(*_CODEC)
            folders.append((to_text(prefix), len(listing.names), len(names), len(contents)))
            blobs += [names, contents, listing.signatures]
        document = {"version": _VERSION, "began": self.began, "folders": folders}
        return json.dumps(document).encode() + b"\n" + b"".join(blobs)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Raises ValueError for what `to_bytes` did not write."""
        header, _, rest = data.partition(b"\n")
        try:
            document = json.loads(header)
            if document["version"] != _VERSION:
                raise ValueError("another version of OpenLoop wrote it")
            listings, counts, view = {}, [], memoryview(rest)
            for prefix, count, *lengths in document["folders"]:
                parts = []
                for length in (*lengths, count * _PACKED.size):
                    parts.append(bytes(view[:length]))
                    view = view[length:]
                names, contents, signatures = parts
                listing = Listing(
                    tuple(names.split(b"\0")) if count else (),
                    tuple(contents.decode(*_CODEC).split("\0")) if count else (),
                    signatures,
                )
                listings[to_bytes(prefix)] = listing
                counts.append((listing, count))
            if view or any(len(each.names) != count for each, count in counts):
                raise ValueError("not what its first line says")
            return cls(listings, document["began"])
        except (KeyError, TypeError, AttributeError, StructError, RecursionError) as error:
            raise ValueError(f"not a manifest: {error}") from None


_CODEC = ("utf-8", "surrogateescape")


def to_text(name: bytes) -> str:
    """Any bytes as text, and back by `to_bytes`, whatever the locale is."""
    return name.decode(*_CODEC)


def to_bytes(text: str) -> bytes:
    return text.encode(*_CODEC)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name); the folder with a slash at its end, or empty."""
    at = path.rfind(b"/") + 1
    return path[:at], path[at:]


def is_too_deep(path: bytes) -> bool:
    """Whether a folder at this path is not looked into."""
    return path.count(b"/") >= MAX_DEPTH


def everything(path: bytes) -> bool:
    return True


def signature_of(status: os.stat_result) -> Signature:
    device, inode, size, modified, changed, mode = _SIGNATURE(status)
    return device, inode, size, max(min(modified, _LATEST), -_LATEST), changed, mode


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
    root: str,
    *,
    skip: Skip,
    before: Manifest | None = None,
    wanted: Wanted = everything,
    tick: Tick = idle,
) -> Manifest:
    """The tree below `root` as it stands now; no symlink is followed.

    skip: what is not of the project; nothing below a skipped folder is looked at.
    before: an earlier scan, whose hashes are taken over for files that did not move since. Where
    `skip` and `wanted` are the same objects as then, unchanged folders are taken over whole
    without asking them.
    wanted: which files to hash. tick: called after each folder and between pieces of a file; what
    it raises ends the scan.

    Nothing that stands in the tree raises. A file that cannot be read, and a folder that cannot
    be listed or lies deeper than MAX_DEPTH, is UNREADABLE; what vanishes meanwhile is left out;
    a file that changes while it is read has some mixture's hash and is read again by the next
    scan. A root that is gone, closed or no folder any more holds nothing; it has to be there for
    a scan without `before`. Raises OSError for this, and for want of descriptors or memory.
    """
    looking = _Scan(skip, wanted, before, tick)
    try:
        descriptor = files.open_folder(root)
        try:
            looking.folder(descriptor, b"", 0)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        if before is None:  # whoever took this for the state to go back to would lose everything
            raise
    return looking.manifest


class _Scan:
    def __init__(self, skip: Skip, wanted: Wanted, before: Manifest | None, tick: Tick) -> None:
        self.manifest = Manifest({}, time.time_ns())
        self.manifest.asked = skip, wanted
        self._skip = skip
        self._wanted = wanted
        self._tick = tick
        self._old = before.listings if before else {}
        self._began = before.began if before else 0
        self._seen = before.seen if before and before.asked == self.manifest.asked else {}

    def folder(self, descriptor: int, prefix: bytes, depth: int) -> None:
        """Enter all that stands in an open folder. Raises OSError when it cannot be listed."""
        self._tick()
        names, signatures = _list(descriptor)
        seen = hashlib.blake2b("\0".join(names).encode(*_CODEC) + b"".join(signatures)).digest()
        old = self._old.get(prefix)
        known, settled = self._seen.get(prefix, (b"", _NEVER))
        if old is None or known != seen or settled > self._began:
            listing, settled = self._read(
                descriptor, prefix, zip(names, signatures, strict=True), old
            )
        else:
            listing = old
        self.manifest.listings[prefix] = listing
        closed = [
            name
            for name in listing.folders
            if not self._go_down(descriptor, prefix, name, depth + 1)
        ]
        if closed:
            listing, settled = listing.with_unreadable(closed), _NEVER
        if old is not None and old.same_as(listing):
            listing = old
        self.manifest.listings[prefix] = listing
        self.manifest.seen[prefix] = seen, settled

    def _go_down(self, parent: int, prefix: bytes, name: bytes, depth: int) -> bool:
        if depth > MAX_DEPTH:
            return False
        try:
            descriptor = files.open_folder(name, folder=parent)
            try:
                self.folder(descriptor, prefix + name + b"/", depth)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in OURS:
                raise
            return False
        return True

    def _read(
        self,
        folder: int,
        prefix: bytes,
        items: Iterable[tuple[str, bytes]],
        old: Listing | None,
    ) -> tuple[Listing, int]:
        """The folder, and when what stands in it had settled."""
        settled = 0
        known = dict(old.rows()) if old else {}
        rows: list[tuple[bytes, Entry]] = []
        for text, packed in items:
            name, signature = os.fsencode(text), _PACKED.unpack(packed)
            path = prefix + name
            settled = max(settled, settles(signature))
            if self._skip(path, stat.S_ISDIR(signature[_MODE])):
                continue
            entry: Entry | None = known.get(name)
            if entry is None or not self._is_believed(path, entry, signature):
                entry = self._look(folder, name, path, signature)
            if entry is None:
                settled = _NEVER
                continue
            rows.append((name, entry))
            if entry.is_unreadable:
                settled = _NEVER
        return Listing.of(rows), settled

    def _is_believed(self, path: bytes, old: Entry, signature: Signature) -> bool:
        if old.signature != signature or settles(signature) > self._began:
            return False
        return not old.is_unreadable and (old.content != UNHASHED or not self._wanted(path))

    def _look(self, folder: int, name: bytes, path: bytes, signature: Signature) -> Entry | None:
        """An entry from the tree itself; None when it vanished."""
        kind = stat.S_IFMT(signature[_MODE])
        try:
            if kind == stat.S_IFREG:
                wanted = self._wanted(path)
                return _file(folder, name, self._tick) if wanted else Entry(UNHASHED, signature)
            if kind == stat.S_IFLNK:
                target = os.readlink(name, dir_fd=folder)
                return Entry(to_text(target), signature)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in OURS:
                raise
            return Entry(UNREADABLE, signature)
        return Entry(FOLDER if kind == stat.S_IFDIR else f"{kind:o}", signature)


def _list(folder: int) -> tuple[list[str], list[bytes]]:
    """Names and packed signatures, in the folder's own order, by loops that run in C."""
    with os.scandir(folder) as found:
        items = list(found)
    try:
        signatures = list(starmap(_PACKED.pack, map(_SIGNATURE, map(_STAT, items))))
    except (FileNotFoundError, StructError):
        items = [item for item in items if _lasts(item)]
        signatures = [_PACKED.pack(*signature_of(_STAT(item))) for item in items]
    return list(map(_NAME, items)), signatures


def _lasts(item: os.DirEntry[str]) -> bool:
    try:
        _STAT(item)  # which the item remembers
    except FileNotFoundError:
        return False
    return True


def _file(folder: int, name: bytes, tick: Tick) -> Entry:
    """Signature and bytes of one and the same file. The signature is from before the bytes are
    read: whatever changes meanwhile does not have it any more."""
    descriptor = files.open_regular(name, os.O_RDONLY, folder=folder)
    try:
        signature = signature_of(os.fstat(descriptor))
        return Entry(digest(Source(descriptor, 0, signature[_SIZE]), tick=tick), signature)
    finally:
        os.close(descriptor)
