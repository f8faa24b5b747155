"""The presets: commands that can be filled in safely and configured, and the mending of a slip."""

import json
import re
import unittest

from openloop.config import config, template
from openloop.core.errors import UsageError
from openloop.core.vocabulary import Step
from openloop.setup.agent_presets import AGENTS, agent_named

ENDS_WELL = '{"type":"result","subtype":"success","is_error":false,"result":"%s"}'
QUOTED = json.dumps({"type": "user", "text": 'log:\n{"type":"result","is_error":true}'})


class Presets(unittest.TestCase):
    def test_each_command_is_filled_in_safely(self):
        for agent in AGENTS.values():
            with self.subTest(agent.name):
                self.assertEqual(template.check(agent.run), [])
                self.assertEqual(template.warnings(agent.run), [])
                filled = template.render(agent.run, round=1, step="fix")
                self.assertIn('"${OPENLOOP_PROMPT_FILE}"', filled)
                self.assertNotIn("{prompt_file}", filled)

    def test_each_makes_a_valid_configuration(self):
        for agent in AGENTS.values():
            command = agent.as_command()
            document = {
                "version": 1,
                "mission": "m",
                "project_root": ".",
                "commands": {"verify": "true", "fix": command, "improve": command},
            }
            with self.subTest(agent.name):
                parsed = config.parse(json.dumps(document).encode(), where="openloop.json")
                fix = parsed.command(Step.FIX)
                self.assertEqual(fix.run, agent.run)
                self.assertEqual(fix.stall_timeout, agent.stall_timeout_seconds)

    def test_each_outlasts_a_long_silence(self):
        for agent in AGENTS.values():
            with self.subTest(agent.name):
                self.assertGreaterEqual(agent.stall_timeout_seconds, 900)
                self.assertGreater(agent.timeout_seconds, agent.stall_timeout_seconds)

    def test_each_says_what_it_is(self):
        for name, agent in AGENTS.items():
            with self.subTest(name):
                self.assertEqual(name, agent.name)
                self.assertEqual(agent.program, agent.run.split(" ")[0])
                self.assertTrue(agent.note.endswith("."))
                self.assertNotIn("\n", agent.note)
                self.assertRegex(agent.install, r"\A(npm install -g|pip install) [@\w./-]+\Z")
                self.assertNotIn("://", agent.install)
                self.assertTrue(all(path.startswith("~/") for path in agent.state))

    def test_none_skips_every_permission(self):
        for agent in AGENTS.values():
            with self.subTest(agent.name):
                self.assertNotRegex(agent.run, "danger|unsafe|bypass|allow-all")


class FailedSessions(unittest.TestCase):
    def test_an_error_that_exits_0_is_rejected(self):
        logs = {
            "claude": ['{"type":"result","subtype":"success","is_error":true,"result":"429"}'],
            "qwen": [
                ENDS_WELL % "[API Error: Connection error.]",
                '{"type":"result","is_error":true}',
            ],
        }
        for name, lines in logs.items():
            for line in lines:
                with self.subTest(name, line=line):
                    log = f'{{"type":"system"}}\n{line}\n'
                    self.assertRegex(log, AGENTS[name].as_command()["reject"])

    def test_talk_of_errors_is_not(self):
        for agent in AGENTS.values():
            if agent.reject:
                with self.subTest(agent.name):
                    log = QUOTED + "\n" + ENDS_WELL % r"\"is_error\":true [API Error" + "\n"
                    self.assertIsNone(re.search(agent.reject, log))

    def test_no_reject_without_need(self):
        self.assertNotIn("reject", AGENTS["codex"].as_command())


class Names(unittest.TestCase):
    def test_a_known_name(self):
        self.assertIs(agent_named("claude"), AGENTS["claude"])

    def test_the_nearest_name_and_the_list(self):
        slips = {
            "claud": "claude",
            "Claude-Code": "claude",
            "codx": "codex",
            "gemini-cli": "gemini",
            "qwen_code": "qwen",
            "open-code": "opencode",
            "mini-swe-agent": "mini",
            "AIDER": "aider",
        }
        for slip, meant in slips.items():
            with self.subTest(slip), self.assertRaises(UsageError) as caught:
                agent_named(slip)
            self.assertIn(f"did you mean {meant}?", str(caught.exception))
            for name in AGENTS:
                self.assertIn(name, caught.exception.fix)

    def test_nothing_near(self):
        for name in ("", "zzz", "-", "\udcff\n"):
            with self.subTest(ascii(name)), self.assertRaises(UsageError) as caught:
                agent_named(name)
            self.assertNotIn("did you mean", str(caught.exception))
            self.assertEqual(len(str(caught.exception).splitlines()), 3)


if __name__ == "__main__":
    unittest.main()
