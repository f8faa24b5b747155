"""Landing while a person works in the same repository, and after worktrees were removed."""

from __future__ import annotations

import os
import shutil
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


class Uncommitted(Repository):
    def test_a_repository_in_a_worktree_is_not_taken_for_its_files(self) -> None:
        inner = "mkdir -p sub && cd sub && git init -q && echo work > work && git add work"
        who = "-c user.name=a -c user.email=b"
        place = self.fleet(changes("a", f"{inner} && git {who} commit --quiet --allow-empty -m x"))
        done = place.do("run")
        self.assertIn("person    complete a: its work is not committed: sub", done.out)
        explained = place.do("explain", "a").out
        self.assertIn("a git repository of its own", explained)
        self.assertIn("fleet land", explained)
        place.do("land", exitcode=1)
        self.assertIn("a git repository of its own", self.reason(place, "a"))
        os.rename(os.path.join(self.tree("a"), "sub/.git"), os.path.join(self.folder, "aside"))
        place.do("land")
        self.assertEqual("work\n", self.read("sub/work"))

    def test_a_submodule_that_a_task_adds_lands(self) -> None:
        inner = os.path.join(self.folder, "inner")
        self.git("clone", "--quiet", self.repository, inner)
        add = f"test -e sub || git -c protocol.file.allow=always submodule add -q {inner} sub"
        place = self.fleet(changes("a", add))
        place.do("run")
        place.do("land")
        self.assertIn("sub", self.read(".gitmodules"))

    def test_another_history_is_named(self) -> None:
        place = self.fleet(changes("a", "echo a > three"))
        place.do("run")
        self.git("worktree", "remove", "--force", self.tree("a"))
        other = self.git("commit-tree", "-m", "other", "HEAD^{tree}")
        self.git("update-ref", "refs/heads/openloop/a", other)
        place.do("land", exitcode=1)
        self.assertIn("unrelated histories", self.reason(place, "a"))

    def test_a_filter_of_a_missing_git_lfs_holds_nothing_up(self) -> None:
        if shutil.which("git-lfs"):
            self.skipTest("git-lfs is installed")
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 5\n"
        self.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        self.write("x.bin", pointer)
        self.commit("pointer")
        for key in ("process", "smudge", "clean"):
            self.git("config", f"filter.lfs.{key}", f"git-lfs {key}")
        self.git("config", "filter.lfs.required", "true")
        place = self.fleet(changes("a", "echo a > three; grep -q oid x.bin"))
        place.do("run")
        place.do("land")
        self.assertEqual("a\n", self.read("three"))
        self.assertEqual(pointer, self.read("x.bin"))


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
