"""Corrects what the schema complains of, and keeps every dish."""

from pathlib import Path

path = Path("data/menu.json")
path.write_text(path.read_text().replace('"890"', "890").replace('"price"', '"cents"'))
print("A price was a string, another had the wrong name.")
