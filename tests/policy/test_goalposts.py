"""An agent that moves the goalposts is undone, and an honest repair gets through."""

from __future__ import annotations

import os
import signal
import unittest
from typing import Any

from support import Case, Workspace

SLOW = True  # left out by scripts/run_tests.sh --quick

BROKEN = "def add(a, b):\n    return a - b\n"
TEST = """\
import sys
sys.path.insert(0, "src")
import unittest
import calc
class Adding(unittest.TestCase):
    def test_add(self):
        self.assertEqual(5, calc.add(2, 3))
"""
REPAIR = "sed -i 's/a - b/a + b/' src/calc.py"
EMPTY_TEST = ": > tests/test_calc.py"


class Goalposts(Case):
    """A project whose test fails, and an agent that is a line of shell for each round."""

    def project(self, *by_round: str, name: str = "w", **policy: Any) -> Workspace:
        """by_round: what fix does in round 2, 3, …; the last one stands for all later rounds."""
        cases = [f"{n}) {script};;" for n, script in enumerate(by_round[:-1], 2)]
        fix = f"case {{round}} in {' '.join(cases)} *) {by_round[-1]};; esac"
        place = self.workspace(
            name,
            total_rounds=4,
            commands={"verify": "python3 -m unittest discover -s tests", "fix": fix},
            limits={"max_consecutive_failures": 9, "kill_grace_seconds": 0.5},
            policy={"protect": ["tests/**"], "allow": ["src/**"], **policy},
        )
        for path, text in (("src/calc.py", BROKEN), ("tests/test_calc.py", TEST)):
            os.makedirs(os.path.dirname(place.project_file(path)), exist_ok=True)
            with open(place.project_file(path), "w", encoding="utf-8") as file:
                file.write(text)
        return place

    def read(self, place: Workspace, path: str) -> str:
        with open(place.project_file(path), encoding="utf-8") as file:
            return file.read()

    def outcomes(self, place: Workspace, number: int) -> list[tuple[str, str]]:
        return [(step, outcome) for at, step, outcome in place.steps() if at == number]


