import unittest

from pairs import pairs


class Pairs(unittest.TestCase):
    def test_pairs(self):
        self.assertEqual(pairs([1, 2, 3, 4, 6], 7), 2)

    def test_a_number_is_no_pair(self):
        self.assertEqual(pairs([2, 5], 4), 0)
