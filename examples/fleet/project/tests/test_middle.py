import unittest

from toolbox.middle import median


class TestMiddle(unittest.TestCase):
    def test_even(self) -> None:
        self.assertEqual(2.5, median([4, 1, 3, 2]))
