"""The program that a launcher starts for one task: claim the launch, run the loop, report its end.

    launch.py run FOLDER      run the launch in FOLDER to its end
    launch.py start FOLDER    the same in the background; returns once it is claimed
    launch.py alive           print which of the launches on standard input live here
    launch.py end FOLDER      SIGTERM to the launch
    launch.py kill FOLDER     SIGKILL to its run, then to the launch itself

The run is a fork of the launch: a second interpreter would take the time and memory of one again.
FOLDER holds `order.json` (what to run). The one atomic step is the claim: a file that is linked
into place once. Whoever makes it first, a launch or a coordinator that gives the launch up, has
decided whether it will ever run. `end.json` is renamed into place last.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    OpenLoop = Callable[[list[str]], int]  # runs `openloop` with these words; its exit code

ORDER, CLAIM, RUN, END = "order.json", "claim", "run.json", "end.json"
_KEYS = {"launch", "workspace", "cwd"}  # of an order
STOP, LOG, ENGINE_LOG = "stop", "log", "engine.log"
FENCED = "fenced"  # the key of a claim that gives the launch up
_LOOK = 1.0  # seconds between two looks for the stop file
_LATE = 60.0  # seconds that a shared file system may take to show the order
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


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


def write_run(folder: str, pid: int) -> None:
    """Note the process of the run. Not durable: a power cut ends the process. Raises OSError."""
    temporary = os.path.join(folder, f".{RUN}.new")
    _write(temporary, process_identity(pid, folder), durable=False)
    os.rename(temporary, os.path.join(folder, RUN))


def _write(path: str, document: dict[str, Any], *, durable: bool = True) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(document))
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _write_end(folder: str, document: dict[str, Any]) -> None:
    """Write the end file atomically and durably. Raises OSError."""
    temporary = os.path.join(folder, f".{END}.new")
    _write(temporary, document)
    os.rename(temporary, os.path.join(folder, END))
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


def start_time(pid: int) -> str:
    """When a process was started, in clock ticks since the boot; "" when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in (b"Z", b"X") else words[19].decode()


def process_identity(pid: int, folder: str) -> dict[str, Any]:
    """The identity of a process: host, boot, PID and start time; and the folder that it is noted
    in, so that a copy of the folder is not taken for that of the process."""
    here = {"host": os.uname().nodename, "folder": os.path.realpath(folder)}
    return {**here, "pid": pid, "start": start_time(pid), "boot": boot_id()}


def pid_of(folder: str, name: str = CLAIM) -> int | None:
    """The process of a launch, or of its RUN, that lives on this machine."""
    known = read(folder, name) or {}
    pid = known.get("pid")
    if FENCED in known or type(pid) is not int or known.get("boot") != boot_id():
        return None
    if known.get("folder") != os.path.realpath(folder):
        return None  # it is a copy
    return pid if pid > 1 and start_time(pid) == known.get("start") else None


def live_pid(folder: str) -> int | None:
    """The process of a launch that lives on this machine, or of its run if the launch has died."""
    return pid_of(folder) or pid_of(folder, RUN)


# --- run ---


def run(folder: str, openloop: OpenLoop, on_claim: int = -1) -> int:
    """Run a launch to its end and write its end file, unless it was claimed before; returns 0.
    on_claim: a descriptor that gets a word once the launch is claimed."""
    order = _order(folder)
    mine = {"launch": order["launch"], **process_identity(os.getpid(), folder)}
    if not claim(folder, mine):
        print(f"launch {order['launch']} was started before, or was given up: nothing is run")
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOP_SIGNALS, signal.SIGCHLD))
    if on_claim >= 0:
        os.write(on_claim, f"{mine['pid']}\n".encode())
        os.close(on_claim)
    began = time.monotonic()
    pid = _fork_run(folder, order, openloop)
    with contextlib.suppress(OSError):  # a full disk: only who dies before its run is missed
        write_run(folder, pid)
    code = _wait(pid, folder)
    end = {
        "launch": order["launch"],
        "code": code,
        "host": mine["host"],
        "seconds": round(time.monotonic() - began, 3),
        "beat": _beat(order["workspace"]),
    }
    _write_end_patiently(folder, end)
    return 0


