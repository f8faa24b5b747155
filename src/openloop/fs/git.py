"""Query git about a project's repository without running programs that the repository names.

The commands used read no file contents and run no hook, filter, text conversion, external
diff or pager; the file system monitor and fetches of missing objects are switched off.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator

from openloop.core.text import printable
from openloop.fs import programs
from openloop.fs.content import Tick, no_tick

_TIMEOUT = 60.0  # seconds that git may take for one answer
_TICK = 0.1  # seconds between two ticks meanwhile
_COMMANDS = ("rev-parse", "config", "ls-files")
_OPTIONS = ("-c", "core.fsmonitor=false")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",  # none, whatever the configuration allows
}
# Variables of git that belong to the person, not to one repository.
_PERSONAL = ("GIT_CONFIG_", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_TRACKED = re.compile(rb"(\d+) [^\t]*\t([^\0]*)\0")
_SUBMODULE = b"160000"


class GitRefused(Exception):
    """Git cannot or will not answer. The text is empty when there is no repository at all."""


def has_repository(folder: bytes) -> bool:
    """Whether the folder, or one above it, has an entry `.git`."""
    while not os.path.lexists(os.path.join(folder, b".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return False
    return True


def top(folder: bytes, inside: bytes) -> bytes:
    """The top of the repository in which the folder's path is `inside`. Raises GitRefused."""
    folder = folder.rstrip(b"/") + b"/"
    if not folder.endswith(b"/" + inside):
        raise GitRefused("git sees the project root at another path")
    return folder[: len(folder) - len(inside)]


class Git:
    """Queries to the first git on PATH that lies outside the project."""

    def __init__(self, root: str, tick: Tick = no_tick) -> None:
        """root: the project's root. tick: called while git works; when it raises, git is ended."""
        self._tick = tick
        self._program = programs.find_outside(root, "git")

    def place(self, folder: bytes) -> bytes:
        """A folder's path in its repository, empty or ending in a slash. Raises GitRefused."""
        answer = self.ask(folder, "rev-parse", "--is-inside-work-tree", "--show-prefix")
        inside, _, prefix = answer.partition(b"\n")
        if inside != b"true":
            raise GitRefused("the project root is in a repository, but not among its files")
        return prefix.removesuffix(b"\n")

    def exclude_file(self, folder: bytes) -> bytes:
        """Path of the repository's own file of ignore rules."""
        path = self.ask(folder, "rev-parse", "--git-path", "info/exclude").removesuffix(b"\n")
        return os.path.realpath(os.path.join(folder, path))

    def global_file(self, folder: bytes) -> bytes:
        """Path of the person's file of ignore rules for all repositories."""
        settings = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        words = ("config", "--null", "--type=path", "--default", f"{settings}/git/ignore")
        path = self.ask(folder, *words, "--get", "core.excludesFile").removesuffix(b"\0")
        return os.path.realpath(os.path.join(folder, path))

    def ignores_case(self, folder: bytes) -> bool:
        words = ("--null", "--type=bool", "--default", "false", "--get", "core.ignoreCase")
        return self.ask(folder, "config", *words) == b"true\0"

    def tracked(self, folder: bytes) -> Iterator[tuple[bytes, bool]]:
        """(path, is a submodule) of everything in the index at and below the folder."""
        for found in _TRACKED.finditer(self.ask(folder, "ls-files", "--stage", "-z")):
            yield found[2], found[1] == _SUBMODULE

    def files(self, folder: bytes, *, patience: float) -> list[bytes]:
        """Paths of the files below a folder that are tracked or not ignored. Raises GitRefused."""
        words = ("-z", "--cached", "--others", "--exclude-standard")
        return self.ask(folder, "ls-files", *words, patience=patience).split(b"\0")[:-1]

    def ask(self, folder: bytes, command: str, *words: str, patience: float = _TIMEOUT) -> bytes:
        """The output of one git command, run in a folder with the person's own environment.

        patience: seconds that it may take.

        Raises GitRefused when git cannot be started, takes too long, or exits with a non-zero code.
        """
        assert command in _COMMANDS
        if not self._program:
            raise GitRefused("git is not installed outside the project")
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(_PERSONAL)
        }
        try:
            running = subprocess.Popen(
                [self._program, *_OPTIONS, command, *words],
                cwd=folder,
                env={**environment, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # keeps Ctrl-C from git
            )
        except OSError as error:
            raise GitRefused(f"git cannot be run: {error}") from error
        with running:
            try:
                output, errors = self._answer(running, patience)
            except BaseException:
                running.kill()
                raise
        if running.returncode != 0:
            lines = errors.decode(errors="replace").splitlines() or [f"code {running.returncode}"]
            raise GitRefused(f"git refuses: {printable(lines[0])}")
        return output

    def _answer(self, running: subprocess.Popen[bytes], patience: float) -> tuple[bytes, bytes]:
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return running.communicate(timeout=_TICK)
            self._tick(0)
            if time.monotonic() > end:
                raise GitRefused(f"git takes longer than {patience:g} s")
