import unittest

from toolbox.ring import Ring


class TestRing(unittest.TestCase):
    def test_it_forgets(self) -> None:
        ring = Ring(2)
        for value in (1, 2, 3):
            ring.add(value)
        self.assertEqual([2, 3], ring.kept)
