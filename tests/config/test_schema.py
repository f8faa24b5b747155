"""The schema file that ships, and the reader of the part of JSON Schema that it uses."""

import copy
import json
import os
import random
import unittest

from config.config_documents import GOOD, PLAIN_VALUES, REFUSED, Case, mutant
from openloop.config import schema

try:
    import jsonschema
except ImportError:
    jsonschema = None

CHECKED = {
    "$ref", "type", "properties", "patternProperties", "additionalProperties", "required",
    "enum", "const", "minimum", "exclusiveMinimum", "maximum", "minLength", "items", "anyOf",
    "if", "else", "format",
}  # fmt: skip
ANNOTATIONS = {
    "title",
    "description",
    "default",
    "examples",
    "x-unit",
    "x-names",
    "x-aliases",
    "x-hint",
}


def rules(rule, name="#"):
    """Every rule below this one, with a name for messages."""
    yield name, rule
    for key in ("properties", "patternProperties", "$defs"):
        for part, below in rule.get(key, {}).items():
            if below is not True:
                yield from rules(below, f"{name}/{key}/{part}")
    for position, branch in enumerate(rule.get("anyOf", ())):
        yield from rules(branch, f"{name}/anyOf/{position}")
    for key in ("items", "if", "else"):
        if key in rule:
            yield from rules(rule[key], f"{name}/{key}")


def found(document, rule, **formats):
    """Problems of a document under a rule, as (path, what) in order."""
    checker = schema.Checker(rule, formats)
    return [(schema.dotted(each.path), each.what) for each in checker.problems(document)]


class TheFile(unittest.TestCase):
    def setUp(self):
        self.root = schema.load()
        self.checker = schema.Checker(self.root, {})

    def resolved(self, rule):
        return self.checker._resolve(rule)

    def documented(self):
        """Every key that a person may write, refs resolved."""
        for name, rule in rules(self.root):
            if "/if" not in name:
                for key, part in rule.get("properties", {}).items():
                    yield f"{name}/{key}", self.resolved(part)

    def test_uses_only_keywords_that_the_reader_knows(self):
        for name, rule in rules(self.root):
            extra = set(rule) - CHECKED - ANNOTATIONS
            self.assertLessEqual(extra, {"$schema", "$defs"} if name == "#" else set(), name)

    def test_has_no_id(self):
        self.assertNotIn("$id", self.root)

    def test_every_key_is_described_for_editors(self):
        for name, rule in self.documented():
            for word in ("title", "description", "examples"):
                self.assertTrue(rule.get(word), f"{name} has no {word}")
        self.assertGreater(len(list(self.documented())), 40)

    def test_examples_and_defaults_keep_their_own_rule(self):
        for name, rule in self.documented():
            values = [*rule["examples"], *([rule["default"]] if "default" in rule else [])]
            for value in values:
                self.assertEqual([], list(self.checker._check(value, rule, ())), name)

    def test_example_of_the_whole_file_keeps_the_rules(self):
        for example in self.root["examples"]:
            self.assertEqual([], list(self.checker.problems(example)))

    def test_optional_values_state_their_default(self):
        self.assertEqual({"mission": "", "total_rounds": 3, "project_root": "."}, schema.defaults())
        self.assertEqual(
            {
                "command_timeout_seconds": 900,
                "stall_timeout_seconds": 300,
                "max_consecutive_failures": 3,
                "kill_grace_seconds": 5,
                "max_runtime_seconds": None,
                "max_cost_usd": None,
                "max_tokens": None,
                "max_wait_seconds": 21600,
                "max_log_bytes": 2 << 30,
                "max_attachment_bytes": 256 << 20,
            },
            schema.defaults("limits"),
        )
        self.assertEqual(
            {
                "enabled": True,
                "metric_name": "score",
                "direction": "greater_equal",
                "repeat": 1,
                "match": "only",
                "keep_best": False,
                "min_delta": 0,
            },
            schema.defaults("baseline"),
        )

    def test_gates_and_changes_differ_only_in_what_one_of_them_alone_can_be(self):
        gate, change = (copy.deepcopy(self.root["$defs"][name]) for name in ("gate", "change"))
        measurement = copy.deepcopy(self.root["$defs"]["measurement"])
        for rule in (gate, measurement):
            del rule["anyOf"][1]["properties"]["private"]
        del gate["anyOf"][1]["properties"]["repeat"]
        self.assertEqual(gate["anyOf"], measurement["anyOf"])
        del gate["anyOf"][1]["properties"]["canary"]
        for key in ("agent", "account"):
            del change["anyOf"][1]["properties"]["fallback"]["properties"][key]
        fallback = change["anyOf"][1]["properties"].pop("fallback")
        for key in ("agent", "account"):
            del change["anyOf"][1]["properties"][key]
        del change["anyOf"][1]["properties"]["run"]["examples"]
        self.assertEqual(gate["anyOf"], change["anyOf"])
        self.assertEqual(gate["anyOf"], self.root["$defs"]["plain"]["anyOf"])
        self.assertEqual(gate["anyOf"][1]["properties"], fallback["properties"])

    def test_ignored_keys_are_the_same_in_every_object_of_ours(self):
        for name, rule in rules(self.root):
            if "properties" in rule and "/if" not in name:
                self.assertEqual({"^(\\$|x-)": True}, rule["patternProperties"], name)
                self.assertIs(False, rule["additionalProperties"], name)


