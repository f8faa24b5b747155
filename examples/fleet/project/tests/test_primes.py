import unittest

from toolbox.primes import is_prime


class TestPrimes(unittest.TestCase):
    def test_small(self) -> None:
        self.assertEqual([2, 3, 5, 7, 11], [n for n in range(12) if is_prime(n)])
