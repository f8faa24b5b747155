"""A record that an agent erased or added to is not gone on with."""

from __future__ import annotations

import os
import signal
import unittest

from fs.trees import remove
from policy.test_policy import POLICY, TEST, VERIFY, Project, cheat, repair
from support import Workspace, run_openloop, snapshot

SLOW = True  # left out by scripts/run_tests.sh --quick


class Forgery(Project):
    def killed(self, script: str, name: str) -> Workspace:
        """After a run whose runner the agent has killed in round 2."""
        place = self.place(script, repair(), name=name)
        place.run(exitcode=-signal.SIGKILL)
        return place

    def assert_refused(self, place: Workspace, named: str) -> None:
        """The next run is blocked and names it, and starts nothing; audit and doctor agree."""
        before = snapshot(place.project)
        ended = place.run(exitcode=3)
        self.assertIn(named, ended.err)
        self.assertIn("init --force", ended.err)
        self.assertEqual("blocked", place.heartbeat["status"])
        self.assertIn(named, place.heartbeat["reason"])
        self.assertEqual(before, snapshot(place.project))
        self.assertIn("broken", place.audit(exitcode=1).out)
        self.assertIn(named, run_openloop("doctor", place.path, exitcode=1).out)
        place.run(exitcode=3)


class Erased(Forgery):
    """The record is gone when the runner dies; its guard has seen it, and puts it back."""

    CASES = (
        ("events.jsonl", "heartbeat.json"),
        ("events.jsonl:", "heartbeat.json"),
        ("events.jsonl", "heartbeat.json", "logs", "progress.md"),
        ("events.jsonl", "heartbeat.json", "artifacts", "progress.md"),
        ("events.jsonl", "heartbeat.json", "artifacts", "logs", "progress.md"),
        ("events.jsonl", "heartbeat.json", "artifacts", "logs", "progress.md", "checkpoints"),
        ("events.jsonl:", "heartbeat.json", "artifacts", "logs", "progress.md", "checkpoints"),
    )

    def test_the_next_run_does_not_begin_afresh(self) -> None:
        for number, names in enumerate(self.CASES):
            with self.subTest(" ".join(names)):
                place = self.killed(cheat("erases_record", *names), str(number))
                self.assert_refused(place, "does not follow from the line before")
                self.assertIn('{"tampered": "removed', place.read("events.jsonl"))

    def test_erased_while_nobody_ran(self) -> None:
        """No event is left, but files of rounds are."""
        for number, name in enumerate(("logs", "artifacts", "checkpoints")):
            with self.subTest(left=name):
                place = self.place("true", name=str(number))
                place.run(exitcode=1)
                for other in {"events.jsonl", "heartbeat.json", "logs", "artifacts"} - {name}:
                    remove(place.file(other))
                self.assert_refused(place, f"no event is left, but {name}/")

    def test_a_person_may_begin_a_new_record(self) -> None:
        for number, names in enumerate(self.CASES[:2]):
            with self.subTest(" ".join(names)):
                place = self.killed(cheat("erases_record", *names), str(number))
                place.run(exitcode=3)
                run_openloop("init", "--force", place.path, "--project-root", place.project)
                commands = {"verify": VERIFY, "fix": repair()}
                place.configure({"total_rounds": 2, "commands": commands, "policy": POLICY})
                with open(place.project_file("tests/test_calc.py"), "w", encoding="utf-8") as file:
                    file.write(TEST)
                place.audit()
                self.assertEqual(0, run_openloop("doctor", place.path, exitcode=None).code)
                place.run()
                self.assertEqual({3, 4}, {number for number, _, _ in place.steps()})
                self.assertIn("begins beside", place.events[0]["text"])
                self.assertTrue(os.path.exists(place.file("logs/round-0001-verify.log")))
                self.assertIn("begins beside", place.read("progress.md"))
                self.assertFalse(place.exists("progress.md.edited-1"))
                place.audit()

    def test_a_run_that_was_killed_before_its_first_event_begins_afresh(self) -> None:
        place = self.place(repair())
        os.makedirs(place.file("checkpoints/manifests"))
        with open(place.file("checkpoints/manifests/reference-0.json"), "w", encoding="utf-8"):
            pass
        place.run()


class Forged(Forgery):
    """Lines that chain correctly, but name files that are not what they say."""

    def test_events_that_an_agent_appended(self) -> None:
        for how in ("change", "round"):
            with self.subTest(how):
                place = self.killed(cheat("forges_events", how), how)
                self.assert_refused(place, "round-0002")

    def test_a_log_of_a_run_that_is_over_is_left_to_audit(self) -> None:
        for how in ("edited", "removed"):
            with self.subTest(how):
                place = self.place("true", name=how)
                place.run("--max-rounds", "1", exitcode=1)
                log = place.file("logs/round-0001-verify.log")
                if how == "removed":
                    os.remove(log)
                else:
                    with open(log, "r+b") as file:
                        file.write(b"x")
                place.run("--max-rounds", "1", exitcode=1)
                self.assertIn("logs/round-0001-verify.log", place.audit(exitcode=1).out)

    def test_a_log_removed_by_a_command_does_not_forbid_the_trial(self) -> None:
        place = self.workspace(
            commands={"verify": "test $OPENLOOP_ROUND = 3 || { rm -rf {workspace}/logs; false; }"}
        )
        place.run(exitcode=3)
        place.run(exitcode=3)
        place.run()
        self.assertEqual("complete", place.heartbeat["status"])


if __name__ == "__main__":
    unittest.main()
