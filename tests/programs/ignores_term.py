"""Ignore every polite signal, write my PID to a file, then sleep: PIDFILE."""

import os
import signal
import sys
import time

for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(signum, signal.SIG_IGN)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
time.sleep(60)
