"""Start COUNT followers that write a file once they see their leader dead; all ignore SIGTERM:
FILE COUNT."""

import os
import signal
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
readable, writable = os.pipe()
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        os.close(writable)
        os.read(readable, 1)
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
        time.sleep(60)
print("up", flush=True)
time.sleep(60)
