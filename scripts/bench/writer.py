"""SIZE TIMING: write SIZE MiB of lines to standard output; the seconds go to the file TIMING."""

import os
import sys
import time

LINE = b"2026-01-01 12:00:00 worker 7 handled request 0123456789abcdef in 12 ms: all is well\n"
BLOCK = (LINE * (1 + (1 << 20) // len(LINE)))[: 1 << 20]

began = time.perf_counter()
for _ in range(int(sys.argv[1])):
    rest = memoryview(BLOCK)
    while rest:
        rest = rest[os.write(1, rest) :]
with open(sys.argv[2], "w", encoding="ascii") as file:
    file.write(str(time.perf_counter() - began))
