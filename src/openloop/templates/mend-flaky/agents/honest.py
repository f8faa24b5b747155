"""Repairs the cause: a set has no order."""

from pathlib import Path

path = Path("guests.py")
path.write_text(path.read_text().replace("set(people)", "sorted(set(people))"))
print("The names came out of a set, in any order; they are sorted now.")
