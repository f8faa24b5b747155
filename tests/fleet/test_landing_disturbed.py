"""Landing while a person works in the same repository, and after worktrees were removed."""

from __future__ import annotations

import os
import unittest
from typing import Any

from fleet.fleets import Place
from fleet.test_landing import Repository, changes

SLOW = True  # left out by scripts/run_tests.sh --quick


class Disturbed(Repository):
    def while_it_lands(self, script: str) -> Place:
        """A fleet of one complete task, whose gate runs a script when the task lands."""
        gate = f"case $PWD in *landing*) cd {self.repository}; {script};; esac; echo a > three"
        place = self.fleet(changes("a", gate))
        place.do("run")
        return place

    def test_the_target_is_moved(self) -> None:
        place = self.while_it_lands("git commit --quiet --allow-empty -m meanwhile")
        place.do("land", exitcode=1)
        self.assertIn("main was moved by somebody else", self.reason(place, "a"))
        self.assertEqual("meanwhile", self.git("log", "-1", "--format=%s"))

    def test_another_branch_is_checked_out(self) -> None:
        place = self.while_it_lands("git switch --quiet --create other")
        before = self.git("rev-parse", "HEAD")
        place.do("land", exitcode=1)
        self.assertIn("main is no longer checked out", self.reason(place, "a"))
        self.assertEqual(before, self.git("rev-parse", "other"))
        self.assertEqual(before, self.git("rev-parse", "main"))

    def test_files_that_would_be_overwritten_are_named(self) -> None:
        place = self.fleet(changes("a", "echo a > one; echo a > three"))
        place.do("run")
        self.write("one", "mine\n")
        place.do("land", exitcode=1)
        self.assertRegex(self.reason(place, "a"), r"overwritten by merge: one; commit or stash")
        self.git("checkout", "one")
        self.write("three", "mine\n")
        place.do("land", exitcode=1)
        self.assertRegex(self.reason(place, "a"), r"overwritten by merge: three; commit or stash")
        self.assertEqual("mine\n", self.read("three"))


class Removed(Repository):
    def remove(self, name: str) -> None:
        self.git("worktree", "remove", "--force", self.tree(name))

    def one_that(self, gate: str, exitcode: int) -> Place:
        place = self.fleet(changes("a", gate))
        place.do("run", exitcode=exitcode)
        self.remove("a")
        return place

    def test_committed_work_lands_without_its_worktree(self) -> None:
        place = self.one_that("echo a > three", 0)
        place.do("land")
        self.assertEqual("a\n", self.read("three"))

    def test_a_missing_branch_is_named(self) -> None:
        place = self.one_that("echo a > three", 0)
        self.git("branch", "--delete", "--force", "openloop/a")
        place.do("land", exitcode=1)
        self.assertIn("openloop/a", self.reason(place, "a"))

    def test_a_retry_makes_the_worktree_from_the_branch(self) -> None:
        gate = 'test -e three || { echo a > three; git add three; git commit -qm "a"; false; }'
        place = self.one_that(gate, 1)
        place.do("retry")
        self.assertEqual({"a": "complete"}, place.states())
        self.assertTrue(os.path.exists(os.path.join(self.tree("a"), "three")))

    def test_a_task_that_the_file_no_longer_lists(self) -> None:
        tasks: list[dict[str, Any]] = [changes("a", "true"), changes("b", "echo b > three")]
        place = self.fleet(*tasks)
        place.do("run")
        place.configure(**{**place.fleet, "tasks": tasks[:1]})
        done = place.do("land", "b", exitcode=2)
        self.assertIn("no longer lists b", done.err)


if __name__ == "__main__":
    unittest.main()
