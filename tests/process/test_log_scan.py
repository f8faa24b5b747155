"""What one reading of a finished log finds, however large, hostile or broken it is."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
import unittest
from typing import Any

from openloop.config.config import Baseline, Command
from openloop.config.oom_markers import OOM_MARKERS
from openloop.core.vocabulary import Direction, Match
from openloop.loop.gates import Exit, LogFacts, verdict_of
from openloop.process import log_scan
from openloop.process.log_scan import BLOCK, LogReader
from support import Case, environment

SLOW = True  # left out by scripts/run_tests.sh --quick

COMMAND = Command("true", 900.0, 300.0, {}, expect=None, reject=None)
BASELINE = Baseline(
    COMMAND, "score", r"score=([0-9.]+)", 0.9, Direction.GREATER_EQUAL, 1, Match.ONLY
)
SLOW = r"(a+)+$"  # on many a's and then a b
SLOW_TEXT = "a" * 40 + "b\n"


class LogCase(Case):
    """A test with a log file."""

    def setUp(self) -> None:
        super().setUp()
        self.log = os.open(os.path.join(self.folder, "log"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.addCleanup(os.close, self.log)

    def write(self, data: bytes | str) -> None:
        os.ftruncate(self.log, 0)
        view = memoryview(data.encode() if isinstance(data, str) else data)
        while view:
            view = view[os.write(self.log, view) :]

    def facts(self, data: bytes | str, baseline: Baseline | None = None, **how: Any) -> LogFacts:
        self.write(data)
        reader = LogReader(self.log, how.pop("oom_markers", OOM_MARKERS))
        code = how.pop("code", 1)
        return reader.read(COMMAND._replace(**how), baseline, code)

    def values(self, data: bytes | str, **changed: Any) -> tuple[str, ...]:
        return self.facts(data, BASELINE._replace(**changed)).values


class WholeLog(LogCase):
    """Size and hash."""

    def test_hash_and_size(self) -> None:
        for data in (b"", b"one line\n", b"no end", bytes(range(256)) * 20_000):
            self.write(data)
            reader = LogReader(self.log, OOM_MARKERS)
            reader.read(COMMAND, None, 1)
            self.assertEqual(hashlib.sha256(data).hexdigest(), reader.sha256)
            self.assertEqual(len(data), reader.size)

    def test_repetitions_are_read_one_by_one_and_hashed_together(self) -> None:
        reader = LogReader(self.log, OOM_MARKERS)
        data = b""
        for number in range(3):
            more = b"score=%d\n" % number
            os.write(self.log, more)
            data += more
            self.assertEqual((str(number),), reader.read(COMMAND, BASELINE, 0).values)
        self.assertEqual((), reader.read(COMMAND, BASELINE, 0).values)
        self.assertEqual(hashlib.sha256(data).hexdigest(), reader.sha256)

    def test_the_log_itself_is_left_as_it_is(self) -> None:
        data = b"\x00\xff\xfe\x1b[0m\r\n" * 100
        self.facts(data, BASELINE, expect="x", reject="y")
        self.assertEqual(data, os.pread(self.log, len(data) + 1, 0))


class Values(LogCase):
    """The metric: group 1 of every match."""

    TEXT = "score=0.5\nscore=0.7\nscore=0.5\n"

    def test_which_of_several(self) -> None:
        self.assertEqual(("0.5", "0.7"), self.values(self.TEXT, match=Match.ONLY))
        self.assertEqual(("0.5",), self.values(self.TEXT, match=Match.FIRST))
        self.assertEqual(("0.5",), self.values(self.TEXT, match=Match.LAST))
        self.assertEqual(("0.7",), self.values(self.TEXT[:20], match=Match.LAST))

    def test_none(self) -> None:
        for match in Match:
            self.assertEqual((), self.values("nothing here\n", match=match))
            self.assertEqual((), self.values("", match=match))

    def test_not_asked_for(self) -> None:
        self.assertEqual((), self.facts(self.TEXT).values)

    def test_several_on_one_line(self) -> None:
        self.assertEqual(("1", "2"), self.values("score=1 score=2\n"))

    def test_anchors_are_those_of_lines(self) -> None:
        text = "x score=1\nscore=2\n"
        self.assertEqual(("2",), self.values(text, regex=r"^score=([0-9]+)$"))

    def test_a_group_that_took_no_part(self) -> None:
        self.assertEqual(("",), self.values("none\n", regex=r"score=(\d)|none"))

    def test_different_values_are_not_collected_without_end(self) -> None:
        text = "".join(f"score={number}\n" for number in range(10_000))
        self.assertLess(len(self.values(text)), 10)

    def test_equal_values_are_one(self) -> None:
        self.assertEqual(("1",), self.values("score=1\n" * 1000))

    def test_among_nul_and_broken_utf8(self) -> None:
        data = b"\x00\x00score=1\xff\n\xc3\x28 score=1 \xed\xa0\x80\n"
        self.assertEqual(("1",), self.values(data))


class ExpectAndReject(LogCase):
    """Whether the log matches; None when nobody asked."""

    def test_found_or_not(self) -> None:
        facts = self.facts("all good\n", expect="^all good$", reject="Traceback")
        self.assertEqual((True, False), (facts.expected, facts.rejected))
        facts = self.facts("Traceback: x\n", expect="^all good$", reject="Traceback")
        self.assertEqual((False, True), (facts.expected, facts.rejected))

    def test_not_asked(self) -> None:
        facts = self.facts("x\n")
        self.assertEqual((None, None, ""), (facts.expected, facts.rejected, facts.trouble))

    def test_over_several_lines(self) -> None:
        self.assertTrue(self.facts("one\ntwo\n", expect=r"one\ntwo").expected)

    def test_a_pattern_that_an_empty_log_matches(self) -> None:
        self.assertTrue(self.facts("", expect=r"\A\Z").expected)
        self.assertFalse(self.facts("words\n", expect=r"\A\Z").expected)

    def test_a_pattern_that_an_empty_log_does_not_match(self) -> None:
        self.assertFalse(self.facts("", expect="x").expected)
        self.assertFalse(self.facts("", reject="x").rejected)


class Markers(LogCase):
    """OOM markers count at the start of a line, in any part of a log."""

    def test_the_line_is_reported(self) -> None:
        facts = self.facts("fine\nMemoryError: 8 GB\nmore\n")
        self.assertEqual("MemoryError: 8 GB", facts.oom_marker)

    def test_not_in_the_middle_of_a_line(self) -> None:
        self.assertEqual("", self.facts("test_oom: raises MemoryError: ok\n").oom_marker)

    def test_the_first_one(self) -> None:
        self.assertEqual(
            "MemoryError: 1", self.facts("MemoryError: 1\nMemoryError: 2\n").oom_marker
        )

    def test_far_into_a_long_log(self) -> None:
        data = b"line\n" * (BLOCK // 2) + b"MemoryError\n" + b"line\n" * 10
        self.assertEqual("MemoryError", self.facts(data).oom_marker)

    def test_among_broken_bytes(self) -> None:
        self.assertEqual("MemoryError: \\ufffd", self.marker(b"\xff\x00\nMemoryError: \xff\n"))

    def marker(self, data: bytes) -> str:
        return self.facts(data).oom_marker.replace("\ufffd", "\\ufffd")

    def test_escapes_are_shown(self) -> None:
        self.assertEqual("MemoryError: \\x1b[2J", self.facts("MemoryError: \x1b[2J\n").oom_marker)

    def test_none_after_a_success(self) -> None:
        self.assertEqual("MemoryError", self.facts("MemoryError\n", code=None).oom_marker)
        facts = self.facts("MemoryError\n", code=0)
        self.assertEqual(("", ""), (facts.oom_marker, facts.trouble))

    def test_no_verdict_depends_on_the_search_that_a_success_spares(self) -> None:
        chance = random.Random(11)
        lines = ("MemoryError\n", "Killed\n", "ready\n", "out of memory", "x" * 70 + "\n")
        for _ in range(60):
            log = "".join(chance.choices(lines, k=chance.randint(0, 6)))
            code = chance.choice((0, 1, 137, None))
            for how in ({}, {"expect": "ready"}, {"reject": "ready"}):
                command = COMMAND._replace(**how)
                verdicts = {
                    verdict_of(command, Exit(code=code), self.facts(log, code=searched, **how))
                    for searched in (code, 1)
                }
                self.assertEqual(1, len(verdicts), (log, code, how))

    def test_markers_of_ones_own(self) -> None:
        self.assertEqual("no room", self.facts("no room\n", oom_markers=("^no room",)).oom_marker)
        self.assertEqual("", self.facts("MemoryError\n", oom_markers=("^no room",)).oom_marker)
        self.assertEqual("", self.facts("MemoryError\n", oom_markers=()).oom_marker)

    def test_markers_that_cannot_be_joined(self) -> None:
        own = (r"(?i)^no room", r"^(x)\1$", r"^last$")
        for line in ("NO ROOM", "xx", "last"):
            self.assertEqual(line, self.facts(f"first\n{line}\n", oom_markers=own).oom_marker)

    def test_a_group_number_means_the_same_beside_others(self) -> None:
        own = (r"^(a)b", r"^(x)\1$")
        self.assertEqual("xx", self.facts("xx\n", oom_markers=own).oom_marker)


class Borders(LogCase):
    """Logs are read in blocks; nobody can tell from what is found."""

    def around(self, needle: str, *, filler: str) -> bytes:
        """A log in which the needle lies across the end of the first block."""
        at = BLOCK - len(needle) // 2
        lines = (filler * (at // len(filler) + 1))[:at]
        return (lines + needle + filler * 10).encode()

    def test_a_value_in_a_line_across_the_border(self) -> None:
        optional_end = r"score=([0-9]+(?:\.[0-9]+)?)"
        for shift in range(-12, 13):
            before = b"x" * 79 + b"\n"
            data = before * (BLOCK // 80 - 1)
            data += b"y" * (BLOCK - len(data) - 1 + shift) + b"\nscore=0.95\n" + before * 3
            with self.subTest(shift):
                for match in Match:
                    self.assertEqual(("0.95",), self.values(data, match=match))
                self.assertEqual(("0.95",), self.values(data, regex=optional_end))

    def test_a_value_in_one_endless_line_across_the_border(self) -> None:
        needle = "score=0.95 "
        for shift in range(len(needle) + 1):
            data = "x" * (BLOCK - shift) + needle + "x" * BLOCK
            with self.subTest(shift):
                for match in Match:
                    self.assertEqual(("0.95",), self.values(data, match=match))

    def test_a_number_without_a_name_in_an_endless_line(self) -> None:
        """Each look at a part must not begin or end inside of a number."""
        for start in (BLOCK - 3, BLOCK - log_scan.OVERLAP - 3):
            data = "." * start + "12345678" + "." * (2 * BLOCK)
            with self.subTest(start):
                self.assertEqual(("12345678",), self.values(data, regex=r"(\d+)"))

    def test_a_match_over_two_lines_across_the_border(self) -> None:
        for shift in range(0, 25, 4):
            data = b"x" * (BLOCK - shift - 1) + b"\nFAILED\nsummary\n" + b"x\n" * 10
            with self.subTest(shift):
                self.assertTrue(self.facts(data, expect=r"^FAILED\nsummary$").expected)

    def test_a_marker_across_the_border(self) -> None:
        for shift in range(15):
            data = b"x" * (BLOCK - shift - 1) + b"\nMemoryError: big\n" + b"x\n" * 10
            with self.subTest(shift):
                self.assertEqual("MemoryError: big", self.facts(data).oom_marker)

    def test_a_line_that_only_begins_like_the_pattern(self) -> None:
        """The end of a block is not the end of a line."""
        data = "x" * (BLOCK - len("\nready")) + "\nready" + "ing" + "x" * BLOCK
        self.assertFalse(self.facts(data, expect="^ready$").expected)

    def test_the_start_of_a_block_is_not_the_start_of_a_line(self) -> None:
        data = "x" * (BLOCK - log_scan.OVERLAP) + "MemoryError: no" + "x" * (2 * BLOCK)
        self.assertEqual("", self.facts(data).oom_marker)

    def test_random_cuts_find_what_one_look_at_everything_finds(self) -> None:
        chance = random.Random(5)
        pattern = BASELINE._replace(regex=r"^n=(\d+)$")
        for _ in range(6):
            lines = [f"n={chance.randint(0, 3)}" if chance.random() < 0.001 else "y" * 70]
            while sum(map(len, lines)) < 2 * BLOCK:
                word = f"n={chance.randint(0, 3)}"
                lines += ["y" * chance.randint(0, 5000), word, "y" * chance.randint(0, 9)]
            text = "\n".join(lines)
            expected = tuple(dict.fromkeys(re.findall(pattern.regex, text, re.MULTILINE)))
            self.assertEqual(expected, self.facts(text, pattern).values)


class SmallBlocks(LogCase):
    """With tiny blocks every border is met: the answers are those of one look at everything."""

    PATTERNS = (
        r"(a)",
        r"^(a)",
        r"(b)$",
        r"^(a*)$",
        r"()^$",
        r"\A(a|b)",
        r"(a|b)\Z",
        r"=([0-9]+)",
        r"^a=([0-9.]+)$",
        r"([0-9]+\.[0-9]+)",
        r"([0-9]+(?:\.[0-9]+)?)",
        r"b\n(a)",
        r"(\n\n)",
        r"(?<=a)(b)",
        r"(?<!a)(b)",
        r"\b(ab)\b",
        r"(a+?)",
        r"(é)",
        r"(\ufffd)",
    )

    def setUp(self) -> None:
        super().setUp()
        for name, value in (("BLOCK", 64), ("OVERLAP", 32)):
            self.addCleanup(setattr, log_scan, name, getattr(log_scan, name))
            setattr(log_scan, name, value)

    def test_random_logs(self) -> None:
        chance = random.Random(9)
        for _ in range(30):
            words = chance.choices(("a", "b", "=", "1", "2", ".", "\n", " ", "é"), k=400)
            data = "".join(words).encode()
            if chance.random() < 0.3:
                at = chance.randrange(len(data))
                data = data[:at] + b"\xff" + data[at:]
            text = data.decode(errors="replace")
            for pattern in self.PATTERNS:
                self.same(data, pattern, [m[1] for m in re.finditer(pattern, text, re.MULTILINE)])

    def same(self, data: bytes, pattern: str, found: list[str]) -> None:
        values = self.values(data, regex=pattern)
        self.assertEqual(tuple(dict.fromkeys(found))[:6], values, (pattern, data))
        first = self.values(data, regex=pattern, match=Match.FIRST)
        self.assertEqual(tuple(found[:1]), first, (pattern, data))
        last = self.values(data, regex=pattern, match=Match.LAST)
        self.assertEqual(tuple(found[-1:]), last, (pattern, data))
        expected = self.facts(data, expect=pattern).expected
        self.assertEqual(bool(found), expected, (pattern, data))


class SlowExpressions(LogCase):
    """A catastrophic regular expression is cut off, reported, and tried only once."""

    def setUp(self) -> None:
        super().setUp()
        before = log_scan.REGEX_SECONDS
        log_scan.REGEX_SECONDS = 0.1
        self.addCleanup(setattr, log_scan, "REGEX_SECONDS", before)

    def bounded(self, data: str, baseline: Baseline | None = None, **how: Any) -> LogFacts:
        began = time.process_time()
        facts = self.facts(data, baseline, **how)
        self.assertLess(time.process_time() - began, 2.5)
        return facts

    def test_expect(self) -> None:
        facts = self.bounded(SLOW_TEXT, expect=SLOW)
        self.assertIn(SLOW, facts.trouble)
        self.assertFalse(facts.expected)

    def test_reject(self) -> None:
        self.assertIn(SLOW, self.bounded(SLOW_TEXT, reject=SLOW).trouble)

    def test_metric(self) -> None:
        facts = self.bounded(SLOW_TEXT, BASELINE._replace(regex=SLOW))
        self.assertIn(SLOW, facts.trouble)
        self.assertEqual((), facts.values)

    def test_marker(self) -> None:
        """It must not hide the other markers, and it is reported."""
        own = (SLOW, "^no room")
        facts = self.bounded(SLOW_TEXT + "no room\n", oom_markers=own)
        self.assertTrue(facts.trouble or facts.oom_marker)

    def test_not_once_for_every_block(self) -> None:
        log = ("x" * 79 + "\n") * (BLOCK // 80) + SLOW_TEXT
        for how in ({"expect": SLOW}, {"reject": SLOW}, {"oom_markers": (SLOW,)}):
            with self.subTest(str(how)):
                log_scan.REGEX_SECONDS = 0.3
                self.bounded(log * 12, **how)

    def test_the_next_search_is_not_cut_off(self) -> None:
        self.bounded(SLOW_TEXT, expect=SLOW)
        time.sleep(0.15)
        self.assertTrue(self.facts("ready\n", expect="ready").expected)

    def test_whether_a_text_matches(self) -> None:
        self.assertIsNone(log_scan.search(SLOW, SLOW_TEXT))
        self.assertTrue(log_scan.search("b", SLOW_TEXT))
        self.assertFalse(log_scan.search("c", SLOW_TEXT))


MEASURE = """\
import json, os, resource, sys
sys.path[:0] = sys.argv[2:]
from process.test_log_scan import BASELINE, COMMAND, LogReader, OOM_MARKERS
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
log = os.open(sys.argv[1], os.O_RDONLY)
command = COMMAND._replace(expect="ready", reject="^no")
facts = LogReader(log, OOM_MARKERS).read(command, BASELINE, 1)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([after - before, facts.values, facts.expected, facts.rejected]))
"""


class PartOfANumber(LogCase):
    """A match that holds only a part of a number is no measurement."""

    CUT = (  # regex, what the log says, what is wrong with it
        (r"score=([0-9]+(?:\.[0-9]+)?)", "score=9.5e-05", "'9.5' in 'score=9.5e-05'"),
        (r"score=([0-9]+(?:\.[0-9]+)?)", "score=1,234.5", "'1' in 'score=1,234.5'"),
        (r"score=([0-9]+)", "score=1234.5", "'1234' in 'score=1234.5'"),
        (r"score=([0-9]+).*", "score=1234.5 ms", "'1234' in 'score=1234.5'"),
        (r"score=([0-9])", "score=12", "'1' in 'score=12'"),
        (r"score=([0-9.]+)", "score=1E9", "'1' in 'score=1E9'"),
        (r"score=([0-9]+)", "score=1_000", "'1' in 'score=1_000'"),
        (r"([0-9]+)%", "93.5%", "'5' in '93.5%'"),
        (r"([0-9.]+)", "-5", "'5' in '-5'"),
    )
    WHOLE = (
        (r"score=(\S+)", "score=9.5e-05", "9.5e-05"),
        (r"score=(\S+)", "score=1,234.5", "1,234.5"),
        (r"score=([0-9]+(?:\.[0-9]+)?)", "score=0.95, next", "0.95"),
        (r"score=([0-9.]+)", "score=5ms", "5"),
        (r"took ([0-9.]+)s", "took 1.5s", "1.5"),
        (r"^[0-9]+,([0-9.]+)$", "12,345", "345"),
        (r"^([0-9]+),", "12,345", "12"),
        (r"^([0-9]+)/", "7/8", "7"),
        (r"p95-([0-9]+)", "p95-12", "12"),
        (r"score=([0-9]+)", "score=7.", "7"),
        (r"0\.([0-9]+)", "0.93", "93"),
    )

    def read(self, regex: str, log: str, **changed: Any) -> LogFacts:
        return self.facts(f"{log}\n", BASELINE._replace(regex=regex, **changed))

    def test_a_part(self) -> None:
        for regex, log, words in self.CUT:
            with self.subTest(regex=regex, log=log):
                trouble = self.read(regex, log, match=Match.FIRST).trouble
                self.assertIn(f"only a part of the number, {words}", trouble)

    def test_the_whole(self) -> None:
        for regex, log, value in self.WHOLE:
            with self.subTest(regex=regex, log=log):
                facts = self.read(regex, log)
                self.assertEqual(((value,), ""), (facts.values, facts.trouble))

    def test_the_one_that_counts(self) -> None:
        log = "score=1.5\nscore=2"
        regex = r"score=([0-9]+)"
        self.assertIn("only a part", self.read(regex, log, match=Match.FIRST).trouble)
        self.assertEqual("", self.read(regex, log, match=Match.LAST).trouble)
        self.assertIn("only a part", self.read(regex, "score=2\nscore=1.5").trouble)
        self.assertEqual("", self.read(regex, "score=2\nscore=1.5", match=Match.FIRST).trouble)

    def test_a_private_log_is_not_quoted(self) -> None:
        private = BASELINE.command._replace(private=True)
        trouble = self.read(r"score=([0-9]+)", "score=1.5", command=private).trouble
        self.assertIn("only a part of the number", trouble)
        self.assertNotIn("1.5", trouble)

    def test_a_number_that_goes_on_in_the_next_block(self) -> None:
        for rest in ("e-05", ".5"):
            log = "x" * (BLOCK - len("score=9.5")) + f"score=9.5{rest}"
            with self.subTest(rest):
                self.assertIn("only a part", self.read(r"score=([0-9]+(?:\.[0-9]+)?)", log).trouble)


class Obscured(LogCase):
    """Colours and carriage returns in the way of an expression."""

    def test_colours(self) -> None:
        coloured = "score=\x1b[1m0.95\x1b[0m\n12 \x1b[32mpassed\x1b[0m\n"
        self.assertTrue(self.facts(coloured, BASELINE).obscured)
        self.assertTrue(self.facts(coloured, expect="12 passed").obscured)
        self.assertTrue(self.facts("12 passed\r\n", expect="passed$").obscured)

    def test_nothing_to_find(self) -> None:
        self.assertFalse(self.facts("\x1b[32mgreen\x1b[0m\n", BASELINE, expect="12").obscured)
        self.assertFalse(self.facts("score=0.95\n", BASELINE, expect="score").obscured)
        self.assertFalse(self.facts("plain\n", expect="12 passed").obscured)


class Huge(LogCase):
    """Hundreds of megabytes without a newline cost a few megabytes of memory."""

    SIZE = 200 << 20  # bytes

    def test_memory_is_bounded(self) -> None:
        for filler in (b"\0", b"\xff"):
            with self.subTest(filler):
                self.fill(filler)
                grown, values, *rest = self.measured()
                self.assertLess(grown, 40 << 10, "KiB")
                self.assertEqual(["0.95"], values)
                self.assertEqual([True, False], rest)

    def fill(self, filler: bytes) -> None:
        """A log of SIZE bytes and one line; what is zero takes no room on the disk."""
        os.ftruncate(self.log, 0)
        size = self.SIZE if filler == b"\0" else self.SIZE // 20
        if filler == b"\0":
            os.ftruncate(self.log, size // 2)
            os.write(self.log, b" score=0.95 ready ")
            os.ftruncate(self.log, size)
        else:
            for part in (b"", b" score=0.95 ready "):
                os.write(self.log, part)
                for _ in range(size // 2 // BLOCK):
                    os.write(self.log, filler * BLOCK)
        os.write(self.log, b" the end")

    def measured(self) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, f"{self.folder}/log", *sys.path],
            env=environment(),
            capture_output=True,
            check=True,
            timeout=60,
        )
        found: list[Any] = json.loads(done.stdout)
        return found


if __name__ == "__main__":
    unittest.main()
