"""Gates in the sandbox: what code under test can write while a gate runs it."""

from __future__ import annotations

import os
import unittest
from typing import Any

from policy.test_sandbox import Sandboxed
from support import Case, Workspace, environment, run_openloop


def writes(*paths: str) -> str:
    """A gate that passes whatever it can write, and reports it."""
    return "; ".join(f"(: > '{path}') 2>/dev/null && echo '{path}'" for path in paths) + "; true"


class Gates(Sandboxed):
    def gate(self, verify: str, **policy: Any) -> Workspace:
        place = self.workspace(
            total_rounds=1,
            commands={"verify": verify},
            policy={"sandbox_gates": True, **policy},
        )
        os.makedirs(place.project_file("src"))
        os.makedirs(place.file("holdout"))
        with open(place.file("holdout/case.txt"), "w", encoding="utf-8") as file:
            file.write("held out\n")
        return place

    def test_the_project_and_a_temporary_folder_can_be_written_and_nothing_else(self) -> None:
        state = os.path.join(self.folder, "state")
        os.makedirs(state)
        home = os.path.join(self.folder, "home")
        os.makedirs(home)
        place = self.gate("true", writable=[state])
        inside = [place.project_file("src/cache"), "/tmp/openloop-test-gate", f"{state}/cache"]
        outside = [
            os.path.join(place.folder, "pytest.ini"),  # above the project
            f"{home}/.profile",
            place.file("openloop.json"),
            place.file("knowledge/lesson.md"),
            place.file("output/result"),
            place.file("holdout/case.txt"),
        ]
        verify = f"cat {place.file('holdout/case.txt')}; {writes(*inside, *outside)}"
        place.configure(
            {
                "total_rounds": 1,
                "commands": {"verify": verify},
                "policy": {"sandbox_gates": True, "writable": [state]},
            }
        )
        place.run()
        log = place.read("logs/round-0001-verify.log").splitlines()
        self.assertEqual(["held out", *inside], log)
        self.assertEqual("bwrap", place.artifact(1)["steps"][0]["sandbox"])
        self.assertFalse(os.path.exists("/tmp/openloop-test-gate"))

    def test_gates_alone_and_changes_alone(self) -> None:
        for policy, expected in (
            ({"sandbox_gates": True}, {"fix": "none", "verify": "bwrap"}),
            ({"sandbox": "bwrap"}, {"fix": "bwrap", "verify": "none"}),
            ({"sandbox": "bwrap", "sandbox_gates": True}, {"fix": "bwrap", "verify": "bwrap"}),
        ):
            with self.subTest(policy):
                name = "-".join(policy)
                commands = {"fix": "echo > done", "verify": "test -e done"}
                place = self.workspace(name, total_rounds=2, commands=commands, policy=policy)
                place.run()
                found = {one["step"]: one["sandbox"] for one in place.artifact(2)["steps"]}
                self.assertEqual(expected, found)

    def test_doctor_says_that_it_works(self) -> None:
        done = run_openloop("doctor", self.gate("true").path)
        self.assertIn("the sandbox works", done.out)


class WithoutIt(Case):
    """Where bubblewrap does not work: here, because no PATH leads to it."""

    def test_nothing_is_started_unless_auto_allows_it(self) -> None:
        env = environment(PATH=self.folder)
        policy: dict[str, Any] = {"sandbox_gates": True}
        place = self.workspace(total_rounds=1, commands={"verify": ":"}, policy=policy)
        done = place.run(exitcode=2, env=env)
        self.assertIn("the sandbox cannot be used", done.err)
        self.assertIn("policy.sandbox_gates", done.err)
        run_openloop("doctor", place.path, exitcode=1, env=env)
        policy["sandbox"] = "auto"
        place.configure({"total_rounds": 1, "commands": {"verify": ":"}, "policy": policy})
        self.assertIn("gates run without a sandbox: bwrap is not", place.run(env=env).out)
        done = run_openloop("doctor", place.path, env=env)
        self.assertIn("gates run without a sandbox", done.out)


if __name__ == "__main__":
    unittest.main()
