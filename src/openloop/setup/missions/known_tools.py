"""The loops of other tools that lie in a folder."""

from __future__ import annotations

import os

from openloop.core.errors import UsageError
from openloop.fs import files
from openloop.setup.missions import shell_loops, yaml_loops
from openloop.setup.missions.foreign_loop import ForeignLoop

_LIMIT = 1 << 20  # bytes of a file that is looked at
_SCRIPTS = 100  # shell scripts that are looked at
_FOLDERS = ("", "ralph", ".ralph", "scripts", "scripts/ralph")  # where a shell loop may lie
_RALPH = ("ralph.yml", "ralph.yaml")
_BOUNDED = ("loop.yaml", "loop.yml")


def found(path: str) -> list[ForeignLoop]:
    """The loops in a folder, or the one in a file; none where there is none that is known."""
    if os.path.isdir(path):
        folder, names = path, _names(path)
    else:
        folder, name = os.path.split(path)
        names = [name]
    loops = (_read(folder or ".", name) for name in names)
    return [loop for loop in loops if loop]


def single(path: str, root: str | None) -> ForeignLoop:
    """The one loop at `path`, with names from the project's root, which is its folder where none
    is given. Raises UsageError where there is none, or more than one."""
    loops = found(path)
    if len(loops) == 1:
        return loops[0] if root is None else _seen_from(root, loops[0])
    if loops:
        names = ", ".join(loop.name for loop in loops)
        raise UsageError(f"--from {path} holds several loops: {names}", fix="name one of the files")
    raise UsageError(
        f"--from {path} holds no loop of a known tool",
        fix="known are a shell script that calls an agent in a loop, ralph.yml, and loop.yaml",
    )


def _seen_from(root: str, loop: ForeignLoop) -> ForeignLoop:
    """The loop with its names relative to another folder, one above it. Raises UsageError."""
    path = os.path.realpath(os.path.join(loop.folder, loop.name))
    name = os.path.relpath(path, os.path.realpath(root))
    if name.startswith(os.pardir):
        what = f"{loop.name} lies outside of the project {root}"
        raise UsageError(what, fix="name a folder above it: --project-root PATH")
    return _read(root, name) or loop


def _names(folder: str) -> list[str]:
    yaml = [name for name in (*_RALPH, *_BOUNDED) if os.path.isfile(os.path.join(folder, name))]
    scripts: list[str] = []
    for place in _FOLDERS:
        try:
            names = sorted(os.listdir(os.path.join(folder, place)))
        except OSError:
            continue
        scripts += [os.path.join(place, name) for name in names if name.endswith((".sh", ".bash"))]
    return [*yaml, *scripts[:_SCRIPTS]]


def _read(folder: str, name: str) -> ForeignLoop | None:
    try:
        text = files.read(os.path.join(folder, name), limit=_LIMIT).decode(errors="replace")
    except OSError:
        return None
    loop = ForeignLoop(folder, name)
    base = os.path.basename(name)
    if base in _BOUNDED:
        return yaml_loops.read_loop_yaml(loop, text)
    if base.endswith((".yml", ".yaml")):
        return yaml_loops.read_ralph_yml(loop, text)
    return shell_loops.read(loop, text)
