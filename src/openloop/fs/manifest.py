"""The manifest of a project tree: an entry for each path, without file contents.

All manifests of a tree share the listings of unchanged folders.
"""

from __future__ import annotations

import io
import json
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from itertools import compress
from operator import attrgetter
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

FILE, SYMLINK, FOLDER, OTHER = "file", "symlink", "folder", "other"
UNHASHED = ""  # content of a file that was not to be hashed
UNREADABLE = "?"  # content of a file that cannot be read, of a folder that cannot be listed

Signature = tuple[int, int, int, int, int, int]  # dev, ino, size, mtime_ns, ctime_ns, st_mode
SIGNATURE: Callable[[os.stat_result], Signature] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode"
)
PACKED = Struct("<QQqqqI")  # a signature
SIZE, _MTIME, CTIME, MODE = 2, 3, 4, 5  # places in a signature
_LATEST = 2**63 - 1  # ns; file times may be later
_KINDS = {stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFDIR: FOLDER}
_VERSION = 2  # of the file format
_CODEC = ("utf-8", "surrogateescape")


def to_text(name: bytes) -> str:
    """Any bytes as text, in every locale; `to_bytes` reverses it."""
    return name.decode(*_CODEC)


def to_bytes(text: str) -> bytes:
    return text.encode(*_CODEC)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name); the folder ends in a slash or is empty."""
    at = path.rfind(b"/") + 1
    return path[:at], path[at:]


def signature_of(status: os.stat_result) -> Signature:
    device, inode, size, modified, changed, mode = SIGNATURE(status)
    return device, inode, size, max(min(modified, _LATEST), -_LATEST), changed, mode


class Entry(NamedTuple):
    """The file, symlink, folder or other entry at one path.

    content: a file's sha256 in hex, UNHASHED or UNREADABLE; a symlink's target, undecodable
    bytes as surrogates; a folder's FOLDER or UNREADABLE; otherwise the type in octal.
    """

    content: str
    signature: Signature

    @property
    def kind(self) -> str:
        return _KINDS.get(stat.S_IFMT(self.signature[MODE]), OTHER)

    @property
    def mode(self) -> int:
        """The permission bits, 0 to 0o7777."""
        return stat.S_IMODE(self.signature[MODE])

    @property
    def size(self) -> int:
        """Bytes."""
        return self.signature[SIZE]

    @property
    def modified(self) -> int:
        """When the content was last written, in ns UTC."""
        return self.signature[_MTIME]

    @property
    def is_hashed(self) -> bool:
        """Whether this is a regular file with a known hash."""
        return self.kind == FILE and self.content not in (UNHASHED, UNREADABLE)

    @property
    def is_unreadable(self) -> bool:
        return self.content == UNREADABLE and self.kind != SYMLINK  # its target may be `?`

    @property
    def target(self) -> bytes:
        """A symlink's target."""
        return to_bytes(self.content)


class FolderListing:
    """The entries of one folder, sorted by name; immutable, because manifests share it."""

    __slots__ = ("contents", "folders", "names", "signatures", "unreadable")

    def __init__(
        self, names: tuple[bytes, ...], contents: tuple[str, ...], signatures: bytes
    ) -> None:
        """signatures: packed and joined. Raises ValueError when the three differ in length."""
        if not len(names) == len(contents) == len(signatures) / PACKED.size:
            raise ValueError("names, contents and signatures differ in number")
        self.names = names
        self.contents = contents
        self.signatures = signatures
        modes = [signature[MODE] for signature in PACKED.iter_unpack(signatures)]
        self.folders = tuple(compress(names, map(stat.S_ISDIR, modes)))
        self.unreadable: tuple[bytes, ...] = ()
        if UNREADABLE in contents:
            self.unreadable = tuple(name for name, entry in self.rows() if entry.is_unreadable)

    @classmethod
    def of(cls, rows: Iterable[tuple[bytes, Entry]]) -> FolderListing:
        found = sorted(rows)
        return cls(
            tuple(name for name, _ in found),
            tuple(entry.content for _, entry in found),
            b"".join(PACKED.pack(*entry.signature) for _, entry in found),
        )

    def rows(self) -> Iterator[tuple[bytes, Entry]]:
        signatures = PACKED.iter_unpack(self.signatures)
        return zip(self.names, map(Entry, self.contents, signatures), strict=True)

    def get(self, name: bytes) -> Entry | None:
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            return None
        signature = PACKED.unpack_from(self.signatures, at * PACKED.size)
        return Entry(self.contents[at], signature)

    def same_as(self, other: FolderListing) -> bool:
        return self is other or (self.names, self.contents, self.signatures) == (
            other.names,
            other.contents,
            other.signatures,
        )

    def with_unreadable(self, names: Iterable[bytes]) -> FolderListing:
        """A copy in which these folders are UNREADABLE."""
        rows = dict(self.rows())
        for name in names:
            rows[name] = rows[name]._replace(content=UNREADABLE)
        return FolderListing.of(rows.items())


