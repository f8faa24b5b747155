import unittest

from spans import read, write


class Times(unittest.TestCase):
    def test_read(self):
        self.assertEqual((540, 630), read("9:00-10:30"))

    def test_write(self):
        self.assertEqual("10:05", write(605))

    def test_the_wrong_way_round(self):
        with self.assertRaises(ValueError):
            read("10:00-9:00")


if __name__ == "__main__":
    unittest.main()
