"""What a step's facts amount to: outcomes, metrics, error lines, and what is proven."""

from __future__ import annotations

import math
import unittest
from typing import Any

from loop.missions import configured
from openloop.config.config import Baseline, Command
from openloop.core.vocabulary import Direction, Kind, Match, Outcome, Step
from openloop.loop import gates
from openloop.loop.events import Attachment, Event, Measurement, StepResult
from openloop.loop.gates import Exit, LogFacts, Verdict
from openloop.loop.state import GateResult, State

COMMAND = Command("true", 900.0, 300.0, {}, expect=None, reject=None)
BASELINE = Baseline(COMMAND, "score", "score=(.*)", 0.9, Direction.GREATER_EQUAL, 1, Match.ONLY)


class Judging(unittest.TestCase):
    """Evidence of a lie or an illness beats the exit code."""

    CASES: tuple[tuple[str, Exit, LogFacts, Outcome, str], ...] = (
        ("exit 0", Exit(code=0), LogFacts(), Outcome.PASSED, ""),
        ("exit 1", Exit(code=1), LogFacts(), Outcome.FAILED, "exit 1"),
        ("not found", Exit(code=127), LogFacts(), Outcome.FAILED, "command not found"),
        ("not executable", Exit(code=126), LogFacts(), Outcome.FAILED, "not executable"),
        ("signal", Exit(signal="SIGKILL"), LogFacts(), Outcome.FAILED, "SIGKILL, not by OpenLoop"),
        ("neither code nor signal", Exit(), LogFacts(), Outcome.FAILED, ""),
        (
            "timeout",
            Exit(ended=Outcome.TIMEOUT, detail="900 s"),
            LogFacts(),
            Outcome.TIMEOUT,
            "900",
        ),
        (
            "timeout that exits 0",
            Exit(code=0, ended=Outcome.TIMEOUT),
            LogFacts(),
            Outcome.TIMEOUT,
            "",
        ),
        ("stall", Exit(signal="SIGTERM", ended=Outcome.STALLED), LogFacts(), Outcome.STALLED, ""),
        ("error", Exit(ended=Outcome.ERROR, detail="EAGAIN"), LogFacts(), Outcome.ERROR, "EAGAIN"),
        ("interrupted", Exit(ended=Outcome.INTERRUPTED), LogFacts(), Outcome.INTERRUPTED, ""),
        ("kernel evidence", Exit(code=137, oom="probable"), LogFacts(), Outcome.OOM, "probable"),
        ("kernel evidence at exit 0", Exit(code=0, oom="confirmed"), LogFacts(), Outcome.OOM, ""),
        (
            "marker at exit 0",
            Exit(code=0),
            LogFacts(oom_marker="MemoryError"),
            Outcome.PASSED,
            "",
        ),
        (
            "marker and another exit code",
            Exit(code=1),
            LogFacts(oom_marker="MemoryError"),
            Outcome.OOM,
            "suspected by limits.oom_markers: the log says 'MemoryError'",
        ),
        (
            "marker and a timeout",
            Exit(ended=Outcome.TIMEOUT),
            LogFacts(oom_marker="MemoryError"),
            Outcome.OOM,
            "MemoryError",
        ),
        (
            "marker and a signal from outside",
            Exit(ended=Outcome.INTERRUPTED),
            LogFacts(oom_marker="MemoryError"),
            Outcome.INTERRUPTED,
            "",
        ),
        (
            "marker in a log that no command wrote",
            Exit(ended=Outcome.ERROR),
            LogFacts(oom_marker="MemoryError"),
            Outcome.ERROR,
            "",
        ),
        (
            "somebody survived SIGKILL",
            Exit(code=0, survivors=(41, 42)),
            LogFacts(oom_marker="MemoryError"),
            Outcome.ERROR,
            "PIDs 41, 42 could not be ended",
        ),
        (
            "regex in trouble",
            Exit(code=0),
            LogFacts(expected=True, trouble="'(a+)+$' took longer"),
            Outcome.FAILED,
            "took longer",
        ),
        (
            "exit code before regex",
            Exit(code=2),
            LogFacts(trouble="slow"),
            Outcome.FAILED,
            "exit 2",
        ),
    )

    def test_the_table(self) -> None:
        for title, end, facts, outcome, words in self.CASES:
            with self.subTest(title):
                verdict = gates.verdict_of(COMMAND, end, facts)
                self.assertEqual(outcome, verdict.outcome)
                self.assertIn(words, verdict.detail)

    def test_expect_and_reject(self) -> None:
        command = COMMAND._replace(expect="^ready$", reject="Traceback")
        cases = (
            (True, False, Outcome.PASSED, ""),
            (False, False, Outcome.FAILED, "does not match expect '^ready$'"),
            (True, True, Outcome.FAILED, "matches reject 'Traceback'"),
            (False, True, Outcome.FAILED, "matches reject 'Traceback'"),
        )
        for expected, rejected, outcome, words in cases:
            with self.subTest(expected=expected, rejected=rejected):
                facts = LogFacts(expected=expected, rejected=rejected)
                verdict = gates.verdict_of(command, Exit(code=0), facts)
                self.assertEqual(outcome, verdict.outcome)
                self.assertIn(words, verdict.detail)

    def test_expect_does_not_save_a_failing_exit(self) -> None:
        command = COMMAND._replace(expect="ready")
        verdict = gates.verdict_of(command, Exit(code=1), LogFacts(expected=True))
        self.assertEqual(Outcome.FAILED, verdict.outcome)


