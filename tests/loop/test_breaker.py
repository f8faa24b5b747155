"""The circuit breaker: closed, tripping, open, half-open."""

from __future__ import annotations

import unittest

from loop.missions import configured
from openloop.loop import breaker
from openloop.loop.state import State

CONFIG = configured("verify", failures=3)


class Breaker(unittest.TestCase):
    """Repeated failure blocks instead of burning the budget."""

    def test_count(self) -> None:
        state = State(consecutive_failures=2)
        self.assertEqual(3, breaker.count_after(state, failed=True))
        self.assertEqual(0, breaker.count_after(state, failed=False))

    def reason(
        self, count: int, *, failed: bool, complete: bool = False, trial: bool = False
    ) -> str:
        state = State(consecutive_failures=count, trial=trial)
        return breaker.reason_to_trip(CONFIG, state, failed=failed, complete=complete)

    def test_closed_below_the_limit(self) -> None:
        self.assertEqual("", self.reason(0, failed=True))
        self.assertEqual("", self.reason(1, failed=True))
        self.assertEqual("", self.reason(9, failed=False))

    def test_trips_at_the_limit_and_beyond(self) -> None:
        self.assertEqual("3 failed rounds in a row, the limit is 3", self.reason(2, failed=True))
        self.assertEqual("10 failed rounds in a row, the limit is 3", self.reason(9, failed=True))

    def test_one_round_is_written_in_the_singular(self) -> None:
        config = configured("verify", failures=1)
        reason = breaker.reason_to_trip(config, State(), failed=True, complete=False)
        self.assertEqual("1 failed round, the limit is 1", reason)

    def test_half_open(self) -> None:
        self.assertEqual("", self.reason(9, failed=False, complete=True, trial=True))
        self.assertIn("trial", self.reason(9, failed=True, trial=True))
        self.assertIn("trial", self.reason(0, failed=False, trial=True))


if __name__ == "__main__":
    unittest.main()
