"""`openloop agents` and what doctor says of agents, with programs of our own on PATH."""

from __future__ import annotations

import json
import os
import stat
import unittest

from openloop.agents import catalog
from support import Case, environment, run_openloop


class Programs(Case):
    def setUp(self) -> None:
        super().setUp()
        self.bin = os.path.join(self.folder, "bin")
        self.home = os.path.join(self.folder, "home")
        os.mkdir(self.bin)
        os.mkdir(self.home)
        path = f"{self.bin}:/usr/bin:/bin"
        kept = {k: v for k, v in environment(PATH=path, HOME=self.home).items() if "API" not in k}
        self.env = {k: v for k, v in kept.items() if not k.startswith(("XDG", "GH_", "GITHUB"))}

    def program(self, name: str, script: str) -> None:
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, stat.S_IRWXU)

    def agents(self, *words: str, exitcode: int | None = 0) -> str:
        return run_openloop("agents", *words, exitcode=exitcode, env=self.env).out

    def seen(self, name: str) -> dict[str, object]:
        found = json.loads(self.agents("--check", "--json", exitcode=None))["agents"]
        return next(one for one in found if one["name"] == name)


class TheCommand(Programs):
    def test_lists_all_without_starting_any(self) -> None:
        self.program("claude", 'touch "$(dirname "$0")/started"')
        listed = self.agents()
        for name in catalog.shipped():
            self.assertRegex(listed, rf"(?m)^{name} +(-|installed) +reports ")
        self.assertFalse(os.path.exists(os.path.join(self.bin, "started")))

    def test_check_tells_version_options_and_login(self) -> None:
        self.program(
            "codex",
            'case "$*" in *--version) echo codex-cli 0.171.0;; *) echo "--json --sandbox";; esac',
        )
        seen = self.seen("codex")
        self.assertEqual(seen["version"], "0.171.0")
        self.assertEqual(seen["missing_options"], ["--skip-git-repo-check"])
        self.assertIsNone(seen["login"])
        os.makedirs(f"{self.home}/.codex")
        with open(f"{self.home}/.codex/auth.json", "w", encoding="utf-8"):
            self.assertEqual(self.seen("codex")["login"], "~/.codex/auth.json is there")
        self.env["OPENAI_API_KEY"] = "x"
        self.assertEqual(self.seen("codex")["login"], "OPENAI_API_KEY is set")
        shown = self.agents("codex", "--check", exitcode=1)
        self.assertIn("it does not know --skip-git-repo-check", shown)

    def test_the_options_are_those_of_the_program(self) -> None:
        self.program("qwen", "echo --session-id --output-format --approval-mode")
        self.assertEqual([], self.seen("qwen")["missing_options"])

    def test_a_program_that_prints_nothing_and_one_that_cannot_be_started(self) -> None:
        self.program("pi", "exit 3")
        self.assertIsNone(self.seen("pi")["missing_options"])
        with open(os.path.join(self.bin, "qwen"), "w", encoding="utf-8") as file:
            file.write("no program")
        os.chmod(os.path.join(self.bin, "qwen"), stat.S_IRWXU)
        self.assertIsNone(self.seen("qwen")["version"])

    def test_an_unknown_name_and_a_broken_preset(self) -> None:
        done = run_openloop("agents", "claud", exitcode=2, env=self.env)
        self.assertIn("did you mean claude?", done.err)
        folder = os.path.join(self.home, ".config/openloop/agents")
        os.makedirs(folder)
        with open(f"{folder}/mine.json", "w", encoding="utf-8") as file:
            file.write('{"runs": "x"}')
        done = run_openloop("agents", exitcode=1, env=self.env)
        self.assertIn(f"{folder}/mine.json", done.err)
        self.assertIn("claude", done.out)


class Doctor(Programs):
    def doctor(self, exitcode: int = 0, **config: object) -> str:
        place = self.workspace(**config)
        return run_openloop("doctor", place.path, exitcode=exitcode, env=self.env).out

    def test_what_would_keep_the_agent_from_working(self) -> None:
        self.program("codex", 'echo "0.1.0 --json"')
        fix = {**catalog.preset_named("codex").as_command(), "stall_timeout_seconds": 10}
        commands = {"verify": "true", "fix": fix}
        output = self.doctor(commands=commands, policy={"sandbox": "auto"})
        self.assertIn("codex may be silent for 120 s and go on, the stall limit is 10 s", output)
        self.assertIn("codex 0.1.0: it does not know --sandbox", output)
        self.assertIn("neither a key nor a login is to be seen", output)
        self.assertIn("the sandbox of codex itself is switched off inside of ours", output)

    def test_an_agent_without_the_prompt_file(self) -> None:
        words = "gets no {prompt_file}, so it does not learn what failed"
        self.program("claude", "exit 0")
        for fix, is_found in (
            ("claude -p 'make the tests pass'", True),
            ("cd x && claude -p go", True),
            ("claude -p < {prompt_file}", False),
            ('claude -p "$(cat "$OPENLOOP_PROMPT_FILE")"', False),
            ("true claude", False),
        ):
            with self.subTest(fix):
                output = self.doctor(exitcode=0, commands={"verify": "true", "fix": fix})
                self.assertEqual(is_found, words in output, output)
                unread = "commands.fix calls claude, but names no agent"
                self.assertEqual("true" not in fix, unread in output, output)
        named = catalog.preset_named("claude").as_command()
        output = self.doctor(exitcode=0, commands={"verify": "true", "fix": named})
        self.assertNotIn("names no agent", output)

    def test_a_pair_that_cannot_nest(self) -> None:
        fix = {"run": "codex exec --full-auto - < {prompt_file}", "agent": "codex"}
        output = self.doctor(
            exitcode=1, commands={"verify": "true", "fix": fix}, policy={"sandbox": "auto"}
        )
        self.assertIn("may start a sandbox of its own, which cannot nest in ours", output)
        self.assertNotIn("codex is not installed", output)  # said once, with the fix
        self.assertIn("commands.fix: codex is neither a program on PATH", output)
        self.assertIn("how to fix: npm install -g @openai/codex", output)
        wrapped = {"run": "true", "agent": "codex"}
        output = self.doctor(exitcode=0, commands={"verify": "true", "fix": wrapped})
        self.assertIn("codex is not installed: codex is not on PATH", output)

    def test_a_budget_without_a_price_and_an_unknown_agent(self) -> None:
        self.program("codex", 'echo "0.1.0 --json"')
        fix = {"run": "codex < {prompt_file}", "agent": "codex"}
        improve = {"run": "true", "agent": "codexx"}
        output = self.doctor(
            exitcode=1,
            commands={"verify": "true", "fix": fix, "improve": improve},
            limits={"max_cost_usd": 5},
        )
        self.assertIn("limits.max_cost_usd cannot be kept: codex reports no cost", output)
        self.assertIn("commands.improve.agent: no agent preset is called 'codexx'", output)


if __name__ == "__main__":
    unittest.main()
