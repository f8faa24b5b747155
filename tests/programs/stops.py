"""Write my PID to a file and stop myself, as Ctrl-Z does: PIDFILE."""

import os
import signal
import sys
import time

with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(60)
