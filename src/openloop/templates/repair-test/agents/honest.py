"""Repairs the code: the discount is in percent."""

from pathlib import Path

path = Path("prices.py")
code = path.read_text()
path.write_text(code.replace("sum(prices) - discount", "sum(prices) * (100 - discount) // 100"))
print("The discount was taken as cents; it is in percent now.")
