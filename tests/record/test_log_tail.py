"""The end of a log: as a terminal shows it, and the line that says what failed."""

from __future__ import annotations

import os
import unittest

from openloop.record import log_tail
from support import Case


class LogCase(Case):
    def log(self, data: bytes | str) -> int:
        path = os.path.join(self.folder, "log")
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        log = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, log)
        return log

    def lines(self, data: bytes | str, size: int = 6000) -> tuple[str, ...]:
        return log_tail.end_lines(self.log(data), size).lines

    def failure(self, data: bytes | str) -> str:
        return log_tail.failure_line(self.log(data))


class Ends(LogCase):
    def test_lines_as_a_terminal_shows_them(self) -> None:
        cases = (
            ("one\ntwo\n", ("one", "two")),
            ("a\r\nb\r\n", ("a", "b")),
            ("10 %\r20 %\r30 %\n", ("30 %",)),
            ("loading...\rdone\n", ("doneing...",)),
            ("loading...\r\x1b[Kdone\n", ("done",)),
            ("loading...\x1b[2K\rdone\n", ("done",)),
            ("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\n", ("red link",)),
            ("spin |\b/\b-\n", ("spin -",)),
            ("\ttab\n", ("    tab",)),
            ("bell \x07\n", ("bell \\x07",)),
        )
        for data, expected in cases:
            with self.subTest(ascii(data)):
                self.assertEqual(expected, self.lines(data))

    def test_a_progress_bar_hides_nothing(self) -> None:
        for bars in (2_000, 20_000):
            bar = "".join(f"\rEpoch {n:6} |{'#' * (n * 40 // bars):40}|" for n in range(bars))
            found = self.lines(f"Traceback\nValueError: shapes not aligned\n{bar}")
            self.assertEqual(("Traceback", "ValueError: shapes not aligned"), found[:2])
            self.assertEqual(3, len(found))

    def test_what_is_left_out_is_counted(self) -> None:
        data = b"0123456789\n" * 1000
        for size in (5, 10, 11, 100, 9_000, 20_000):
            found = log_tail.end_lines(self.log(data), size)
            shown = sum(len(line) + 1 for line in found.lines)
            with self.subTest(size):
                self.assertEqual(len(data), found.before + shown)
                self.assertLessEqual(shown, size + 1)

    def test_one_endless_line(self) -> None:
        found = log_tail.end_lines(self.log("x" * 100_000 + "the end"), 20)
        self.assertEqual(("x" * 13 + "the end",), found.lines)
        self.assertEqual(100_007 - 20, found.before)


class Telling(LogCase):
    CASES = (
        ("TAP", "ok 1\nnot ok 2 - adds\nok 3\n1..3\n# fail 1\nok 179\n", "not ok 2 - adds"),
        (
            "TAP with YAML",
            "not ok 1 - adds\n  ---\n  error: |-\n    Expected values to be equal:\n    1 !== 2\n",
            "not ok 1 - adds",
        ),
        ("TODO", "not ok 1 # TODO later\nnot ok 2 - x\nok 3 # skip\n", "not ok 2 - x"),
        (
            "npm",
            "  1) adds:\n  AssertionError [ERR_ASSERTION]: 1 == 2\n      at x.js:3\n"
            " ELIFECYCLE  Test failed. See above for more details.\n",
            "AssertionError [ERR_ASSERTION]: 1 == 2",
        ),
        (
            "unittest",
            "Traceback (most recent call last):\n  File 'x', line 1\nAssertionError: 1 != 2\n\n"
            "-----\nRan 3 tests in 0.001s\n\nFAILED (failures=1)\n",
            "AssertionError: 1 != 2",
        ),
        (
            "pytest",
            "E   assert 1 == 2\n=== short test summary info ===\n"
            "FAILED test_x.py::test_adds - assert 1 == 2\n=== 1 failed, 2 passed in 0.1s ===\n",
            "FAILED test_x.py::test_adds - assert 1 == 2",
        ),
        (
            "cargo",
            "thread 'adds' panicked at src/lib.rs:5:9:\nassertion `left == right` failed\n"
            "  left: 1\n right: 2\n\nfailures:\n    adds\n\ntest result: FAILED. 1 passed\n\n"
            "error: test failed, to rerun pass `--lib`\n",
            "assertion `left == right` failed",
        ),
        (
            "go",
            "--- FAIL: TestAdds (0.00s)\n    x_test.go:5: got 1\nFAIL\nFAIL\texample.com/x\t0.1s\n"
            "FAIL\n",
            "--- FAIL: TestAdds (0.00s)",
        ),
        (
            "gcc",
            "x.c:3:5: error: expected ';'\nmake: *** [x] Error 1\n",
            "x.c:3:5: error: expected ';'",
        ),
        ("tsc", "a.ts(1,2): error TS2322: no\nFound 1 error.\n", "a.ts(1,2): error TS2322: no"),
        ("node", "\u2716 adds (1ms)\n\u2139 pass 3\n\u2139 fail 1\n", "\u2716 adds (1ms)"),
        ("coloured", "\x1b[31mFAILED\x1b[0m a.py\n\x1b[1mok\x1b[0m 179\n", "FAILED a.py"),
        ("shell", "start\nsh: 1: mistyped: not found\n", "sh: 1: mistyped: not found"),
        ("nothing that tells", "one\ntwo\n\n", "two"),
        ("empty", "\n \t\n", ""),
    )

    def test_which_line_says_what_failed(self) -> None:
        for name, data, expected in self.CASES:
            with self.subTest(name):
                self.assertEqual(expected, self.failure(data))

    def test_behind_a_progress_bar(self) -> None:
        bar = "".join(f"\rEpoch {n}" for n in range(20_000))
        self.assertEqual("ValueError: no", self.failure(f"ValueError: no\n{bar}"))

    def test_broken_utf8(self) -> None:
        self.assertEqual("caf\ufffd", self.failure(b"caf\xe9\n"))

    def test_before_much_emptiness(self) -> None:
        self.assertEqual("end", self.failure("end\n" + "\n" * 100_000))

    def test_counts(self) -> None:
        for data, expected in (
            ("7 of 8 cases\nscore=0.8750\n", "7 of 8 cases"),
            ("3 of 8 cases\n\x1b[1m7 of 8 cases\x1b[0m\n", "7 of 8 cases"),
            ("no cases\n", ""),
        ):
            self.assertEqual(expected, log_tail.last_count(self.log(data)))


if __name__ == "__main__":
    unittest.main()
