"""Where the symlinks of a tree lead inside it, according to its manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from openloop.fs.manifest import SYMLINK, Manifest

_MOST = 40  # symlinks in one resolution, as in the kernel
_NAMES = 32  # names of one path; circular symlinks give infinitely many

Aliases = Mapping[bytes, tuple[bytes, ...]]  # path → symlinks that lead to or through it


def aliases(root: str, tree: Manifest) -> Aliases:
    """The paths in the tree that symlinks lead to or through, each with these symlinks.

    root: absolute path of the tree. Targets that do not exist, lie outside the tree or contain the
    symlink are left out: they give no file of the tree another name.
    """
    found: dict[bytes, list[bytes]] = {}
    for link, entry in tree.items():
        if entry.kind == SYMLINK:
            for place in _resolution(os.fsencode(root), tree, link):
                if place in tree and not link.startswith(place + b"/"):
                    found.setdefault(place, []).append(link)
    return {place: tuple(links) for place, links in found.items()}


def _resolution(root: bytes, tree: Manifest, link: bytes) -> Iterator[bytes]:
    """The symlinks that the kernel resolves after `link`, then the final path."""
    here, ahead, passed = b"", link.split(b"/")[::-1], 0
    while ahead:
        name = ahead.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            if not here:
                return
            here = os.path.dirname(here)
            continue
        place = os.path.join(here, name)
        entry = tree.get(place)
        if entry is None or entry.kind != SYMLINK:
            here = place
            continue
        passed += 1
        if passed > _MOST:
            return
        if place != link:
            yield place
        target = entry.target
        if target.startswith(b"/"):
            if not (target + b"/").startswith(root.rstrip(b"/") + b"/"):
                return
            here, target = b"", target[len(root) :]
        ahead += target.split(b"/")[::-1]
    yield here


def alternative_paths(path: bytes, known: Aliases) -> Iterator[bytes]:
    """The path itself and its other names through symlinks."""
    yield path
    if not known:
        return
    seen = [path]
    for name in seen:
        end = len(name)
        while end > 0 and len(seen) < _NAMES:
            for link in known.get(name[:end], ()):
                other = link + name[end:]
                if other not in seen:
                    seen.append(other)
                    yield other
            end = name.rfind(b"/", 0, end)
