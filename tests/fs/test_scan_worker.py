"""Scans of large trees, half of which a second process checks."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from unittest import mock

from fs import test_snapshot
from fs.trees import Trees, calls_of, remove
from openloop.fs import snapshot
from openloop.fs.content import no_tick
from openloop.fs.manifest import Manifest
from openloop.fs.scan_worker import Check, ScanWorker
from support import need, wait_until

FOLDERS = [b"", b"a/", b"b/", b"b/c/"]


class WithWorker(Trees):
    """Every tree is large enough."""

    def setUp(self) -> None:
        super().setUp()
        need(len(os.sched_getaffinity(0)) > 1, "a second processor")
        patch = mock.patch.object(snapshot, "LARGE", 1)
        patch.start()
        self.addCleanup(patch.stop)


class LookingAgainInHalves(WithWorker, test_snapshot.LookingAgain):
    """All that holds for a small tree."""


class DifferencesInHalves(WithWorker, test_snapshot.Differences):
    """All that holds for a small tree."""


class Halves(WithWorker):
    def setUp(self) -> None:
        super().setUp()
        for number in range(200):
            self.write(f"{number // 20}/{number // 4}/{number}", b"%d" % number)
        self.wait_until_reliable()
        self.first = self.scan()

    def test_each_process_lists_a_half(self) -> None:
        found: list[Manifest] = []
        calls = calls_of(lambda: found.append(self.scan(self.first)), os.listdir)
        folders = len(self.first.listings)
        self.assertTrue(0.4 * folders < calls < 0.6 * folders, (calls, folders))
        self.assertTrue(found[0].is_unchanged_since(self.first))
        self.assertEqual(dict(self.first), dict(found[0]))

    def test_random_edits(self) -> None:
        """What two processes see is what one sees."""
        dice = random.Random(7)
        before = self.first
        for number in range(60):
            for _ in range(dice.randrange(4)):
                self.edit(dice)
            now = self.scan(before)
            with mock.patch.object(snapshot, "LARGE", 1 << 40):
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

            with self.assertRaises(RuntimeError):
                snapshot.scan(self.root, skip=self.skip, before=self.first, tick=tick)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    def test_no_process_to_be_had(self) -> None:
        error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        with mock.patch("os.fork", side_effect=error):
            now = self.scan(self.first)
        self.assertEqual(dict(self.first), dict(now))


class Failures(Trees):
    """A worker that answers nothing has found nothing unchanged."""

    def setUp(self) -> None:
        super().setUp()
        self.write_all({"a/1": b"", "b/2": b"", "b/c/3": b""})

    @contextlib.contextmanager
    def worker(self, check: Check) -> Iterator[ScanWorker]:
        worker = ScanWorker(self.root, FOLDERS, check, no_tick)
        try:
            yield worker
        finally:
            worker.close()
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def unchanged(self, check: Check) -> list[bytes]:
        with self.worker(check) as worker:
            return [path for path in [*FOLDERS, b"d/"] if worker.found_unchanged(path)]

    def test_answer(self) -> None:
        self.assertEqual(FOLDERS, self.unchanged(lambda folder, path: True))
        self.assertEqual([b"a/"], self.unchanged(lambda folder, path: os.listdir(folder) == ["1"]))

    def test_folder_that_cannot_be_opened(self) -> None:
        remove(self.path("b"))
        os.symlink("a", self.path("b"))
        self.assertEqual([b"", b"a/"], self.unchanged(lambda folder, path: True))

    def test_killed(self) -> None:
        def check(folder: int, path: bytes) -> bool:
            if path == b"b/c/":
                os.kill(os.getpid(), signal.SIGKILL)
            return True

        self.assertEqual([], self.unchanged(check))

    def test_error(self) -> None:
        def check(folder: int, path: bytes) -> bool:
            raise MemoryError

        self.assertEqual([], self.unchanged(check))

    def test_too_slow(self) -> None:
        def check(folder: int, path: bytes) -> bool:
            time.sleep(60)
            return True

        began = time.monotonic()
        self.assertEqual([], self.unchanged(check))
        self.assertLess(time.monotonic() - began, 20)

    def test_holds_nothing_of_its_parent(self) -> None:
        """No descriptor, or a killed run would leave the workspace locked; no signal ends it."""
        report = os.path.join(self.folder, "report")
        lock = os.open(self.path("a/1"), os.O_RDONLY)
        self.addCleanup(os.close, lock)

        def check(folder: int, path: bytes) -> bool:
            os.kill(os.getpid(), signal.SIGINT)
            links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            with open(report, "w", encoding="utf-8") as file:
                file.write(" ".join(os.readlink(link) for link in links if os.path.exists(link)))
            return True

        with self.worker(check) as worker:
            self.assertTrue(worker.found_unchanged(b"a/"))
        with open(report, encoding="utf-8") as file:
            held = file.read()
        self.assertIn(self.root, held)
        self.assertNotIn(f"{self.root}/a/1", held)

    def test_ends_without_its_parent(self) -> None:
        """It does not stay when the parent was killed while it worked."""
        report = os.path.join(self.folder, "pid")

        def check(folder: int, path: bytes) -> bool:
            with open(report + ".new", "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
            os.rename(report + ".new", report)
            return True

        pid = os.fork()
        if pid == 0:
            ScanWorker(self.root, FOLDERS, check, no_tick)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        wait_until(lambda: os.path.exists(report))
        with open(report, encoding="utf-8") as file:
            worker = int(file.read())
        wait_until(lambda: not os.path.exists(f"/proc/{worker}/fd/0"))
