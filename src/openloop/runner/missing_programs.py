"""Why a command cannot start: its program, or the script of its interpreter, is not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from openloop.config import command_starts
from openloop.config.config import Command
from openloop.core.text import printable

NOT_RUN = (126, 127)  # exit codes of a shell: not executable, not found
_LONGEST = 1000  # bytes of a log that holds nothing but one complaint
_SHELL = r"(?:\S*/)?(?:ba|da|z|k)?sh: (?:line )?(?:\d+: )?"
_SUFFIXES = {"node": ("", ".js", ".json", ".node")}  # that an interpreter adds by itself


class MissingScript(NamedTuple):
    """interpreter: as the command names it. path: likewise. place: absolute. why: continues the
    sentence, "does not exist" for example."""

    interpreter: str
    path: str
    place: str
    why: str


def why_not_started(command: Command, root: str, code: int, log: int) -> str:
    """Why a command that failed with `code` never did anything: "mocha: not found"; "" when it may
    have done something. log: descriptor of its log."""
    if code in NOT_RUN and (words := _complaint(command.run, log)):
        return words
    script = next(missing_scripts(command, root), None)
    return f"{script.path} {script.why}" if script else ""


def _complaint(text: str, log: int) -> str:
    """What the shell said of the first program, if that is all that the log holds."""
    data = os.pread(log, _LONGEST + 1, 0)
    lines = {line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()}
    if len(data) > _LONGEST or len(lines) != 1:
        return ""
    line = re.sub(f"^{_SHELL}", "", printable(lines.pop()))
    for one in command_starts.opening_commands(text):
        inner = command_starts.without_wrappers(one)
        name = inner.words[0].strip("'\"") if inner and inner.words else ""
        if name and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])", line):
            return line
    return ""


def missing_scripts(command: Command, root: str) -> Iterator[MissingScript]:
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
            yield MissingScript(interpreter, path, place, why[0])


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