class Measuring(unittest.TestCase):
    """The baseline's verdict on the values in its logs."""

    def measure(self, *samples: tuple[str, ...], **changed: Any) -> Verdict:
        facts = [LogFacts(values=texts) for texts in samples]
        return gates.measure(BASELINE._replace(**changed), facts)

    def test_directions(self) -> None:
        cases = (
            (Direction.GREATER_EQUAL, ("0.89", "0.9", "0.91"), (False, True, True)),
            (Direction.GREATER, ("0.89", "0.9", "0.91"), (False, False, True)),
            (Direction.LESS_EQUAL, ("0.89", "0.9", "0.91"), (True, True, False)),
            (Direction.LESS, ("0.89", "0.9", "0.91"), (True, False, False)),
        )
        for direction, texts, expected in cases:
            for text, passes in zip(texts, expected, strict=True):
                with self.subTest(direction, value=text):
                    verdict = self.measure((text,), direction=direction)
                    self.assertEqual(passes, verdict.outcome is Outcome.PASSED)
                    self.assertEqual(float(text), verdict.value)

    def test_numbers(self) -> None:
        for text in ("1", "+1", "-1.5", ".5", "5.", "1e3", "1E-3", "0", "-0", "00012", "1e308"):
            with self.subTest(text):
                self.assertEqual(float(text), self.measure((text,)).value)

    def test_what_is_no_finite_number_is_never_a_pass(self) -> None:
        words = ("nan", "NaN", "inf", "-inf", "infinity", "1e999", "-1e999", "", " 1", "1 ", "1_0")
        more = ("0x10", "1,5", "1.2.3", "--1", "1e", "e1", ".", "٣", "１", "1\n", "²", "True")  # noqa: RUF001
        for text in (*words, *more):
            for direction in Direction:
                with self.subTest(text, direction=direction):
                    verdict = self.measure((text,), direction=direction)
                    self.assertEqual((Outcome.FAILED, None), (verdict.outcome, verdict.value))
                    self.assertIn("not measured", verdict.detail)

    def test_nothing_found_is_never_a_pass(self) -> None:
        for direction in Direction:
            verdict = self.measure((), direction=direction)
            self.assertEqual((Outcome.FAILED, None), (verdict.outcome, verdict.value))
            self.assertIn("nothing in the log matches", verdict.detail)

    def test_several_values(self) -> None:
        cases: tuple[tuple[Match, tuple[str, ...], float | None], ...] = (
            (Match.ONLY, ("0.5", "0.6"), None),
            (Match.ONLY, ("0.5", "0.50", "5e-1"), 0.5),
            (Match.FIRST, ("0.5", "0.6"), 0.5),
            (Match.LAST, ("0.5", "0.6"), 0.6),
            (Match.ONLY, ("0.5", "nan"), None),
        )
        for match, texts, expected in cases:
            with self.subTest(match, texts=texts):
                self.assertEqual(expected, self.measure(texts, match=match).value)

    def test_the_words_for_several_values_say_how_to_settle_them(self) -> None:
        detail = self.measure(("0.5", "0.6")).detail
        self.assertIn("0.5, 0.6 (see baseline.match)", detail)

    def test_the_median_of_repetitions(self) -> None:
        verdict = self.measure(("0.2",), ("0.95",), ("0.91",))
        self.assertEqual((Outcome.PASSED, 0.91), (verdict.outcome, verdict.value))
        self.assertIn("median of 0.2, 0.95, 0.91", verdict.detail)

    def test_one_failed_repetition_fails_the_measurement(self) -> None:
        verdict = self.measure(("0.95",), (), ("0.95",))
        self.assertEqual((Outcome.FAILED, None), (verdict.outcome, verdict.value))

    def test_median(self) -> None:
        cases = (
            ([3.0], 3.0),
            ([2.0, 1.0], 1.5),
            ([3.0, 1.0, 2.0], 2.0),
            ([4.0, 1.0, 2.0, 3.0], 2.5),
        )
        for values, expected in cases:
            self.assertEqual(expected, gates.median(values))

    def test_the_median_of_very_large_numbers_is_finite(self) -> None:
        self.assertTrue(math.isfinite(gates.median([1.7e308, 1.7e308])))

    def test_a_missed_value_says_what_was_wanted(self) -> None:
        self.assertEqual("score=0.5, wanted greater or equal 0.9", self.measure(("0.5",)).detail)

    def test_close_numbers_are_told_apart(self) -> None:
        detail = self.measure(("0.8999999",)).detail
        self.assertNotIn("score=0.9,", detail)