NO_LISTING = FolderListing((), (), b"")


class _Items(ItemsView[bytes, "Entry"]):
    _mapping: Manifest

    def __iter__(self) -> Iterator[tuple[bytes, Entry]]:
        for prefix, listing in self._mapping.listings.items():
            for name, entry in listing.rows():
                yield prefix + name, entry


class Manifest(Mapping[bytes, Entry]):
    """Relative path → Entry, without the root itself, folder by folder.

    listings: the folders by path, which is empty for the root or ends in a slash. began: when the
    scan began, ns UTC.
    """

    __slots__ = ("began", "filters", "listings", "seen")

    def __init__(self, listings: dict[bytes, FolderListing], began: int) -> None:
        self.listings = listings
        self.began = began
        # By which a later scan recognises an unchanged folder: (digest of its names and
        # signatures, ns when these became final, or NEVER when an entry must be read again).
        self.seen: dict[bytes, tuple[bytes, int]] = {}
        self.filters: tuple[object, object] | None = None  # of the scan

    @classmethod
    def of(cls, entries: Mapping[bytes, Entry], began: int = 0) -> Manifest:
        rows: dict[bytes, list[tuple[bytes, Entry]]] = {}
        for path, entry in entries.items():
            prefix, name = _split(path)
            rows.setdefault(prefix, []).append((name, entry))
        return cls({prefix: FolderListing.of(some) for prefix, some in rows.items()}, began)

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

    def in_listed_folders(self, paths: Iterable[bytes]) -> list[bytes]:
        """The paths that lie in no folder that could not be listed: only for these the manifest
        shows whether they existed."""
        paths = list(paths)
        if not paths:
            return []
        closed = tuple(path + b"/" for path in self.unreadable)
        return [path for path in paths if not path.startswith(closed)]

    def is_unchanged_since(self, before: Manifest) -> bool:
        """Whether every folder is unchanged since an earlier scan."""
        return not any(self.changed_folders(before))

    def changed_folders(
        self, before: Manifest
    ) -> Iterator[tuple[bytes, FolderListing, FolderListing]]:
        """(path, listing before, listing now) of every changed folder."""
        for prefix, listing in self.listings.items():
            old = before.listings.get(prefix, NO_LISTING)
            if old is not listing:
                yield prefix, old, listing
        for prefix in before.listings.keys() - self.listings.keys():
            yield prefix, before.listings[prefix], NO_LISTING

    def only(self, paths: Iterable[bytes]) -> Manifest:
        """The entries at these paths; paths without one are skipped."""
        found = ((path, self.get(path)) for path in paths)
        return Manifest.of({path: entry for path, entry in found if entry}, self.began)

    def to_bytes(self) -> bytes:
        return b"".join(self.to_pieces())

    def to_pieces(self) -> list[bytes]:
        """A line of JSON with the lengths of the parts that follow it, then folder by folder."""
        folders, pieces = [], []
        for prefix, listing in self.listings.items():
            names = b"\0".join(listing.names)
            contents = "\0".join(listing.contents).encode(*_CODEC)
            folders.append((to_text(prefix), len(listing.names), len(names), len(contents)))
            pieces.append(names + contents + listing.signatures)
        document = {"version": _VERSION, "began": self.began, "folders": folders}
        return [json.dumps(document).encode() + b"\n", *pieces]

    @classmethod
    def from_bytes(cls, data: bytes, like: Manifest | None = None) -> Manifest:
        """Reverse `to_bytes`. Raises ValueError for anything it did not write.

        like: its listings of equal folders are shared.
        """
        header = io.BytesIO(data).readline()
        try:
            document = json.loads(header)
            if document["version"] != _VERSION:
                raise ValueError("another version of OpenLoop wrote it")
            shared = like.listings if like else {}
            listings, view = {}, memoryview(data)[len(header) :]
            for prefix, count, *lengths in document["folders"]:
                parts = []
                for length in (*lengths, count * PACKED.size):
                    parts.append(bytes(view[:length]))
                    view = view[length:]
                names, contents, signatures = parts
                listing = FolderListing(
                    tuple(names.split(b"\0")) if count else (),
                    tuple(contents.decode(*_CODEC).split("\0")) if count else (),
                    signatures,
                )
                path = to_bytes(prefix)
                same = path in shared and shared[path].same_as(listing)
                listings[path] = shared[path] if same else listing
                if len(listing.names) != count:
                    raise ValueError("its first line and a folder differ")
            if view:
                raise ValueError("it does not match its first line")
            return cls(listings, document["began"])
        except (KeyError, TypeError, AttributeError, StructError, RecursionError) as error:
            raise ValueError(f"not a manifest: {error}") from None
