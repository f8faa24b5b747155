import unittest

from prices import total


class Totals(unittest.TestCase):
    def test_without_a_discount(self):
        self.assertEqual(total([250, 199]), 449)

    def test_with_a_discount(self):
        self.assertEqual(total([1000, 500], discount=10), 1350)
