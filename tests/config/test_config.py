"""openloop.json: what it may hold, how each mistake is reported, and what a valid file gives."""

import json
import random
import time
import unittest

from config.config_documents import (
    FULL,
    GOOD,
    HOSTILE_VALUES,
    REFUSED,
    UNREADABLE,
    WHERE,
    Case,
    baseline,
    commands,
    doc,
    limits,
    mutant,
    spoil,
    verify,
)
from openloop.config import config
from openloop.config.config import Command, Config
from openloop.config.oom_markers import OOM_MARKERS
from openloop.core.errors import ConfigError
from openloop.core.vocabulary import Direction, Hook, Match, Step

FUZZ_SECONDS = 5.0


def problems(data):
    """What is refused of these bytes: the OpenLoopErrors, none for a good configuration."""
    try:
        config.parse(data, where=WHERE)
    except ConfigError as error:
        return error.problems
    return ()


def parsed(document):
    return config.parse(json.dumps(document).encode(), where=WHERE)


class Documents(unittest.TestCase):
    def test_the_table_is_large(self):
        self.assertGreaterEqual(len(GOOD) + len(REFUSED) + len(UNREADABLE), 150)

    def test_good_documents(self):
        for document in GOOD:
            case = Case(document)
            with self.subTest(case.data[:120]):
                self.assertEqual([], [each.what for each in problems(case.data)])

    def test_every_problem_is_reported_with_its_path_in_the_order_of_the_file(self):
        for case in REFUSED:
            with self.subTest(case.data[:120]):
                found = [each.what for each in problems(case.data)]
                self.assertEqual(len(case.paths), len(found), found)
                for path, what in zip(case.paths, found, strict=True):
                    self.assertTrue(what.startswith(f"{path} "), what)

    def test_every_problem_names_the_file_and_a_mend(self):
        for case in REFUSED:
            for each in problems(case.data):
                with self.subTest(each.what):
                    self.assertEqual(WHERE, each.where)
                    self.assertTrue(each.fix)

    def test_files_that_cannot_be_read_as_json(self):
        for data, what, where, fix in UNREADABLE:
            with self.subTest(data[:40]):
                (problem,) = problems(data)
                self.assertIn(what, problem.what)
                self.assertIn(where, problem.where)
                self.assertTrue(problem.where.startswith(WHERE))
                self.assertIn(fix, problem.fix)

    def test_all_problems_at_once(self):
        found = problems(
            b'{"version": 1, "limits": {"stall_timeout_seconds": "5m", "stal": 1},\n'
            b'"mission": "", "mission": 5, "commands": {"play": " ", "scan": "(", "fix": 1}}'
        )
        self.assertEqual(
            [
                'limits.stall_timeout_seconds must be a positive number, got "5m"',
                "limits.stal is not a known key",
                "mission is given more than once",
                "mission must be a string, got 5",
                'commands.play must not be blank, got " "',
                "commands.fix must be a string or an object, got 1",
                "commands.verify is required",
            ],
            [each.what for each in found],
        )


