"""Find programs on PATH that do not come from the project."""

from __future__ import annotations

import os


def find_outside(root: str, name: str) -> str:
    """Absolute path of the first program on PATH that is not below `root`; "" for none.

    OpenLoop itself runs no program that an agent could have written.
    """
    for folder in os.get_exec_path():
        path = os.path.join(os.path.abspath(folder), name)
        if os.path.isfile(path) and os.access(path, os.X_OK) and not is_below(root, path):
            return path
    return ""


def is_below(root: str, path: str) -> bool:
    """Whether a path is the folder `root` or lies in it, by its name or with symlinks resolved."""
    places = (os.path.abspath(root), os.path.realpath(root))
    names = (os.path.abspath(path), os.path.realpath(path))
    return any(f"{name}/".startswith(f"{place.rstrip('/')}/") for place in places for name in names)
