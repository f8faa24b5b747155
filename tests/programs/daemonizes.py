"""Leave a daemon behind: PIDFILE [stay]. It forks and calls setsid twice, with an empty
environment, its output closed, and writes its PID to the file. The leader then ends, or
sleeps when `stay` is given."""

import os
import sys
import time

pid_file = os.path.abspath(sys.argv[1])
PROGRAM = """
import os, sys, time
os.setsid()
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()}\\n")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""
if os.fork() == 0:
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", PROGRAM, pid_file], {})
while not os.path.exists(pid_file):
    time.sleep(0.005)
if "stay" in sys.argv[2:]:
    time.sleep(60)
