"""Look for what one should not see and write where one should not; report as JSON lines.

prowls.py WORD…: `write PATH`, `read PATH`, `list FOLDER`, `find NAME ROOT`, `signal PID`,
`processes`, `daemon FILE`, in any order.
"""

import json
import os
import signal
import sys
import time


def write(path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("from the agent\n")
    return "written"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def listing(folder):
    return sorted(os.listdir(folder))


def find(name, root):
    """Every file below `root` whose name or content holds `name`, which is written with `_` for
    each space, so that the record of the command is not found."""
    name = name.replace("_", " ")
    found = []
    for where, _, names in os.walk(root):
        for each in names:
            path = os.path.join(where, each)
            try:
                with open(path, "rb") as file:
                    if name in each or name.encode() in file.read():
                        found.append(path)
            except OSError:
                continue
    return found


def end(pid):
    os.kill(int(pid), signal.SIGTERM)
    return "signalled"


def processes():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def daemon(path):
    """A process that leaves the session, and asked to end says so in a file first."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:

            def finish(signum, frame):
                time.sleep(0.1)
                write(path + ".ended")
                os._exit(0)

            signal.signal(signal.SIGTERM, finish)
            write(path)
            time.sleep(600)
        os._exit(0)
    os.wait()
    while not os.path.exists(path):
        time.sleep(0.01)
    return "left"


ACTS = {
    "write": (write, 1),
    "read": (read, 1),
    "list": (listing, 1),
    "find": (find, 2),
    "signal": (end, 1),
    "processes": (processes, 0),
    "daemon": (daemon, 1),
}

words = sys.argv[1:]
while words:
    name = words.pop(0)
    act, count = ACTS[name]
    given, words = words[:count], words[count:]
    try:
        result = act(*given)
    except OSError as error:
        result = f"error: {error.strerror}"
    print(json.dumps([name, *given, result]), flush=True)