class TheReader(unittest.TestCase):
    def test_types(self):
        values = {
            "string": ["", "a"],
            "integer": [0, -3, 3.0, 1e300, 10**400],
            "number": [0.5],
            "boolean": [True, False],
            "object": [{}],
            "array": [[]],
            "null": [None],
        }
        everything = [value for some in values.values() for value in some]
        everything += [float("nan"), float("inf"), float("-inf")]
        for kind, fitting in values.items():
            for value in everything:
                fits = any(value is each for each in fitting) or (
                    kind == "number" and any(value is each for each in values["integer"])
                )
                with self.subTest(kind=kind, value=str(value)[:10]):
                    self.assertEqual(fits, found(value, {"type": kind, "items": {}}) == [])

    def test_a_message_for_each_kind_of_rule(self):
        for rule, value, what in [
            ({"type": "string"}, 5, "must be a string, got 5"),
            ({"type": "string", "minLength": 1}, "", 'must not be blank, got ""'),
            ({"type": "string", "minLength": 1}, " \n", 'must not be blank, got " \\n"'),
            ({"type": "integer", "minimum": 1}, 0, "must be a whole number of 1 or more, got 0"),
            ({"type": "integer"}, True, "must be a whole number, got true"),
            ({"type": "integer"}, 2.5, "must be a whole number, got 2.5"),
            ({"type": "number", "minimum": 0}, -1, "must be a number of 0 or more, got -1"),
            ({"type": "number", "exclusiveMinimum": 0}, 0, "must be a positive number, got 0"),
            ({"type": "number", "maximum": 9}, 10, "must be at most 9, got 10"),
            ({"type": "number"}, float("inf"), "must be a number, got Infinity"),
            ({"type": "number"}, float("nan"), "must be a number, got NaN"),
            ({"type": ["number", "null"]}, "x", 'must be a number or null, got "x"'),
            ({"type": "boolean"}, 1, "must be true or false, got 1"),
            ({"type": "object"}, [1], "must be an object, got a list"),
            ({"type": "array"}, {"a": 1}, "must be a list, got an object"),
            ({"const": 1, "type": "integer"}, 2, "must be 1, got 2"),
            ({"const": 1, "type": "integer"}, True, "must be 1, got true"),
            ({"enum": ["a", "b"]}, "c", 'must be one of "a", "b", got "c"'),
            ({"anyOf": [{"type": "string"}, {"type": "object"}]}, None,
             "must be a string or an object, got null"),
        ]:  # fmt: skip
            with self.subTest(rule=rule):
                self.assertEqual([("the configuration", what)], found(value, rule))

    def test_an_any_of_is_reported_by_the_branch_of_the_values_type(self):
        rule = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}]}
        self.assertEqual([], found(1, rule))
        self.assertEqual('must not be blank, got ""', found("", rule)[0][1])
        self.assertEqual("must be a whole number of 1 or more, got 0", found(0, rule)[0][1])

    def test_what_stands_beside_a_ref_goes_before_it(self):
        rule = {"$defs": {"n": {"type": "integer", "minimum": 1}}, "$ref": "#/$defs/n"}
        self.assertEqual(1, len(found(0, rule)))
        self.assertEqual([], found(0, {**rule, "minimum": 0}))

    def test_required_under_a_condition(self):
        on = {"properties": {"on": {"type": "boolean", "const": False}}, "required": ["on"]}
        part = {"type": "integer", "examples": [1]}
        rule = {"properties": {"on": {}, "n": part}, "if": on, "else": {"required": ["n"]}}
        self.assertEqual([], found({"on": False}, rule))
        self.assertEqual([], found({"on": True, "n": 1}, rule))
        self.assertEqual([("n", "is required")], found({}, rule))
        self.assertEqual([("n", "is required")], found({"on": True}, rule))

    def test_a_repeated_key_is_reported_once_with_its_path(self):
        text = '{"a": {"b": 1, "c": 2, "b": 3, "b": 4}}'
        document = json.loads(text, object_pairs_hook=schema.JsonObject.read)
        self.assertEqual({"a": {"b": 4, "c": 2}}, document)
        self.assertEqual([], found(document, {}), "where nothing is checked")
        rule = {"properties": {"a": {"properties": {"b": {}}}}}
        self.assertEqual([("a.b", "is given more than once")], found(document, rule))

    def test_problems_come_in_the_order_of_the_document(self):
        rule = {
            "properties": {"a": {"type": "string"}, "b": {"items": {"type": "string"}}},
            "additionalProperties": False,
            "required": ["z", "a"],
        }
        rule["properties"]["z"] = {"type": "null", "examples": [None]}
        document = {"b": ["x", 1, 2], "c": 0, "a": 5}
        paths = [path for path, _ in found(document, rule)]
        self.assertEqual(["b[1]", "b[2]", "c", "a", "z"], paths)

    def test_a_format_may_say_several_things_and_sees_only_text_that_can_be_used(self):
        seen = []

        def shout(text):
            seen.append(text)
            yield "is not loud", "shout"
            yield "is not long", "go on"

        rule = {"items": {"type": "string", "format": "loud", "minLength": 1}}
        problems = found(["a", "", 3, "\0", "\ud800"], rule, loud=shout)
        self.assertEqual(["a"], seen)
        self.assertEqual([("[0]", "is not loud"), ("[0]", "is not long")], problems[:2])
        self.assertEqual(6, len(problems))

    def test_an_unknown_key_is_reported_with_the_nearest_known_one(self):
        checker = schema.Checker(schema.load(), {})
        valid = {"version": 1, "commands": {"verify": "x"}}
        for document, fix in [
            ({"comands": {}}, "the nearest known key is commands"),
            (
                {"commands": {"verify": "v", "test": "t"}},
                "the nearest known key is verify; a round has five",
            ),
            (
                {"commands": {"verify": "v", "verfy": "t"}},
                "the nearest known key is verify; a round has five",
            ),
            ({"limits": {"stall_timeout_second": 1}}, "known key is stall_timeout_seconds"),
            ({"limits": {"stall_timeout": 1}}, "known key is stall_timeout_seconds"),
            ({"verify": "x"}, "move it: the key is commands.verify"),
            ({"limits": {"total_rounds": 1}}, "move it: the key is total_rounds"),
            ({"hooks": {"qqq": "x"}}, "known here: round, complete, blocked, exhausted"),
            ({"x" * 100_000: 1}, "the nearest known key is"),
        ]:
            with self.subTest(fix=fix):
                (problem,) = checker.problems({**valid, **document})
                self.assertIn(fix, problem.fix)


