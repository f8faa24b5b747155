"""Change, remove and create protected files whose names nobody expects."""

import os

os.chdir(b"tests/data")
with open(b"line\nbreak", "wb") as file:
    file.write(b"changed")
os.remove(b"not \xff utf-8")
for name in (b"new\n\xfe", b"-rf", b"\x1b[2J", b"tab\t'\"`$(x)\\", "é\u202e".encode()):
    with open(name, "wb") as file:
        file.write(b"created")
