"""Cases: what a line may hold, how each mistake is reported, and how answers are compared."""

from __future__ import annotations

import json
import re
import unittest
from typing import Any

from openloop.core.errors import ConfigError, OpenLoopError
from openloop.judge import case_lines, cases, compare
from openloop.judge.cases import Answer, Case

WHERE = "cases.jsonl"


def search(pattern: str, text: str) -> bool | None:
    return None if pattern == "slow" else re.search(pattern, text, re.MULTILINE) is not None


def read(*lines: object, recording: bool = False) -> tuple[Case, ...]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return case_lines.parse("\n".join(texts).encode(), where=WHERE, recording=recording)


def problems(data: bytes, recording: bool = False) -> tuple[OpenLoopError, ...]:
    try:
        case_lines.parse(data, where=WHERE, recording=recording)
    except ConfigError as error:
        return error.problems
    return ()


def why(output: str | bytes, code: int = 0, /, **line: Any) -> str:
    """Why this output is not what a case with these keys expects."""
    (case,) = read(line)
    data = output if isinstance(output, bytes) else output.encode()
    return compare.failure(case, Answer(data, b"", code), search)


class Reading(unittest.TestCase):
    def test_defaults(self) -> None:
        (case,) = read({"stdout": "1"})
        self.assertEqual("case 1", case.name)
        self.assertEqual((0, 10.0, "", ()), (case.exit_code, case.timeout, case.stdin, case.args))
        self.assertEqual((None, "trim"), (case.stderr, case.match))

    def test_blank_lines_and_notes_do_not_count_but_keep_their_numbers(self) -> None:
        found = read("# a note", "", '  {"stdout": "1"}  ', "  # more", {"stdout": "2"})
        self.assertEqual([("case 1", 3), ("case 2", 5)], [(one.name, one.line) for one in found])
        self.assertEqual((), read("# nothing", ""))

    def test_notes_inside_a_case(self) -> None:
        self.assertEqual(1, len(read({"stdout": "1", "x-why": [1], "$id": None})))

    def test_a_separator_of_unicode_does_not_end_a_line(self) -> None:
        (case,) = read('{"stdin": "a\u2028b\x85", "stdout": ""}')
        self.assertEqual("a\u2028b\x85", case.stdin)

    def test_every_mistake_is_reported_at_once_with_its_line(self) -> None:
        table = [
            ({"stdou": "1"}, "stdou is not a known key", "nearest known key is stdout"),
            ({"expected": "1"}, "expected is not a known key", "nearest known key is stdout"),
            ({"status": 1}, "status is not a known key", "nearest known key is exit_code"),
            ([1], "the case must be an object, got a list", ""),
            ("{", "the line is not valid JSON: the { in column 1 is never", "add what is missing"),
            ('{"stdout": "1", "stdout": "2"}', "stdout is given more than once", "keep one"),
            ('{"stdout": "1", "timeout_seconds": NaN}', "timeout_seconds must be", "seconds"),
            ({"exit_code": True}, "exit_code must be a whole number", "exit code"),
            ({"exit_code": 256}, "exit_code must be at most 255", ""),
            ({"exit_code": 1.5}, "exit_code must be a whole number", ""),
            ({"timeout_seconds": 0, "stdout": ""}, "timeout_seconds must be a positive", ""),
            ({"args": "x", "stdout": ""}, "args must be a list", ""),
            ({"args": [1], "stdout": ""}, "args[0] must be a string", ""),
            ({"name": " ", "stdout": ""}, "name must not be blank", ""),
            ({"match": "glob", "stdout": ""}, "match must be one of", ""),
            ({"tolerance": -1, "match": "json", "stdout": "1"}, "tolerance must be", ""),
            ({"tolerance": 1, "stdout": "1"}, "tolerance has no meaning with match trim", "json"),
            ({"stdout": 5}, "stdout must be a string with match trim, got 5", ""),
            ({"stdout": "(", "match": "regex"}, "stdout must be a regular expression", "twice"),
            ({"stderr": "(", "match": "regex"}, "stderr must be a regular expression", ""),
            ({"stdout": "[1,", "match": "json"}, "stdout must be JSON", ""),
            ('{"stdout": [NaN], "match": "json"}', "stdout must be JSON", ""),
            ({"stdout": "none", "match": "number"}, "stdout must hold a number", "trim"),
            ({"stdout": True, "match": "number"}, "stdout must be a number", ""),
            ({"files": {"../x": ""}, "stdout": ""}, 'files["../x"] is not a name', "inside"),
            ({"files": {"/x": ""}, "stdout": ""}, 'files["/x"] is not a name', ""),
            ({"files": {"a/": ""}, "stdout": ""}, 'files["a/"] is not a name', ""),
            ({"files": {"a": "", "a/b": ""}, "stdout": ""}, "files.a is a file, and a folder", ""),
            ({"files": {"d/" * 2500 + "f": ""}, "stdout": ""}, 'files["d/d', "use fewer folders"),
            ({"env": {"A-B": ""}, "stdout": ""}, "env.A-B is not a name", ""),
            ({"env": {"A": 1}, "stdout": ""}, "env.A must be a string", ""),
            ({"stdin": "\0", "stdout": ""}, "stdin holds a NUL", ""),
            ({"stdin": "x"}, "the case has no expectation", "--record"),
            ({"name": "n", "stdout": ""}, None, None),
            ({"name": "n", "stdout": ""}, 'name "n" stands in line 34 too', "its own"),
        ]
        lines = [line if isinstance(line, str) else json.dumps(line) for line, _, _ in table]
        found = iter(problems("\n".join(lines).encode()))
        for number, (_, what, fix) in enumerate(table, 1):
            if what is None or fix is None:
                continue
            problem = next(found)
            with self.subTest(what):
                self.assertTrue(problem.what.startswith(what), problem.what)
                self.assertTrue(f"{problem.where},".startswith(f"{WHERE}, line {number},"))
                self.assertIn(fix, problem.fix)
                self.assertTrue(problem.fix)
        self.assertEqual([], list(found))

    def test_bytes_that_are_no_text(self) -> None:
        for data, what in ((b"\xef\xbb\xbf{}", "byte order mark"), (b'{"a": "\xff"}', "UTF-8")):
            (problem,) = problems(data)
            self.assertIn(what, problem.what)
            self.assertTrue(problem.where.startswith(WHERE))

    def test_a_case_that_expects_nothing_can_be_recorded(self) -> None:
        self.assertEqual((), problems(b'{"stdin": "x"}', recording=True))

    def test_placeholders(self) -> None:
        self.assertEqual("/d/a {dir} {x} {", cases.expand_dir("{dir}/a {{dir}} {x} {", "/d"))
        self.assertEqual(b"{dir}/a /dx", cases.masked(b"/d/1/a /dx", "/d/1"))