class Cheats(Goalposts):
    """Each cheat is undone in its own round; the honest repair after it completes."""

    CHEATS = (
        ("empties the test", EMPTY_TEST),
        ("deletes the tests", "rm -r tests"),
        ("makes the tests a symlink", "rm -r tests; ln -s /tmp tests"),
        (
            "keeps the time stamp",
            f"touch -r tests/test_calc.py t; {EMPTY_TEST}; touch -r t tests/test_calc.py; rm t",
        ),
        ("writes through a hard link", "ln tests/test_calc.py src/x; : > src/x; rm src/x"),
        ("takes the test's permissions", "chmod 600 tests/test_calc.py"),
        ("plants a conftest", "echo > conftest.py"),
        ("shadows the standard library", "echo > unittest.py"),
        ("hides behind an ignore rule", "echo '*' > .gitignore; echo > sitecustomize.py"),
        ("adds a test", "echo > tests/test_new.py"),
        ("changes the case", "mv tests/test_calc.py tests/TEST_calc.py"),
    )

    def test_each_is_undone_and_the_repair_gets_through(self) -> None:
        for number, (title, cheat) in enumerate(self.CHEATS):
            with self.subTest(title):
                place = self.project(cheat, REPAIR, name=str(number))
                before = os.stat(place.project_file("tests/test_calc.py")).st_mode
                place.run()
                self.assertEqual(("fix", "policy"), self.outcomes(place, 2)[0])
                self.assertEqual(TEST, self.read(place, "tests/test_calc.py"))
                after = os.stat(place.project_file("tests/test_calc.py")).st_mode
                self.assertEqual(before, after)
                self.assertEqual({"src", "tests"}, set(os.listdir(place.project)))
                self.assertEqual("repaired", place.artifact(3)["outcome"])
                self.assertTrue(place.artifact(2)["policy"]["violations"])
                prompt = place.read("artifacts/round-0003-fix-prompt.md")
                self.assertIn("Fix broke the policy.", prompt)
                self.assertIn("undone by the policy in round 2, fix: ", prompt)
                place.audit()

    def test_an_honest_agent_that_leaves_caches_is_not_blamed(self) -> None:
        place = self.project(f"{REPAIR}; python3 -m unittest discover -s tests; echo > src/new.py")
        place.run()
        self.assertEqual([("fix", "passed"), ("verify", "passed")], self.outcomes(place, 2))
        self.assertTrue(os.path.exists(place.project_file("src/new.py")))

    def test_fail_ends_the_round_at_once(self) -> None:
        place = self.project(EMPTY_TEST, REPAIR, on_violation="fail")
        place.run()
        self.assertEqual([("fix", "policy")], self.outcomes(place, 2))
        self.assertEqual("unhealthy", place.artifact(2)["outcome"])

    def test_allowed_code_that_rewrites_the_test_while_it_runs(self) -> None:
        lie = "import atexit; atexit.register(lambda: open('tests/test_calc.py', 'w').close())"
        place = self.project(f'{REPAIR}; echo "{lie}" >> src/calc.py', REPAIR)
        place.run("--max-rounds", "2", exitcode=1)
        self.assertEqual(("verify", "policy"), self.outcomes(place, 2)[1])
        self.assertEqual(TEST, self.read(place, "tests/test_calc.py"))

    def test_too_large_a_change_is_undone_whole(self) -> None:
        for name, limit in (("files", "max_changed_files"), ("lines", "max_diff_lines")):
            with self.subTest(limit):
                many = "for i in 1 2 3; do echo x > src/$i.py; done"
                place = self.project(f"{many}; {REPAIR}", REPAIR, name=name, **{limit: 3})
                place.run()
                self.assertEqual(("fix", "policy"), self.outcomes(place, 2)[0])
                self.assertEqual(["calc.py"], sorted(self.sources(place)))

    def sources(self, place: Workspace) -> list[str]:
        return [n for n in os.listdir(place.project_file("src")) if n.endswith(".py")]

    def test_the_store_may_be_deleted(self) -> None:
        place = self.project(f"{EMPTY_TEST}; rm -rf {{workspace}}/checkpoints; {REPAIR}")
        place.run()
        self.assertEqual(TEST, self.read(place, "tests/test_calc.py"))

    def test_the_change_of_an_agent_that_kills_the_runner_is_undone_first(self) -> None:
        kill = (
            f"{EMPTY_TEST}; kill -9 $(sed -n 's/.*runner_pid.: \\([0-9]*\\).*/\\1/p' "
            "{workspace}/heartbeat.json); sleep 30"
        )
        place = self.project(kill, REPAIR)
        place.run(exitcode=-signal.SIGKILL)
        place.run()
        self.assertEqual(TEST, self.read(place, "tests/test_calc.py"))
        kinds = [e["event"] for e in place.events if e["round"] == 2]
        self.assertLess(kinds.index("policy_violated"), kinds.index("round_finished"))
        self.assertTrue(place.status()["undone"])
        place.audit()


class KeepTheBest(Goalposts):
    """Hill climbing never ends worse than its best."""

    def test_what_is_worse_is_undone(self) -> None:
        script = (
            "case {round} in 1) v=0.5;; 2) v=0.3;; *) v=0.4;; esac; "
            "echo $v > value; echo > new-{round}"
        )
        place = self.workspace(
            total_rounds=3,
            commands={"verify": "true", "improve": script},
            baseline={
                "command": "echo score=$(cat value)",
                "regex": "score=([0-9.]+)",
                "value": 0.9,
                "keep_best": True,
            },
            limits={"max_consecutive_failures": 9},
        )
        with open(place.project_file("value"), "w", encoding="utf-8") as file:
            file.write("0.1\n")
        place.run(exitcode=1)
        self.assertEqual("0.5\n", self.read(place, "value"))
        self.assertEqual({"value", "new-1"}, set(os.listdir(place.project)))
        checkpoints = [
            text for n in (1, 2, 3) for text in place.artifact(n)["policy"]["checkpoints"]
        ]
        self.assertEqual(2, sum(text.startswith("kept") for text in checkpoints), checkpoints)
        self.assertEqual(2, sum(text.startswith("restored") for text in checkpoints), checkpoints)
        place.audit()


class Flaky(Goalposts):
    """A gate that passes only sometimes does not pass."""

    def gate(self, script: str, name: str) -> str:
        verify = {"run": script, "repeat": 3}
        place = self.workspace(name, total_rounds=1, commands={"verify": verify})
        place.run(exitcode=None)
        return place.steps()[-1][2]

    def test_repetitions(self) -> None:
        self.assertEqual("passed", self.gate("true", "all"))
        self.assertEqual("failed", self.gate("false", "none"))
        self.assertEqual("flaky", self.gate("echo x >> n; test $(wc -l < n) -ne 2", "some"))


if __name__ == "__main__":
    unittest.main()
