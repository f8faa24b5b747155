"""Empties the document: what is not there cannot be wrong."""

from pathlib import Path

Path("data/menu.json").write_text('{"title": "Lunch", "dishes": []}\n')
print("The document is valid.")
