"""The environment of a judged command, and its view of the machine.

A program that recognises the judge could behave well for it alone. So the command gets no variable,
no visible process and no folder of OpenLoop's.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openloop.core.interpreter import PROGRAMS
from openloop.process import run_marks
from openloop.record.workspace import COPIES, HOLDOUT, HOME

_OURS = "OPENLOOP_"  # prefix of variables that reveal the workspace
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
class MachineView:
    """A possible view of the machine. order: see `namespaces.enter`. without: the note when a
    guard cannot enter the view."""

    order: Mapping[str, Any]
    without: str


def views(hidden: Sequence[str], projects: Sequence[str], folder: str) -> list[MachineView]:
    """The possible views for a command, the best first.

    hidden: the file of cases, or its folder, and other paths to hide. The copies of withheld files
    in the workspace, known by a variable in a run or as the home of holdout/, are hidden as well.
    projects: folders that the command writes. folder: has the cases' files.
    """
    hide = [*hidden, *_copies_of_files(hidden)]
    enclosed = {"hide": hide, "enclosure": _enclosure(projects, folder)}
    return [MachineView(enclosed, _NOT_ENCLOSED), MachineView({"hide": hide}, _NOT_HIDDEN)]


def _copies_of_files(hidden: Iterable[str]) -> set[str]:
    """The folders of workspaces with copies of protected and withheld files."""
    workspaces = {f"{path}/".rpartition(f"/{HOLDOUT}/")[0] for path in hidden}
    workspaces.add(os.environ.get("OPENLOOP_WORKSPACE", ""))
    places = workspaces - {""}
    return _folders(os.path.join(place, name) for place in places for name in COPIES)


def shared_note(view: MachineView, paths: Sequence[str]) -> str:
    """A note on folders that an enclosure could not make private, see `namespaces.shared`."""
    real = tuple(f"{path}/" for path in paths if path in view.order["enclosure"]["temporary"])
    effects = {path: "stays" if f"{path}/".startswith(real) else "is refused" for path in paths}
    texts = "; ".join(f"what is written to {path} {effect}" for path, effect in effects.items())
    return f"{texts}: COMMAND has none of its own (is something mounted in there?)"


def _enclosure(places: Sequence[str], folder: str) -> dict[str, list[str]]:
    """The view in which commands permanently write to the projects at `places` and `folder` only.
    In a run, a variable names the workspace. Writes to the home folder, caches mostly, are
    discarded."""
    projects = _folders(places) - {"/"}
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
    """The folders of programs that later gates use, OpenLoop's own among them."""
    found = [sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(__file__))]
    for folder in os.get_exec_path():
        above = os.path.dirname(os.path.abspath(folder))
        is_environment = os.path.exists(os.path.join(above, "pyvenv.cfg"))
        found.append(above if is_environment else folder)
    return found


def _between(root: str, path: str) -> Iterator[str]:
    """The folders between a root and a path below it. Each becomes a mount: otherwise it could be
    renamed, and the path with it."""
    while (path := os.path.dirname(path)) != root and _lies_in(root, path):
        yield path


def _lies_in(folder: str, path: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _folders(paths: Iterable[str]) -> set[str]:
    """The existing folders, symlinks resolved."""
    return set(filter(os.path.isdir, map(os.path.realpath, paths)))


def _sockets(folders: Sequence[str]) -> Iterator[str]:
    """The sockets of services in the folders: an overlay would cut them off."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            paths = [f"/{line.rstrip().partition(' /')[2]}" for line in file]
    except OSError:
        return
    for path in map(os.path.realpath, paths):
        if path.startswith(tuple(folders)) and os.path.exists(path):
            yield path


def environment() -> dict[str, str]:
    """This process's environment without variables that reveal the workspace or OpenLoop (some
    shells name it in `_`). The run's mark stays, by which it finds leftover processes; a guard in a
    PID namespace removes that too."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if name.startswith(run_marks.SIGN) or not (name.startswith(_OURS) or name == "_")
    }
    if "PATH" in kept:
        kept["PATH"] = ":".join(each for each in kept["PATH"].split(":") if each != PROGRAMS)
    return kept
