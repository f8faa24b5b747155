"""`python3 -m spans SPAN…` prints the joined spans and their total."""

import sys

from spans import read, report

try:
    print(report([read(word) for word in sys.argv[1:]]))
except ValueError as error:
    sys.exit(f"error: {error}")