class Comparing(unittest.TestCase):
    def test_trim_is_the_default(self) -> None:
        self.assertEqual("", why(" a\nb \n\n", stdout="a\nb"))
        self.assertEqual("stdout differs in line 2", why("a\nc", stdout="a\nb"))
        self.assertEqual("stdout differs in line 1", why("a \nb", stdout="a\nb"))
        self.assertEqual("stdout has fewer lines than expected", why("a", stdout="a\nb"))
        self.assertEqual("stdout has more lines than expected", why("a\nb\nc", stdout="a\nb"))
        self.assertEqual("stdout is empty", why("", stdout="a"))

    def test_exact(self) -> None:
        self.assertEqual("", why("a\n", stdout="a\n", match="exact"))
        for output in ("a", "a\n\n", " a\n", "a\r\n"):
            self.assertTrue(why(output, stdout="a\n", match="exact"), repr(output))

    def test_nothing_expected_is_not_the_same_as_no_expectation(self) -> None:
        self.assertEqual("", why("anything", exit_code=0))
        self.assertEqual("stdout differs in line 1", why("anything", stdout=""))

    def test_json(self) -> None:
        wanted = {"b": [1, 2.5, "x", None, True], "a": {}}
        for output in ('{"a":{},"b":[1.0,25e-1,"x",null,true]}', json.dumps(wanted, indent=3)):
            self.assertEqual("", why(output, stdout=wanted, match="json"))
            self.assertEqual("", why(output, stdout=json.dumps(wanted), match="json"))
        for output in ('{"a":{},"b":[1,2.5,"x",null,1]}', '{"a":{}}', "[1]", '"x"'):
            self.assertEqual(
                "stdout is another JSON value", why(output, stdout=wanted, match="json")
            )
        for output, part in (
            ("{", "line 1"),
            ("NaN", "NaN"),
            ('{"a":1,"a":1}', "more than once"),
            ("[" * 100_000, "deep"),
            ("1e9999999999", "large"),
            ("1 2", "Extra data"),
        ):
            self.assertIn(part, why(output, stdout="1", match="json"))

    def test_true_is_not_one_and_long_numbers_are_exact(self) -> None:
        self.assertTrue(why("true", stdout="1", match="json"))
        self.assertTrue(why("0", stdout="false", match="json"))
        long = "1" * 5000
        self.assertEqual("", why(long, stdout=long, match="json"))
        self.assertTrue(why(long[:-1] + "2", stdout=long, match="json"))
        self.assertTrue(why("9007199254740993", stdout="9007199254740992", match="json"))

    def test_json_with_a_tolerance(self) -> None:
        self.assertEqual("", why('{"x": [1.01]}', stdout={"x": [1]}, match="json", tolerance=0.01))
        self.assertTrue(why('{"x": [1.02]}', stdout={"x": [1]}, match="json", tolerance=0.01))

    def test_numbers(self) -> None:
        self.assertEqual("", why("x = 3.0 m\n", stdout="x = 3 m", match="number"))
        self.assertEqual("", why(" 1e3  0.1", stdout="1000 .10", match="number"))
        self.assertEqual("", why("3.1416", stdout=3.14159, match="number", tolerance=0.001))
        self.assertEqual("", why("0.3", stdout="0.2", match="number", tolerance=0.1))
        self.assertIn("word 2", why("x 3.2", stdout="x 3", match="number", tolerance=0.1))
        for output in ("nan", "inf", "1_0", "0x0a", "ten", "\u0661\u0660"):
            self.assertIn("word 1", why(output, stdout="10", match="number", tolerance=1e9), output)
        self.assertIn("more words", why("1 2", stdout="1", match="number"))
        self.assertIn("fewer words", why("1", stdout="1 2", match="number"))
        self.assertIn("word 1", why("1e999999999", stdout="1", match="number", tolerance=5))

    def test_regex(self) -> None:
        self.assertEqual("", why("a\nscore=12\n", stdout=r"^score=\d+$", match="regex"))
        self.assertEqual("stdout does not match", why("xscore=12", stdout="^score", match="regex"))
        self.assertIn("too long", why("x", stdout="slow", match="regex"))

    def test_standard_error(self) -> None:
        (case,) = read({"stdout": 5, "stderr": "oops", "match": "number"})
        for stderr, failure in ((b"oops\n", ""), (b"oop", "stderr differs in line 1")):
            self.assertEqual(failure, compare.failure(case, Answer(b"5.0", stderr, 0), search))

    def test_exit_code_and_trouble_come_first(self) -> None:
        self.assertEqual("exit code 1, expected 0", why("5", 1, stdout="5"))
        self.assertEqual("", why("5", 3, stdout="5", exit_code=3))
        (case,) = read({"stdout": "5"})
        trouble = Answer(b"5", b"", 0, "ran longer than 10 s")
        self.assertEqual("ran longer than 10 s", compare.failure(case, trouble, search))
        self.assertTrue(compare.failure(case, Answer(b"5"), search), "no exit code at all")

    def test_bytes_that_are_no_text(self) -> None:
        self.assertEqual("stdout is not UTF-8 (byte 1)", why(b"5\xff", stdout="5"))

    def test_reasons_quote_neither_side(self) -> None:
        for match in ("exact", "trim", "regex"):
            reason = why("given away", stdout="secret", match=match)
            self.assertTrue(reason)
            self.assertNotRegex(reason, "given|secret")


