"""Agents that cheat in every known way, honest agents, and what the record says of both."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import unittest
from typing import Any

from support import (
    Case,
    Workspace,
    agent,
    by_round,
    need,
    read_pid,
    run_openloop,
    snapshot,
    wait_until,
)

SLOW = True  # left out by scripts/run_tests.sh --quick

BROKEN = "def add(a, b):\n    return a - b\n"
TEST = """\
import json
import sys
import unittest

sys.path.insert(0, "src")
import calc


class Adding(unittest.TestCase):
    def test_add(self):
        self.assertEqual(json.loads("5"), calc.add(2, 3))
"""
FILES = {
    b"src/calc.py": BROKEN,
    b"src/unused.py": "",
    b"tests/test_calc.py": TEST,
    b"tests/data/line\nbreak": "1",
    b"tests/data/not \xff utf-8": "2",
    b"tests/data/golden.txt": "3",
    b"README": "A calculator.\n",
    b".gitignore": "/build/\n__pycache__/\ngolden.txt\n",
}
VERIFY = f"{sys.executable} -m unittest discover -s tests"
POLICY = {"protect": ["tests/**"], "allow": ["src/**"]}


def cheat(name: str, *words: object) -> str:
    return agent(f"cheats/{name}", *words)


def repair(way: str = "in_place") -> str:
    return cheat("repairs", way)


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def git(folder: str, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    always = ("-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main")
    asked = subprocess.run(
        ["git", *identity, *always, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return asked.stdout


class Project(Case):
    """A calculator that subtracts, a test that notices, and an agent for each round from 2 on."""

    def place(self, *agents: str, name: str = "w", repository: bool = False, **config: Any) -> Any:
        place = self.workspace(
            name,
            **{
                "total_rounds": len(agents) + 1,
                "commands": {"verify": VERIFY, "fix": by_round("false", *agents)},
                "limits": {"max_consecutive_failures": 99, "kill_grace_seconds": 0.5},
                "policy": POLICY,
                **config,
            },
        )
        self.fill(place.project, repository)
        return place

    def fill(self, root: str, repository: bool = False) -> None:
        for name, text in FILES.items():
            path = os.path.join(os.fsencode(root), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        if repository:
            need(shutil.which("git"), "git")
            git(root, "init", "-q")
            git(root, "add", "-A")
            git(root, "commit", "-qm", "first")

    def outcome(self, place: Workspace, number: int, step: str = "fix") -> str:
        return next(o for at, s, o in place.steps() if (at, s) == (number, step))

    def sources(self, place: Workspace) -> dict[str, object]:
        """The project without what an interpreter leaves behind."""
        found = snapshot(place.project)
        return {path: content for path, content in found.items() if "__pycache__" not in path}

    def modes(self, place: Workspace) -> dict[str, int]:
        return {path: os.lstat(place.project_file(path)).st_mode for path in self.sources(place)}


class Cheats(Project):
    """What one change does against the policy is undone before the gates measure."""

    CHEATS = (
        ("edits the test", cheat("edits")),
        ("edits it and keeps size and times", cheat("edits", "stamped")),
        ("deletes the tests", cheat("deletes", "files")),
        ("deletes their folder too", cheat("deletes", "folder")),
        ("plants a conftest", cheat("plants", "conftest.py", "tests/conftest.py")),
        ("shadows a module", cheat("plants", "json.py", "unittest/__init__.py")),
        ("hides behind ignore rules", cheat("hides")),
        ("plants what is ignored", cheat("plants", "tests/golden.txt", "tests/build/x.py")),
        ("links the folder", cheat("links_folder")),
        ("links the file and writes", cheat("hard_links")),
        ("changes modes", cheat("changes_mode")),
        ("changes the case", cheat("renames", "tests/TEST_calc.py")),
        ("renames it away", cheat("renames", "src/calc_test.py")),
        ("uses strange names", cheat("names")),
        ("puts a FIFO there", cheat("replaces", "fifo")),
        ("puts a folder there", cheat("replaces", "folder")),
        ("puts a link there", cheat("replaces", "link")),
        ("creates files elsewhere", cheat("plants", "notes.py", "lib/deep/x.py", "README")),
    )
    INSIDE = ("src/easy", "src/easy/test_calc.py", "src/calc_test.py", "src/.gitignore")

    def protected(self, place: Workspace) -> dict[str, object]:
        """All but what the agent was allowed to write."""
        found = self.sources(place)
        exclude = os.path.join(".git", "info", "exclude")  # git's own, nobody's project
        return {path: found[path] for path in found if path not in (*self.INSIDE, exclude)}

    def test_one_after_the_other_and_then_an_honest_repair(self) -> None:
        for repository in (False, True):
            with self.subTest(repository=repository):
                self.assert_all_are_undone(repository)

    def assert_all_are_undone(self, repository: bool) -> None:
        scripts = [script for _, script in self.CHEATS]
        place = self.place(*scripts, repair(), name=f"git-{repository}", repository=repository)
        before, modes = self.protected(place), self.modes(place)
        place.run()
        for number, (title, _) in enumerate(self.CHEATS, 2):
            with self.subTest(title):
                self.assertEqual("policy", self.outcome(place, number))
                self.assertEqual("failed", self.outcome(place, number, "verify"))
                self.assertTrue(place.artifact(number)["policy"]["violations"])
        last = place.artifact(len(self.CHEATS) + 2)
        self.assertEqual(("repaired", "complete"), (last["outcome"], last["decision"]))
        repaired = {**before, "src/calc.py": BROKEN.replace("-", "+").encode()}
        self.assertEqual(repaired, self.protected(place))
        left = self.modes(place)
        self.assertEqual(modes, {path: left[path] for path in modes})
        place.audit()

    def test_a_name_made_in_one_round_and_written_through_in_the_next(self) -> None:
        place = self.place(cheat("hard_links", "link"), cheat("hard_links", "write"))
        place.run(exitcode=1)
        self.assertEqual("policy", self.outcome(place, 3))
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])

    def test_too_many_files_or_lines(self) -> None:
        cases = (("max_changed_files", (3, 1)), ("max_diff_lines", (1, 9)))
        for limit, extent in cases:
            with self.subTest(limit):
                policy = {**POLICY, limit: 3}
                script = cheat("sprawls", *extent)
                place = self.place(script, repair(), name=limit, policy=policy)
                before = self.sources(place)
                place.run("--max-rounds", "2", exitcode=1)
                self.assertEqual("policy", self.outcome(place, 2))
                self.assertEqual(before, self.sources(place))
                self.assertIn(limit, place.artifact(2)["policy"]["violations"][0]["text"])
                place.run()

    def test_forged_byte_code_is_not_believed(self) -> None:
        place = self.place(cheat("forges_byte_code"), repair())
        place.run()
        self.assertEqual("failed", self.outcome(place, 2, "verify"))
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])

    def test_protected_byte_code_that_was_there_before_is_not_believed_either(self) -> None:
        place = self.place(repair())
        subprocess.run(cheat("forges_byte_code"), shell=True, cwd=place.project, check=True)
        place.run()
        self.assertEqual("failed", self.outcome(place, 1, "verify"))

    def test_fail_ends_the_round_at_once(self) -> None:
        policy = {**POLICY, "on_violation": "fail"}
        place = self.place(cheat("edits"), "false", repair(), policy=policy)
        place.run()
        self.assertEqual([(2, "fix", "policy")], [s for s in place.steps() if s[0] == 2])
        self.assertEqual("unhealthy", place.artifact(2)["outcome"])
        self.assertEqual("repaired", place.artifact(4)["outcome"])

    def test_fail_ends_the_last_round_at_once_too(self) -> None:
        policy = {**POLICY, "on_violation": "fail"}
        place = self.place(f"{repair()}; {cheat('edits')}", policy=policy)
        place.run(exitcode=1)
        self.assertEqual([(2, "fix", "policy")], [s for s in place.steps() if s[0] == 2])
        self.assertEqual("unhealthy", place.artifact(2)["outcome"])


class Gates(Project):
    """Gates run code of the agent's, so they are looked at as well."""

    def test_code_that_rewrites_the_test_while_verify_imports_it(self) -> None:
        place = self.place(cheat("lies_in_wait"), "true", repair())
        place.run("--max-rounds", "3", exitcode=1)
        self.assertEqual("policy", self.outcome(place, 2, "verify"))
        self.assertEqual("policy", self.outcome(place, 3, "verify"))
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
        self.assertIn("while it ran", place.heartbeat["last_error"])
        place.configure({**self.document(place), "commands": {"verify": VERIFY, "fix": repair()}})
        place.run()

    def document(self, place: Workspace) -> dict[str, Any]:
        return {"policy": POLICY, "total_rounds": 2}

    def test_caches_in_protected_folders_are_only_removed(self) -> None:
        place = self.place(repair())
        place.run()
        self.assertEqual("passed", self.outcome(place, 2, "verify"))
        self.assertEqual([], place.events_of("policy_violated"))
        self.assertFalse(os.path.exists(place.project_file("tests/__pycache__")))

    def test_what_a_gate_creates_outside_allow_is_gone_before_the_next(self) -> None:
        shadow = cheat("plants", "json.py", "build/kept.txt")
        commands = {"play": shadow, "verify": f"test ! -e json.py && {VERIFY}", "fix": repair()}
        place = self.place("true", commands=commands, repository=True)
        place.run("--max-rounds", "1", exitcode=1)
        self.assertIn("AssertionError: 5 != -1", place.read("logs/round-0001-verify.log"))
        self.assertEqual([], place.events_of("policy_violated"))
        self.assertTrue(os.path.exists(place.project_file("build/kept.txt")))


