"""Write my PID to a file, then sleep: PIDFILE [SECONDS]."""

import os
import sys
import time

with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 60)
