"""The program that a launcher starts for one task: claim the launch, run the loop, report its end.

    launch.py run FOLDER      run the launch in FOLDER to its end
    launch.py start FOLDER    the same in the background; returns once it is claimed
    launch.py alive           print which of the launches on standard input live here
    launch.py end FOLDER      SIGTERM to the launch
    launch.py kill FOLDER     SIGKILL to its run, then to the launch itself

Runs on any host with `python -I -S`: nothing but the standard library, and little of that. FOLDER
holds `order.json` (what to run). The one atomic step is the claim: a file that is linked into place
once. Whoever makes it first, a launch or a coordinator that gives the launch up, has decided
whether it will ever run. `end.json` is renamed into place last.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

ORDER, CLAIM, RUN, END = "order.json", "claim", "run.json", "end.json"
STOP, LOG = "stop", "log"
FENCED = "fenced"  # the key of a claim that gives the launch up
_LOOK = 1.0  # seconds between two looks for the stop file
_LATE = 60.0  # seconds that a shared file system may take to show the order
_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# --- files ---


def read(folder: str, name: str) -> dict[str, Any] | None:
    """A JSON object in a launch's folder; None when it is missing or not whole."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            found = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def claim(folder: str, claimant: dict[str, Any]) -> bool:
    """Make the claim. False when somebody has made it before."""
    temporary = os.path.join(folder, f".{CLAIM}.{os.uname().nodename}.{os.getpid()}")
    _write(temporary, claimant)
    try:
        os.link(temporary, os.path.join(folder, CLAIM))
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _write(path: str, document: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(document))
        file.flush()
        os.fsync(file.fileno())


def write_json(folder: str, name: str, document: dict[str, Any]) -> None:
    """Write a file atomically and durably. Raises OSError."""
    temporary = os.path.join(folder, f".{name}.new")
    _write(temporary, document)
    os.rename(temporary, os.path.join(folder, name))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- processes ---


def boot_id() -> str:
    """The id of the machine's boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def started(pid: int) -> str:
    """When a process was started, in clock ticks since the boot; "" when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in (b"Z", b"X") else words[19].decode()


def process_identity(pid: int) -> dict[str, Any]:
    """The identity of a process: host, boot, PID and start time."""
    return {"host": os.uname().nodename, "pid": pid, "start": started(pid), "boot": boot_id()}


def pid_of(folder: str, name: str = CLAIM) -> int | None:
    """The process of a launch, or of its RUN, that lives on this machine."""
    known = read(folder, name)
    if not known or FENCED in known or known["boot"] != boot_id():
        return None
    pid: int = known["pid"]
    return pid if started(pid) == known["start"] else None


# --- run ---


def run(folder: str, on_claim: int = -1) -> int:
    """on_claim: a descriptor that gets a word once the launch is claimed."""
    order = _order(folder)
    mine = {"launch": order["launch"], **process_identity(os.getpid())}
    if not claim(folder, mine):
        print(f"launch {order['launch']} was started before, or was given up: nothing is run")
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_ASKED, signal.SIGCHLD))
    if on_claim >= 0:
        os.write(on_claim, f"{mine['pid']}\n".encode())
        os.close(on_claim)
    began = time.monotonic()
    pid = _spawn(folder, order)
    with contextlib.suppress(OSError):  # a full disk: only who dies before its run is missed
        write_json(folder, RUN, process_identity(pid))
    code = _wait(pid, folder)
    end = {
        "launch": order["launch"],
        "code": code,
        "host": mine["host"],
        "seconds": round(time.monotonic() - began, 3),
        "beat": _beat(order["workspace"]),
    }
    _say_end(folder, end)
    return 0


def _order(folder: str) -> dict[str, Any]:
    deadline = time.monotonic() + _LATE
    while (order := read(folder, ORDER)) is None:
        if time.monotonic() > deadline:
            sys.exit(f"{folder} holds no {ORDER}")
        time.sleep(0.1)
    return order


def _spawn(folder: str, order: dict[str, Any]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    log = os.open(os.path.join(folder, LOG), flags, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(log)
        os.close(nothing)
        return pid
    try:
        os.setsid()  # a signal to our group must not reach the run twice
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(order["cwd"])
        os.execv(order["argv"][0], order["argv"])
    except OSError as error:
        os.write(2, f"error: {order['argv'][0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(127)


def _wait(pid: int, folder: str) -> int:
    """Until the run ends: its exit code, negative for a signal. Passes one request to stop on."""
    asked = False
    stop = os.path.join(folder, STOP)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        found = signal.sigtimedwait((*_ASKED, signal.SIGCHLD), _LOOK)
        signalled = found is not None and found.si_signo in _ASKED
        if not asked and (signalled or os.path.exists(stop)):
            asked = True
            os.kill(pid, signal.SIGTERM)


def _beat(workspace: str) -> dict[str, Any]:
    """The last heartbeat of the run."""
    beat = read(workspace, "heartbeat.json") or {}
    return {name: beat.get(name) for name in ("status", "reason", "run", "round", "usage")}


def _say_end(folder: str, end: dict[str, Any]) -> None:
    """Write end.json; on a full disk, as soon as there is room again."""
    while True:
        try:
            return write_json(folder, END, end)
        except FileNotFoundError:
            sys.exit(f"{folder} was removed")
        except OSError:
            time.sleep(_LOOK)


def start(folder: str) -> int:
    """Run a launch in the background, in its own session; 1 when it dies before it is claimed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for target in (0, 1):
            os.dup2(nothing, target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(os.path.join(folder, "engine.log"), flags, 0o644), 2)
        os._exit(_guarded(folder, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        word = pipe.read()
    if word:
        print(word.decode().strip())
        return 0
    return 0 if os.path.exists(os.path.join(folder, CLAIM)) else 1


def _guarded(folder: str, writing: int) -> int:
    try:
        return run(folder, writing)
    except SystemExit as ending:
        os.write(2, f"{ending}\n".encode())
    except OSError as error:
        os.write(2, f"error: {error}\n".encode())
    return 1


# --- asked from elsewhere ---


def print_live_launches() -> int:
    """Print the launches on standard input that live here, each with its PID."""
    for line in sys.stdin:
        launch, _, folder = line.rstrip("\n").partition(" ")
        pid = pid_of(folder) or pid_of(folder, RUN)
        if pid:
            print(launch, pid)
    return 0


def end(folder: str) -> int:
    """Send SIGTERM to a launch, which passes it to its run, or to the run itself if the launch has
    died."""
    if pid := pid_of(folder) or pid_of(folder, RUN):
        os.kill(pid, signal.SIGTERM)
    return 0


def kill(folder: str) -> int:
    """Send SIGKILL to the run of a launch, and to the launch once it has had time to report the
    end."""
    if pid := pid_of(folder, RUN):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while (pid := pid_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if pid:
        os.kill(pid, signal.SIGKILL)
    return 0


def main(words: list[str]) -> int:
    match words:
        case ["run", folder]:
            return run(folder)
        case ["start", folder]:
            return start(folder)
        case ["alive"]:
            return print_live_launches()
        case ["end", folder]:
            return end(folder)
        case ["kill", folder]:
            return kill(folder)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
