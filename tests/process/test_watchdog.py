"""The limits of one command, asked at chosen moments."""

from __future__ import annotations

import os
import unittest

from openloop.core.clock import monotonic
from openloop.core.vocabulary import Outcome
from openloop.process.watchdog import CommandLimits, CommandWatch
from support import Case

LIMITS = CommandLimits(timeout=100.0, stall=50.0, grace=3.0)
PATIENCE = 2.0  # seconds


class Moments(Case):
    """`check_limits` takes the time as an argument; the log is a real file."""

    def setUp(self) -> None:
        super().setUp()
        self.log = os.open(f"{self.folder}/log", os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.log)
        self.ends: list[float] = []
        self.given_up = 0
        self.watch = CommandWatch(
            self.log,
            LIMITS,
            patience=PATIENCE,
            beat=lambda size: None,
            order_end=self.ends.append,
            give_up=self.give_up,
        )
        self.began = monotonic()

    def give_up(self) -> None:
        self.given_up += 1

    def test_silence_until_the_stall_limit(self) -> None:
        self.watch.check_limits(self.began + 49)
        self.assertIsNone(self.watch.ended)
        self.watch.check_limits(self.began + 51)
        self.assertEqual((Outcome.STALLED, [LIMITS.grace]), (self.watch.ended, self.ends))

    def test_output_puts_off_the_stall_and_not_the_timeout(self) -> None:
        for second in range(0, 99, 9):
            os.write(self.log, b"x")
            self.watch.check_limits(self.began + second)
        self.assertIsNone(self.watch.ended)
        self.watch.check_limits(self.began + 101)
        self.assertIs(Outcome.TIMEOUT, self.watch.ended)

    def test_a_gap_moves_both_limits_along(self) -> None:
        self.watch.shift(1000)
        os.write(self.log, b"x")
        self.watch.check_limits(self.began + 1049)
        self.assertIsNone(self.watch.ended)
        os.write(self.log, b"x")
        self.watch.check_limits(self.began + 1098)
        self.assertIsNone(self.watch.ended)
        os.write(self.log, b"x")
        self.watch.check_limits(self.began + 1101)
        self.assertIs(Outcome.TIMEOUT, self.watch.ended)

    def test_a_guard_that_does_not_answer_is_given_up_once(self) -> None:
        self.watch.check_limits(self.began + 51)
        ordered = monotonic()
        self.watch.check_limits(ordered + PATIENCE - 1)
        self.assertEqual(0, self.given_up)
        self.watch.check_limits(ordered + PATIENCE + 1)
        self.watch.check_limits(ordered + PATIENCE + 2)
        self.assertEqual(1, self.given_up)
        self.assertFalse(self.watch.is_answered)

    def test_one_that_falls_silent_while_it_ends_the_tree_is_given_up_too(self) -> None:
        self.watch.check_limits(self.began + 51)
        self.watch.answered()
        self.assertTrue(self.watch.is_answered)
        self.watch.check_limits(monotonic() + PATIENCE + 1)
        self.assertEqual(1, self.given_up)

    def test_an_answer_that_nobody_asked_for_means_nothing(self) -> None:
        self.watch.answered()
        self.watch.check_limits(monotonic() + PATIENCE + 1)
        self.assertEqual((0, False), (self.given_up, self.watch.is_answered))

    def test_a_gap_puts_off_giving_up(self) -> None:
        self.watch.check_limits(self.began + 51)
        due = monotonic() + PATIENCE
        self.watch.shift(1000)
        self.watch.check_limits(due + 999)
        self.assertEqual(0, self.given_up)
        self.watch.check_limits(due + 1001)
        self.assertEqual(1, self.given_up)


if __name__ == "__main__":
    unittest.main()
