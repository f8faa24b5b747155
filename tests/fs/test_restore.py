"""Whatever a command did to a tree, it comes back: from every state, for every user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import unittest
from collections.abc import Callable

from fs.trees import (
    Restoring,
    Seen,
    in_child,
    look,
    plant_special,
    remove,
    see,
)
from openloop.fs import restore
from openloop.fs.checkpoints import Checkpoints, IncompleteRestore
from openloop.fs.diff import difference
from openloop.fs.restore import RestoreIntent


class WholeTree(Restoring):
    """Everything is spoilt at once, and comes back."""

    def check(self) -> None:
        self.build()
        seen = look(self.root)
        target = self.kept()
        self.spoil()
        self.restore_paths(target)
        self.assertEqual(seen, look(self.root))
        self.assertFalse(difference(target, self.scan()))
        self.assertEqual([], os.listdir(os.path.join(self.store, "intents")))

    def test_as_whoever_runs_the_tests(self) -> None:
        self.check()

    def test_as_an_ordinary_user(self) -> None:
        self.assertEqual(0, in_child(self.check, ordinary=True))

    def test_from_a_manifest_that_was_saved(self) -> None:
        self.build()
        seen = look(self.root)
        digest = self.checkpoints.save("start", self.kept())
        self.spoil()
        self.restore_paths(Checkpoints(self.store).load("start", digest))
        self.assertEqual(seen, look(self.root))

    def test_tree_that_is_gone(self) -> None:
        self.build()
        seen = look(self.root)
        target = self.kept()
        remove(self.root)
        self.restore_paths(target)
        self.assertEqual(seen, look(self.root))

    def test_root_replaced_by_a_symlink(self) -> None:
        self.write("x", b"x")
        target = self.kept()
        elsewhere = os.path.join(self.folder, "elsewhere")
        os.rename(self.root, elsewhere)
        os.symlink(elsewhere, self.root)
        os.unlink(os.path.join(elsewhere, "x"))
        self.restore_paths(target)
        self.assertEqual([], os.listdir(elsewhere))
        self.assertEqual(b"x", self.read("x"))


class OnePath(Restoring):
    """Exactly the listed paths come back, from whatever stands there."""

    def setUp(self) -> None:
        super().setUp()
        self.write("d/file", b"right", mode=0o640)
        self.write("d/other", b"right")
        self.target = self.kept()

    def test_nothing_else_is_touched(self) -> None:
        self.write("d/file", b"wrong")
        self.write("d/other", b"wrong")
        self.write("d/new", b"new")
        self.restore_paths(self.target, [b"d/file"])
        self.assertEqual(b"right", self.read("d/file"))
        self.assertEqual(b"wrong", self.read("d/other"))
        self.assertEqual(b"new", self.read("d/new"))

    def test_whatever_stands_in_the_way(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.mkdir(outside)
        for stand in (
            lambda: os.mkdir(self.path("d/file")),
            lambda: os.mkfifo(self.path("d/file")),
            lambda: os.symlink(outside, self.path("d/file")),
            lambda: None,
        ):
            remove(self.path("d/file"))
            stand()
            self.restore_paths(self.target, [b"d/file"])
            self.assertEqual(Seen("file", 0o640, b"right"), see(self.path("d/file")))

    def test_symlink_where_a_folder_was(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.rename(self.path("d"), outside)
        os.symlink(outside, self.path("d"))
        with open(os.path.join(outside, "file"), "wb") as file:
            file.write(b"wrong")
        before = look(outside)
        self.restore_paths(self.target, [b"d/file"])
        self.assertEqual(before, look(outside))
        self.assertEqual([b"file"], os.listdir(self.path("d")))
        self.assertEqual(b"right", self.read("d/file"))

    def test_removal_does_not_go_through_a_symlink(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "precious"), "wb"):
            pass
        os.symlink(outside, self.path("way"))
        self.restore_paths(self.target, [b"way/precious", b"way"])
        self.assertEqual(["precious"], os.listdir(outside))
        self.assertFalse(os.path.lexists(self.path("way")))

    def test_hard_link_elsewhere_keeps_its_bytes(self) -> None:
        elsewhere = os.path.join(self.folder, "elsewhere")
        os.link(self.path("d/file"), elsewhere)
        self.write("d/file", b"wrong")
        self.restore_paths(self.target)
        self.assertEqual(b"right", self.read("d/file"))
        with open(elsewhere, "rb") as file:
            self.assertEqual(b"wrong", file.read())

    def test_created_folder(self) -> None:
        self.write("new/a/b", b"")
        plant_special(self.path("new"))
        self.restore_paths(self.target)
        self.assertEqual([b"d"], os.listdir(self.path("")))

    def test_repository_in_a_moved_folder_is_not_lost(self) -> None:
        self.write("d/.git/HEAD", b"the only one")
        os.rename(self.path("d"), self.path("moved"))
        self.restore_paths(self.target)
        self.assertEqual(b"right", self.read("d/file"))
        self.assertEqual(b"the only one", self.read("moved/.git/HEAD"))
        self.assertEqual([b".git"], os.listdir(self.path("moved")))

    def test_repository_in_the_way_is_set_aside(self) -> None:
        remove(self.path("d/file"))
        self.write("d/file/.git/HEAD", b"the only one")
        self.write("d/file/x", b"")
        self.restore_paths(self.target)
        self.assertEqual(b"right", self.read("d/file"))
        self.assertEqual(b"the only one", self.read("d/file.edited-1/.git/HEAD"))
        self.assertEqual([b".git"], os.listdir(self.path("d/file.edited-1")))

    def test_created_folder_deeper_than_there_are_descriptors(self) -> None:
        def dig() -> None:
            os.chdir(self.root)
            for _ in range(300):
                os.mkdir("d2")
                os.chdir("d2")
                os.mkdir("d3")

        self.assertEqual(0, in_child(dig))
        self.assertEqual(0, in_child(lambda: self.restore_paths(self.target), descriptors=250))
        self.assertEqual([b"d"], os.listdir(self.path("")))

    def test_name_in_another_case(self) -> None:
        os.rename(self.path("d/file"), self.path("d/FILE"))
        os.rename(self.path("d"), self.path("D"))
        self.restore_paths(self.target)
        self.assertEqual({b"d", b"d/file", b"d/other"}, set(look(self.root)))

    def test_folder_mode_alone(self) -> None:
        mode = see(self.path("d")).mode
        os.chmod(self.path("d"), 0o700)
        self.restore_paths(self.target)
        self.assertEqual(mode, see(self.path("d")).mode)

    def test_folder_that_is_gone_comes_back_with_its_mode(self) -> None:
        self.write("d/e/file", b"right")
        os.chmod(self.path("d/e"), 0o2710)
        target = self.kept()
        remove(self.path("d/e"))
        self.restore_paths(target, [b"d/e/file"])
        self.assertEqual(0o2710, see(self.path("d/e")).mode)

    def test_hundred_levels(self) -> None:
        path = "/".join(["deep"] * 100) + "/file"
        self.write(path, b"bottom")
        target = self.kept()
        remove(self.path("deep"))
        self.restore_paths(target)
        self.assertEqual(b"bottom", self.read(path))

    def test_nothing_listed(self) -> None:
        self.restore_paths(self.target, [])
        self.assertFalse(os.path.exists(os.path.join(self.store, "intents")))

    def test_paths_that_lead_elsewhere_are_refused(self) -> None:
        for path in (b"../x", b"/etc/passwd", b"a/../../x", b"", b"a//b", b"."):
            with self.subTest(path=path), self.assertRaises(ValueError):
                self.restore_paths(self.target, [path])

    def test_intents_that_lead_elsewhere_are_refused(self) -> None:
        intent = restore.plan(self.root, self.target, self.target, [b"d/file"])
        self.assertEqual(intent, RestoreIntent.from_bytes(intent.to_bytes()))
        for spoilt in (
            intent.to_bytes().replace(b"d/file", b"../../"),
            intent.to_bytes().replace(b'"d":', b'"..":'),
            intent.to_bytes().replace(b"paths", b"path"),
            intent.to_bytes()[:-1],
            b"[]\n",
        ):
            with self.subTest(spoilt=spoilt), self.assertRaises(ValueError):
                RestoreIntent.from_bytes(spoilt)

    def test_sockets_and_fifos_may_go(self) -> None:
        os.mkfifo(self.path("fifo"))
        plant_special(self.path("d"))
        target = self.kept()
        for gone in ("fifo", "d/socket", "d/fifo"):
            remove(self.path(gone))
        self.assertFalse(difference(target, self.scan(target)))
        self.write("d/file", b"wrong")
        self.write("fifo", b"a file in its place")
        self.assertEqual((b"fifo",), difference(target, self.scan(target)).created)
        self.restore_paths(target)
        self.assertEqual(b"right", self.read("d/file"))
        self.assertFalse(os.path.lexists(self.path("fifo")))


class OrdinaryUser(Restoring):
    """Permission bits in the way, for a user whom they hold back."""

    def check(self, close: Callable[[], None], paths: list[bytes] | None = None) -> None:
        def work() -> None:
            os.mkdir(self.path("d"), 0o555 | 0o200)
            self.write("d/file", b"right", mode=0o444)
            os.chmod(self.path("d"), 0o555)
            seen = look(self.root)
            target = self.kept()
            os.chmod(self.path("d"), 0o755)
            os.chmod(self.path("d/file"), 0o644)
            self.write("d/file", b"wrong")
            close()
            self.restore_paths(target, paths)
            if paths is None:
                self.restore_paths(target)  # what could not be seen the first time
                self.assertEqual(seen, look(self.root))
            self.assertEqual(b"right", self.read("d/file"))

        self.assertEqual(0, in_child(work, ordinary=True))

    def test_read_only_folder_and_file(self) -> None:
        self.check(lambda: None)

    def test_closed_folder(self) -> None:
        self.check(lambda: os.chmod(self.path("d"), 0))

    def test_closed_folder_with_something_new_in_it(self) -> None:
        def close() -> None:
            self.write("d/new/deep/deeper/x", b"")
            os.chmod(self.path("d/new/deep/deeper"), 0o555)
            os.chmod(self.path("d/new"), 0)
            os.chmod(self.path("d"), 0)

        self.check(close)

    def test_closed_root(self) -> None:
        def close() -> None:
            if os.stat(self.root).st_uid == os.geteuid():
                os.chmod(self.root, 0)

        self.check(close)

    def test_folder_above_keeps_the_mode_it_has(self) -> None:
        def close() -> None:
            os.chmod(self.path("d"), 0o511)

        self.check(close, [b"d/file"])
        self.assertEqual(0o511, see(self.path("d")).mode)

    def test_what_was_in_a_closed_folder_before_stays(self) -> None:
        def work() -> None:
            self.write("closed/precious", b"x")
            os.chmod(self.path("closed"), 0)
            target = self.kept()
            os.chmod(self.path("closed"), 0o755)
            self.restore_paths(target)
            self.assertEqual(0, see(self.path("closed")).mode)
            os.chmod(self.path("closed"), 0o755)
            self.restore_paths(target, [b"closed/precious"])
            self.assertEqual(b"x", self.read("closed/precious"))

        self.assertEqual(0, in_child(work, ordinary=True))

    def test_unreadable_file_is_not_kept_and_named_when_it_is_gone(self) -> None:
        def work() -> None:
            self.write("secret", b"x", mode=0)
            target = self.kept()
            remove(self.path("secret"))
            with self.assertRaises(IncompleteRestore):
                self.restore_paths(target)

        self.assertEqual(0, in_child(work, ordinary=True))

    @unittest.skipIf(os.geteuid() != 0, "only root can make files for others")
    def test_what_root_restores_stays_its_owners(self) -> None:
        self.write("d/file", b"x")
        self.write("d/e/file", b"x")
        for path in (b"d", b"d/file", b"d/e", b"d/e/file"):
            os.chown(self.path(path), 1234, 1234)
        target = self.kept()
        self.write("d/file", b"wrong")
        remove(self.path("d/e"))
        self.restore_paths(target)
        for path in (b"d", b"d/file", b"d/e", b"d/e/file"):
            self.assertEqual(1234, os.stat(self.path(path)).st_uid, path)


class Times(Restoring):
    """A restored file is newer than everything that was made from the one it replaces."""

    def run_module(self) -> str:
        return subprocess.run(
            [sys.executable, "-c", "import module; print(module.VALUE)"],
            cwd=self.root,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()

    def check_with_mtime(self, choose: Callable[[int], int]) -> None:
        """choose: the tampered file's mtime from the first one's, in ns."""
        self.write("module.py", b"VALUE = 'right'\n")
        target = self.kept()
        first = os.stat(self.path("module.py")).st_mtime_ns
        self.write("module.py", b"VALUE = 'wrong'\n")
        os.utime(self.path("module.py"), ns=(0, choose(first)))
        self.assertEqual("wrong", self.run_module())
        old = os.stat(self.path("module.py"))
        self.restore_paths(target, [b"module.py"])
        new = os.stat(self.path("module.py"))
        self.assertGreater(int(new.st_mtime), int(old.st_mtime))
        self.assertNotEqual(old.st_ino, new.st_ino)
        self.assertEqual("right", self.run_module())

    def test_byte_code_of_this_second(self) -> None:
        self.check_with_mtime(lambda first: time.time_ns())

    def test_byte_code_of_a_source_with_the_first_mtime(self) -> None:
        self.check_with_mtime(lambda first: first)

    def test_byte_code_of_a_source_from_the_future(self) -> None:
        self.check_with_mtime(lambda first: first + 3600 * 10**9)

    def test_absurd_times(self) -> None:
        self.write("x", b"right")
        target = self.kept()
        for second in (-(2**31), 2**40, 2**62):
            self.write("x", b"wrong")
            with contextlib.suppress(OSError, OverflowError):
                os.utime(self.path("x"), (second, second))
            self.restore_paths(target)
            self.assertEqual(b"right", self.read("x"))


if __name__ == "__main__":
    unittest.main()
