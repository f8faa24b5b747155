"""The store: what is kept, pruned, noticed as damaged and repaired."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import unittest
from collections.abc import Callable

from fs.trees import (
    Restoring,
    git,
    in_child,
    look,
    remove,
    see,
)
from openloop.fs import snapshot
from openloop.fs.checkpoints import Checkpoints, DamagedStore, IncompleteRestore, UnlinkedCopy
from openloop.fs.content import SMALL
from openloop.fs.diff import difference
from openloop.fs.manifest import Manifest
from openloop.fs.object_store import ChangedMeanwhile
from openloop.fs.snapshot import Wanted
from support import need

HIDDEN = (b".git",)


class Store(Restoring):
    """Contents are kept once, as long as they are needed, and never silently wrong."""

    def test_each_content_once_and_for_the_owner_alone(self) -> None:
        self.write_all({"a": b"same", "b": b"same", "c/d": b"other", "e": b""})
        self.kept()
        self.kept()
        self.assertEqual(3, len(self.stored()))
        for path in self.packs():
            self.assertEqual(0o600, see(os.fsencode(path)).mode)

    def test_unwanted_files_are_not_kept(self) -> None:
        self.write_all({"in": b"in", "out": b"out"})
        self.checkpoints.keep(self.root, self.scan(wanted=lambda path: path == b"in"))
        self.assertEqual(1, len(self.stored()))

    def scan_and_keep(self, wanted: Wanted = snapshot.accept_all) -> Manifest:
        with self.checkpoints.hasher(wanted) as hasher:
            return snapshot.scan(self.root, skip=self.skip, hasher=hasher)

    def test_one_reading_hashes_and_keeps(self) -> None:
        large = os.urandom(SMALL + 1)
        self.write_all({"a": b"same", "b/b": b"same", "large": large, "empty": b"", "out": b"out"})
        found = self.scan_and_keep(lambda path: path != b"out")
        self.assertFalse(difference(self.scan(), found))
        self.assertEqual([found[b"out"].content], self.lost(found))
        self.assertEqual(1, len(self.packs()))
        self.assertEqual(3, len(self.stored()))
        self.checkpoints.keep(self.root, found, lambda path: path != b"out")
        self.assertEqual(1, len(self.packs()))

    def test_a_full_disk_makes_no_file_unreadable(self) -> None:
        self.write_all({"large": os.urandom(SMALL // 2), "larger": os.urandom(2 * SMALL)})
        self.write("small", b"small")

        def work() -> None:
            found = self.scan_and_keep()
            self.assertEqual((), found.unreadable)
            self.assertEqual([found[b"small"].content], self.stored())
            with self.assertRaises(OSError):
                self.checkpoints.keep(self.root, found)

        self.assertEqual(0, in_child(work, file_size=50_000))

    def test_file_that_changed_since_the_scan(self) -> None:
        for change in (
            lambda: self.write("x", b"other bytes"),
            lambda: self.write("x", b""),
            lambda: remove(self.path("x")),
            lambda: (remove(self.path("x")), os.symlink("y", self.path("x"))),
            lambda: (remove(self.path("x")), os.mkfifo(self.path("x"))),
        ):
            remove(self.path("x"))
            self.write_all({"x": b"first bytes", "y": b"y"})
            found = self.scan()
            change()
            with (
                self.subTest(see(self.path("")).kind),
                self.assertRaises(ChangedMeanwhile) as caught,
            ):
                self.checkpoints.keep(self.root, found)
            self.assertEqual(b"x", caught.exception.path)
            with self.assertRaises(ChangedMeanwhile), self.unlinked(found):
                pass
            self.assertNotIn(found[b"x"].content, self.stored())
            self.assertEqual([], [path for path in self.packs() if not path.endswith(".pack")])
            remove(self.store)

    def test_want_of_descriptors_is_no_change_of_the_project(self) -> None:
        self.write("d/x", b"as it is")
        found = self.scan()
        wanting = 0

        def keep() -> None:
            os.closerange(3, 1 << 12)  # what the test runner has open
            with contextlib.suppress(OSError):
                self.checkpoints.keep(self.root, found)
                os._exit(0)
            os._exit(3)

        for more in range(12):
            ended = in_child(keep, descriptors=3 + more)
            self.assertIn(os.waitstatus_to_exitcode(ended), (0, 3), f"{more} more")
            wanting += ended != 0
            remove(self.store)
        self.assertIn(wanting, range(1, 12))

    def test_large_file(self) -> None:
        block = os.urandom(1 << 20)
        with open(self.path("large"), "wb") as file:
            for _ in range(50):
                file.write(block)
        self.write("empty")
        target = self.kept()
        with self.unlinked(target, [b"empty"]) as unlinked:
            remove(self.path("empty"))
            with open(self.path("large"), "r+b") as file:
                file.seek(30_000_000)
                file.write(b"x")
            self.restore_paths(target, unlinked=unlinked)
        self.assertFalse(difference(target, self.scan()))
        self.assertEqual(50 << 20, os.path.getsize(self.path("large")))

    def test_prune(self) -> None:
        self.write_all({"a": b"old" * 10, "b": b"both"})
        old = self.kept()
        old_digest = self.checkpoints.save("old", old)
        self.write("a", b"new")
        new = self.kept()
        new_digest = self.checkpoints.save("new", new)
        self.assertEqual(3, len(self.stored()))
        self.assertEqual(0, self.checkpoints.prune([("old", old_digest), ("new", new_digest)]))
        self.assertEqual(1, self.checkpoints.prune([("new", new_digest)]))
        self.assertEqual([], self.lost(new))
        self.assertEqual([old[b"a"].content], self.lost(old))
        with self.assertRaises(DamagedStore):
            self.checkpoints.load("old", old_digest)
        self.assertEqual(2, self.checkpoints.prune([]))
        self.assertEqual([], self.packs())

    def test_prune_leaves_a_pack_that_is_mostly_needed(self) -> None:
        self.write_all({"a": b"old", "b": b"both" * 10})
        self.kept()
        self.write("a", b"new")
        new = self.kept()
        self.assertEqual(0, self.checkpoints.prune([("new", self.checkpoints.save("new", new))]))
        self.assertEqual(3, len(self.stored()))
        self.assertEqual([], self.lost(new))

    def test_what_was_pruned_is_kept_again(self) -> None:
        self.write("a", b"one")
        one = self.kept()
        self.checkpoints.prune([])
        self.assertEqual([one[b"a"].content], self.lost(one))
        self.checkpoints.keep(self.root, one)
        self.assertEqual([], self.lost(one))

    def test_a_tree_that_is_the_same_as_a_loaded_one_is_not_saved_again(self) -> None:
        self.write("a", b"one")
        one = self.kept()
        digest = self.checkpoints.save("one", one)
        other = Checkpoints(self.store)
        again = self.scan()
        self.assertNotEqual(one.began, again.began)
        other.load("one", digest, again)
        self.assertEqual(digest, other.save("one", again))
        self.write("a", b"two")
        self.assertNotEqual(digest, other.save("one", self.scan(again)))

    def test_unchanged_tree_costs_no_bytes(self) -> None:
        for number in range(300):
            self.write(f"{number % 7}/{number}", b"%d" % number)
        found = self.kept()
        digest = self.checkpoints.save("one", found)
        self.checkpoints.prune([("one", digest)])
        before = look(self.store)
        again = self.scan(found)
        self.checkpoints.keep(self.root, again)
        self.assertEqual(digest, self.checkpoints.save("one", again))
        self.checkpoints.prune([("one", digest)])
        self.assertEqual(before, look(self.store))
        again_later = Checkpoints(self.store)
        self.assertEqual(dict(found), dict(again_later.load("one", digest)))

    def test_store_of_an_earlier_version(self) -> None:
        """What one file each held is cleared away; a manifest of that form is refused in words."""
        self.write("a", b"x")
        found = self.kept()
        old = os.path.join(self.store, "objects", "ab")
        os.mkdir(old)
        with open(os.path.join(old, "c" * 62), "wb"):
            pass
        data = b'{"version":1,"began":5,"paths":[],"contents":[],"signatures":[]}'
        digest = hashlib.sha256(data).hexdigest()
        self.checkpoints.save("one", found)
        with open(os.path.join(self.store, "manifests", f"one-{digest}"), "wb") as file:
            file.write(data)
        with self.assertRaisesRegex(DamagedStore, "another version of OpenLoop"):
            self.checkpoints.load("one", digest)
        self.checkpoints.prune([])
        self.assertEqual([], self.packs())

    def test_prune_with_a_manifest_that_cannot_be_read_removes_nothing(self) -> None:
        self.write("a", b"x")
        digest = self.checkpoints.save("one", self.kept())
        self.spoil_manifest(digest)
        with self.assertRaises(DamagedStore):
            Checkpoints(self.store).prune([("one", digest)])
        self.assertEqual(1, len(self.stored()))

    def spoil_manifest(self, digest: str) -> None:
        path = os.path.join(self.store, "manifests", f"one-{digest}")
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(-20, os.SEEK_END)
            file.write(b"7" if data[-20] != ord("7") else b"8")

    def test_spoilt_missing_and_forged_manifests(self) -> None:
        self.write("a", b"x")
        digest = self.checkpoints.save("one", self.kept())
        self.write("a", b"forged")
        forged = self.checkpoints.save("one", self.kept())
        self.assertNotEqual(digest, forged)
        self.assertNotEqual(
            dict(self.checkpoints.load("one", digest)), self.checkpoints.load("one", forged)
        )
        place = os.path.join(self.store, "manifests")
        os.replace(f"{place}/one-{forged}", f"{place}/one-{digest}")
        for each in (digest, forged):
            with self.assertRaises(DamagedStore):
                self.checkpoints.load("one", each)
        self.write("a", b"another")
        digest = self.checkpoints.save("one", self.kept())
        self.spoil_manifest(digest)
        with self.assertRaises(DamagedStore):
            self.checkpoints.load("one", digest)

    def test_a_manifest_stays_while_the_next_one_is_not_on_record(self) -> None:
        self.write("a", b"x")
        digest = self.checkpoints.save("one", self.kept())
        self.write("a", b"y")
        self.checkpoints.save("one", self.kept())
        self.assertEqual({b"a"}, set(self.checkpoints.load("one", digest)))

    def test_git_is_not_asked_and_its_filters_not_applied(self) -> None:
        need(shutil.which("git"), "git")
        git(self.root, "init", "-q")
        self.write(".gitattributes", b"* text eol=crlf ident\n")
        self.write("a", b"one\ntwo\r\n$Id$\n")
        self.write("b", bytes(range(256)))
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "x")
        repository = look(os.fsdecode(self.path(".git")))
        target = self.kept()
        seen = look(self.root, without=HIDDEN)
        for name in ("a", "b"):
            remove(self.path(name))
        self.restore_paths(target)
        self.assertEqual(seen, look(self.root, without=HIDDEN))
        self.assertEqual(repository, look(os.fsdecode(self.path(".git"))))

    def test_nested_repository_and_submodule(self) -> None:
        need(shutil.which("git"), "git")
        self.make_repositories()
        target = self.kept()
        self.write("module/l", b"wrong")
        self.write("module/new", b"wrong")
        remove(self.path("nested/n"))
        self.restore_paths(target)
        for folder in ("module", "nested"):
            self.assertEqual("", git(self.path(folder), "status", "--porcelain"))

    def test_workspace_inside_the_project(self) -> None:
        for place in (".openloop/demo", "state"):
            with self.subTest(place):
                folder = os.path.join(self.root, place)
                self.skip = snapshot.outside_project(self.root, folder)
                self.checkpoints = Checkpoints(os.path.join(folder, "checkpoints"))
                self.write("src/x", b"right")
                self.write(f"{place}/events.jsonl", b"{}\n")
                target = self.kept()
                digest = self.checkpoints.save("start", target)
                self.write("src/x", b"wrong")
                self.write("new", b"wrong")
                self.write(f"{place}/events.jsonl", b"{}\n{}\n")
                self.restore_paths(target)
                self.assertEqual(b"right", self.read("src/x"))
                self.assertEqual(b"{}\n{}\n", self.read(f"{place}/events.jsonl"))
                self.assertFalse(os.path.exists(self.path("new")))
                self.checkpoints.load("start", digest)
                remove(folder)


class Damage(Restoring):
    """A command got at the store."""

    def setUp(self) -> None:
        super().setUp()
        self.write_all({"tests/a": b"a" * 5000, "tests/b": b"b", "src/c": b"c"})
        self.target = self.kept()
        self.protected = [b"tests/a", b"tests/b"]

    def spoil_objects(self) -> None:
        for path in self.packs():
            with open(path, "r+b") as file:
                file.write(b"!" * 5002)  # all contents

    def truncate_objects(self) -> None:
        for path in self.packs():
            os.truncate(path, os.path.getsize(path) // 2)

    def remove_store(self) -> None:
        shutil.rmtree(self.store)

    def replace_store(self) -> None:
        shutil.rmtree(self.store)
        with open(self.store, "wb") as file:
            file.write(b"not a folder")

    def link_objects_elsewhere(self) -> None:
        os.rename(os.path.join(self.store, "objects"), os.path.join(self.folder, "moved"))
        os.symlink(os.path.join(self.folder, "moved"), os.path.join(self.store, "objects"))

    def plant_for_objects(self) -> None:
        folder = os.path.join(self.store, "objects")
        shutil.rmtree(folder)
        with open(folder, "wb"):
            pass

    def forge_packs(self) -> None:
        """Rows that say more than there is."""
        for path in self.packs():
            with open(path, "r+b") as file:
                file.seek(-16, os.SEEK_END)
                file.write(b"\xff" * 8)

    def plant_in_objects(self) -> None:
        for path in self.packs():
            os.unlink(path)
            os.mkfifo(path)
        os.mkdir(os.path.join(self.store, "objects", "a.pack"))

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.spoil_objects,
            self.truncate_objects,
            self.plant_in_objects,
            self.plant_for_objects,
            self.forge_packs,
            self.link_objects_elsewhere,
            self.remove_store,
            self.replace_store,
        ]

    def test_is_noticed_and_what_is_missing_is_kept_again(self) -> None:
        contents = sorted(entry.content for entry in self.target.values() if entry.is_hashed)
        for way in self.ways():
            with self.subTest(way.__name__):
                way()
                self.assertEqual(contents, self.lost(self.target))
                self.checkpoints.keep(self.root, self.target)
                spoilt = way == self.spoil_objects  # of the right size: seen when it is read
                self.assertEqual(contents if spoilt else [], self.lost(self.target))
                shutil.rmtree(os.path.join(self.folder, "moved"), ignore_errors=True)

    def test_what_a_power_cut_emptied_is_kept_again(self) -> None:
        self.truncate_objects()
        self.checkpoints.keep(self.root, self.target)
        self.assertEqual([], self.lost(self.target))

    def test_protected_files_come_back_from_the_unlinked_copy(self) -> None:
        with self.unlinked(self.target, self.protected) as unlinked:
            for way in self.ways():
                with self.subTest(way.__name__):
                    way()
                    self.write("tests/a", b"wrong")
                    remove(self.path("tests/b"))
                    self.restore_paths(self.target, unlinked=unlinked)
                    self.assertEqual(b"a" * 5000, self.read("tests/a"))
                    self.assertEqual(b"b", self.read("tests/b"))
                    self.checkpoints.keep(self.root, self.target)
                    shutil.rmtree(os.path.join(self.folder, "moved"), ignore_errors=True)

    def test_without_the_unlinked_copy_the_others_come_back_and_the_lost_are_named(self) -> None:
        (pack,) = self.packs()
        with open(pack, "r+b") as file:
            file.seek(file.read().index(b"a" * 5000))
            file.write(b"x" * 5000)
        self.write("tests/a", b"wrong")
        self.write("tests/b", b"wrong")
        with self.assertRaises(IncompleteRestore) as caught:
            self.restore_paths(self.target)
        self.assertEqual([b"tests/a"], [failure.path for failure in caught.exception.failures])
        self.assertTrue(caught.exception.failures[0].lost)
        self.assertEqual(b"wrong", self.read("tests/a"))
        self.assertEqual(b"b", self.read("tests/b"))
        self.assertEqual([], os.listdir(os.path.join(self.store, "intents")))
        self.assertEqual({b"a", b"b"}, set(os.listdir(self.path("tests"))))

    def test_unlinked_copy_that_was_cut_off_is_noticed(self) -> None:
        with self.unlinked(self.target, self.protected) as unlinked:
            os.ftruncate(unlinked._descriptor, 10)  # as through /proc/PID/fd
            self.write("tests/a", b"wrong")
            self.restore_paths(self.target, unlinked=unlinked)  # from the store
            self.assertEqual(b"a" * 5000, self.read("tests/a"))
            self.remove_store()
            self.write("tests/a", b"wrong")
            with self.assertRaises(IncompleteRestore):
                self.restore_paths(self.target, unlinked=unlinked)

    def test_unlinked_copy_leaves_no_name_behind(self) -> None:
        before = look(self.place)
        with self.unlinked(self.target):
            self.assertEqual(before, look(self.place))

    def test_planted_symlinks_are_neither_written_nor_pruned_through(self) -> None:
        outside = os.path.join(self.folder, "outside")
        os.makedirs(os.path.join(outside, "ab"))
        with open(os.path.join(outside, "ab", "precious"), "wb"):
            pass
        before = look(outside)
        for planted in ("objects", "manifests", "intents", "objects/a.pack"):
            path = os.path.join(self.store, planted)
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(outside, path)
            self.checkpoints.keep(self.root, self.target)
            self.checkpoints.save("x", self.target)
            remove(os.fsencode(path))
            os.symlink(outside, path)
            self.checkpoints.prune([])
            self.assertEqual(before, look(outside), planted)
            self.assertFalse(os.path.islink(path), planted)

    def test_closed_store_of_an_ordinary_user(self) -> None:
        def work() -> None:
            self.store += "2"
            self.checkpoints = Checkpoints(self.store)
            self.write("x", b"right")
            target = self.kept()
            self.write("x", b"wrong")
            for path in (*self.packs(), self.store + "/objects", self.store):
                os.chmod(path, 0)
            with self.assertRaises(IncompleteRestore):
                self.restore_paths(target)
            self.write("x", b"right")
            self.checkpoints.keep(self.root, target)
            self.write("x", b"wrong")
            self.restore_paths(target)
            self.assertEqual(b"right", self.read("x"))

        self.assertEqual(0, in_child(work, ordinary=True))


class Large(Restoring):
    """Holes cost nothing, and come back as holes."""

    TERABYTE = 1 << 40

    def sparse(self, name: str, size: int, *pieces: tuple[int, bytes]) -> None:
        with open(self.path(name), "wb") as file:
            for at, data in pieces:
                file.seek(at)
                file.write(data)
            file.truncate(size)

    def blocks(self, path: str | bytes) -> int:
        return os.stat(path).st_blocks * 512

    def test_file_of_a_terabyte(self) -> None:
        need(self.has_holes(), "a file system with holes")
        pieces = ((12_345, b"first"), (1 << 39, b"middle"), (self.TERABYTE - 4, b"last"))
        self.sparse("huge", self.TERABYTE, *pieces)
        self.write("small", b"s")
        began = time.monotonic()
        target = self.kept()
        with self.unlinked(target) as unlinked:
            for spoil in (
                lambda: os.truncate(self.path("huge"), 1),
                lambda: remove(self.path("huge")),
                lambda: self.sparse("huge", self.TERABYTE, (500_000_000_000, b"x")),
            ):
                spoil()
                self.assertTrue(difference(target, self.scan(target)))
                self.restore_paths(target, unlinked=unlinked)
                self.assertFalse(difference(target, self.scan(target)))
        self.assertLess(time.monotonic() - began, 20)
        self.assertLess(self.blocks(self.path("huge")), 1 << 20)
        self.assertLess(sum(self.blocks(path) for path in self.packs()), 1 << 20)
        with open(self.path("huge"), "rb") as file:
            for at, data in pieces:
                file.seek(at)
                self.assertEqual(data, file.read(len(data)))

    def has_holes(self) -> bool:
        self.sparse("probe", self.TERABYTE)
        found = self.blocks(self.path("probe")) < 1 << 20
        remove(self.path("probe"))
        return found

    def test_holes_and_zeros_are_the_same(self) -> None:
        size = 70 << 20
        self.sparse("a", size, (1 << 20, b"x" * 100_000), (size - 1, b"z"))
        with open(self.path("a"), "rb") as holes, open(self.path("b"), "wb") as zeros:
            shutil.copyfileobj(holes, zeros, 1 << 20)
        found = self.kept()
        self.assertEqual(found[b"a"].content, found[b"b"].content)
        self.assertEqual(found[b"a"].content, self.stored()[0])
        contents = {found[b"a"].content}
        for at in (0, 1 << 16, (1 << 20) + 5, size - 2):
            with open(self.path("b"), "r+b") as file:
                file.seek(at)
                file.write(b"y")
            contents.add(self.scan()[b"b"].content)
        os.truncate(self.path("a"), size + 1)
        contents.add(self.scan()[b"a"].content)
        self.assertEqual(6, len(contents))

    def test_long_work_can_be_ended(self) -> None:
        """Whoever gives a tick is asked between the pieces, and may end it."""
        with open(self.path("a"), "wb") as file:
            file.write(b"x" * (80 << 20))
        found = self.scan()
        for piece, work in (
            ("hash", lambda tick: snapshot.scan(self.root, skip=self.skip, tick=tick)),
            ("copy", lambda tick: Checkpoints(self.store, tick).keep(self.root, found)),
            (
                "unlinked",
                lambda tick: UnlinkedCopy(self.root, found, found, folder=self.place, tick=tick),
            ),
        ):
            ticks = 0

            def tick(seen: int) -> None:
                nonlocal ticks
                ticks += 1
                if ticks == 5:
                    raise KeyboardInterrupt

            with self.subTest(piece), self.assertRaises(KeyboardInterrupt):
                work(tick)
            self.assertEqual(5, ticks)
        self.assertEqual([], self.packs())


if __name__ == "__main__":
    unittest.main()
