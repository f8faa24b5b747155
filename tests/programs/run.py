"""Run a few lines of Python: PROGRAM."""

import sys

exec(sys.argv[1])
