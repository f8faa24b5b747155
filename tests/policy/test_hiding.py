"""Where an agent might hide what it changes: deep, behind links, in folders nobody looks into."""

from __future__ import annotations

import os
import shutil
import stat
import unittest
from typing import Any

from policy.test_policy import POLICY, Project, cheat, git, repair
from support import Workspace, need, run_openloop

SLOW = True  # left out by scripts/run_tests.sh --quick


def need_closed_folders() -> None:
    if os.geteuid() == 0:
        raise unittest.SkipTest("root may look into every folder")


class Hiding(Project):
    """What is hidden is undone, and the honest repair after it completes."""

    def assert_undone(self, place: Workspace, *, left: tuple[str, ...] = ()) -> None:
        """Round 2 was a violation and left nothing but the paths in `left`; round 3 repairs."""
        before = self.tree(place)
        place.run("--max-rounds", "2", exitcode=1)
        self.assertEqual("policy", self.outcome(place, 2))
        after = self.tree(place)
        self.assertEqual(before, {path: after[path] for path in after if path not in left})
        place.run()
        self.assertEqual("repaired", place.artifact(place.heartbeat["round"])["outcome"])
        place.audit()

    def tree(self, place: Workspace) -> dict[str, tuple[int, object]]:
        """Kinds, permissions and contents; as far down as names reach."""
        contents = self.sources(place)
        found: dict[str, tuple[int, object]] = {}
        for path in contents:
            mode = os.lstat(place.project_file(path)).st_mode
            found[path] = (mode, None if stat.S_ISDIR(mode) else contents[path])
        return found


class Depth(Hiding):
    """No path is too deep to be seen."""

    CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("outside allow", POLICY, cheat("buries", "lib", 250, "conftest.py")),
        ("in a protected folder", POLICY, cheat("buries", "tests/data", 250, "conftest.py")),
        (
            "by a protected name in an allowed folder",
            {"protect": ["tests/**", "conftest.py"], "allow": ["src/**"]},
            cheat("buries", "src", 250, "conftest.py"),
        ),
        (
            "by a protected name in an ignored folder",
            {"protect": ["tests/**", "conftest.py"], "allow": ["src/**"]},
            cheat("buries", "build", 250, "conftest.py"),
        ),
        ("from the maxima", {"max_changed_files": 3}, cheat("buries", "src", 250, "x.py")),
        ("deeper than a path is long", POLICY, cheat("buries", "lib", 2200, "conftest.py")),
        ("behind long names", POLICY, cheat("buries", "lib", 60, "conftest.py", 250)),
    )

    IN_A_REPOSITORY = ("by a protected name in an ignored folder", "deeper than a path is long")

    def test_a_buried_file_is_removed(self) -> None:
        for number, (title, policy, script) in enumerate(self.CASES):
            with self.subTest(title):
                repository = title in self.IN_A_REPOSITORY  # where git's rules say what is ignored
                how: dict[str, Any] = {"policy": policy, "repository": repository}
                self.assert_undone(self.place(script, repair(), name=str(number), **how))

    def test_a_project_that_is_too_deep_at_the_start_is_refused(self) -> None:
        place = self.place("true")
        os.makedirs(place.project_file("/".join(["d"] * 210)))
        ended = place.run(exitcode=2)
        self.assertIn("folders deep", ended.err)
        self.assertIn("fix:", ended.err)
        self.assertEqual([], place.events)
        self.assertIn("folders deep", run_openloop("doctor", place.path, exitcode=1).out)

    def test_a_folder_closed_by_its_owner_hides_nothing(self) -> None:
        need_closed_folders()
        scripts = (
            "mkdir src/shut; echo > src/shut/conftest.py; chmod 0 src/shut",
            "echo > src/old/conftest.py; chmod 0 src/old",
            "mkdir lib; echo > lib/x.py; chmod 0 lib",
            "chmod 0 tests",
        )
        policy = {"protect": ["tests/**", "conftest.py"], "allow": ["src/**"]}
        for number, script in enumerate(scripts):
            with self.subTest(script):
                place = self.place(script, repair(), name=str(number), policy=policy)
                os.mkdir(place.project_file("src/old"))
                self.assert_undone(place)

    def test_a_protected_folder_that_cannot_be_read_is_refused(self) -> None:
        need_closed_folders()
        place = self.place("true")
        closed = place.project_file("tests/data")
        os.chmod(closed, 0)
        self.addCleanup(os.chmod, closed, 0o700)
        ended = place.run(exitcode=2)
        self.assertIn("tests/data", ended.err)
        self.assertEqual([], place.events)


