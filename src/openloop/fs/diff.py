"""The differences between two manifests of a project tree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from openloop.fs.manifest import FILE, FOLDER, OTHER, SYMLINK, Entry, Manifest

LARGEST = 16 << 20  # bytes that `changed_lines` compares; beyond it every line has changed


class PathChanges(NamedTuple):
    """The paths that differ, sorted, folders separately; a folder that became something else, or
    something else that became a folder, is in `changed`."""

    created: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
    created_folders: tuple[bytes, ...] = ()
    changed_folders: tuple[bytes, ...] = ()  # in mode
    removed_folders: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return any(tuple(self))

    @property
    def files(self) -> tuple[bytes, ...]:
        """The created ones, then the changed and the removed ones, without folders."""
        return (*self.created, *self.changed, *self.removed)

    @property
    def paths(self) -> tuple[bytes, ...]:
        """All of them, sorted."""
        return tuple(sorted({path for group in self for path in group}))


def difference(before: Manifest, after: Manifest) -> PathChanges:
    """The changes from `before` to `after`: of bytes, permission bits, symlink targets and kinds,
    not of inode numbers or times. A file without a hash in both has changed when its signature
    did. Files found in a folder that could not be listed before do not count as created. Sockets,
    FIFOs and devices that existed before may vanish or be replaced, as servers do with theirs."""
    old: dict[bytes, Entry] = {}
    new: dict[bytes, Entry] = {}
    for prefix, was, is_now in after.changed_folders(before):
        new.update((prefix + name, entry) for name, entry in is_now.rows())
        for name, entry in was.rows():
            path = prefix + name
            if entry.kind != OTHER:
                old[path] = entry
            elif path in new and new[path].kind == OTHER:
                del new[path]
    changed = [path for path in new.keys() & old.keys() if not same(old[path], new[path])]
    folders = {path for path in changed if old[path].kind == new[path].kind == FOLDER}
    created, created_folders = _split_folders(
        new, before.in_listed_folders(new.keys() - old.keys())
    )
    removed, removed_folders = _split_folders(old, old.keys() - new.keys())
    return PathChanges(
        created,
        tuple(sorted(set(changed) - folders)),
        removed,
        created_folders,
        tuple(sorted(folders)),
        removed_folders,
    )


def same(one: Entry, other: Entry) -> bool:
    """Whether two entries are equal apart from inode numbers and times."""
    kind = one.kind
    if kind != other.kind:
        return False
    if kind == SYMLINK:  # its mode, if any, depends on a umask
        return one.content == other.content
    if one.mode != other.mode:
        return False
    if kind == FILE and not (one.is_hashed and other.is_hashed):
        return one.signature == other.signature
    return one.content == other.content


def with_folders(paths: Iterable[bytes], current: Manifest, target: Manifest) -> list[bytes]:
    """The paths, and those folders above them that differ from the target."""
    wanted = set(paths)
    for path in tuple(wanted):
        while path := os.path.dirname(path):
            old, now = target.get(path), current.get(path)
            if old is None:
                strayed = now is not None and now.kind == FOLDER
            else:
                strayed = now is None or not same(old, now)
            if strayed:
                wanted.add(path)
    return sorted(wanted)


def _split_folders(
    entries: dict[bytes, Entry], paths: Iterable[bytes]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """(paths that are not folders, folders), each sorted."""
    sort: tuple[list[bytes], list[bytes]] = [], []
    for path in sorted(paths):
        sort[entries[path].kind == FOLDER].append(path)
    return tuple(sort[0]), tuple(sort[1])


def changed_lines(before: bytes, after: bytes) -> int:
    """The number of lines removed plus lines added; a moved line does not count."""
    if before == after:
        return 0
    if len(before) + len(after) > LARGEST:
        return max(_lines(before) + _lines(after), 1)
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    return max((old - new).total() + (new - old).total(), 1)


def _lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
