import unittest

import shapes


class Shapes(unittest.TestCase):
    def test_area(self):
        self.assertEqual(shapes.area(3, 4), 12)
