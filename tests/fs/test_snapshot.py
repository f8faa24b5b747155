"""Manifests of real trees: what is seen, what is noticed, what is never read twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sys
import time
import unittest
from collections.abc import Callable

from fs.trees import NOBODY, Trees, calls_of, in_child, just_before, plant_special, remove
from openloop.fs import snapshot
from openloop.fs.diff import PathChanges, difference
from openloop.fs.manifest import (
    FILE,
    FOLDER,
    OTHER,
    SYMLINK,
    UNHASHED,
    UNREADABLE,
    Entry,
    FolderListing,
    Manifest,
)
from support import need

ODD_NAMES = (
    b"new\nline",
    b"\xff\xfe not utf-8",
    "grün".encode(),
    b" leading, trailing ",
    b"-rf",
    b"quote\"'`$(x)",
    b"\x01\x1b[31m",
    b"Readme",
    b"README",
    b"a\\b",
    b"x" * 255,
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Looking(Trees):
    """Every kind of thing, under every name."""

    def test_kinds_modes_and_contents(self) -> None:
        self.write("file", b"bytes", mode=0o640)
        self.write("bin/tool", b"", mode=0o4755)
        os.symlink("bin", self.path("link"))
        plant_special(self.path(""))
        found = self.scan()
        self.assertEqual(
            {
                b"file": (FILE, 0o640, sha256(b"bytes")),
                b"bin": (FOLDER, found[b"bin"].mode, FOLDER),
                b"bin/tool": (FILE, 0o4755, sha256(b"")),
                b"link": (SYMLINK, found[b"link"].mode, "bin"),
                b"dangling": (SYMLINK, found[b"dangling"].mode, "/nowhere/at all"),
                b"fifo": (OTHER, found[b"fifo"].mode, "10000"),
                b"socket": (OTHER, found[b"socket"].mode, "140000"),
            },
            {path: (entry.kind, entry.mode, entry.content) for path, entry in found.items()},
        )
        self.assertEqual(5, found[b"file"].size)
        self.assertEqual(b"bin", found[b"link"].target)

    def test_any_name(self) -> None:
        for number, name in enumerate(ODD_NAMES):
            self.write(name + b"/" + name, b"%d" % number)
        found = self.scan()
        for number, name in enumerate(ODD_NAMES):
            self.assertEqual(sha256(b"%d" % number), found[name + b"/" + name].content, name)
        self.assertEqual(2 * len(ODD_NAMES), len(found))

    def test_project_is_all_but_workspace_and_git(self) -> None:
        inside = os.path.join(self.root, "state", "ws")
        for path in (".git/config", "sub/.git/HEAD", ".openloop/w/x", "sub/.openloop/x"):
            self.write(path, b"x")
        self.write("module/.git", b"gitdir: elsewhere")
        self.write("state/ws/events.jsonl", b"x")
        self.write("other/.openloop", b"a file of that name")
        self.write(".github/x.yml", b"x")
        found = self.scan(skip=snapshot.outside_project(self.root, inside))
        expected = {b"sub", b"module", b"state", b"other", b"other/.openloop"}
        self.assertEqual(expected | {b".github", b".github/x.yml"}, set(found))

    def test_submodule_and_nested_repository(self) -> None:
        need(shutil.which("git"), "git")
        self.make_repositories()
        found = {path for path, entry in self.scan().items() if entry.kind == FILE}
        self.assertEqual({b".gitmodules", b"module/l", b"nested/n"}, found)

    def test_hundred_levels(self) -> None:
        path = "/".join(["deep"] * 100) + "/file"
        self.write(path, b"bottom")
        self.assertEqual(sha256(b"bottom"), self.scan()[path.encode()].content)

    def test_deeper_than_it_goes(self) -> None:
        self.write("a" + "/d" * (snapshot.MAX_DEPTH + 5) + "/x", b"")
        found = self.scan()
        self.assertEqual((b"a" + b"/d" * snapshot.MAX_DEPTH,), found.unreadable)

    def test_large_file(self) -> None:
        data = os.urandom(1 << 20) * 3 + b"end"
        self.write("large", data)
        self.assertEqual(sha256(data), self.scan()[b"large"].content)

    def test_link_to_question_mark_is_not_unreadable(self) -> None:
        os.symlink(UNREADABLE, self.path("link"))
        self.assertEqual((), self.scan().unreadable)

    def test_symlink_is_not_followed(self) -> None:
        os.symlink(self.folder, self.path("out"))
        os.symlink(".", self.path("round"))
        self.assertEqual({b"out", b"round"}, set(self.scan()))

    def test_root_that_is_gone_or_no_folder(self) -> None:
        before = self.scan()
        shutil.rmtree(self.root)
        for _ in range(2):
            self.assertEqual(0, len(self.scan(before)))
            with self.assertRaises(OSError):  # an empty manifest is no state to go back to
                self.scan()
            with contextlib.suppress(FileExistsError):
                os.symlink(self.folder, self.root)


class LookingAgain(Trees):
    """Hashes are taken over where nothing moved, and nowhere else."""

    def setUp(self) -> None:
        super().setUp()
        self.write_all({"a/1": b"one", "a/2": b"two", "b/3": b"three", "4": b"four"})

    def opened(self, before: Manifest) -> tuple[int, Manifest]:
        """How many files and folders are opened for another look, and what it shows."""
        found: list[Manifest] = []
        opens = calls_of(lambda: found.append(self.scan(before)), os.open)
        return opens, found[0]

    def test_unchanged_tree_is_not_read(self) -> None:
        self.wait_until_reliable()
        first = self.scan()
        restored = Manifest.from_bytes(first.to_bytes())
        for before in (first, restored):
            opens, again = self.opened(before)
            self.assertEqual(3, opens)  # the folders
            self.assertEqual(dict(first), dict(again))
            self.assertFalse(difference(before, again))

    def test_what_was_taken_over_is_known_to_be_the_same(self) -> None:
        """Also where young files had to be looked at again."""
        first = self.scan()
        second = self.scan(first)
        self.assertTrue(second.is_unchanged_since(first))
        self.write("b/3", b"THREE")
        third = self.scan(second)
        self.assertFalse(third.is_unchanged_since(first))
        remove(self.path("b"))
        self.assertFalse(self.scan(third).is_unchanged_since(third))
        self.assertFalse(first.only(first).is_unchanged_since(first.only(first)))

    def test_one_edit_reads_one_file(self) -> None:
        self.wait_until_reliable()
        first = self.scan()
        self.write("a/1", b"ONE")
        opens, again = self.opened(first)
        self.assertEqual(4, opens)
        self.assertEqual(PathChanges(changed=(b"a/1",)), difference(first, again))
        self.assertIs(first.listings[b"b/"], again.listings[b"b/"])

    def test_edit_that_puts_size_and_mtime_back(self) -> None:
        self.wait_until_reliable()
        first = self.scan()
        old = os.stat(self.path("a/1"))
        self.write("a/1", b"eno")
        os.utime(self.path("a/1"), ns=(old.st_atime_ns, old.st_mtime_ns))
        self.assertEqual((b"a/1",), difference(first, self.scan(first)).changed)

    def test_edit_in_the_same_tick(self) -> None:
        """A change right after a scan is seen, though its size and mtime are restored."""
        for number in range(100):
            before = b"%09d" % number
            after = before[::-1] + b"."
            path = self.write("4", before + b".")
            first = self.scan()
            old = os.stat(path)
            self.write("4", after)
            os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
            again = self.scan(first)
            self.assertEqual(sha256(after), again[b"4"].content)
            self.assertEqual(dict(self.scan()), dict(self.scan(again)))

    def test_hash_of_a_young_file_is_not_taken_over(self) -> None:
        """A change in the tick of the scan may leave the signature as it is."""
        first = self.scan()
        wrong = first[b"4"]._replace(content=sha256(b"as it was a moment before"))
        first.listings[b""] = FolderListing.of(
            {**dict(first.listings[b""].rows()), b"4": wrong}.items()
        )
        for trusted in (False, True):
            for before in (first, Manifest(first.listings, 0)):  # in a known folder, or alone
                last = max(snapshot.reliable_from(entry.signature) for entry in first.values())
                before.began = last - 1 + trusted
                self.assertEqual(trusted, self.scan(before)[b"4"] == wrong)

    def test_ticks_of_the_clock(self) -> None:
        second = 1_000_000_000
        for ctime, tick in ((5 * second, 2 * second), (5 * second + 1, 50_000_000)):
            self.assertEqual(ctime + tick, snapshot.reliable_from((0, 0, 0, 0, ctime, 0)))

    def test_replaced_by_a_copy_with_the_same_times(self) -> None:
        self.wait_until_reliable()
        first = self.scan()
        shutil.copy2(self.path("a/1"), self.path("new"))
        os.replace(self.path("new"), self.path("a/1"))
        again = self.scan(first)
        self.assertNotEqual(first[b"a/1"].signature, again[b"a/1"].signature)
        self.assertFalse(difference(first, again))

    def test_another_skip_or_wanted_counts_at_once(self) -> None:
        self.wait_until_reliable()
        first = self.scan(wanted=lambda path: not path.startswith(b"a/"))
        self.assertEqual(UNHASHED, first[b"a/1"].content)
        self.assertFalse(first[b"a/1"].is_hashed)
        again = self.scan(first)
        self.assertEqual(sha256(b"one"), again[b"a/1"].content)
        third = self.scan(again, skip=lambda path, is_folder: path == b"a")
        self.assertEqual({b"b", b"b/3", b"4"}, set(third))

    def test_unhashed_file_counts_as_changed_when_it_moved(self) -> None:
        first = self.scan(wanted=lambda path: False)
        self.assertFalse(difference(first, self.scan(first, wanted=lambda path: False)))
        self.write("a/1", b"ONE")
        again = self.scan(first, wanted=lambda path: False)
        self.assertEqual((b"a/1",), difference(first, again).changed)


class Differences(Trees):
    """What counts as a change, and what does not."""

    def setUp(self) -> None:
        super().setUp()
        self.write_all({"a/1": b"one", "a/2": b"two", "b/3": b"three", "4": b"four"})
        os.symlink("4", self.path("link"))
        self.before = self.scan()

    def changes(self) -> PathChanges:
        return difference(self.before, self.scan(self.before))

    def test_nothing(self) -> None:
        self.assertFalse(self.changes())
        self.assertEqual((), self.changes().paths)

    def test_created_changed_removed(self) -> None:
        self.write("new/x", b"")
        self.write("new/w", b"")
        self.write("a/1", b"other")
        remove(self.path("b"))
        expected = PathChanges(
            created=(b"new/w", b"new/x"),
            changed=(b"a/1",),
            removed=(b"b/3",),
            created_folders=(b"new",),
            removed_folders=(b"b",),
        )
        self.assertEqual(expected, self.changes())
        self.assertEqual((b"a/1", b"b", b"b/3", b"new", b"new/w", b"new/x"), expected.paths)

    def test_mode(self) -> None:
        os.chmod(self.path("4"), 0o755)
        os.chmod(self.path("a"), 0o700)
        self.assertEqual(PathChanges(changed=(b"4",), changed_folders=(b"a",)), self.changes())

    def test_symlink_to_the_same_bytes(self) -> None:
        os.rename(self.path("4"), self.path("5"))
        os.symlink("5", self.path("4"))
        self.assertEqual(PathChanges(created=(b"5",), changed=(b"4",)), self.changes())

    def test_hard_link_to_the_same_bytes(self) -> None:
        os.link(self.path("4"), os.path.join(self.folder, "elsewhere"))
        self.assertFalse(self.changes())

    def test_symlink_target(self) -> None:
        remove(self.path("link"))
        os.symlink("5", self.path("link"))
        self.assertEqual(PathChanges(changed=(b"link",)), self.changes())

    def test_file_became_folder_and_folder_file(self) -> None:
        remove(self.path("4"))
        os.mkdir(self.path("4"))
        remove(self.path("b"))
        self.write("b", b"")
        self.assertEqual(PathChanges(changed=(b"4", b"b"), removed=(b"b/3",)), self.changes())

    def test_file_became_fifo(self) -> None:
        remove(self.path("4"))
        os.mkfifo(self.path("4"), 0o644)
        self.assertEqual(PathChanges(changed=(b"4",)), self.changes())

    def test_fifo_became_socket_or_is_gone(self) -> None:
        os.mkfifo(self.path("s"))
        self.before = self.scan()
        mode = os.stat(self.path("s")).st_mode
        remove(self.path("s"))
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(self.path("s"))
        os.chmod(self.path("s"), mode & 0o7777)
        self.assertFalse(self.changes())
        remove(self.path("s"))
        self.assertFalse(self.changes())
        self.write("s", b"")
        self.assertEqual(PathChanges(created=(b"s",)), self.changes())

    def test_name_in_another_case(self) -> None:
        os.rename(self.path("a/1"), self.path("a/x"))
        os.rename(self.path("a"), self.path("A"))
        changes = self.changes()
        self.assertEqual(((b"A",), (b"a",)), (changes.created_folders, changes.removed_folders))
        self.assertEqual((b"A/2", b"A/x"), changes.created)

    def test_times_alone(self) -> None:
        os.utime(self.path("4"), (1, 1))
        self.assertFalse(self.changes())


class Unreadable(Trees):
    """What an ordinary user may not read stays in the manifest as such."""

    def setUp(self) -> None:
        super().setUp()
        self.write("closed/inner", b"x")
        self.write("listed/inner", b"x")
        self.write("secret", b"x", mode=0)
        self.write("open", b"x")
        os.chmod(self.path("closed"), 0)
        os.chmod(self.path("listed"), 0o444)

    def check(self, work: Callable[[], None]) -> None:
        self.assertEqual(0, in_child(work, ordinary=True))

    def test_files_and_folders(self) -> None:
        def look() -> None:
            found = self.scan()
            self.assertEqual({b"closed", b"listed", b"secret", b"open"}, set(found))
            self.assertEqual((b"closed", b"listed", b"secret"), found.unreadable)
            again = self.scan(found)
            self.assertEqual(dict(found), dict(again))
            self.assertFalse(difference(found, again))

        self.check(look)

    def test_root(self) -> None:
        before = self.scan()
        os.chmod(self.root, 0o200)

        def look() -> None:
            self.assertEqual(0, len(self.scan(before)))
            with self.assertRaises(PermissionError):
                self.scan()

        self.check(look)

    def test_opened_later(self) -> None:
        kept = os.path.join(self.folder, "manifest")

        def look() -> None:
            with open(kept, "wb") as file:
                file.write(self.scan().to_bytes())

        self.check(look)
        with open(kept, "rb") as file:
            before = Manifest.from_bytes(file.read())
        for name, mode in (("closed", 0o755), ("listed", 0o755), ("secret", 0o644)):
            os.chmod(self.path(name), mode)
        again = self.scan(before)
        self.assertEqual((), again.unreadable)
        self.assertEqual({b"closed/inner", b"listed/inner"}, set(again) - set(before))
        self.assertEqual((), difference(before, again).created)

    @unittest.skipIf(os.geteuid() != 0, "only root becomes somebody else")
    def test_by_somebody_who_may(self) -> None:
        """Nothing moved, and yet it can be read now."""

        def look() -> None:
            self.wait_until_reliable()
            os.seteuid(NOBODY)
            before = self.scan()
            os.seteuid(0)
            for known in (before, Manifest(before.listings, before.began)):
                again = self.scan(known)
                self.assertEqual((), again.unreadable)
                self.assertEqual(sha256(b"x"), again[b"secret"].content)
                self.assertIn(b"closed/inner", again)

        self.assertEqual(0, in_child(look))


class Unrest(Trees):
    """A tree that changes while it is looked at."""

    def scan_with(self, act: Callable[[], object]) -> Manifest:
        """Act between listing the root, which holds one thing, and opening that."""
        just_before(os.open, 2, act)
        try:
            return self.scan()
        finally:
            sys.setprofile(None)

    def replace(self, path: str, make: Callable[[bytes], object]) -> None:
        remove(self.path(path))
        make(self.path(path))

    def test_file_replaced_between_the_looks(self) -> None:
        outside = os.path.join(self.folder, "outside")
        with open(outside, "wb") as file:
            file.write(b"treasure")
        for make, content in (
            (lambda path: None, None),
            (lambda path: self.write(path, b"newer"), sha256(b"newer")),
            (lambda path: os.symlink(outside, path), UNREADABLE),
            (os.mkfifo, UNREADABLE),
            (os.mkdir, UNREADABLE),
        ):
            self.replace("file", lambda path: self.write(path, b"older"))
            found = self.scan_with(lambda make=make: self.replace("file", make))
            entry = found.get(b"file")
            self.assertEqual(content, entry and entry.content)
            self.assertEqual(dict(self.scan()), dict(self.scan(found)))

    def test_folder_replaced_between_the_looks(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "treasure"), "wb"):
            pass
        for make in (
            lambda path: None,
            lambda path: os.symlink(outside, path),
            os.mkfifo,
            lambda path: self.write(path, b""),
        ):
            self.replace("folder", os.mkdir)
            found = self.scan_with(lambda make=make: self.replace("folder", make))
            self.assertEqual((b"folder",), found.unreadable)
            self.assertEqual([b"folder"], list(found))
            self.assertEqual(dict(self.scan()), dict(self.scan(found)))

    def disturbed(self, disturb: Callable[[], None], look: Callable[[], None]) -> None:
        """Look while another process does something over and over."""
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    disturb()
            finally:
                os._exit(1)
        try:
            look()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_symlink_swapped_in_never_leads_outside(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "treasure"), "wb") as file:
            file.write(b"x")
        for number in range(20):
            self.write(f"f{number}/inner/x", b"x")
        os.symlink(outside, self.path("z"))

        def swap() -> None:
            for number in range(20):
                for old, new in ((f"f{number}", "aside"), ("z", f"f{number}")):
                    os.rename(self.path(old), self.path(new))
                for old, new in ((f"f{number}", "z"), ("aside", f"f{number}")):
                    os.rename(self.path(old), self.path(new))

        def watch() -> None:
            found = None
            for _ in range(150):
                found = self.scan(found)
                self.assertFalse([path for path in found if b"treasure" in path])

        self.disturbed(swap, watch)

    def test_what_vanishes_and_what_grows(self) -> None:
        self.write("stays", b"x")
        self.write("grows", b"")

        def disturb() -> None:
            self.write("come/and/go", b"x" * 10_000)
            with open(self.path("grows"), "ab") as file:
                file.write(b"x")
            shutil.rmtree(self.path("come"))

        latest: list[Manifest] = []

        def watch() -> None:
            found = None
            for _ in range(150):
                found = self.scan(found)
                self.assertIn(b"stays", found)
            assert found is not None
            latest.append(found)

        self.disturbed(disturb, watch)
        again = self.scan(latest[0])
        size = os.path.getsize(self.path("grows"))
        self.assertEqual(sha256(b"x" * size), again[b"grows"].content)


class OnDisk(Trees):
    """A manifest as bytes."""

    def test_round_trip(self) -> None:
        for name in ODD_NAMES:
            self.write(name, name)
            os.symlink(name, self.path(b"l" + name[:254]))
        plant_special(self.path(""))
        found = self.scan()
        data = found.to_bytes()
        again = Manifest.from_bytes(data)
        self.assertEqual(dict(found), dict(again))
        self.assertEqual(found.began, again.began)
        self.assertIsInstance(again[ODD_NAMES[0]], Entry)

    def test_empty(self) -> None:
        self.assertEqual({}, dict(Manifest.from_bytes(Manifest({}, 5).to_bytes())))

    def test_listings_of_equal_folders_are_shared(self) -> None:
        self.write_all({"a/1": b"one", "b/2": b"two"})
        first = self.scan()
        self.write("b/2", b"TWO")
        second = self.scan(first)
        again = Manifest.from_bytes(first.to_bytes(), second)
        self.assertEqual(dict(first), dict(again))
        self.assertIs(second.listings[b"a/"], again.listings[b"a/"])
        self.assertIsNot(second.listings[b"b/"], again.listings[b"b/"])

    def test_anything_else_is_refused(self) -> None:
        self.write("x", b"x")
        good = self.scan().to_bytes()
        spoilt = [good[:-1], good + b"x", good.replace(b"version", b"v")]
        spoilt += [
            good.replace(b"1, 1, 64", count) for count in (b"1, 1, 63", b"2, 1, 64", b"1, 1, -1")
        ]
        for data in (b"", b"{", b"[]", b"null", b"\xff", b'{"version":2}', *spoilt):
            with self.subTest(data=data), self.assertRaises(ValueError):
                Manifest.from_bytes(data)

    def test_ten_thousand_entries(self) -> None:
        entries = {
            b"folder %d/name of a file %d.py" % (number % 100, number): Entry(
                sha256(b"%d" % number), (1, number, 5, time.time_ns(), time.time_ns(), 0o100644)
            )
            for number in range(10_000)
        }
        found = Manifest.of(entries)
        self.assertEqual(entries, dict(Manifest.from_bytes(found.to_bytes())))


if __name__ == "__main__":
    unittest.main()
