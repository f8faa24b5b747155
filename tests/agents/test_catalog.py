"""The presets: commands that can be filled in safely and configured; the user's own; slips."""

import json
import os
import unittest

from openloop.agents import catalog
from openloop.config import config, placeholders
from openloop.core.errors import ConfigError, UsageError
from openloop.core.vocabulary import Step
from support import Case, set_environment


class Shipped(unittest.TestCase):
    def setUp(self) -> None:
        self.presets = [catalog.preset_named(name) for name in catalog.shipped()]
        self.assertEqual(len(self.presets), 13)

    def test_each_command_is_filled_in_safely(self) -> None:
        for preset in self.presets:
            with self.subTest(preset.name):
                self.assertEqual(placeholders.check(preset.run), [])
                self.assertEqual(placeholders.warnings(preset.run), [])
                filled = placeholders.render(preset.run, round=1, step="fix")
                self.assertIn('"${OPENLOOP_PROMPT_FILE}"', filled)
                self.assertNotIn("{prompt_file}", filled)

    def test_each_makes_a_valid_configuration(self) -> None:
        for preset in self.presets:
            command = preset.as_command()
            commands = {"verify": "true", "fix": command, "improve": command}
            document = {"version": 1, "mission": "m", "project_root": ".", "commands": commands}
            with self.subTest(preset.name):
                parsed = config.parse(json.dumps(document).encode(), where="openloop.json")
                fix = parsed.command(Step.FIX)
                self.assertEqual((fix.run, fix.agent), (preset.run, preset.name))
                self.assertEqual(fix.stall_timeout, preset.stall_timeout_seconds)

    def test_each_outlasts_a_long_silence(self) -> None:
        for preset in self.presets:
            with self.subTest(preset.name):
                self.assertGreaterEqual(preset.stall_timeout_seconds, 900)
                self.assertGreater(preset.stall_timeout_seconds, preset.silence_seconds)
                self.assertGreater(preset.timeout_seconds, preset.stall_timeout_seconds)

    def test_each_says_what_it_is(self) -> None:
        for preset in self.presets:
            with self.subTest(preset.name):
                self.assertEqual(preset.program, preset.name)
                self.assertTrue(preset.note.endswith("."))
                self.assertNotIn("\n", preset.note)
                self.assertRegex(preset.install, r"\A(npm install -g|pip install) [@\w./-]+\Z")
                self.assertRegex(preset.seen, r"\A\d+\.\d+\.\d+\Z")
                self.assertIn(preset.tried, ("edited", "flags"))

    def test_none_skips_every_permission_outside_of_the_sandbox(self) -> None:
        for preset in self.presets:
            with self.subTest(preset.name):
                self.assertNotRegex(preset.run, "danger|unsafe|bypass|allow-all")

    def test_only_words_of_the_command_are_replaced_in_the_sandbox(self) -> None:
        for preset in self.presets:
            for words in preset.unboxed:
                self.assertIn(words, preset.run)
        codex = catalog.preset_named("codex")
        self.assertNotIn("--sandbox ", codex.in_sandbox(codex.run))
        self.assertIn("codex exec --json --dangerously", codex.in_sandbox(codex.run))


class Own(Case):
    def setUp(self) -> None:
        super().setUp()
        set_environment(self, XDG_CONFIG_HOME=self.folder)
        os.makedirs(catalog.own_folder())

    def own(self, name: str, document: object) -> str:
        path = os.path.join(catalog.own_folder(), f"{name}.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(document if isinstance(document, str) else json.dumps(document))
        return path

    def test_wins_over_one_that_ships_and_stands_beside_them(self) -> None:
        path = self.own("claude", {"run": "my-claude < {prompt_file}"})
        self.own("mine", {"run": "mine {prompt_file}", "$note": "x"})
        self.assertEqual(catalog.preset_named("claude").run, "my-claude < {prompt_file}")
        self.assertEqual(catalog.preset_named("claude").source, path)
        self.assertIn("mine", catalog.names())
        self.assertEqual(catalog.preset_named("mine").reading.rules, ())

    def test_a_broken_one_is_an_error_with_file_and_place(self) -> None:
        path = self.own(
            "broken",
            {
                "run": "x {prompt_file}",
                "stat": ["~/.x"],
                "reading": {
                    "rules": [
                        {"when": {"type": "a"}, "failure": "tired"},
                        {"line": "(", "has": "x"},
                        {"session": "id"},
                    ]
                },
            },
        )
        with self.assertRaises(ConfigError) as caught:
            catalog.preset_named("broken")
        words = str(caught.exception)
        self.assertEqual(words.count(f"in: {path}"), len(caught.exception.problems))
        for expected in ("stat is not a known key", "reading.rules[0].failure", "rules[1].line"):
            self.assertIn(expected, words)
        found, errors = catalog.every()
        self.assertNotIn("broken", found)
        self.assertEqual(len(errors), len(caught.exception.problems))

    def test_what_the_schema_has_no_words_for(self) -> None:
        rules = {
            "must have either when or line": {"session": "id"},
            "has is required": {"line": "x"},
            "compares no text": {"when": {"done": True}, "clears": True},
        }
        for expected, rule in rules.items():
            self.own(expected[:4].strip(), {"run": "x", "reading": {"rules": [rule]}})
            with self.subTest(expected), self.assertRaises(ConfigError) as caught:
                catalog.preset_named(expected[:4].strip())
            self.assertIn(expected, str(caught.exception))

    def test_one_that_is_no_file_and_one_that_is_no_json(self) -> None:
        os.mkdir(os.path.join(catalog.own_folder(), "folder.json"))
        self.own("torn", '{"run": ')
        for name in ("folder", "torn"):
            with self.subTest(name), self.assertRaises((UsageError, ConfigError)) as caught:
                catalog.preset_named(name)
            self.assertIn(f"{name}.json", str(caught.exception))

    def test_one_whose_name_is_none_is_reported(self) -> None:
        path = self.own("My Agent", {"run": "mine {prompt_file}"})
        self.own(".editor-swap", "")
        found, errors = catalog.every()
        self.assertNotIn("My Agent", found)
        self.assertEqual([error.where for error in errors], [path])
        self.assertIn("small letters", errors[0].fix)


class Names(unittest.TestCase):
    def test_the_nearest_name_and_the_list(self) -> None:
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
                catalog.preset_named(slip)
            self.assertIn(f"did you mean {meant}?", str(caught.exception))
            for name in catalog.shipped():
                self.assertIn(name, caught.exception.fix)

    def test_nothing_near(self) -> None:
        for name in ("", "zzz", "-", "\udcff\n", "../claude"):
            with self.subTest(ascii(name)), self.assertRaises(UsageError) as caught:
                catalog.preset_named(name)
            self.assertEqual(len(str(caught.exception).splitlines()), 3)


if __name__ == "__main__":
    unittest.main()