class Honest(Project):
    """No honest repair is refused."""

    WAYS = (
        "in_place",
        "like_an_editor",
        "with_unittest",
        "with_pytest",
        "with_a_new_file",
        "with_a_rename",
        "with_a_build",
        "with_second_thoughts",
        "with_notes",
        "with_a_commit",
    )

    def test_all_ways_complete_without_a_word(self) -> None:
        for way in self.WAYS:
            with self.subTest(way):
                policy = {**POLICY, "max_changed_files": 5, "max_diff_lines": 20}
                place = self.place(repair(way), name=way, repository=True, policy=policy)
                place.run()
                self.assertEqual([], place.events_of("policy_violated"))
                self.assertEqual([], place.status()["undone"])
                self.assertEqual("repaired", place.artifact(2)["outcome"])

    def test_without_a_repository_too(self) -> None:
        for way in ("with_unittest", "with_pytest"):
            with self.subTest(way):
                place = self.place(repair(way), name=way)
                place.run()
                self.assertEqual([], place.events_of("policy_violated"))

    def test_what_tools_leave_is_no_violation(self) -> None:
        left = (
            *(".benchmarks/a", "htmlcov/i", "coverage.xml", ".coverage.host.1", ".nyc_output/a"),
            *(".aider.chat.md", ".aider.tags/a", ".claude/s", "calc.egg-info/PKG-INFO"),
        )
        for repository in (True, False):
            for path in (*left, *(() if repository else ("env/pyvenv.cfg",))):
                with self.subTest(path, repository=repository):
                    name = f"{path.replace('/', '-')}-{repository}"
                    littering = f"mkdir -p $(dirname {path}); echo x > {path}; {repair()}"
                    place = self.place(littering, name=name, repository=repository)
                    place.run()
                    self.assertEqual([], place.events_of("policy_violated"))
                    if repository:  # elsewhere they are ignored
                        self.assertFalse(os.path.exists(place.project_file(path)))
                        kept = place.exists(f"replaced/1/{path}.replaced")
                        self.assertEqual(path.startswith((".aider", ".claude")), kept)

    def test_a_repair_beside_a_cheat_counts(self) -> None:
        place = self.place(f"{repair()}; {cheat('edits')}")
        place.run()
        self.assertEqual(("policy", "passed"), (self.outcome(place, 2), place.steps()[-1][2]))
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])