def _order(folder: str) -> dict[str, Any]:
    """The order of a launch, waited for. Raises SystemExit for none, or one that is not whole."""
    deadline = time.monotonic() + _LATE
    while (order := read(folder, ORDER)) is None:
        if time.monotonic() > deadline:
            sys.exit(f"{folder} holds no {ORDER}")
        time.sleep(0.1)
    if missing := _KEYS - order.keys():
        sys.exit(f"{folder}/{ORDER} lacks {', '.join(sorted(missing))}")
    return order


def _fork_run(folder: str, order: dict[str, Any], openloop: OpenLoop) -> int:
    """The PID of a new process that runs the loop."""
    pid = os.fork()
    if pid:
        return pid
    code = 127
    try:
        os.setsid()  # a signal to our group must not reach the run twice
        _open_as(os.devnull, os.O_RDONLY, 0)
        _open_as(os.path.join(folder, LOG), _APPEND, 1, 2)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(order["cwd"])
        words = ["run", order["workspace"], "--quiet"]
        _name_run(["openloop", *words])
        code = openloop(words)
    except Exception as error:  # nothing above this in the new process would report it
        os.write(2, f"error: the run cannot be started: {error}\n".encode())
    finally:
        os._exit(code)


def _open_as(path: str, flags: int, *targets: int) -> None:
    """Open a file as these standard streams."""
    descriptor = os.open(path, flags, 0o644)
    for target in targets:
        os.dup2(descriptor, target)
    if descriptor > 2:
        os.close(descriptor)


def _name_run(words: list[str]) -> None:
    """Make these words the command line of this process, which has that of the launch."""
    from openloop.process import run_marks  # the run needs it, the launch does not

    run_marks.set_command_line("\0".join(words).encode())


def _wait(pid: int, folder: str) -> int:
    """Until the run ends: its exit code, negative for a signal. Passes one request to stop on."""
    asked = False
    stop = os.path.join(folder, STOP)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        found = signal.sigtimedwait((*_STOP_SIGNALS, signal.SIGCHLD), _LOOK)
        signalled = found is not None and found.si_signo in _STOP_SIGNALS
        if not asked and (signalled or os.path.exists(stop)):
            asked = True
            os.kill(pid, signal.SIGTERM)


def _beat(workspace: str) -> dict[str, Any]:
    """The last heartbeat of the run."""
    beat = read(workspace, "heartbeat.json") or {}
    return {name: beat.get(name) for name in ("status", "reason", "run", "round", "usage")}


def _write_end_patiently(folder: str, end: dict[str, Any]) -> None:
    """Write end.json; on a full disk, as soon as there is room again."""
    while True:
        try:
            return _write_end(folder, end)
        except FileNotFoundError:
            sys.exit(f"{folder} was removed")
        except OSError:
            time.sleep(_LOOK)


def start(folder: str, openloop: OpenLoop) -> int:
    """Run a launch in the background, in its own session; 1 when it dies before it is claimed."""
    gc.freeze()  # a collection would copy the memory that the forks share
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()
        _open_as(os.devnull, os.O_RDWR, 0, 1)
        _open_as(os.path.join(folder, ENGINE_LOG), _APPEND, 2)
        os._exit(_run_reporting_errors(folder, openloop, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        word = pipe.read()
    if word:
        print(word.decode().strip())
        return 0
    return 0 if os.path.exists(os.path.join(folder, CLAIM)) else 1


def _run_reporting_errors(folder: str, openloop: OpenLoop, writing: int) -> int:
    try:
        return run(folder, openloop, writing)
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
        if pid := live_pid(folder):
            print(launch, pid)
    return 0


def end(folder: str) -> int:
    """Send SIGTERM to a launch, which passes it to its run, or to the run itself if the launch has
    died."""
    if pid := live_pid(folder):
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


def main(words: list[str], openloop: OpenLoop) -> int:
    """Do one of the above; returns the exit code."""
    match words:
        case ["run", folder]:
            return run(folder, openloop)
        case ["start", folder]:
            return start(folder, openloop)
        case ["alive"]:
            return print_live_launches()
        case ["end", folder]:
            return end(folder)
        case ["kill", folder]:
            return kill(folder)
    print(__doc__)
    return 2
