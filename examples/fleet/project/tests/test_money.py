import unittest

from toolbox.money import share


class TestMoney(unittest.TestCase):
    def test_nothing_is_lost(self) -> None:
        self.assertEqual([34, 33, 33], share(100, 3))
