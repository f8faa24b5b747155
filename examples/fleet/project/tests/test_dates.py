import unittest

from toolbox.dates import is_leap


class TestDates(unittest.TestCase):
    def test_centuries(self) -> None:
        self.assertFalse(is_leap(1900))
        self.assertTrue(is_leap(2000))
