"""Mends what the findings point at."""

from pathlib import Path

path = Path("stock.py")
code = path.read_text()
for old, new in (
    ("count(input):", "count(lines: list[str]) -> int:"),
    ("in input:", "in lines:"),
    ("sum = 0", "total = 0"),
    ("sum +=", "total +="),
    ("return sum", "return total"),
    ("except Exception:", "except ValueError:"),
):
    code = code.replace(old, new)
path.write_text(code)
print("Types written, names changed, only ValueError caught.")
