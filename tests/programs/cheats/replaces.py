"""Put something that is no file in the place of the test: FIFO or FOLDER or LINK."""

import os
import sys

TEST = "tests/test_calc.py"
os.remove(TEST)
if sys.argv[1] == "fifo":
    os.mkfifo(TEST)
elif sys.argv[1] == "folder":
    os.makedirs(f"{TEST}/deeper")
else:
    os.symlink("/dev/null", TEST)
