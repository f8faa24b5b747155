import unittest

from toolbox.slug import slug


class TestSlug(unittest.TestCase):
    def test_spaces_and_signs(self) -> None:
        self.assertEqual("what-s-new-in-3-13", slug("  What's new   in 3.13? "))
