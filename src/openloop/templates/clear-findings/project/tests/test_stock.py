import unittest

from stock import count


class Stock(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(count(["2", "3"]), 5)

    def test_other_lines(self):
        self.assertEqual(count(["2", "none", ""]), 2)