class Words(unittest.TestCase):
    """What a person reads."""

    def test_a_whole_error(self):
        self.assertEqual(
            'error: limits.stall_timeout_seconds must be a positive number, got "5m"\n'
            f"  in: {WHERE}\n"
            "  fix: write seconds, for example 300",
            str(self.only_problem(limits(stall_timeout_seconds="5m"))),
        )

    def test_keys_of_other_tools_are_answered_with_ours(self):
        for document, nearest in (
            (doc(max_iterations=3), "total_rounds"),
            (doc(goal="x"), "mission"),
            (doc(agent="x"), "commands"),
            (limits(timeout=3), "command_timeout_seconds"),
            (verify(cmd="x"), "run"),
            (verify(timeout=3), "timeout_seconds"),
        ):
            with self.subTest(nearest):
                (problem,) = problems(json.dumps(document).encode())
                self.assertIn(f"the nearest known key is {nearest};", problem.fix)

    def test_an_agent_without_a_command_gets_the_example_of_a_change(self):
        (problem,) = problems(json.dumps(commands(fix={"agent": "claude"})).encode())
        self.assertIn('"run": "your-agent-cli --task-file {prompt_file}"', problem.fix)

    def test_a_blank_command_that_may_be_left_out(self):
        self.assertIn("remove the key", self.only_problem(commands(play="")).fix)
        self.assertIn("remove the key", self.only_problem(verify(expect=" ")).fix)
        self.assertNotIn("remove the key", self.only_problem(commands(verify="")).fix)
        self.assertNotIn("remove the key", self.only_problem(verify(run="")).fix)

    def test_an_unknown_key_names_the_nearest_known_one(self):
        self.assertIn("stall_timeout_seconds", self.only_problem(limits(stall_timeout=1)).fix)
        self.assertIn("verify", self.only_problem(commands(verifi="x")).fix)
        self.assertIn("commands.verify", self.only_problem(doc(verify="x")).fix)

    def test_a_regular_expression_is_reported_with_what_re_says(self):
        self.assertIn("unterminated subpattern", self.only_problem(verify(expect="(")).what)
        self.assertIn("group around the number", self.only_problem(baseline(regex="a")).what)

    def test_a_placeholder_that_cannot_be_filled_in_is_reported_with_its_place(self):
        found = self.only_problem(commands(fix={"run": "true\n echo `{last_error}`"}))
        self.assertIn("commands.fix.run (line 2, column 8): {last_error}", found.what)

    def test_a_missing_key_is_reported_with_an_example(self):
        self.assertIn('"verify": "python -m unittest"', self.only_problem(doc(commands={})).fix)

    def test_nothing_in_a_message_can_drive_a_terminal(self):
        hostile = "\x1b]0;x\x07\x9b31m\u202e\ud800"
        for document in [
            doc(**{hostile: 1}),
            doc(version=hostile),
            verify(env={hostile: "1"}),
            verify(expect=f"({hostile}"),
            verify(expect=f"(?P<{hostile}>a)"),
            verify(expect="(?\x1b"),
            verify(expect="(?P<\x1b\u202e>a)"),
            baseline(regex="\x1b"),
            commands(play=hostile),
            commands(play="echo `{last_error} \x1b`"),
            baseline(direction="\x9b"),
        ]:
            for found in problems(Case(document).data):
                text = str(found).replace("\n", "")
                self.assertTrue(text.isprintable(), ascii(text))

    def only_problem(self, document):
        (problem,) = problems(Case(document).data)
        return problem


