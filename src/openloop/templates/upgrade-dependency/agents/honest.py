"""Changes the pin, and the call as the new version wants it."""

from pathlib import Path

Path("requirements.txt").write_text("units==2.0\n")
path = Path("trip.py")
path.write_text(path.read_text().replace('kilometres, "mi"', 'kilometres, to="mi"'))
print("Pinned to units 2.0, and the unit is named in the call.")
