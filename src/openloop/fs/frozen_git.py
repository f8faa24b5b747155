"""A repository without content, in which git answers by frozen ignore rules and nothing else.

It lies in a folder of ours, out of reach of the project's repository, the environment and
every configuration.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator

from openloop.fs import git

_HEAD = b"ref: refs/heads/none\n"
_CONFIG = """\
[core]
    repositoryformatversion = 0
    bare = false
    ignoreCase = {}
"""


class Shadow:
    """A repository without content, in which git answers by frozen rules and nothing else."""

    def __init__(self, folder: bytes) -> None:
        self._git = os.path.join(folder, b"git")
        self._tree = os.path.join(folder, b"tree")
        self._everywhere = os.path.join(folder, b"everywhere")
        # A folder of another name than .git, so that the project's git takes no notice of it.
        self._words = [
            *(b"--git-dir=" + self._git, b"--work-tree=" + self._tree),
            *(b"-c", b"core.excludesFile=" + self._everywhere),
        ]

    def make(self, exclude: bytes, everywhere: bytes, *, ignore_case: bool) -> None:
        """exclude, everywhere: the rules in info/exclude and in the person's global file."""
        os.makedirs(self._tree)
        for folder in (b"objects", b"refs", b"info"):
            os.makedirs(os.path.join(self._git, folder))
        config = _CONFIG.format("true" if ignore_case else "false").encode()
        write(os.path.join(self._git, b"HEAD"), _HEAD)
        write(os.path.join(self._git, b"config"), config)
        write(os.path.join(self._git, b"info/exclude"), exclude)
        write(self._everywhere, everywhere)

    def add_rules(self, folder: bytes, rules: bytes) -> None:
        """Put a .gitignore into a folder; nothing when it is empty, or its path too long here."""
        if rules:
            with _unless_too_long():
                self._add_folder(folder)
                write(os.path.join(self._tree, folder, b".gitignore"), rules)

    def ignored_folders(self, folders: Iterable[bytes]) -> set[bytes]:
        """Those of the folders, each with a slash at its end, that the rules ignore as such."""
        # With the slash git takes for a folder what is not there; but then it lets `a/*` match
        # `a/` itself. What it names is therefore made, and asked for without the slash.
        named = self.ignored(folders)
        made = set()
        for folder in named:
            with _unless_too_long():
                self._add_folder(folder)
                made.add(folder)
        sure = self.ignored(folder.rstrip(b"/") for folder in made)
        for folder in made:
            self._drop_folder(folder)
        return named - {folder for folder in made if folder.rstrip(b"/") not in sure}

    def _add_folder(self, path: bytes) -> None:
        """Make a folder and those above it, as far as they are missing."""
        end = path.find(b"/") + 1
        while end:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(self._tree, path[:end]))
            end = path.find(b"/", end) + 1

    def _drop_folder(self, path: bytes) -> None:
        """Remove a folder and those above it, as far as they hold no rules."""
        with contextlib.suppress(OSError):
            while path:
                os.rmdir(os.path.join(self._tree, path))
                path = path[: path.rfind(b"/", 0, -1) + 1]

    def ignored(self, paths: Iterable[bytes]) -> set[bytes]:
        """Those of the paths, seen from the top of the tree, that the rules ignore.

        What is not a folder in the tree counts as a file. Raises Refused.
        """
        # "./" keeps git from reading a name that begins with a colon as an instruction.
        asked = b"".join(b"./%b\0" % path for path in paths)
        if not asked:
            return set()
        alone = dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)
        # An older git knows these three only.
        alone |= dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), os.fsdecode(self._git))
        alone["GIT_CONFIG_NOSYSTEM"] = "1"
        words = [*self._words, b"check-ignore", b"--no-index", b"--stdin", b"-z"]
        answer = git.run_git(self._tree, words, alone, asked=asked, fine=(0, 1))
        return {path.removeprefix(b"./") for path in answer.split(b"\0")[:-1]}


@contextlib.contextmanager
def _unless_too_long() -> Iterator[None]:
    """Give up quietly where a path is longer in the shadow than the system allows."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise


def write(path: bytes, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
