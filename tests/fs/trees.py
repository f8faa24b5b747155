"""What tests of manifests and checkpoints share: real trees, and real processes to die in them."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from openloop.fs import snapshot
from openloop.fs.checkpoints import Checkpoints, DamagedStore, UnlinkedCopy
from openloop.fs.diff import difference
from openloop.fs.manifest import Entry, Manifest, signature_of
from openloop.fs.snapshot import Skip, Wanted
from support import Case, wait_until

NOBODY = 65534
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")


class Seen(NamedTuple):
    """One path as a person sees it."""

    kind: str
    mode: int
    content: bytes


def look(root: str, *, without: tuple[bytes, ...] = ()) -> dict[bytes, Seen]:
    """Everything below `root`, seen without the code under test. without: names left out."""
    found: dict[bytes, Seen] = {}
    top = os.fsencode(root)
    for where, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in without]
        for name in [*folders, *(name for name in names if name not in without)]:
            path = os.path.join(where, name)
            found[os.path.relpath(path, top)] = see(path)
    return found


def see(path: bytes) -> Seen:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Seen("symlink", 0, os.readlink(path))
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            return Seen("file", stat.S_IMODE(mode), file.read())
    kind = "folder" if stat.S_ISDIR(mode) else "other"
    return Seen(kind, stat.S_IMODE(mode), b"")


class Trees(Case):
    """A test with a project tree and a store beside it."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(open_folders, self.folder)
        os.chmod(self.folder, 0o777)  # for ordinary users too
        self.root = os.path.join(self.folder, "project")
        self.place = os.path.join(self.folder, "ws")
        for folder in (self.root, self.place):
            os.mkdir(folder)
            os.chmod(folder, 0o777)
        self.store = os.path.join(self.place, "checkpoints")
        self.checkpoints = Checkpoints(self.store)
        self.skip = snapshot.outside_project(self.root, self.place)

    def path(self, path: str | bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), os.fsencode(path))

    def write(self, path: str | bytes, data: bytes = b"", mode: int = 0o644) -> bytes:
        """Write a file in place, its folders made; returns its absolute path."""
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(data)
        os.chmod(full, mode)
        return full

    def write_all(self, files: Mapping[str | bytes, bytes]) -> None:
        for path, data in files.items():
            self.write(path, data)

    def read(self, path: str | bytes) -> bytes:
        with open(self.path(path), "rb") as file:
            return file.read()

    def scan(
        self,
        before: Manifest | None = None,
        wanted: Wanted = snapshot.accept_all,
        skip: Skip | None = None,
    ) -> Manifest:
        return snapshot.scan(self.root, skip=skip or self.skip, before=before, wanted=wanted)

    def wait_until_reliable(self) -> None:
        """Wait until nothing in the tree is so young that a scan would mistrust it."""
        stats = [os.lstat(self.path(path)) for path in look(self.root)]
        last = max((snapshot.reliable_from(signature_of(each)) for each in stats), default=0)
        wait_until(lambda: time.time_ns() > last)

    def kept(self) -> Manifest:
        """The tree's manifest, its contents in the store."""
        found = self.scan()
        self.checkpoints.keep(self.root, found)
        return found

    def lost(self, tree: Manifest) -> list[str]:
        """The contents of a tree that the store does not give, sorted."""
        return sorted({entry.content for entry in tree.values() if self._is_lost(entry)})

    def _is_lost(self, entry: Entry) -> bool:
        if not entry.is_hashed:
            return False
        try:
            self.checkpoints.read(entry)
        except DamagedStore:
            return True
        return False

    def make_repositories(self) -> None:
        """The tree becomes a repository with a submodule and another repository inside."""
        library = os.path.join(self.folder, "library")
        os.mkdir(library)
        with open(os.path.join(library, "l"), "wb") as file:
            file.write(b"library")
        self.write("nested/n", b"nested")
        for folder in (library, self.path("nested")):
            git(folder, "init", "-q")
            git(folder, "add", "-A")
            git(folder, "commit", "-qm", "x")
        git(self.root, "init", "-q")
        git(self.root, "submodule", "add", "-q", library, "module")

    def packs(self) -> list[str]:
        folder = os.path.join(self.store, "objects")
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def stored(self) -> list[str]:
        """The hashes of all contents in the store, read without the code under test."""
        found: list[str] = []
        for path in self.packs():
            with open(path, "rb") as file:
                data = file.read()
            count, magic = int.from_bytes(data[-16:-8], "little"), data[-8:]
            assert magic == b"openloop", path
            rows = data[-16 - 40 * count : -16]
            found += [rows[at : at + 32].hex() for at in range(0, len(rows), 40)]
        return sorted(found)