class Recording(unittest.TestCase):
    def line(self, text: str, stdout: bytes = b"out\n", code: int = 0) -> str:
        (case,) = read(text, recording=True)
        return case_lines.recorded(text, case, Answer(stdout, b"", code))

    def test_the_line_stays_as_it_was_written(self) -> None:
        self.assertEqual('{"stdin":"x", "stdout": "out"}', self.line('{"stdin":"x"}'))
        self.assertEqual('  { "args" : [], "stdout": "out"}', self.line('  { "args" : [] } '))

    def test_an_empty_case(self) -> None:
        self.assertEqual('{"stdout": "é", "exit_code": 3}', self.line("{}", "é".encode(), 3))

    def test_exact_keeps_the_white_space(self) -> None:
        self.assertIn('"stdout": " a\\n"', self.line('{"match": "exact"}', b" a\n"))

    def test_what_was_recorded_passes(self) -> None:
        for match, stdout in (("trim", b" a\n"), ("exact", b" a\n"), ("json", b'{"a": 1.50}\n'),
                              ("number", b"1.50 m\n")):  # fmt: skip
            (case,) = read(self.line(json.dumps({"match": match}), stdout))
            self.assertEqual("", compare.failure(case, Answer(stdout, b"", 0), search), match)

    def test_what_cannot_be_recorded(self) -> None:
        for line, answer in (
            ({}, Answer(trouble="ran longer")),
            ({}, Answer(b"\xff", code=0)),
            ({}, Answer(b"\0", code=0)),
            ({"match": "regex"}, Answer(b"a", code=0)),
            ({"match": "json"}, Answer(b"{", code=0)),
            ({"match": "number"}, Answer(b"none", code=0)),
        ):
            (case,) = read(line, recording=True)
            with self.subTest(line=line, answer=answer):
                self.assertTrue(case_lines.unrecordable(case, answer))
        (case,) = read({}, recording=True)
        self.assertEqual("", case_lines.unrecordable(case, Answer(b"a", code=3)))


if __name__ == "__main__":
    unittest.main()
