"""Stop the guard of this command by tracing it, or by SIGSTOP, and hang.

HOW: `traces` (only root may, where the guard has closed its memory) or `stops`. PIDFILE: written
when that is done.
"""

import ctypes
import os
import signal
import sys
import time

SEIZE, INTERRUPT = 0x4206, 0x4207
EXIT_STOP = 1 << 6  # PTRACE_O_TRACEEXIT: the guard stops again when it is killed
how, pid_file = sys.argv[1:]

parent = os.getppid()  # the shell
with open(f"/proc/{parent}/stat", "rb") as file:
    guard = int(file.read().rpartition(b")")[2].split()[1])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "traces":
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request, data in ((SEIZE, EXIT_STOP), (INTERRUPT, 0)):
        if libc.ptrace(request, guard, None, data) != 0:
            sys.exit(os.strerror(ctypes.get_errno()))
else:
    os.kill(guard, signal.SIGSTOP)
with open(f"{pid_file}.new", "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
os.rename(f"{pid_file}.new", pid_file)
time.sleep(600)
