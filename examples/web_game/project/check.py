"""The unit tests of the game: all that can be tested without a browser."""

import json
import re
import unittest


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


class Levels(unittest.TestCase):
    def test_every_level_can_be_won(self):
        for level in json.loads(read("levels.json")):
            self.assertTrue(level)
            self.assertEqual(len(level), len(set(level)))


class Page(unittest.TestCase):
    def test_what_the_script_looks_for_is_there(self):
        page = read("index.html")
        for name in re.findall(r'querySelector\("#(\w+)"\)', read("game.js")):
            self.assertIn(f'id="{name}"', page)


if __name__ == "__main__":
    unittest.main()