class Restoring(Trees):
    """A test that keeps a tree, spoils it and puts it back."""

    def build(self) -> None:
        """A tree with something of everything."""
        self.write("plain", b"plain\n")
        self.write("empty")
        self.write("same", b"plain\n")
        self.write("bin/tool", b"#!/bin/sh\n", mode=0o755)
        self.write("src/a/b/deep", b"deep")
        self.write("src/new\nline", b"1")
        self.write(b"src/\xff\xfe", b"2")
        self.write("src/" + "x" * 255, b"3")
        self.write("crlf", b"a\r\nb\nc\x00\xff$Id$")
        self.write("readonly/file", b"r", mode=0o444)
        os.mkdir(self.path("void"))
        os.chmod(self.path("void"), 0o1777)
        os.symlink("src/a", self.path("link"))
        os.symlink(b"nowhere\xff", self.path("dangling"))
        os.chmod(self.path("readonly"), 0o555)

    def spoil(self) -> None:
        """Do something different to everything in it."""
        os.chmod(self.path("readonly"), 0o755)
        self.write("plain", b"other\n")
        remove(self.path("empty"))
        remove(self.path("same"))
        os.symlink("plain", self.path("same"))
        os.chmod(self.path("bin/tool"), 0o644)
        remove(self.path("src/a"))
        self.write("src/a", b"a file where a folder was")
        remove(self.path("src/new\nline"))
        os.mkfifo(self.path("src/new\nline"))
        remove(self.path(b"src/\xff\xfe"))
        self.write(b"src/\xff\xfe/x/y", b"a folder where a file was")
        os.rename(self.path("src/" + "x" * 255), self.path("src/X"))
        os.chmod(self.path("readonly/file"), 0o644)
        self.write("readonly/file", b"w")
        self.write("readonly/more", b"w")
        remove(self.path("void"))
        os.symlink(self.folder, self.path("void"))
        remove(self.path("link"))
        os.symlink("src", self.path("link"))
        remove(self.path("dangling"))
        self.write("dangling/x", b"not any more")
        self.write("created/in/here", b"x")
        plant_special(self.path("created"))

    def restore_paths(
        self,
        target: Manifest,
        paths: Iterable[bytes] | None = None,
        unlinked: UnlinkedCopy | None = None,
    ) -> None:
        current = self.scan(target)
        wanted = difference(target, current).paths if paths is None else paths
        self.checkpoints.restore(self.root, current, target, wanted, unlinked=unlinked)

    @contextlib.contextmanager
    def unlinked(
        self, found: Manifest, paths: Iterable[bytes] | None = None
    ) -> Iterator[UnlinkedCopy]:
        made = UnlinkedCopy(self.root, found, found if paths is None else paths, folder=self.place)
        try:
            yield made
        finally:
            made.close()


def plant_special(folder: bytes) -> dict[str, bytes]:
    """A FIFO, a socket and a dangling symlink."""
    planted = {name: os.path.join(folder, name.encode()) for name in ("fifo", "socket", "dangling")}
    os.mkfifo(planted["fifo"])
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(planted["socket"])
    os.symlink("/nowhere/at all", planted["dangling"])
    return planted


def open_folders(path: str | bytes) -> None:
    """Let an ordinary user remove what tests closed."""
    os.chmod(path, 0o755)
    for where, folders, _ in os.walk(path):
        for inner in (os.path.join(where, name) for name in folders):
            if not os.path.islink(inner):
                os.chmod(inner, 0o755)


def remove(path: str | bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        open_folders(path)
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def git(folder: str | bytes, *words: str) -> str:
    """Run git there, no configuration but the test's own."""
    return subprocess.run(
        [*GIT, "-C", folder, *words],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


# --- processes ---


def in_child(
    work: Callable[[], object],
    *,
    ordinary: bool = False,
    file_size: int | None = None,
    descriptors: int | None = None,
) -> int:
    """Run this in a process of its own; returns its raw wait status. A failure in it is shown.

    ordinary: as a user whom permission bits hold back. file_size: bytes, at which the disk is
    full for it. descriptors: how many files it may have open.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if ordinary and os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            for limit, value in (
                (resource.RLIMIT_FSIZE, file_size),
                (resource.RLIMIT_NOFILE, descriptors),
            ):
                if value is not None:
                    resource.setrlimit(limit, (value, value))
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def die_after(calls: int) -> None:
    """This process kills itself at its n-th call into C from now on: every system call is one."""
    left = calls

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal left
        if event == "c_call":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def calls_of(work: Callable[[], object], function: object = None) -> int:
    """How many calls into C this takes, all or those of one function."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "c_call" and function in (None, argument)

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def just_before(function: object, number: int, act: Callable[[], object]) -> None:
    """Do this just before the n-th call of a function in C from now on, once."""
    left = number

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal left
        if event == "c_call" and argument is function:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                act()

    sys.setprofile(count)


def dies_in(work: Callable[[], object], calls: int) -> bool:
    """Whether a process that does this was killed at that call; it may have been done before."""

    def doomed() -> None:
        die_after(calls)
        work()
        sys.setprofile(None)

    status = in_child(doomed)
    if os.WIFSIGNALED(status):
        return True
    assert status == 0, "the process failed by itself"
    return False


def moments(total: int, number: int, seed: int) -> list[int]:
    """Seeded-random calls at which to die."""
    return sorted(random.Random(seed).sample(range(1, total), min(number, total - 1)))
