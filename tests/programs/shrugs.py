"""Write my PID to a file, then another file at each SIGTERM, and go on: PIDFILE TERMFILE."""

import os
import signal
import sys
import time


def shrug(signum: int, frame: object) -> None:
    with open(sys.argv[2], "a", encoding="utf-8") as file:
        file.write(f"{signum}\n")


signal.signal(signal.SIGTERM, shrug)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    time.sleep(1)
