"""Tests what each function returns."""

from pathlib import Path

path = Path("tests/test_shapes.py")
path.write_text(
    path.read_text()
    + """
    def test_perimeter(self):
        self.assertEqual(shapes.perimeter(3, 4), 14)

    def test_squares(self):
        self.assertTrue(shapes.is_square(2, 2))
        self.assertFalse(shapes.is_square(2, 3))
"""
)
print("Tests for perimeter and is_square.")
