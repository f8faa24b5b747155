import unittest

from guests import names


class Guests(unittest.TestCase):
    def test_names(self):
        self.assertEqual(names(["Cy", "Al", "Bo", "Al"]), "Al, Bo, Cy")
