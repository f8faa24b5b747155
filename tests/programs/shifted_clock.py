"""OpenLoop under a clock that a test sets: `shifted_clock.py FILE WORD …`; FILE holds the seconds
by which it differs from the machine's at that moment."""

import sys
import time

machine = time.time


def shifted() -> float:
    with open(path) as file:
        return machine() + float(file.read())


path = sys.argv.pop(1)
time.time = shifted
from openloop.cli import main  # noqa: E402

sys.exit(main())
