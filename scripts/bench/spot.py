"""Small programs that stand beside OpenLoop as floors, or under it as commands.

beat FOLDER: look at a file and rewrite another one, once a second.
breed COUNT MARK: start COUNT processes that carry MARK, say when, and leave them.
killpg COMMAND: run COMMAND in a group of its own; when it has ended, kill the group and say how
    many seconds passed since the command printed its time until the last process was collected.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def beat(folder: str) -> None:
    name, temporary = (os.path.join(folder, each) for each in ("beat", "beat.new"))
    while True:
        os.stat(folder)
        with open(temporary, "wb", buffering=0) as file:
            file.write(b"x" * 800)
        os.rename(temporary, name)
        time.sleep(1)


def breed(count: str, mark: str) -> None:
    command = f"for n in $(seq {count}); do sleep {mark} & done"
    os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], os.environ), 0)
    print(time.time(), flush=True)
    os._exit(0)


def killpg(command: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    readable, writable = os.pipe()
    words = ["/bin/sh", "-c", command]
    actions = [(os.POSIX_SPAWN_DUP2, writable, 1)]
    leader = os.posix_spawn(words[0], words, os.environ, setpgroup=0, file_actions=actions)
    os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
    os.killpg(leader, signal.SIGTERM)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    now = time.time()
    print(now - float(os.read(readable, 100)))


if __name__ == "__main__":
    {"beat": beat, "breed": breed, "killpg": killpg}[sys.argv[1]](*sys.argv[2:])
