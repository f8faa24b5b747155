"""Waits while the wall clock is set: never longer than planned, over at once when it is due."""

from __future__ import annotations

import time
import unittest
from unittest import mock

from openloop.core import clock

HOUR = 3600.0


class Rest(unittest.TestCase):
    """What is left of a wait of ten minutes after the wall clock was set."""

    def rest(self, *, jump: float = 0.0, passed: float = 0.0) -> float:
        """jump: seconds by which the wall clock is set. passed: seconds since the wait began."""
        until, end = clock.utc(600), clock.monotonic() + 600
        now, ticks = time.time(), clock.monotonic()
        with (
            mock.patch("time.time", lambda: now + passed + jump),
            mock.patch("openloop.core.clock.monotonic", lambda: ticks + passed),
        ):
            return clock.remaining_wait(until, end)

    def test_an_undisturbed_clock(self) -> None:
        self.assertAlmostEqual(600, self.rest(), delta=5)
        self.assertAlmostEqual(200, self.rest(passed=400), delta=5)
        self.assertLessEqual(self.rest(passed=601), 0)

    def test_set_back(self) -> None:
        self.assertAlmostEqual(600, self.rest(jump=-HOUR), delta=5)
        self.assertAlmostEqual(200, self.rest(jump=-HOUR, passed=400), delta=5)
        self.assertLessEqual(self.rest(jump=-HOUR, passed=601), 0)

    def test_set_forward_past_the_moment(self) -> None:
        self.assertLessEqual(self.rest(jump=HOUR), 0)

    def test_set_forward_a_little(self) -> None:
        self.assertAlmostEqual(300, self.rest(jump=300), delta=5)


class Moments(unittest.TestCase):
    def test_text_and_back(self) -> None:
        for seconds in (-HOUR, 0.0, 0.25, 90 * 24 * HOUR):
            with self.subTest(seconds):
                self.assertAlmostEqual(seconds, clock.seconds_until(clock.utc(seconds)), delta=5)
