"""A gate that passes only sometimes does not pass, and `doctor --probe` finds it beforehand."""

from __future__ import annotations

import os
import unittest

from support import Case, Done, Workspace, by_round, run_openloop

SECOND_FAILS = "echo x >> ../count; echo run $(wc -l < ../count); test $(wc -l < ../count) -ne 2"


class Repeated(Case):
    """`repeat` runs a gate so many times: all, none or some of them pass."""

    def gate(self, script: str, name: str, repeat: int = 3) -> Workspace:
        verify = {"run": script, "repeat": repeat}
        place = self.workspace(name, total_rounds=1, commands={"verify": verify})
        place.run(exitcode=None)
        return place

    def test_all_pass(self) -> None:
        place = self.gate("echo run >> ../count", "all")
        self.assertEqual([(1, "verify", "passed")], place.steps())
        self.assertEqual("run\n" * 3, self.count(place))

    def test_none_passes(self) -> None:
        self.assertEqual([(1, "verify", "failed")], self.gate("false", "none").steps())

    def test_some_pass(self) -> None:
        place = self.gate(SECOND_FAILS, "some")
        self.assertEqual([(1, "verify", "flaky")], place.steps())
        self.assertEqual("exhausted", place.heartbeat["status"])
        self.assertEqual("flaky", place.heartbeat["normality"])
        self.assertIn("flaky", place.heartbeat["last_error"])
        log = place.read("logs/round-0001-verify.log")
        self.assertTrue(log.startswith("run 1\nrun 2\n"), log)
        self.assertEqual(1, len(place.artifact(1)["steps"]))

    def test_once_is_not_enough_to_tell(self) -> None:
        self.assertEqual("passed", self.gate(SECOND_FAILS, "once", repeat=1).steps()[0][2])

    def test_a_change_that_makes_it_steady_completes(self) -> None:
        script = "test -e ../steady || { echo x >> ../count; test $(wc -l < ../count) -ne 2; }"
        commands = {
            "verify": {"run": script, "repeat": 3},
            "fix": by_round("false", "touch ../steady"),
        }
        place = self.workspace("mended", total_rounds=3, commands=commands)
        place.run()
        outcomes = [(1, "verify", "flaky"), (2, "fix", "passed"), (2, "verify", "passed")]
        self.assertEqual(outcomes, place.steps())

    def count(self, place: Workspace) -> str:
        with open(os.path.join(place.folder, "count"), encoding="utf-8") as file:
            return file.read()


class Probe(Case):
    """`doctor --probe N` runs verify N times and bounds its flake rate."""

    def probe(self, script: str, times: int, exitcode: int) -> tuple[Workspace, Done]:
        place = self.workspace(commands={"verify": script})
        words = ("doctor", place.path, "--probe", str(times))
        return place, run_openloop(*words, exitcode=exitcode, workspace=place)

    def test_a_steady_gate_gives_a_bound(self) -> None:
        place, done = self.probe("echo x >> ../count", 6, 0)
        self.assertIn("passed 6 of 6 times", done.out)
        self.assertIn("up to 39% of runs", done.out)
        with open(os.path.join(place.folder, "count"), encoding="utf-8") as file:
            self.assertEqual(6, len(file.readlines()))
        self.assertEqual([], place.events)

    def test_a_flaky_gate_is_a_problem(self) -> None:
        _, done = self.probe(SECOND_FAILS, 4, 1)
        self.assertIn("failed 1 of 4 times", done.out)

    def test_a_gate_that_always_fails_is_not_called_flaky(self) -> None:
        _, done = self.probe("false", 2, 0)
        self.assertIn("verify fails now, 2 of 2 times", done.out)
        self.assertNotIn("flaky", done.out)


if __name__ == "__main__":
    unittest.main()