class Links(Hiding):
    """A protected symlink stands for what it leads to, as it was when the run began."""

    def linked(self, *agents: str, name: str = "w", **policy: Any) -> Workspace:
        place = self.place(*agents, name=name, policy={"protect": ["tests/**"], **policy})
        for folder in ("fixtures", "shared/cases"):
            os.makedirs(place.project_file(folder))
        with open(place.project_file("fixtures/golden.txt"), "w", encoding="utf-8") as file:
            file.write("5")
        os.symlink("fixtures", place.project_file("way"))
        os.symlink("../../way/golden.txt", place.project_file("tests/data/by_way.txt"))
        os.symlink("../../fixtures/golden.txt", place.project_file("tests/data/linked.txt"))
        os.symlink("../shared/cases", place.project_file("tests/cases"))
        return place

    def test_what_a_protected_link_leads_to_is_protected(self) -> None:
        cases = (
            ("tests/data/linked.txt", "writes"),
            ("tests/data/linked.txt", "replaces"),
            ("tests/data/by_way.txt", "writes"),
            ("tests/data/by_way.txt", "turns"),
            ("tests/cases", "plants"),
        )
        for number, words in enumerate(cases):
            with self.subTest(" ".join(words)):
                place = self.linked(cheat("follows_links", *words), repair(), name=str(number))
                self.assert_undone(place)

    def test_a_protected_folder_may_be_a_link(self) -> None:
        place = self.linked(cheat("edits"), cheat("plants", "shared/conftest.py"), repair())
        os.rename(place.project_file("tests"), place.project_file("shared/tests"))
        os.symlink("shared/tests", place.project_file("tests"))
        before = self.tree(place)
        place.run("--max-rounds", "2", exitcode=1)
        self.assertEqual("policy", self.outcome(place, 2))
        self.assertEqual(before, self.tree(place))

    def test_an_ignored_link_protects_no_source(self) -> None:
        """npm links the packages of a workspace into node_modules."""
        place = self.linked(repair(), protect=["tests/**", "node_modules/*"])
        os.mkdir(place.project_file("node_modules"))
        os.symlink("../src", place.project_file("node_modules/calc"))
        place.run()
        self.assertEqual([], place.events_of("policy_violated"))
        self.assertEqual("passed", self.outcome(place, 2))

    def test_a_link_to_a_folder_above_it_protects_nothing_more(self) -> None:
        place = self.linked(repair())
        os.symlink("..", place.project_file("tests/up"))
        place.run()
        self.assertEqual([], place.events_of("policy_violated"))


class Folders(Hiding):
    """What is not of the project by its name is looked into where it was not there before."""

    def test_a_repository_or_workspace_made_in_a_protected_folder(self) -> None:
        for number, name in enumerate(("tests/.git/hooks/x.py", "tests/data/.openloop/x.py")):
            with self.subTest(name):
                place = self.place(cheat("plants", name), repair(), name=str(number))
                self.assert_undone(place)

    def test_a_new_folder_in_which_python_left_byte_code(self) -> None:
        files = ("tests/new/h.py", "tests/new/__pycache__/h.cpython-311.pyc")
        for number, name in enumerate(files):
            place = self.place(cheat("plants", name), repair(), name=str(number))
            self.assert_undone(place)
        self.assert_undone(self.place(cheat("plants", *files), repair(), name="both"))

    def test_one_made_outside_what_is_allowed(self) -> None:
        names = ("lib/.git/x.py", "lib/.openloop/x.py", "lib/x.py")
        for repository in (False, True):
            with self.subTest(f"repository {repository}"):
                how: dict[str, Any] = {"name": str(repository), "repository": repository}
                self.assert_undone(self.place(cheat("plants", *names), repair(), **how))

    def test_a_file_whose_place_such_a_folder_took(self) -> None:
        names = ("tests/test_calc.py/.git/x", "tests/test_calc.py/.openloop/x")
        script = f"rm tests/test_calc.py; {cheat('plants', *names)}"
        self.assert_undone(self.place(script, repair()))

    def test_a_repository_moved_into_a_protected_folder_is_not_destroyed(self) -> None:
        need(shutil.which("git"), "git")
        place = self.place("mv src/inner tests/inner", repair())
        inner = place.project_file("src/inner")
        os.mkdir(inner)
        git(inner, "init", "-q")
        place.run(exitcode=3)
        self.assertIn("tests/inner", place.heartbeat["reason"])
        self.assertTrue(os.path.exists(place.project_file("tests/inner/.git/HEAD")))

    def test_permissions_of_the_protected_folder_itself(self) -> None:
        self.assert_undone(self.place("chmod 700 tests", repair()))

    def test_empty_folders_and_permissions_outside_what_is_allowed(self) -> None:
        script = cheat("makes_folders", "empty", "docs/deep/er")
        place = self.place(script, repair())
        os.mkdir(place.project_file("docs"))
        self.assert_undone(place)
        again = self.place("rmdir docs/old; chmod 700 docs", repair(), name="again")
        os.makedirs(again.project_file("docs/old"))
        self.assert_undone(again)

    def test_folders_that_only_hold_what_is_allowed_may_come_and_go(self) -> None:
        script = f"mkdir src/new; echo > src/new/x.py; rm -r src/old; {repair()}"
        policy = {"protect": ["tests/**"], "allow": ["src/**/*.py"]}
        place = self.place(script, policy=policy)
        os.makedirs(place.project_file("src/old"))
        with open(place.project_file("src/old/x.py"), "w", encoding="utf-8"):
            pass
        place.run()
        self.assertEqual([], place.events_of("policy_violated"))


if __name__ == "__main__":
    unittest.main()
