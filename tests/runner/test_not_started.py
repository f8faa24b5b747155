"""Commands that could not start: a gate says so, a change blocks the run after one try."""

from __future__ import annotations

import os
from typing import Any

from support import Case, Done, Workspace

FAILS = "test -e fixed"


class NotStarted(Case):
    def loop(self, fix: Any, verify: Any = FAILS, **config: Any) -> Workspace:
        commands = {"verify": verify} | ({"fix": fix} if fix else {})
        return self.workspace(f"w{len(os.listdir(self.folder))}", commands=commands, **config)

    def blocked(self, fix: Any) -> tuple[Workspace, Done]:
        """A run that ends after the first try of fix, in round 2."""
        place = self.loop(fix)
        done = place.run(exitcode=3)
        self.assertEqual(place.steps(), [(1, "verify", "failed"), (2, "fix", "unavailable")])
        self.assertEqual(place.events_of("breaker_tripped"), [])
        self.assertEqual(place.heartbeat["consecutive_failures"], 1)  # of the first round
        place.audit()
        return place, done

    def test_a_change_whose_program_is_missing(self) -> None:
        place, done = self.blocked("no-such-agent --file {prompt_file}")
        words = "fix could not start: no-such-agent: not found (exit code 127)"
        self.assertEqual(place.heartbeat["last_error"], words)
        self.assertTrue(place.heartbeat["reason"].startswith(f"{words}; "))
        self.assertIn(f"blocked: {words}", done.out)
        self.assertEqual(place.events_of("step_finished")[1]["refusal"]["kind"], "missing")

    def test_a_change_whose_program_cannot_be_executed_or_is_not_read(self) -> None:
        for fix, why in (
            ("sh agent.sh {prompt_file}", "agent.sh does not exist"),
            ("python3 ~/no/agent.py", "~/no/agent.py does not exist"),
            ("cat {prompt_file} | no-such-agent", "no-such-agent: not found"),
            ("nice -n 1 ./agent", "agent"),
            ("./plain", "./plain: Permission denied"),
        ):
            with self.subTest(fix):
                place = self.loop(fix)
                with open(place.project_file("plain"), "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\n")
                place.run(exitcode=3)
                self.assertEqual([(2, "fix", "unavailable")], place.steps()[1:])
                self.assertIn("fix could not start: ", place.heartbeat["reason"])
                self.assertIn(why, place.heartbeat["reason"])

    def test_the_person_who_put_it_in_place_goes_on_with_one_round(self) -> None:
        place, _ = self.blocked("sh agent.sh")
        with open(place.project_file("agent.sh"), "w", encoding="utf-8") as file:
            file.write("touch fixed\n")
        place.run()
        self.assertEqual([(3, "fix", "passed"), (3, "verify", "passed")], place.steps()[-2:])
        place.audit()

    def test_the_fallback_works_instead(self) -> None:
        place = self.loop({"run": "no-such-agent", "fallback": {"run": "touch fixed"}})
        place.run()
        self.assertEqual(
            [(2, "fix", "unavailable"), (2, "fix", "passed"), (2, "verify", "passed")],
            place.steps()[1:],
        )

    def test_a_change_that_did_something_has_only_failed(self) -> None:
        for fix in (
            "echo working; no-such-formatter",
            "touch x; no-such-formatter",
            "sh -c 'touch x; no-such-formatter'",
            "exit 127",
            "exit 126",
            "echo no-such-agent; exit 127",
        ):
            with self.subTest(fix):
                place = self.loop(fix, total_rounds=2)
                place.run(exitcode=1)
                self.assertEqual(place.steps()[1], (2, "fix", "failed"))

    def test_a_gate_says_it_in_the_reason_and_may_be_repaired(self) -> None:
        place = self.loop("", verify="mocha-is-missing tests", total_rounds=9)
        place.run(exitcode=3)
        words = "verify could not start: mocha-is-missing: not found (exit code 127)"
        self.assertEqual(place.heartbeat["last_error"], words)
        self.assertTrue(place.heartbeat["reason"].endswith(f"; {words}"))
        self.assertEqual({"failed"}, {outcome for _, _, outcome in place.steps()})
        fix = "echo true > check; chmod +x check"
        self.loop(fix, verify="./check").run()

    def test_a_private_log_is_not_quoted(self) -> None:
        verify = {"run": "no-such-check", "private": True}
        place = self.loop("", verify=verify, total_rounds=1)
        place.run(exitcode=1)
        self.assertNotIn("no-such-check", place.heartbeat["last_error"])
