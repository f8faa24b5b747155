"""What surrounds a judged command: its environment, and what it sees of the machine.

A program that recognises the judge could work for it alone. So the command is given as little as
can be by which it would: no variable that names us, no process above it, no folder of ours.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openloop.process import run_marks
from openloop.record.workspace import HOME

_OURS = "OPENLOOP_"  # variables that tell a command where the workspace is
_CLOSED = (HOME, ".git")  # read-only in the project
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

    hidden: the file of cases. place: the current directory. folder: where cases have their files.
    """
    enclosed = {"hide": [hidden], "enclosure": _enclosure(place, folder)}
    return [View(enclosed, _NOT_ENCLOSED), View({"hide": [hidden]}, _NOT_HIDDEN)]


def shared(view: View, paths: Sequence[str]) -> str:
    """What to say of folders that an enclosure could not make private, see `namespaces.shared`."""
    real = tuple(f"{path}/" for path in paths if path in view.order["enclosure"]["temporary"])
    effects = {path: "stays" if f"{path}/".startswith(real) else "is refused" for path in paths}
    told = "; ".join(f"what is written to {path} {effect}" for path, effect in effects.items())
    return f"{told}: COMMAND has none of its own (is something mounted in there?)"


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
    closed = {os.path.realpath(path) for path in inside if os.path.exists(path)} - writable
    sockets = _sockets([f"{path}/" for path in private | temporary])
    return {
        "writable": sorted(writable.union(sockets)),
        "closed": sorted(closed),
        "private": sorted(private),
        "temporary": sorted(temporary),
    }


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
    """Ours without what leads to the workspace, and without the name of this program, which some
    shells put there. A run's sign stays, by which it finds what outlives it; a guard that takes
    all with it takes that away as well."""
    return {
        name: text
        for name, text in os.environ.items()
        if name.startswith(run_marks.SIGN) or not (name.startswith(_OURS) or name == "_")
    }
