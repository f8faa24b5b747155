import unittest

from toolbox.roman import roman


class TestRoman(unittest.TestCase):
    def test_subtraction(self) -> None:
        self.assertEqual("MCMXCIV", roman(1994))

    def test_addition(self) -> None:
        self.assertEqual("LXXVIII", roman(78))
