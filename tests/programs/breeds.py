"""Fork COUNT children that each leave the session and sleep, their PIDs in a file:
PIDFILE COUNT."""

import os
import sys
import time

pids = []
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    pids.append(pid)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.writelines(f"{pid}\n" for pid in pids)
