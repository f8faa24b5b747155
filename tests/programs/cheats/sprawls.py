"""Repair the bug, and change more than is allowed beside it: COUNT files of LINES lines."""

import sys

count, lines = map(int, sys.argv[1:])
for number in range(count):
    with open(f"src/extra_{number}.py", "w", encoding="utf-8") as file:
        file.write("x = 1\n" * lines)
with open("src/calc.py", "w", encoding="utf-8") as file:
    file.write("def add(a, b):\n    return a + b\n")