class Values(unittest.TestCase):
    """What a good file becomes."""

    def test_defaults(self):
        read = parsed(doc())
        self.assertEqual(("", 3, "."), (read.mission, read.total_rounds, read.project_root))
        self.assertEqual(
            {Step.VERIFY: Command("make check", 900.0, 300.0, {}, None, None)}, read.commands
        )
        self.assertEqual(config.Limits(900.0, 300.0, 3, 5.0, None, OOM_MARKERS), read.limits)
        self.assertIsNone(read.baseline)
        self.assertEqual({}, read.hooks)

    def test_everything_given(self):
        read = parsed(FULL)
        self.assertEqual("Keep it healthy.", read.mission)
        self.assertEqual((20, "../project"), (read.total_rounds, read.project_root))
        self.assertEqual(
            config.Limits(100.0, 50.0, 5, 0.0, 7200.0, ("^engine: out of memory",)), read.limits
        )
        self.assertEqual(
            {
                Step.PLAY: Command("python app.py", 100.0, 50.0, {}, "^ready$", "Traceback"),
                Step.SCAN: Command("python -m unittest", 100.0, 50.0, {}, None, None),
                Step.FIX: Command("agent {prompt_file}", 3600.0, 50.0, {"DEBUG": "1"}, None, None),
                Step.VERIFY: Command("make check", 100.0, 60.5, {}, None, None),
                Step.IMPROVE: Command("agent --root {project_root}", 100.0, 50.0, {}, None, None),
            },
            read.commands,
        )
        self.assertEqual(
            config.Baseline(
                command=Command("python benchmark.py", 30.0, 50.0, {}, None, None),
                metric_name="latency",
                regex="p99=([0-9.]+) ms",
                value=250.0,
                direction=Direction.LESS_EQUAL,
                repeat=3,
                match=Match.LAST,
            ),
            read.baseline,
        )
        self.assertEqual(
            {
                Hook.ROUND: Command("date", 100.0, 50.0, {}, None, None),
                Hook.BLOCKED: Command("page me", 5.0, 50.0, {}, None, None),
            },
            read.hooks,
        )

    def test_baseline_defaults(self):
        block = parsed(baseline()).baseline
        self.assertEqual(
            ("score", Direction.GREATER_EQUAL, 1, Match.ONLY),
            (block.metric_name, block.direction, block.repeat, block.match),
        )

    def test_numbers_have_one_type_however_they_were_written(self):
        read = parsed(doc(total_rounds=3.0, limits={"max_consecutive_failures": 2.0}))
        self.assertIs(int, type(read.total_rounds))
        self.assertIs(int, type(read.limits.max_consecutive_failures))
        self.assertIs(float, type(parsed(baseline(value=250)).baseline.value))
        self.assertIs(float, type(parsed(limits(max_runtime_seconds=9)).limits.max_runtime))

    def test_gates_in_the_order_of_a_round(self):
        self.assertEqual((Step.VERIFY,), parsed(doc()).gates)
        mixed = commands(scan="x", fix="x", play="x", improve="x")
        self.assertEqual((Step.PLAY, Step.SCAN, Step.VERIFY), parsed(mixed).gates)
        self.assertEqual((Step.VERIFY, Step.BASELINE), parsed(baseline()).gates)
        self.assertEqual((Step.VERIFY,), parsed(baseline(enabled=False)).gates)

    def test_command_of_a_step(self):
        read = parsed(FULL)
        self.assertEqual("python benchmark.py", read.command(Step.BASELINE).run)
        self.assertEqual("make check", read.command(Step.VERIFY).run)
        for step in (Step.BASELINE, Step.FIX):
            with self.assertRaises(KeyError):
                parsed(doc()).command(step)

    def test_the_improver(self):
        self.assertIs(Step.IMPROVE, parsed(commands(fix="x", improve="x")).improver)
        self.assertIs(Step.FIX, parsed(commands(fix="x")).improver)
        self.assertIsNone(parsed(doc()).improver)

    def test_values_cannot_be_changed(self):
        read = parsed(FULL)
        for part, name in [
            (read, "mission"),
            (read.limits, "kill_grace"),
            (read.baseline, "value"),
            (read.command(Step.FIX), "run"),
        ]:
            with self.assertRaises(AttributeError):
                setattr(part, name, None)
            self.assertFalse(hasattr(part, "__dict__"))

    def test_a_small_file_takes_a_few_milliseconds(self):
        data = json.dumps(baseline()).encode()

        def seconds():
            start = time.process_time()
            config.parse(data, where=WHERE)
            return time.process_time() - start

        self.assertLess(min(seconds() for _ in range(10)), 0.01)


class Fuzz(unittest.TestCase):
    def test_two_thousand_mutated_files_give_a_config_or_a_config_error(self):
        dice = random.Random(1)
        deadline = time.monotonic() + FUZZ_SECONDS
        good = bad = 0
        while good + bad < 2000 and time.monotonic() < deadline:
            data = spoil(json.dumps(mutant(dice, HOSTILE_VALUES, 3)).encode(), dice)
            try:
                self.assertIsInstance(config.parse(data, where=WHERE), Config)
                good += 1
            except ConfigError as error:
                bad += 1
                self.assertTrue(error.problems)
                for each in error.problems:
                    self.assertTrue(each.what and each.fix and each.where)
                    self.assertTrue(str(each).replace("\n", "").isprintable(), ascii(each.what))
            except Exception as error:
                error.add_note(f"from {data!r}")
                raise
        self.assertGreater(min(good, bad), 20, "a fuzz that finds one kind only proves little")


if __name__ == "__main__":
    unittest.main()
