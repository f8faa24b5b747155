import unittest

from trip import miles


class Trips(unittest.TestCase):
    def test_miles(self):
        self.assertAlmostEqual(miles(100), 62.1, places=1)
