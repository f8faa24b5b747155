"""Worktrees and landing, in real repositories."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest
from typing import Any

from fleet.fleets import Place
from openloop.fleet.launchers import launch
from support import Case, _end, environment, lives, need, snapshot, start_openloop, wait_until

DIES_AT = """
import os, signal, sys
from openloop.cli import main
from openloop.fleet.launchers import launch
def die(*words):
    if sys.argv[1] == "full":
        raise OSError(28, "No space left on device")
    if sys.argv[1] == "after":
        put(*words)
    os.kill(os.getpid(), signal.SIGKILL)
put, launch.write_run = launch.write_run, die
sys.exit(main(sys.argv[2:]))
"""

SLOW = True  # left out by scripts/run_tests.sh --quick

DONE = {"total_rounds": 1, "commands": {"verify": "true"}}


def changes(name: str, script: str, **more: object) -> dict[str, Any]:
    """A task whose gate makes a change, as an agent would, and passes."""
    return {"name": name, "set": {"commands.verify": script}, **more}


class Repository(Case):
    def setUp(self) -> None:
        super().setUp()
        need(shutil.which("git"), "git")
        self.repository = os.path.join(self.folder, "r")
        os.mkdir(self.repository)
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.git("config", "user.name", "Person")
        self.git("config", "user.email", "person@localhost")
        self.write(".gitignore", ".openloop/\n*.o\n")
        self.write("one", "1\n")
        self.write("two", "2\n")
        self.commit("begin")

    def git(self, *words: str, where: str = "") -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=where or self.repository,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.repository, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name: str) -> str:
        with open(os.path.join(self.repository, name), encoding="utf-8") as file:
            return file.read()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)

    def fleet(self, *tasks: dict[str, Any], **more: Any) -> Place:
        return Place(
            os.path.join(self.repository, ".openloop"),
            DONE,
            isolation="worktree",
            tasks=list(tasks),
            **more,
        )

    def tree(self, name: str) -> str:
        return os.path.join(self.repository, ".openloop/fleet.fleet/tasks", name, "tree")

    def reason(self, place: Place, name: str) -> str:
        events = [e for e in place.events_of("task_not_landed") if e["task"] == name]
        reason: str = events[-1]["reason"]
        return reason


class Landing(Repository):
    def test_what_is_sound_lands_and_is_checked_out(self) -> None:
        """Below the top too, and without the hooks of the repository."""
        self.write("sub/file", "0\n")
        self.commit("sub")
        self.install_hooks()
        place = self.fleet(
            changes("a", "echo new > one; touch x.o", mission="Make it new. At once."),
            changes("b", "echo new > two; echo more > three"),
            changes("c", "echo c > file", project_root="sub"),
        )
        place.do("run")
        self.assertEqual("a: Make it new", self.git("log", "-1", "--format=%s", "openloop/a"))
        self.assertEqual("1\n", self.read("one"))
        place.do("land")
        self.assertEqual(["new\n", "new\n", "more\n"], [*map(self.read, ("one", "two", "three"))])
        self.assertEqual("c\n", self.read("sub/file"))
        self.assertEqual("", self.git("status", "--porcelain"))
        self.assertEqual("main", self.git("symbolic-ref", "--short", "HEAD"))
        self.assertEqual(3, len(self.git("log", "--merges", "--oneline").splitlines()))
        self.assertNotIn("landing", self.git("worktree", "list"))
        self.assertEqual([], [name for name in os.listdir(self.folder) if name.startswith("ran-")])
        head = self.git("rev-parse", "HEAD")
        place.do("land")  # again: nothing is left
        self.assertEqual(head, self.git("rev-parse", "HEAD"))

    def install_hooks(self) -> None:
        for name in ("pre-commit", "post-checkout", "post-merge", "pre-merge-commit", "commit-msg"):
            path = os.path.join(self.repository, ".git/hooks", name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\ntouch {self.folder}/ran-{name}\nexit 1\n")
            os.chmod(path, 0o755)

    def test_a_replaced_file_is_judged_by_what_is_committed(self) -> None:
        """`git replace` shows other bytes here than to those who pull."""
        replace = (
            "echo bad > one; git commit -qam x; git update-index --assume-unchanged one; "
            "echo good > one; git replace $(git rev-parse HEAD:one) $(git hash-object -w one)"
        )
        place = self.fleet(
            changes("a", f"case $PWD in *landing*) ;; *) {replace};; esac; grep -q good one")
        )
        place.do("run")
        place.do("land", exitcode=1)
        self.assertIn("do not pass on the merged tree", self.reason(place, "a"))
        self.assertEqual("1", self.git("--no-replace-objects", "show", "main:one"))

    def test_each_passes_alone_and_merged_they_fail(self) -> None:
        """a renames what b goes on using: no line of one is a line of the other."""
        self.write("check", 'for f in use/*; do test -e "$(cat "$f")" || exit 1; done\n')
        self.write("use/first", "one\n")
        self.commit("uses")
        gate = "sh check"
        place = self.fleet(
            changes("a", f"git mv one uno 2>/dev/null; echo uno > use/first; {gate}"),
            changes("b", f"test -e one && echo one > use/second; {gate}"),
        )
        place.do("run")
        done = place.do("land", exitcode=1)
        self.assertRegex(done.out, r"(?s)landed      a .*not landed  b")
        self.assertIn("gates do not pass on the merged tree", self.reason(place, "b"))
        self.assertEqual("Land openloop/a", self.git("log", "-1", "--format=%s", "main"))
        self.assertTrue(self.git("rev-parse", "openloop/b"))

    def test_what_landed_before_must_go_on_passing(self) -> None:
        """Gates that fail without the merge, too, hold nobody back."""
        place = self.fleet(
            changes("a", "echo a > three; test ! -e unwanted"),
            changes("b", "echo b > unwanted"),
            changes("c", "echo c > four"),
            changes("d", "echo d > five"),
        )
        place.do("run")
        place.do("land", "a", "c")
        after = self.git("rev-parse", "main")
        place.do("land", "b", exitcode=1)
        self.assertRegex(
            self.reason(place, "b"), "gates of a, which landed before, do not pass .* merged tree"
        )
        self.assertEqual(after, self.git("rev-parse", "main"))
        self.write("unwanted", "")
        self.commit("a person may")
        done = place.do("land", "d")
        self.assertIn("gates of a do not pass without the merge either", done.err)
        self.assertEqual("d\n", self.read("five"))

    def test_interrupted_it_leaves_nothing_behind(self) -> None:
        slow = f"echo a > one; test -e {self.folder}/quick || exec sleep 600"
        place = self.fleet(changes("a", slow))
        quick = os.path.join(self.folder, "quick")
        open(quick, "w").close()
        place.do("run")
        os.unlink(quick)
        before = self.git("rev-parse", "main")
        beat = os.path.join(place.state, "landing/a/heartbeat.json")
        for signum, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            process = start_openloop("fleet", "land", place.path)
            self.addCleanup(_end, process)
            wait_until(lambda: self.beat(beat).get("step") == "verify")
            runner = self.beat(beat)["runner_pid"]
            process.send_signal(signum)
            process.communicate(timeout=20)
            self.assertEqual(code, process.returncode)
            self.assertFalse(lives(runner))
            self.assertNotIn("landing", self.git("worktree", "list"))
            self.assertEqual(before, self.git("rev-parse", "main"))
            os.unlink(beat)
        open(quick, "w").close()
        place.do("land")
        self.assertEqual("a\n", self.read("one"))

    def test_gates_that_a_killed_landing_left_are_ended(self) -> None:
        quick, begun = (os.path.join(self.folder, name) for name in ("quick", "begun"))
        place = self.fleet(
            changes("a", f"echo a > one; test -e {quick} || {{ touch {begun}; exec sleep 600; }}")
        )
        open(quick, "w").close()
        place.do("run")
        os.unlink(quick)
        process = start_openloop("fleet", "land", place.path)
        self.addCleanup(_end, process)
        wait_until(lambda: os.path.exists(begun))
        runner = launch.pid_of(os.path.join(place.state, "landing"), launch.RUN)
        assert runner
        process.kill()
        process.communicate(timeout=20)
        self.assertTrue(lives(runner))
        open(quick, "w").close()
        done = place.do("land")
        self.assertIn(f"ending process {runner}", done.err)
        self.assertFalse(lives(runner))
        self.assertEqual("a\n", self.read("one"))

    def test_killed_before_and_after_it_notes_its_gates(self) -> None:
        """They have not begun, and never will."""
        ran = os.path.join(self.folder, "ran")
        place = self.fleet(changes("a", f"echo a > one; echo a >> {ran}"))
        place.do("run")
        os.unlink(ran)
        for moment in ("before", "after"):
            words = [sys.executable, "-c", DIES_AT, moment, "fleet", "land", place.path]
            done = subprocess.run(words, env=environment(), capture_output=True, check=False)
            self.assertEqual(-signal.SIGKILL, done.returncode, done.stderr)
            wait_until(lambda: not self.processes_of(place), "the gates to end")
            self.assertFalse(os.path.exists(ran))
        place.do("land")
        with open(ran, encoding="utf-8") as file:
            self.assertEqual(["a"], file.read().split())
        self.assertEqual("a\n", self.read("one"))

    def test_a_full_disk_is_named_and_loses_nothing(self) -> None:
        place = self.fleet(changes("a", "echo a > one"))
        place.do("run")
        words = [sys.executable, "-c", DIES_AT, "full", "fleet", "land", place.path]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn("the fleet's files cannot be kept: No space left", done.stderr)
        wait_until(lambda: not self.processes_of(place), "the gates to end")
        place.do("land")
        self.assertEqual("a\n", self.read("one"))

    def processes_of(self, place: Place) -> list[str]:
        """Command lines with the folder of the fleet's landings in them."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                words = os.fsdecode(file.read())
                if os.path.join(place.state, "landing") in words:
                    found.append(words)
        return found

    def test_gates_of_all_run_once_where_they_pass(self) -> None:
        """Each task has gates of its own, and is judged by those of all others too."""
        ran = os.path.join(self.folder, "ran")
        place = self.fleet(*(changes(n, f"echo {n} > {n}; echo {n} >> {ran}") for n in "abcdefgh"))
        place.do("run")
        os.unlink(ran)
        place.do("land")
        with open(ran, encoding="utf-8") as file:
            self.assertEqual([*"abcdefgh"], file.read().split())
        self.assertEqual(8, len(self.git("log", "--merges", "--oneline", "main").splitlines()))
        self.assertEqual(
            [event["commit"] for event in place.events_of("task_landed")],
            self.git("rev-list", "--merges", "--reverse", "main").split(),
        )

    def test_the_one_to_blame_among_many_is_found(self) -> None:
        """f breaks what b promises, though each passes alone; everything else lands."""
        place = self.fleet(
            *(changes(n, f"echo {n} > {n}") for n in "a"),
            changes("b", "echo b > b; test ! -e f"),
            *(changes(n, f"echo {n} > {n}") for n in "cdefgh"),
        )
        place.do("run")
        done = place.do("land", exitcode=1)
        self.assertRegex(self.reason(place, "f"), "gates of b, which landed before, do not pass")
        landed = [event["task"] for event in place.events_of("task_landed")]
        self.assertEqual([*"abcdegh"], landed)
        self.assertEqual(1, done.out.count("not landed"))
        self.assertFalse(os.path.exists(os.path.join(self.repository, "f")))

    def beat(self, path: str) -> dict[str, Any]:
        try:
            with open(path, encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return {}
        return found

    def test_a_conflict_is_named_and_its_branch_kept(self) -> None:
        place = self.fleet(changes("a", "echo a > one"), changes("b", "echo b > one"))
        place.do("run")
        place.do("land", exitcode=1)
        self.assertIn("conflict in one", self.reason(place, "b"))
        self.assertEqual("a\n", self.read("one"))
        self.assertEqual("b", self.git("show", "openloop/b:one"))
        self.assertEqual("", self.git("status", "--porcelain"))

    def test_a_dirty_tree_and_a_detached_head_are_left_alone(self) -> None:
        self.write("two", "mine\n")
        place = self.fleet(changes("a", "echo a > one"), changes("b", "echo b > two"))
        before = snapshot(self.repository)
        done = place.do("run")
        self.assertIn("uncommitted changes (two)", done.err)
        after = snapshot(self.repository)
        for path in ("one", "two", ".git/index", ".git/HEAD", ".git/refs/heads/main"):
            self.assertEqual(before[path], after[path], path)
        with open(os.path.join(self.tree("a"), "two"), encoding="utf-8") as file:
            self.assertEqual("2\n", file.read())
        place.do("land", exitcode=1)
        self.assertEqual(("a\n", "mine\n"), (self.read("one"), self.read("two")))
        self.assertIn("commit or stash", self.reason(place, "b"))
        self.git("checkout", "--", "two")
        self.git("checkout", "--quiet", "--detach")
        place.do("land", exitcode=1)
        self.assertIn("detached HEAD", self.reason(place, "b"))
        self.git("switch", "--quiet", "main")
        place.do("land")
        self.assertEqual("b\n", self.read("two"))

    def test_nobody_that_git_knows(self) -> None:
        self.git("config", "--unset", "user.name")
        self.git("config", "--unset", "user.email")
        self.git("config", "user.useConfigOnly", "true")
        place = self.fleet(changes("a", "echo a > one"))
        env = {**os.environ, "HOME": self.folder, "XDG_CONFIG_HOME": self.folder}
        from support import SRC

        place.do("run", env={**env, "PYTHONPATH": SRC})
        self.assertEqual("OpenLoop", self.git("log", "-1", "--format=%an", "openloop/a"))


class Worktrees(Repository):
    def test_a_branch_that_exists_is_left_alone(self) -> None:
        self.git("branch", "openloop/a")
        place = self.fleet(changes("a", "echo a > one"), changes("b", "echo b > two"))
        place.do("run", exitcode=1)
        self.assertEqual({"a": "blocked", "b": "complete"}, place.states())
        self.assertIn("branch openloop/a exists", place.do("explain", "a").out)
        self.git("branch", "-m", "openloop/a", "mine")
        place.do("retry")
        self.assertEqual({"a": "complete", "b": "complete"}, place.states())

    def test_git_ignores_the_folder_of_the_fleet(self) -> None:
        place = Place(self.repository, DONE, isolation="worktree", tasks=[{"name": "a"}])
        place.do("run")
        untracked = self.git("status", "--porcelain", "--untracked-files=all").splitlines()
        self.assertEqual(["?? fleet.json", "?? openloop.json"], untracked)

    def test_no_repository(self) -> None:
        place = Place(os.path.join(self.folder, "p"), DONE, isolation="worktree",
                      tasks=[{"name": "a"}])  # fmt: skip
        done = place.do("run", exitcode=2)
        self.assertIn("is in no git repository", done.err)

    def test_a_retry_goes_on_where_the_work_is(self) -> None:
        place = self.fleet(changes("a", "echo more >> one; test $(wc -l < one) -gt 2"))
        place.do("run", exitcode=1)
        place.do("land", exitcode=1)
        place.do("retry")
        self.assertEqual("1\nmore\nmore", self.git("show", "openloop/a:one"))

    def test_work_on_another_branch_is_not_committed_nor_landed(self) -> None:
        place = self.fleet(changes("a", "git checkout -q -b elsewhere; echo a > one"))
        place.do("run")
        place.do("land", exitcode=1)
        self.assertIn("not on openloop/a", self.reason(place, "a"))
        with open(os.path.join(self.tree("a"), "one"), encoding="utf-8") as file:
            self.assertEqual("a\n", file.read())

    def test_half_made_ones_are_made_again(self) -> None:
        """A coordinator that died in the middle: the record says begun, and not made."""
        from openloop.fleet import worktrees

        place = self.fleet(changes("a", "echo a > one"))
        base = self.git("rev-parse", "HEAD")
        plan = worktrees.WorktreePlan(self.repository, self.tree("a"), "openloop/a", base)
        worktrees.make(plan, again=False)
        os.unlink(os.path.join(self.tree("a"), "one"))
        worktrees.make(plan, again=True)
        self.assertEqual({"one", "two", ".gitignore", ".git"}, set(os.listdir(self.tree("a"))))
        self.git("worktree", "remove", "--force", self.tree("a"))
        worktrees.make(plan, again=True)
        self.assertEqual(
            "openloop/a", self.git("symbolic-ref", "--short", "HEAD", where=self.tree("a"))
        )
        self.assertEqual([], place.events)

    def test_remarks(self) -> None:
        self.write(".gitattributes", "*.bin filter=lfs\n")
        self.write(".gitmodules", "")
        self.commit("attributes")
        place = self.fleet(*({"name": f"t{number}"} for number in range(120)))
        self.assertEqual({"waiting"}, set(place.states().values()))
        from openloop.fleet import fleet_file, worktrees

        fleet = fleet_file.load(place.path)
        remarks = "\n".join(worktrees.remarks(fleet, [task.name for task in fleet.tasks]))
        self.assertIn("submodules", remarks)
        self.assertIn("120 worktrees of", remarks)
        if not shutil.which("git-lfs"):
            self.assertIn("git-lfs, which is not installed", remarks)


if __name__ == "__main__":
    unittest.main()