class Hooks(Project):
    """What a hook does to the project is noted, and no step is blamed for it."""

    def test_what_a_hook_undoes_after_it_was_measured_is_noted(self) -> None:
        hooks = {"complete": "sed -i 's/+/-/' src/calc.py; echo > tests/test_new.py"}
        place = self.place(repair(), hooks=hooks)
        place.run()
        texts = [note["text"] for note in place.events_of("note") if note["note"] == "hook"]
        self.assertEqual(["hook complete changed src/calc.py after it was measured"], texts)
        self.assertFalse(os.path.exists(place.project_file("tests/test_new.py")))
        place.audit()


class Surroundings(Project):
    """The repository and the workspace are not what the policy is about."""

    def test_workspace_inside_the_project(self) -> None:
        for name in ("ws", ".openloop/demo"):
            with self.subTest(name):
                place = self.place(cheat("edits"), repair(), name=name.replace("/", "-"))
                inside = os.path.join(place.project, name)
                os.makedirs(os.path.dirname(inside), exist_ok=True)
                os.rename(place.path, inside)
                place.path = inside
                place.configure({**self.document(place), "project_root": "."})
                place.run()
                self.assertEqual("policy", self.outcome(place, 2))
                place.audit()

    def document(self, place: Workspace) -> dict[str, Any]:
        fix = by_round("false", cheat("edits"), repair())
        return {"commands": {"verify": VERIFY, "fix": fix}, "policy": POLICY, "total_rounds": 3}

    def test_repositories_are_left_alone(self) -> None:
        names = ("src/nested/inner.txt", "vendor/lib/lib.txt", "README")
        place = self.place(f"{cheat('plants', *names)}; {cheat('edits')}", repair())
        self.add_repositories(place)
        before = self.repositories(place)
        trees = {path: text for path, text in snapshot(place.project).items() if ".git" in path}
        place.run()
        self.assertEqual("policy", self.outcome(place, 2))
        after = snapshot(place.project)
        self.assertEqual(trees, {path: text for path, text in after.items() if ".git" in path})
        os.remove(place.project_file("src/nested/inner.txt"))  # which was allowed
        git(place.project_file("src/nested"), "checkout", "-q", "inner.txt")
        git(place.project, "checkout", "-q", "src/calc.py")
        self.assertEqual(before, self.repositories(place))

    def add_repositories(self, place: Workspace) -> None:
        """One in the project, one nested in an allowed folder, one as a submodule; work stashed,
        staged and on a branch in the first."""
        need(shutil.which("git"), "git")
        library = os.path.join(self.folder, "library")
        for folder, name in ((library, "lib.txt"), (place.project_file("src/nested"), "inner.txt")):
            os.makedirs(folder)
            git(folder, "init", "-q")
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write("as it was\r\n")
            git(folder, "add", "-A")
            git(folder, "commit", "-qm", "first")
        root = place.project
        git(root, "init", "-q")
        git(root, "submodule", "--quiet", "add", library, "vendor/lib")
        git(root, "add", "README", "src/calc.py", "tests", ".gitignore", "src/unused.py")
        git(root, "commit", "-qm", "first")
        git(root, "branch", "other")
        with open(place.project_file("README"), "a", encoding="utf-8") as file:
            file.write("stashed\n")
        git(root, "stash", "-q")
        with open(place.project_file("src/unused.py"), "a", encoding="utf-8") as file:
            file.write("staged = 1\n")
        git(root, "add", "src/unused.py")

    def repositories(self, place: Workspace) -> list[str]:
        asked = (
            ("rev-parse", "HEAD"),
            ("ls-files", "-s"),
            ("stash", "list"),
            ("branch", "-a", "-v"),
            ("status", "--porcelain", "--ignored=no"),
        )
        folders = (place.project, *map(place.project_file, ("src/nested", "vendor/lib")))
        return [git(folder, *words) for folder in folders for words in asked]


