"""What `doctor` finds about scripts: those that commands give to an interpreter, and programs that
cannot be executed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from openloop.config.config import NO_POLICY, Command, Config
from openloop.config.globs import Globs
from openloop.setup import command_starts
from openloop.setup.findings import Finding, problem, warning

_FIRST_LINE = 256  # bytes of it that the kernel reads
_SUFFIXES = {"node": ("", ".js", ".json", ".node")}  # that an interpreter adds by itself


class _MissingScript(NamedTuple):
    """interpreter: as the command names it. path: likewise. place: absolute. why: continues the
    sentence, "does not exist" for example."""

    interpreter: str
    path: str
    place: str
    why: str


def findings(
    known: Config, root: str, commands: Iterable[tuple[str, Command]]
) -> Iterator[Finding]:
    """A finding for each missing script. commands: with their names for sentences."""
    gates = [known.command(gate) for gate in known.gates]
    for name, command in commands:
        for script in _missing_scripts(command, root):
            what = f"{name}: {script.interpreter} is to run {script.path}, which {script.why}"
            if command in gates and _may_appear(known, root, script):
                fix = "correct the path if it should be there already"
                yield warning(f"{what}: the gate fails until a change writes it", fix)
            else:
                fix = "write the script, or correct its path; commands run in the project root"
                if os.path.lexists(script.place):
                    fix = "make it readable for the user who runs OpenLoop"
                yield problem(what, fix)


def obstacle_to_execution(place: str) -> tuple[str, str] | None:
    """(why a program cannot be executed, how to fix it); None when nothing speaks against it.
    place: its path, "" for what is no file."""
    if not os.path.isfile(place):
        return None
    if not os.access(place, os.X_OK):
        return "is not executable", f"chmod +x {shlex.quote(place)}"
    try:
        with open(place, "rb") as file:
            line = file.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return None
    if not line.startswith(b"#!"):
        return None
    if line.endswith(b"\r"):
        what = "has line ends of Windows, so its interpreter is not found"
        return what, "save it with line ends of Unix"
    interpreter = os.fsdecode(next(iter(line[2:].split()), b""))
    if os.path.exists(interpreter):
        return None
    return f"names an interpreter that does not exist: {interpreter}", "correct its first line"


def _may_appear(known: Config, root: str, script: _MissingScript) -> bool:
    """Whether a change may write the script: it is what the mission asks for."""
    place = os.path.normpath(script.place)
    if known.improver is None or os.path.lexists(place) or not place.startswith(root + os.sep):
        return False
    policy = known.policy or NO_POLICY
    path = os.fsencode(os.path.relpath(place, root))
    if Globs((*policy.protect, *policy.withhold)).matches(path):
        return False
    return policy.allow is None or Globs(policy.allow).matches(path)


def _missing_scripts(command: Command, root: str) -> Iterator[_MissingScript]:
    """The scripts that the command reads before it could have written them, and that cannot be
    read. root: the folder in which it runs."""
    for interpreter, path in command_starts.scripts(command.run):
        if path.startswith("~") and "HOME" in command.env:
            continue
        place = os.path.join(root, os.path.expanduser(path))
        name = os.path.basename(interpreter)
        suffixes = _SUFFIXES.get(name, ("",))
        why = [_obstacle(place + suffix) for suffix in suffixes]
        if all(why) and not _on_path(name, path):
            yield _MissingScript(interpreter, path, place, why[0])


def _obstacle(place: str) -> str:
    """Why a file cannot be read; "" when it can."""
    try:
        os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if os.access(place, os.R_OK) else "cannot be read: permission denied"


def _on_path(interpreter: str, path: str) -> bool:
    """Whether a shell may find a script without a folder on PATH."""
    folders = os.get_exec_path() if interpreter.endswith("sh") and "/" not in path else ()
    return any(os.path.isfile(os.path.join(folder, path)) for folder in folders)
