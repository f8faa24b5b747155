"""Scans of large trees, half of which a second process checks."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from unittest import mock

from fs import test_snapshot
from fs.trees import Trees, calls_of, remove
from openloop.fs import dirfd, snapshot
from openloop.fs.manifest import Manifest
from openloop.fs.scan_worker import ScanWorker, folder_digest, list_folder
from support import need, wait_until

FOLDERS = [b"", b"a/", b"b/", b"b/c/"]


class Finished(ScanWorker):
    """A worker that has seen everything before the scan begins."""

    def __init__(self, root: str, folders: Sequence[bytes]) -> None:
        super().__init__(root, folders)
        self._process.wait()


class WithWorker(Trees):
    """Every tree is large enough."""

    def setUp(self) -> None:
        super().setUp()
        need(len(os.sched_getaffinity(0)) > 1, "a second processor")
        for patch in (
            mock.patch.object(snapshot, "SHARED", 1),
            mock.patch.object(snapshot, "ScanWorker", Finished),
        ):
            patch.start()
            self.addCleanup(patch.stop)


class DifferencesWithWorker(WithWorker, test_snapshot.Differences):
    """All that holds for a small tree."""


class LargeTree(WithWorker):
    def setUp(self) -> None:
        super().setUp()
        for number in range(200):
            self.write(f"{number // 20}/{number // 4}/{number}", b"%d" % number)
        self.wait_until_reliable()
        self.first = self.scan()

    def test_what_the_worker_has_seen_is_not_listed(self) -> None:
        found: list[Manifest] = []
        self.assertEqual(0, calls_of(lambda: found.append(self.scan(self.first)), os.listdir))
        self.assertTrue(found[0].is_unchanged_since(self.first))
        self.assertEqual(dict(self.first), dict(found[0]))

    def test_random_edits(self) -> None:
        """What two processes see is what one sees."""
        dice = random.Random(7)
        before = self.first
        for number in range(25):
            for _ in range(dice.randrange(4)):
                self.edit(dice)
            now = self.scan(before)
            with mock.patch.object(snapshot, "SHARED", 1 << 40):
                alone = self.scan(before)
            self.assertEqual(dict(alone), dict(now), number)
            self.assertEqual(list(alone.listings), list(now.listings), number)
            before = now

    def edit(self, dice: random.Random) -> None:
        files = [path for path, _, names in os.walk(self.path("")) for _ in names]
        folder = dice.choice(files)
        name = os.path.join(folder, dice.choice(os.listdir(folder)))
        match dice.randrange(6):
            case 0:
                self.write(name + b".new", b"new")
            case 1:
                remove(name)
            case 2:
                os.chmod(name, 0o755 if os.stat(name).st_mode & 0o111 == 0 else 0o700)
            case 3 if os.path.isfile(name):
                with open(name, "ab") as file:
                    file.write(b"more")
            case 4:
                os.rename(name, name + b".moved")
            case _:
                os.makedirs(name + b".made/deeper", exist_ok=True)

    def test_edit_right_after_a_scan(self) -> None:
        """It is seen, though its size and times may be those of before."""
        for number in range(5):
            for path in ("0/0/0", "9/49/199"):
                self.write(path, b"%04d" % number)
            before = self.scan()
            for path in ("0/0/0", "9/49/199"):
                old = os.stat(self.path(path))
                self.write(path, b"%04d" % (number + 1000))
                os.utime(self.path(path), ns=(old.st_atime_ns, old.st_mtime_ns))
            self.assertEqual(dict(self.scan()), dict(self.scan(before)))

    def test_folder_that_became_a_symlink_is_not_followed(self) -> None:
        last = self.path("9")
        shutil.copytree(last, os.path.join(os.fsencode(self.folder), b"elsewhere"))
        remove(last)
        os.symlink(os.path.join(self.folder, "elsewhere"), last)
        now = self.scan(self.first)
        self.assertEqual("symlink", now[b"9"].kind)
        self.assertEqual([], [path for path in now if path.startswith(b"9/")])

    def test_scan_that_is_ended_leaves_no_process(self) -> None:
        for at in (1, 40):
            left = at

            def tick(seen: int) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise RuntimeError

            with (
                mock.patch.object(snapshot, "ScanWorker", ScanWorker),
                self.assertRaises(RuntimeError),
            ):
                snapshot.scan(self.root, skip=self.skip, before=self.first, tick=tick)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    def test_no_process_to_be_had(self) -> None:
        error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        with mock.patch("subprocess.Popen", side_effect=error):
            now = self.scan(self.first)
        self.assertEqual(dict(self.first), dict(now))


class Worker(Trees):
    """The process alone."""

    def setUp(self) -> None:
        super().setUp()
        self.write_all({"a/1": b"", "b/2": b"", "b/c/3": b""})

    @contextlib.contextmanager
    def worker(self, *folders: bytes) -> Iterator[ScanWorker]:
        worker = ScanWorker(self.root, folders or FOLDERS)
        try:
            yield worker
        finally:
            worker.close()
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def digest(self, path: bytes) -> bytes:
        with dirfd.open_tree(self.root) as tree:
            return folder_digest(*list_folder(tree.folder(path[:-1])))

    def test_answer(self) -> None:
        expected = [self.digest(path) for path in FOLDERS]
        with self.worker() as worker:
            wait_until(lambda: [worker.digest_of(path) for path in FOLDERS] == expected)
            self.assertEqual(b"", worker.digest_of(b"d/"))

    def test_odd_names(self) -> None:
        name = b"new\nline \xff"
        self.write(name + b"/" + name, b"")
        expected = self.digest(name + b"/")
        for locale in ("C", "C.UTF-8"):
            with mock.patch.dict(os.environ, LC_ALL=locale), self.worker(name + b"/") as worker:
                wait_until(lambda: worker.digest_of(name + b"/") == expected)

    def test_folder_that_became_a_symlink(self) -> None:
        remove(self.path("b"))
        os.symlink("a", self.path("b"))
        with self.worker(b"a/", b"b/") as worker:
            wait_until(lambda: worker.digest_of(b"a/") == self.digest(b"a/"))
            self.assertNotEqual(self.digest(b"a/"), worker.digest_of(b"b/"))

    def test_stopped_or_killed(self) -> None:
        """It knows nothing, and nothing waits for it."""
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            with self.worker() as worker:
                os.kill(child(), signum)
                before = [worker.digest_of(path) for path in FOLDERS]
                time.sleep(0.1)
                self.assertEqual(before, [worker.digest_of(path) for path in FOLDERS])

    def test_holds_no_descriptor_of_its_parent(self) -> None:
        """Or a killed run would leave the workspace locked."""
        lock = os.open(self.path("a/1"), os.O_RDONLY)
        self.addCleanup(os.close, lock)
        os.set_inheritable(lock, True)
        with self.worker():
            folder = f"/proc/{child()}/fd"
            held = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
            self.assertNotIn(f"{self.root}/a/1", held)

    def test_ends_without_its_parent(self) -> None:
        report = os.path.join(self.folder, "pid")
        pid = os.fork()
        if pid == 0:
            ScanWorker(self.root, FOLDERS)
            with open(report, "w", encoding="utf-8") as file:
                file.write(str(child()))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        with open(report, encoding="utf-8") as file:
            worker = int(file.read())
        wait_until(lambda: not os.path.exists(f"/proc/{worker}/fd/0"))


def child() -> int:
    """The PID of the only child of this process."""
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return int(file.read())