class Damage(Project):
    """An agent that turns against the checkpoints or the runner gains nothing."""

    def test_the_store_is_damaged_or_deleted(self) -> None:
        for how in ("fill", "delete"):
            with self.subTest(how):
                place = self.place(cheat("damages_store", how), repair(), name=how)
                ended = place.run(exitcode=None)
                self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
                self.assertIn(ended.code, (0, 3))
                if ended.code:
                    self.assertIn("restore", place.heartbeat["reason"])
                self.assertEqual("failed", self.outcome(place, 2, "verify"))

    def test_the_runner_is_killed_in_the_middle(self) -> None:
        place = self.place(cheat("kills_runner"), repair(), repair())
        before = self.sources(place)
        place.run(exitcode=-signal.SIGKILL)
        self.assertNotEqual(before, self.sources(place))
        place.run()
        kinds = [event["event"] for event in place.events if event["round"] == 2]
        self.assertLess(kinds.index("policy_violated"), kinds.index("round_finished"))
        found = place.events_of("policy_violated")[0]
        self.assertEqual("fix", found["step"])
        self.assertEqual({"json.py", "tests/test_calc.py"}, set(found["paths"]))
        self.assertEqual("interrupted", place.artifact(2)["outcome"])
        after = {**before, "src/calc.py": BROKEN.replace("-", "+").encode()}
        self.assertEqual(after, self.sources(place))
        place.audit()

    def test_what_outlives_runner_and_guard_is_ended_by_the_next_run(self) -> None:
        pid_file = os.path.join(self.folder, "pid")
        place = self.place(cheat("outlives", pid_file), repair(), repair())
        place.run(exitcode=-signal.SIGKILL)
        left = wait_until(lambda: read_pid(pid_file))
        self.addCleanup(end, left)
        place.run()
        self.assert_gone(left)

    def test_the_runner_is_killed_and_the_configuration_edited(self) -> None:
        place = self.place(cheat("kills_runner", "configures"), repair())
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=3)
        self.assertEqual("blocked", place.heartbeat["status"])
        self.assertIn("openloop.json", place.heartbeat["reason"])

    def test_the_runner_is_killed_and_the_store_deleted(self) -> None:
        place = self.place(cheat("kills_runner", "damages"), repair())
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=3)
        self.assertEqual("blocked", place.heartbeat["status"])
        self.assertTrue(place.heartbeat["reason"])


class Words(Project):
    """Every view of a finished run shows what was undone."""

    def test_every_view_names_it(self) -> None:
        place = self.place(cheat("names"), cheat("plants", "json.py"), repair())
        ended = place.run()
        first = place.events_of("policy_violated")[0]
        self.assertEqual((2, "fix"), (first["round"], first["step"]))
        self.assertIn("created protected tests/data/-rf", first["text"])
        violation = place.artifact(2)["policy"]["violations"][0]
        self.assertEqual((first["step"], first["paths"]), (violation["step"], violation["paths"]))
        self.assertEqual(2, len(place.events_of("checkpoint_restored")))
        shown = run_openloop("status", place.path).out
        for text in (ended.err, shown, place.read("artifacts/round-0004-fix-prompt.md")):
            self.assertIn("created json.py outside what is allowed", text)
            self.assertIn("tests/data/-rf", text)
            self.assertNotIn("\x1b[2J", text)
        self.assertIn("json.py", place.status()["undone"][-1]["text"])
        self.assertIn("json.py", place.read("progress.md"))


if __name__ == "__main__":
    unittest.main()
