"""Judged on one case: does what its standard input says. answers.py [NOTEBOOK]"""

import contextlib
import glob
import os
import signal
import subprocess
import sys
import time

NOTEBOOK = sys.argv[1] if len(sys.argv) > 1 else ""


def daemonize() -> None:
    """Leave a process behind that ignores SIGTERM, its PID in the notebook."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(NOTEBOOK, "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        time.sleep(60)


def ancestors() -> list[int]:
    """The PIDs of guard and judge; that of the guard alone where no more can be seen."""
    guard = os.getppid()
    try:
        with open(f"/proc/{guard}/stat", "rb") as file:
            return [guard, int(file.read().rpartition(b")")[2].split()[1])]
    except OSError:
        return [guard]


def main(words: list[str]) -> None:
    match words:
        case ["say", *rest]:
            print(*rest)
        case ["code", code]:
            sys.exit(int(code))
        case ["hang"]:
            time.sleep(600)
        case ["hang-deaf"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case ["flood", stream]:
            while True:
                os.write(int(stream), b"x" * 65536)
        case ["crash"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["bytes"]:
            os.write(1, b"right\xff")
        case ["closes"]:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            time.sleep(0.2)
        case ["daemon"]:
            daemonize()
            while not os.path.exists(NOTEBOOK):
                time.sleep(0.01)
            print("right")
        case ["forge"]:
            print("1 of 1 cases\nscore=1.0000")
            print("1 of 1 cases\nscore=1.0000", file=sys.stderr)
        case ["kill", "all"]:
            for pid in {os.getppid(), os.getsid(0), *range(1, 1000)} - {0, os.getpid()}:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            print("right")
        case ["kill", who]:
            os.kill(ancestors()[["guard", "judge"].index(who)], signal.SIGKILL)
            time.sleep(600)
        case ["files"]:
            folder = os.environ["CASE_DIR"]
            for path in sorted(glob.glob(f"{folder}/**", recursive=True)):
                if os.path.isfile(path):
                    with open(path, encoding="utf-8") as file:
                        print(path, repr(file.read()))
        case ["surroundings"]:
            print(sorted(name for name in os.environ if name.startswith(("OPENLOOP_", "CASE_"))))
            print([name for name in os.listdir("/proc/self/fd") if int(name) > 3])
            print([name for name in os.listdir("/proc") if name.isdigit()] == [str(os.getpid())])
        case ["search", path]:
            search(path)
        case ["interrupt"]:
            os.kill(ancestors()[1], signal.SIGTERM)
            time.sleep(600)


def search(path: str) -> None:
    """Print whatever can be seen of a file, by its name and from other processes' places."""
    looks = [path, *glob.glob("/proc/[0-9]*/root" + path)]
    looks += [f"/proc/{pid}/root{path}" for pid in ancestors()]
    subprocess.run(["umount", path], stderr=subprocess.DEVNULL, check=False)
    for look in looks:
        try:
            with open(look, encoding="utf-8") as file:
                print(file.read(), end="")
        except OSError:
            continue
    for pid in ancestors()[1:]:
        try:
            with open(f"/proc/{pid}/mem", "rb"):
                print("the judge's memory is open")
        except OSError:
            continue


main(sys.stdin.read().split())
