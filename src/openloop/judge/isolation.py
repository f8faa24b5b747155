"""What surrounds a judged command: its environment, and what it sees of the machine.

A program that recognises the judge could work for it alone. So the command is given as little as
can be by which it would: no variable that names us, no process above it, no folder of ours.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openloop.process import run_marks
from openloop.process.guard_client import PROGRAMS
from openloop.record.workspace import HOME

_OURS = "OPENLOOP_"  # variables that tell a command where the workspace is
_CLOSED = (HOME, ".git", ".venv", "venv", "node_modules/.bin")  # read-only in the project
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
_NOT_ENCLOSED = (
    "this system only hides CASES from COMMAND: it can see this process, and write wherever you can"
)
_NOT_HIDDEN = (
    "this system cannot hide CASES from COMMAND (no user namespaces): "
    "a program that looks for the file can read it, and write wherever you can"
)


@dataclass(frozen=True, slots=True)
class View:
    """order: what a guard enters, see `namespaces.enter`. without: what to say where it cannot."""

    order: Mapping[str, Any]
    without: str


def views(hidden: str, place: str, folder: str) -> list[View]:
    """The views that a command may be given, the best first.

    hidden: the file of cases, or its folder. place: the current directory. folder: where cases
    have their files.
    """
    enclosed = {"hide": [hidden], "enclosure": _enclosure(place, folder)}
    return [View(enclosed, _NOT_ENCLOSED), View({"hide": [hidden]}, _NOT_HIDDEN)]


def shared(view: View, paths: Sequence[str]) -> str:
    """What to say of folders that an enclosure could not make private, see `namespaces.shared`."""
    real = tuple(f"{path}/" for path in paths if path in view.order["enclosure"]["temporary"])
    effects = {path: "stays" if f"{path}/".startswith(real) else "is refused" for path in paths}
    texts = "; ".join(f"what is written to {path} {effect}" for path, effect in effects.items())
    return f"{texts}: COMMAND has none of its own (is something mounted in there?)"


def _enclosure(place: str, folder: str) -> dict[str, list[str]]:
    """What commands may write for good: the project and `folder`. In a run, the project root and
    the workspace are known as well as the current directory. What tools write to the home folder,
    caches mostly, is forgotten."""
    projects = _folders([place, os.environ.get("OPENLOOP_PROJECT_ROOT") or place]) - {"/"}
    writable = projects | {folder}
    temporary = _folders([tempfile.gettempdir(), *_TEMPORARY]) - writable
    private = _folders([os.path.expanduser("~")]) - writable - temporary - {"/"}
    inside = [os.path.join(path, name) for path in projects for name in _CLOSED]
    if workspace := os.environ.get("OPENLOOP_WORKSPACE"):
        inside.append(workspace)
    inside += _programs()
    real = map(os.path.realpath, filter(os.path.isdir, inside))
    closed = {path for path in real if any(_lies_in(root, path) for root in projects)} - writable
    writable |= {
        folder
        for root in projects
        for path in closed
        for folder in _between(root, path)
        if not any(_lies_in(each, folder) for each in closed)
    }
    sockets = _sockets([f"{path}/" for path in private | temporary])
    return {
        "writable": sorted(writable.union(sockets)),
        "closed": sorted(closed),
        "private": sorted(private),
        "temporary": sorted(temporary),
    }


def _programs() -> list[str]:
    """Folders that programs of later gates come from, this one's own among them."""
    found = [sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(__file__))]
    for folder in os.get_exec_path():
        above = os.path.dirname(os.path.abspath(folder))
        is_environment = os.path.exists(os.path.join(above, "pyvenv.cfg"))
        found.append(above if is_environment else folder)
    return found


def _between(root: str, path: str) -> Iterator[str]:
    """The folders between a root and a path below it. Each must be a mount of its own: any other
    could be renamed, and the path with it."""
    while (path := os.path.dirname(path)) != root and _lies_in(root, path):
        yield path


def _lies_in(folder: str, path: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _folders(paths: Iterable[str]) -> set[str]:
    """Those that are there, symlinks resolved."""
    return set(filter(os.path.isdir, map(os.path.realpath, paths)))


def _sockets(folders: Sequence[str]) -> Iterator[str]:
    """Those in the folders that a service listens at: an overlay would cut them off."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            paths = [f"/{line.rstrip().partition(' /')[2]}" for line in file]
    except OSError:
        return
    for path in map(os.path.realpath, paths):
        if path.startswith(tuple(folders)) and os.path.exists(path):
            yield path


def environment() -> dict[str, str]:
    """Ours without what leads to the workspace or to this program, whose name some shells put
    there. A run's mark stays, by which it finds what outlives it; a guard that takes all with it
    takes that away as well."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if name.startswith(run_marks.SIGN) or not (name.startswith(_OURS) or name == "_")
    }
    if "PATH" in kept:
        kept["PATH"] = ":".join(each for each in kept["PATH"].split(":") if each != PROGRAMS)
    return kept
