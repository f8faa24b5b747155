"""kill -9 in the middle of keeping, restoring and recovering."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import unittest
from collections.abc import Callable

from fs.trees import (
    Restoring,
    calls_of,
    dies_in,
    in_child,
    look,
    moments,
    remove,
)
from openloop.fs.checkpoints import DamagedStore, IncompleteRestore
from openloop.fs.diff import difference

SLOW = True  # left out by scripts/run_tests.sh --quick


class Crash(Restoring):
    """kill -9 at any moment ends in the state before or after."""

    def setUp(self) -> None:
        super().setUp()
        self.build()
        self.before_seen = look(self.root)
        self.target = self.kept()
        self.spoil()
        self.current = self.scan()
        self.paths = difference(self.target, self.current).paths
        self.spare = os.path.join(self.folder, "spare")
        subprocess.run(["cp", "-a", self.root, self.spare], check=True)
        self.spoilt_seen = look(self.root)

    def spoil_again(self) -> None:
        remove(self.root)
        subprocess.run(["cp", "-a", self.spare, self.root], check=True)

    def restore(self) -> None:
        self.checkpoints.restore(self.root, self.current, self.target, self.paths)

    def recover(self) -> tuple[bytes, ...]:
        """What the record would have to be recovered, in a run that was cut off."""
        found = self.intents()
        return self.checkpoints.recover(self.root, found[0]) if found else ()

    def intents(self) -> list[str]:
        """Digests of the restores that were begun and not finished: never more than one here."""
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            found = os.listdir(os.path.join(self.store, "intents"))
        found = [name for name in found if name[0] != "."]
        self.assertLessEqual(len(found), 1)
        return found

    def test_in_the_middle_of_a_restore(self) -> None:
        total = calls_of(self.restore)
        self.assertEqual(self.before_seen, look(self.root))
        deaths, halfway = 0, 0
        for calls in moments(total, 36, seed=1):
            self.spoil_again()
            deaths += dies_in(self.restore, calls)
            left = look(self.root)
            halfway += left not in (self.before_seen, self.spoilt_seen)
            finished = self.recover()
            allowed = [self.before_seen] if finished else [self.before_seen, self.spoilt_seen]
            self.assertIn(look(self.root), allowed, f"killed at call {calls} of {total}")
            self.assertEqual((), self.recover())
        self.assertGreaterEqual(deaths, 30)
        self.assertGreater(halfway, 10)

    def test_in_the_middle_of_recovering_again_and_again(self) -> None:
        total = calls_of(self.restore)
        self.spoil_again()
        self.assertTrue(dies_in(self.restore, total // 2))
        for calls in moments(total // 2, 10, seed=2):
            if not dies_in(self.recover, calls):
                break
        self.recover()
        self.assertEqual(self.before_seen, look(self.root))

    def test_in_the_middle_of_keeping(self) -> None:
        self.restore()
        store = self.store
        shutil.rmtree(store)

        def keep() -> None:
            self.checkpoints.keep(self.root, self.target)
            self.checkpoints.save("start", self.target)

        total = calls_of(keep)
        digest = self.checkpoints.save("start", self.target)
        for calls in moments(total, 15, seed=3):
            shutil.rmtree(store)
            dies_in(keep, calls)
            with contextlib.suppress(DamagedStore):
                self.checkpoints.load("start", digest)
                self.assertEqual([], self.lost(self.target))
            keep()
            self.assertEqual([], self.lost(self.target))
            self.checkpoints.prune([("start", digest)])
            self.assertEqual(
                sorted({e.content for e in self.target.values() if e.is_hashed}), self.stored()
            )

    def test_contents_that_an_intent_needs_are_not_pruned(self) -> None:
        total = calls_of(self.restore)
        self.spoil_again()
        self.assertTrue(dies_in(self.restore, total // 2))
        self.checkpoints.prune([])
        self.recover()
        self.assertEqual(self.before_seen, look(self.root))

    def test_what_only_the_unlinked_copy_had_survives_a_crash(self) -> None:
        self.restore()
        with self.unlinked(self.target) as unlinked:
            shutil.rmtree(self.store)

            def restore() -> None:
                self.checkpoints.restore(
                    self.root, self.current, self.target, self.paths, unlinked=unlinked
                )

            total = calls_of(restore)
            shutil.rmtree(self.store)
            self.spoil_again()
            self.assertTrue(dies_in(restore, total - 10))
        self.recover()
        self.assertEqual(self.before_seen, look(self.root))

    def test_announced_before_anything_is_touched(self) -> None:
        digests: list[str] = []

        def announce(digest: str) -> None:
            self.assertEqual(self.spoilt_seen, look(self.root))
            digests.append(digest)
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.checkpoints.restore(
                self.root, self.current, self.target, self.paths, announce=announce
            )
        self.assertEqual(self.paths, tuple(sorted(self.checkpoints.recover(self.root, *digests))))
        self.assertEqual(self.before_seen, look(self.root))

    def test_disk_that_takes_no_more_of_a_restore(self) -> None:
        """`recover` tries again what could not be restored."""
        self.restore()
        self.write("big", b"right" * 20_000)
        target = self.kept()
        self.write("big", b"wrong")
        spoilt = look(self.root)

        def work() -> None:
            with self.assertRaises(IncompleteRestore) as caught:
                self.restore_paths(target)
            self.assertFalse(caught.exception.failures[0].lost)

        self.assertEqual(0, in_child(work, file_size=50_000))
        self.assertEqual(spoilt, look(self.root))
        self.assertEqual((b"big",), self.recover())
        self.assertEqual(b"right" * 20_000, self.read("big"))

    def test_disk_that_takes_no_more_contents(self) -> None:
        self.write("big", b"x" * 100_000)

        def work() -> None:
            with self.assertRaises(OSError):
                self.kept()

        self.assertEqual(0, in_child(work, file_size=50_000))
        self.assertEqual(sorted(self.stored()), self.stored())  # only whole packs
        self.assertEqual([self.scan()[b"big"].content], self.lost(self.scan().only([b"big"])))
        self.kept()

    def cut_off(self) -> str:
        """A restore that ends between the intent and the first change; returns its digest."""
        digests: list[str] = []

        def announce(digest: str) -> None:
            digests.append(digest)
            raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            self.checkpoints.restore(
                self.root, self.current, self.target, self.paths, announce=announce
            )
        return digests[0]

    def refused(self, root: str, digest: str) -> None:
        with self.assertRaises(DamagedStore):
            self.checkpoints.recover(root, digest)
        self.assertEqual(self.spoilt_seen, look(root))
        self.assertEqual((), self.checkpoints.recover(root, digest))

    def test_spoilt_and_planted_intents_are_not_followed(self) -> None:
        def replace(intent: str, make: Callable[[str], object]) -> None:
            os.unlink(intent)
            make(intent)

        spoilers: tuple[Callable[[str], object], ...] = (
            lambda intent: os.truncate(intent, 100),
            lambda intent: replace(intent, os.mkfifo),
            lambda intent: replace(intent, os.mkdir),
            lambda intent: replace(intent, lambda path: os.symlink("manifests", path)),
        )
        for spoil in spoilers:
            digest = self.cut_off()
            spoil(os.path.join(self.store, "intents", digest))
            self.refused(self.root, digest)

    def test_intent_that_was_not_announced_is_not_followed(self) -> None:
        self.cut_off()
        self.assertEqual((), self.checkpoints.recover(self.root, "0" * 64))
        self.assertEqual(self.spoilt_seen, look(self.root))

    def test_intent_that_was_not_announced_hides_none_that_was(self) -> None:
        digest = self.cut_off()
        self.paths = self.paths[:1]  # the next one dies before it is announced
        self.assertNotEqual(digest, self.cut_off())
        self.checkpoints.recover(self.root, digest)
        self.assertEqual(self.before_seen, look(self.root))
        self.assertEqual([], self.intents())

    def test_intent_for_another_tree_is_not_followed(self) -> None:
        self.refused(self.spare, self.cut_off())


if __name__ == "__main__":
    unittest.main()
