"""`openloop doctor` on the scripts that commands give to an interpreter."""

from __future__ import annotations

import os
from typing import Any

from support import Case, run_openloop


class Scripts(Case):
    def doctor(self, exitcode: int, **config: Any) -> list[tuple[str, str]]:
        """(level, sentence) of each finding that is not ok."""
        name = f"w{len(os.listdir(self.folder))}"
        commands = {"verify": "true", "fix": "true"} | config.pop("commands")
        place = self.workspace(name, commands=commands, **config)
        for made in ("there.sh", "real.js"):
            with open(place.project_file(made), "w", encoding="utf-8"):
                pass
        found = run_openloop("doctor", place.path, "--json", exitcode=exitcode).json["findings"]
        return [(one["level"], one["what"]) for one in found if " is to run " in one["what"]]

    def test_a_missing_script_of_an_agent_is_a_problem_and_named(self) -> None:
        for fix, path in (
            ("sh agent.sh {prompt_file}", "agent.sh"),
            ("python3 tools/agent.py", "tools/agent.py"),
            ("bash ./x.sh", "./x.sh"),
            ("node agent.js", "agent.js"),
            ("sh ~/no-such-folder/x.sh", "~/no-such-folder/x.sh"),
            ("sh there.sh/x.sh", "there.sh/x.sh"),
        ):
            with self.subTest(fix):
                ((level, what),) = self.doctor(1, commands={"fix": fix})
                self.assertEqual("problem", level)
                self.assertIn(f"commands.fix: {fix.split()[0]} is to run {path}, which does", what)

    def test_a_program_of_the_project_that_cannot_be_executed(self) -> None:
        for text, mode, part in (
            ("#!/bin/sh\n", 0o644, "./agent is not executable"),
            ("#!/bin/sh\r\ntrue\r\n", 0o755, "./agent has line ends of Windows"),
            ("#!/no/such/python -I\n", 0o755, "does not exist: /no/such/python"),
            ("#!/bin/sh -e\ntrue\n", 0o755, "ok: commands.fix: ./agent can be run"),
            ("#! /usr/bin/env python3\n", 0o755, "ok: commands.fix: ./agent can be run"),
            ("true\n", 0o755, "ok: commands.fix: ./agent can be run"),
        ):
            with self.subTest(text):
                commands = {"verify": "test -e x", "fix": "./agent {prompt_file}"}
                place = self.workspace(f"w{len(os.listdir(self.folder))}", commands=commands)
                for name in ("agent", "test"):  # the shell's own test is meant
                    with open(place.project_file(name), "w", encoding="utf-8", newline="") as file:
                        file.write(text)
                os.chmod(place.project_file("agent"), mode)
                fine = part.startswith("ok")
                done = run_openloop("doctor", place.path, exitcode=0 if fine else 1)
                self.assertIn(part, " ".join(done.out.split()))
                self.assertIn("ok: commands.verify: test can be run", " ".join(done.out.split()))

    def test_what_is_there_or_unknown_is_no_finding(self) -> None:
        for fix in (
            "sh there.sh",
            "node real",
            "cd sub && sh x.sh",
            "sh $AGENT/x.sh",
            "sh {workspace}/x.sh",
            "make && sh x.sh",
            {"run": "sh ~/x.sh", "env": {"HOME": "/elsewhere"}},
        ):
            with self.subTest(fix):
                self.assertEqual([], self.doctor(0, commands={"fix": fix}))

    def test_the_fallback_counts_too(self) -> None:
        fix = {"run": "true", "fallback": {"run": "sh second.sh"}}
        ((_, what),) = self.doctor(1, commands={"fix": fix})
        self.assertIn("commands.fix.fallback: sh is to run second.sh", what)

    def test_what_a_gate_runs_may_be_what_the_mission_asks_for(self) -> None:
        gate = {"verify": "python3 game.py --check"}
        for level, code, config in (
            ("warning", 0, {}),
            ("warning", 0, {"policy": {"allow": ["*.py"]}}),
            ("problem", 1, {"policy": {"protect": ["game.py"]}}),
            ("problem", 1, {"policy": {"allow": ["src/**"]}}),
        ):
            with self.subTest(config):
                self.assertEqual(level, self.doctor(code, commands=gate, **config)[0][0])
        with self.subTest("no change"):
            place = self.workspace("alone", commands=gate)
            done = run_openloop("doctor", place.path, exitcode=1)
            self.assertIn("problem:  commands.verify: python3 is to run game.py", done.out)