class ErrorLine(unittest.TestCase):
    """`{last_error}`: one line of printable text, at most 2,000 characters."""

    def line(self, detail: str, last: str) -> str:
        return gates.error_line(Step.VERIFY, Verdict(Outcome.FAILED, detail), last)

    def test_parts(self) -> None:
        self.assertEqual(
            "verify failed (exit 1): no such file", self.line("exit 1", "no such file")
        )
        self.assertEqual("verify failed (exit 1)", self.line("exit 1", ""))
        self.assertEqual("verify failed", self.line("", ""))

    def test_hostile_bytes(self) -> None:
        for hostile in ("\x1b[2J", "a\nb", "\r", "\x00", "\u202e", "\u2028", "\ud800", "\x7f"):
            line = self.line(hostile, hostile)
            self.assertTrue(line.isprintable(), line)
            self.assertEqual(1, len(line.splitlines()))

    def test_length(self) -> None:
        self.assertEqual(2000, len(self.line("x" * 5000, "")))
        self.assertEqual(2000, len(self.line("", "\x1b" * 5000)))


class Overruled(unittest.TestCase):
    """What broke the policy takes the place of what the command itself reported."""

    MEASURED = Measurement("score", 0.95, 0.9, Direction.GREATER_EQUAL, passed=True)
    RESULT = StepResult(Step.BASELINE, Outcome.PASSED, exit_code=0, value=0.95, log_bytes=7)

    def test_a_gate_that_broke_the_policy_has_measured_nothing(self) -> None:
        result = gates.with_violation(
            self.RESULT._replace(measurement=self.MEASURED), "changed a.py"
        )
        self.assertEqual((Outcome.POLICY, "changed a.py"), (result.outcome, result.detail))
        self.assertEqual("baseline policy (changed a.py)", result.error)
        self.assertIsNone(result.value)
        expected = self.MEASURED._replace(value=None, passed=False)
        self.assertEqual(expected, result.measurement)
        self.assertEqual((0, 7), (result.exit_code, result.log_bytes))

    def test_nothing_else_is_overruled(self) -> None:
        interrupted = self.RESULT._replace(outcome=Outcome.INTERRUPTED)
        for result, broken in ((self.RESULT, ""), (interrupted, "changed a.py")):
            self.assertIs(result, gates.with_violation(result, broken))

    def test_a_result_is_what_its_event_says(self) -> None:
        for result in (
            self.RESULT,
            self.RESULT._replace(
                measurement=self.MEASURED,
                usage={"agent": "a", "cost_usd": None},
                attachments=(Attachment("artifacts/round-0001-play/end.png", 7, "ab"),),
            ),
        ):
            data = result.event_data()
            event = Event(Kind.STEP_FINISHED, "", 0.0, 1, 1, Step.BASELINE, data)
            self.assertEqual(result, StepResult.of(event))
            optional = {"metric", "usage", "attachments"} & data.keys()
            self.assertEqual(3 if result.measurement else 0, len(optional))


class Proof(unittest.TestCase):
    """Which gates are failing, outstanding, stale; and when a mission is complete."""

    CONFIG = configured("play scan fix verify")
    #    results (P passed, F failed, - none) and seq of play, scan, verify; seq of the change;
    #    failing; outstanding; stale; complete
    CASES = (
        ("---", "", "", "psv", False),
        ("PPP", "", "", "", True),
        ("FPP", "p", "p", "", False),
        ("PP-", "", "", "v", False),
        ("FFF", "psv", "psv", "", False),
        ("PPP 1", "", "", "p", False),
        ("FPP 1", "p", "", "p", False),
        ("FPF 1", "pv", "v", "p", False),
        ("PPP 3", "", "", "psv", False),
        ("FFF 3", "psv", "", "psv", False),
    )

    def test_the_table(self) -> None:
        for case, failing, outstanding, stale, complete in self.CASES:
            with self.subTest(case):
                state = self.state(*case.split())
                self.assertEqual(failing, initials(gates.failing(self.CONFIG, state)))
                self.assertEqual(outstanding, initials(gates.outstanding(self.CONFIG, state)))
                self.assertEqual(stale, initials(gates.stale(self.CONFIG, state)))
                self.assertEqual(complete, gates.complete(self.CONFIG, state))

    def state(self, results: str, change: str = "0") -> State:
        """Gates measured at 10, 20, 30; the change after so many of them."""
        known = {
            gate: GateResult(Outcome.PASSED if result == "P" else Outcome.FAILED, seq)
            for gate, result, seq in zip(self.CONFIG.gates, results, (10, 20, 30), strict=True)
            if result != "-"
        }
        return State(gates=known, change_seq=int(change) * 10 + 5)

    def test_gates_that_are_not_configured_do_not_count(self) -> None:
        state = self.state("PPP")
        failed = GateResult(Outcome.FAILED, 40)
        state = state._replace(gates={**state.gates, Step.BASELINE: failed})
        self.assertTrue(gates.complete(self.CONFIG, state))


def initials(steps: tuple[Step, ...]) -> str:
    return "".join(step[0] for step in steps)


if __name__ == "__main__":
    unittest.main()
