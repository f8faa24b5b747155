"""Pass when the process whose PID a file holds is dead: PIDFILE."""

import sys

with open(sys.argv[1], encoding="utf-8") as file:
    pid = int(file.read())
try:
    with open(f"/proc/{pid}/stat", "rb") as file:
        state = file.read().rpartition(b")")[2].split()[0]
except OSError:
    state = b"gone"
print(f"{pid} {state.decode()}")
sys.exit(state not in (b"Z", b"X", b"gone"))
