"""Leave a daemon behind that hides its memory, as a program does that may be run and not read:
PIDFILE. It writes its PID to the file."""

import ctypes
import os
import sys
import time

PR_SET_DUMPABLE = 4
pid_file = sys.argv[1]
if os.fork() == 0:
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    with open(f"{pid_file}.new", "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(f"{pid_file}.new", pid_file)
    time.sleep(60)
while not os.path.exists(pid_file):
    time.sleep(0.005)
