"""Git, asked by its command line, with the repository's own programs switched off."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

from openloop.core.text import printable

_PATIENCE = 3600.0  # seconds for a checkout
_NAMED = 3  # files in a message
_PLAIN = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "commit.gpgSign=false")
_NO_LFS = tuple(f"filter.lfs.{key}" for key in ("process=", "smudge=", "clean=", "required=false"))
_NOBODY = ("user.name=OpenLoop", "user.email=openloop@localhost")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_NO_REPLACE_OBJECTS": "1",  # else gates may pass on another tree than the one that lands
}
_PERSONAL = ("GIT_CONFIG_", "GIT_AUTHOR_", "GIT_COMMITTER_")  # not of one repository


class GitError(Exception):
    """An error of git, as a sentence for a person."""


def run_git(folder: str, *words: str, fine: tuple[int, ...] = (0,)) -> str:
    """The output of a git command. fine: exit codes that are not failures. Raises GitError."""
    return _run(folder, _PLAIN, words, fine)


def run_git_with_author(folder: str, *words: str, fine: tuple[int, ...] = (0,)) -> str:
    """As `run_git`, for commands that commit; OpenLoop is the author when git knows no user."""
    try:
        run_git(folder, "var", "GIT_COMMITTER_IDENT")
    except GitError:
        return _run(folder, (*_PLAIN, *_NOBODY), words, fine)
    return run_git(folder, *words, fine=fine)


def _run(folder: str, settings: Sequence[str], words: Sequence[str], fine: tuple[int, ...]) -> str:
    if not has_lfs():  # its filter would refuse every checkout; now pointers stay pointers
        settings = (*settings, *_NO_LFS)
    options = [word for setting in settings for word in ("-c", setting)]
    environ = os.environ.items()
    kept = {n: v for n, v in environ if not n.startswith("GIT_") or n.startswith(_PERSONAL)}
    try:
        done = subprocess.run(
            ["git", *options, *words],
            cwd=folder,
            env={**kept, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            start_new_session=True,  # a Ctrl-C is meant for us
            check=False,
        )
    except FileNotFoundError:
        gone = "git is not installed" if os.path.isdir(folder) else f"{folder} does not exist"
        raise GitError(gone) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run: {error}") from None
    if done.returncode not in fine:
        raise GitError(f"git refuses: {_complaint(done.stderr) or f'exit code {done.returncode}'}")
    return os.fsdecode(done.stdout).removesuffix("\n")


def _complaint(errors: bytes) -> str:
    """The first line of git's errors, with the files that are listed below it."""
    first, *below = os.fsdecode(errors).splitlines() or [""]
    if not first.endswith(":"):
        return printable(first)
    names = [line.strip() for line in itertools.takewhile(lambda line: line[:1] == "\t", below)]
    more = ", …" if len(names) > _NAMED else ""
    return printable(f"{first} {', '.join(names[:_NAMED])}{more}")


@cache
def has_lfs() -> bool:
    """Whether git-lfs is installed."""
    return shutil.which("git-lfs") is not None


@cache
def top(project_root: str) -> str:
    """The top of the work tree that holds a project. Raises GitError."""
    if not os.path.isdir(project_root):
        raise GitError(f"project root {project_root} does not exist")
    try:
        return run_git(project_root, "rev-parse", "--show-toplevel")
    except GitError as error:
        raise GitError(f"{project_root} is in no git repository: {error}") from None


def head(where: str) -> str:
    """The commit at HEAD. Raises GitError."""
    try:
        return run_git(where, "rev-parse", "--verify", "HEAD^{commit}")
    except GitError:
        raise GitError(f"{where} has no commit yet") from None
