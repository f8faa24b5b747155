import unittest

from spans import merge, read, report

CASES = [
    ([], []),
    ([(540, 600)], [(540, 600)]),
    ([(540, 600), (570, 660)], [(540, 660)]),
    ([(540, 600), (600, 660)], [(540, 660)]),
    ([(540, 600), (610, 660)], [(540, 600), (610, 660)]),
    ([(600, 660), (540, 610)], [(540, 660)]),
    ([(540, 720), (570, 600)], [(540, 720)]),
    ([(700, 710), (540, 720), (570, 600), (730, 740)], [(540, 720), (730, 740)]),
]


class Merging(unittest.TestCase):
    def test_cases(self):
        for spans, expected in CASES:
            with self.subTest(spans):
                self.assertEqual(expected, merge(spans))

    def test_report(self):
        spans = [read("11:00-12:00"), read("9:00-11:30")]
        self.assertEqual("9:00-12:00\ntotal 3:00", report(spans))


if __name__ == "__main__":
    unittest.main()
