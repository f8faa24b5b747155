"""The search must find what is known: run by verify."""

import itertools
import math
import unittest

from problems import bowl, plate, valley
from simplex import minimum

KNOWN = ((bowl, (1, 2, 3)), (valley, (1, 1)), (plate, (1, 3)))


class Known(unittest.TestCase):
    def test_every_minimum_is_found_from_everywhere(self) -> None:
        for function, where in KNOWN:
            for start in itertools.product((-2.0, 0.5, 2.0), repeat=len(where)):
                with self.subTest(function.__name__, start=start):
                    found, _ = minimum(function, start)
                    self.assertLess(math.dist(where, found), 0.01)


if __name__ == "__main__":
    unittest.main()
