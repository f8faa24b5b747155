import unittest

from toolbox.wrap import wrap


class TestWrap(unittest.TestCase):
    def test_words_stay_whole(self) -> None:
        self.assertEqual(["the quick", "brown fox"], wrap("the quick brown fox", 9))
