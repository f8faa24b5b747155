"""Give a file and a folder of the tests other permissions."""

import os

os.chmod("tests/test_calc.py", 0o4777)
os.chmod("tests/data", 0o700)
