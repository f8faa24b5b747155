"""What git says of a project's repository; it is asked by its command line, bounded in time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from openloop.core.text import printable
from openloop.fs import files

_PATIENCE = 60.0  # seconds that git may take for one answer
# What of git's environment belongs to the person, not to one repository.
_PERSONAL = ("GIT_CONFIG_", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")


class Refused(Exception):
    """Git cannot or will not answer; the reason, empty when there is no repository at all."""


def is_near(folder: bytes) -> bool:
    """Whether something called .git stands in the folder or above it."""
    while not os.path.lexists(os.path.join(folder, b".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return False
    return True


def place(folder: bytes) -> bytes:
    """Where a folder lies in its repository, empty or ending in a slash. Raises Refused."""
    answer = ask(folder, "rev-parse", "--is-inside-work-tree", "--show-prefix")
    inside, _, prefix = answer.partition(b"\n")
    if inside != b"true":
        raise Refused("the project root is in a repository, but not among its files")
    return prefix.removesuffix(b"\n")


def top(folder: bytes, inside: bytes) -> bytes:
    """The top of the repository that has the folder at `inside`. Raises Refused."""
    folder = folder.rstrip(b"/") + b"/"
    if not folder.endswith(b"/" + inside):
        raise Refused("git sees the project root at another path")
    return folder[: len(folder) - len(inside)]


def exclude(folder: bytes) -> bytes:
    path = ask(folder, "rev-parse", "--git-path", "info/exclude").removesuffix(b"\n")
    return rules_in(os.path.realpath(os.path.join(folder, path)))


def everywhere(top: bytes) -> bytes:
    """The rules in the person's global file."""
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    words = ("config", "--null", "--type=path", "--default", f"{settings}/git/ignore")
    path = ask(top, *words, "--get", "core.excludesFile").removesuffix(b"\0")
    return rules_in(os.path.realpath(os.path.join(top, path)))


def ignores_case(folder: bytes) -> bool:
    words = ("config", "--null", "--type=bool", "--default", "false", "--get", "core.ignoreCase")
    return ask(folder, *words) == b"true\0"


def ask(folder: bytes, *words: str) -> bytes:
    """The answer of git in the person's own environment. Raises Refused."""
    personal = {name: os.environ[name] for name in os.environ if name.startswith(_PERSONAL)}
    # A file system monitor is a program of the project's choice, or one that would stay.
    return run_git(folder, [b"-c", b"core.fsmonitor=false", *map(os.fsencode, words)], personal)


def run_git(
    folder: bytes,
    words: Sequence[bytes],
    extra: Mapping[str, str],
    *,
    asked: bytes = b"",
    fine: tuple[int, ...] = (0,),
) -> bytes:
    """Run git in a folder, `asked` on its input, with nothing of git's environment but `extra`.

    Raises Refused when it cannot be started, takes too long, or ends with a code not `fine`.
    """
    program = shutil.which("git")
    if not program:
        raise Refused("git is not installed")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            [os.path.abspath(program), *words],
            cwd=folder,
            env={**plain, **quiet, **extra},
            input=asked,
            capture_output=True,
            timeout=_PATIENCE,
            start_new_session=True,  # a Ctrl-C is meant for us
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"git cannot be run: {error}") from error
    if done.returncode not in fine:
        lines = done.stderr.decode(errors="replace").splitlines() or [f"code {done.returncode}"]
        raise Refused(f"git refuses: {printable(lines[0])}")
    return done.stdout


def rules_in(path: bytes) -> bytes:
    """What a file of rules holds; nothing when it is missing, no file, or not to be read."""
    try:
        return files.read(os.fsdecode(path))
    except OSError:
        return b""