class Words(unittest.TestCase):
    def test_paths(self):
        for path, words in [
            ((), "the configuration"),
            (("limits", "oom_markers", 2), "limits.oom_markers[2]"),
            (("commands", "fix", "env", "A B"), 'commands.fix.env["A B"]'),
            (("a.b",), '["a.b"]'),
            (("",), '[""]'),
            (("naïve-key",), "naïve-key"),
            (("\x1b[31m",), '["\\u001b[31m"]'),
        ]:
            self.assertEqual(words, schema.dotted(path))

    def test_values_are_shown_short_and_safe_for_a_terminal(self):
        for value, words in [
            ("5m", '"5m"'),
            ("é", '"é"'),
            ("\x1b]0;x\x07", '"\\u001b]0;x\\u0007"'),
            ("\x9b31m", '"\\x9b31m"'),
            ("\u202e", '"\\u202e"'),
            ("\ud800", '"\\ud800"'),
            ({}, "an object"),
            ([1], "a list"),
            (None, "null"),
            (1.5, "1.5"),
        ]:
            self.assertEqual(words, schema.shown_value(value))
        for value in ("x" * 10_000, 10**299, '"' * 100):
            self.assertLessEqual(len(schema.shown_value(value)), 61)


def validator():
    """The reference implementation over the same schema, or a skip that CI does not accept."""
    if jsonschema is None:
        if os.environ.get("CI") == "true":
            raise AssertionError("the package jsonschema is missing")
        raise unittest.SkipTest("the package jsonschema is not installed")
    return jsonschema.Draft202012Validator(schema.load())


class Agreement(unittest.TestCase):
    """schema.py reads the schema as the reference implementation does."""

    def test_the_file_is_a_valid_schema(self):
        validator().check_schema(schema.load())

    def test_good_documents(self):
        reference = validator()
        for document in GOOD:
            data = Case(document).data
            with self.subTest(data[:120]):
                self.assertTrue(reference.is_valid(json.loads(data)))

    def test_refused_documents(self):
        reference = validator()
        for case in REFUSED:
            with self.subTest(case.data[:120]):
                try:
                    document = json.loads(case.data)
                except ValueError:  # more digits than Python reads
                    self.assertTrue(case.beyond)
                    continue
                self.assertEqual(case.beyond, reference.is_valid(document))

    def test_mutated_documents(self):
        reference, checker = validator(), schema.Checker(schema.load(), {})
        dice = random.Random(20)
        for _ in range(300):
            document = mutant(dice, PLAIN_VALUES, 3)
            with self.subTest(json.dumps(document)[:200]):
                ours = not list(checker.problems(document))
                self.assertEqual(reference.is_valid(document), ours)


if __name__ == "__main__":
    unittest.main()
