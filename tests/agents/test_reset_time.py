"""When a limit ends, in every form that was seen."""

import calendar
import os
import time
import unittest

from openloop.agents.reset_time import seconds_until_reset
from support import set_environment

NOW = float(calendar.timegm((2026, 11, 29, 10, 0, 0)))
HOUR, DAY = 3600.0, 86400.0


class ResetTime(unittest.TestCase):
    def setUp(self) -> None:
        set_environment(self, TZ="UTC")
        time.tzset()
        self.addCleanup(time.tzset)

    def test_forms(self) -> None:
        expected = {
            str(int(NOW + 5)): 5,
            str(int(NOW + 5) * 1000): 5,
            "2026-11-29T12:00:00Z": 2 * HOUR,
            "2026-11-29T12:00:00.250+02:00": 0,
            "resets 10:56am (UTC)": 56 * 60,
            "You've hit your limit · resets 3pm": 5 * HOUR,
            "or try again at 10:45 AM.": 45 * 60,
            "try again at Dec 1st, 2026 9:00 AM.": 2 * DAY - HOUR,
            "Resets in 2h39m52s": 2 * HOUR + 39 * 60 + 52,
            "Please retry in 2s.": 2,
            "try again in 3 days 2 hours 5 minutes": 3 * DAY + 2 * HOUR + 300,
            "try again in 500ms": 0.5,
            "resets at 1:00 AM": 15 * HOUR,  # tomorrow
            "try again at 10:00 AM.": 60,  # some time in this minute
            "resets at 9:30 AM": -1800,  # just over
            "2026-11-29T09:00:00Z": -HOUR,
            "2026-12-29T10:00:00Z": 30 * DAY,
        }
        for text, seconds in expected.items():
            with self.subTest(text):
                self.assertEqual(seconds_until_reset(text, NOW), seconds)

    def test_local_time_where_no_zone_is_written(self) -> None:
        os.environ["TZ"] = "America/New_York"
        time.tzset()  # 5:00 there
        self.assertEqual(seconds_until_reset("try again at 6:00 AM", NOW), HOUR)
        self.assertEqual(seconds_until_reset("resets 11:00am (UTC)", NOW), HOUR)

    def test_garbage(self) -> None:
        for text in (
            *("", "soon", "Please try again later", "resets 25:99", "try again at 7"),
            *("99999999999999", "2026-99-99T12:00:00Z", "9999-01-01T00:00:00Z", "in s", "in 5"),
            *("try again at Foo 99, 2026 9:00 AM", "in " + "9" * 400 + " h", "-5", "nan", "1e99"),
        ):
            with self.subTest(text[:40]):
                self.assertIsNone(seconds_until_reset(text, NOW))

    def test_hostile_text_takes_no_time(self) -> None:
        started = time.process_time()
        for text in ("in " + "1d" * 5000, "resets " * 5000, "in " + "1 " * 5000, "9" * 20000):
            seconds_until_reset(text, NOW)
        self.assertLess(time.process_time() - started, 5.0)


if __name__ == "__main__":
    unittest.main()
