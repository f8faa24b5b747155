"""Folders of dependencies: what a policy protects of them, because gates run from them and git
ignores them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

WHOLE = 2000  # files up to which a folder is protected as a whole: more would cost every round


class Dependencies(NamedTuple):
    """A folder of dependencies. starts: globs in it for what starts programs and loads code.
    package: the glob for one dependency. changes: what programs write there themselves."""

    name: str
    starts: tuple[str, ...]
    package: str
    changes: tuple[str, ...] = ()


DEPENDENCIES = (
    Dependencies(
        "node_modules", (".bin/**",), "{}/**", (".cache", ".vite", ".vite-temp", ".vitest")
    ),
    *(
        Dependencies(name, ("bin/**", "pyvenv.cfg", "**/*.pth"), "**/site-packages/{}/**")
        for name in (".venv", "venv", "env")
    ),
    Dependencies("vendor", ("bin/**", "autoload.php", "composer/**"), "{}/**"),
)


def dependency_globs(root: str, programs: Iterable[str]) -> tuple[list[str], list[str]]:
    """What `policy.protect` needs for the folders that are there; and those too large to be
    protected as a whole. programs: names of dependencies that the gates start."""
    found: list[str] = []
    large = []
    for folder in DEPENDENCIES:
        place = os.path.join(root, folder.name)
        is_other_env = folder.name == "env" and not os.path.exists(f"{place}/pyvenv.cfg")
        if is_other_env or not os.path.isdir(place):
            continue
        if _is_small(place):
            found.append(f"{folder.name}/*")  # of `/**` no exception could take anything back
        else:
            large.append(folder.name)
            packages = [folder.package.format(name) for name in programs]
            found += [f"{folder.name}/{glob}" for glob in (*folder.starts, *packages)]
        found += [f"!{folder.name}/{glob}" for glob in folder.changes]
    return found, large


def dependency_folder(path: str) -> str:
    """The folder of dependencies that a path, relative to the root, lies in; or ""."""
    top = path.partition("/")[0]
    return next((folder.name for folder in DEPENDENCIES if folder.name == top), "")


def _is_small(place: str) -> bool:
    count = 0
    for _, _, names in os.walk(place):
        count += len(names)
        if count > WHOLE:
            return False
    return True
