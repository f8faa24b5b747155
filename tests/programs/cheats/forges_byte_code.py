"""Write byte code that an interpreter takes for the compiled test, its time and size included."""

import importlib.util
import marshal
import os
import struct

TEST = "tests/test_calc.py"
found = os.stat(TEST)
code = compile("import unittest\n", TEST, "exec")
head = importlib.util.MAGIC_NUMBER + struct.pack(
    "<III", 0, int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
)
path = importlib.util.cache_from_source(TEST)
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path, "wb") as file:
    file.write(head + marshal.dumps(code))
