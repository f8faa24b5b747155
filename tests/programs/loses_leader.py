"""Let the first thread end while another runs on: PIDFILE."""

import ctypes
import os
import sys
import threading
import time

threading.Thread(target=time.sleep, args=(60,)).start()
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\n")
ctypes.CDLL(None).pthread_exit(None)
