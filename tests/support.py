"""What the tests share: temporary workspaces, the real program, small agents, patience."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Container, Sequence
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SRC = os.path.join(ROOT, "src")
AGENTS = os.path.join(HERE, "programs")
CLONE_NEWNS = 0x00020000
PATIENCE = 30.0  # seconds before a test that waits for something gives up
BEATING = (  # what a live runner writes for its beats, in the folder of a Workspace
    "ws/heartbeat.json",
    "ws/.heartbeat.json.new",
)

if SRC not in sys.path:
    sys.path.insert(0, SRC)

# Under nohup, or with & in a script, these are ignored, and so in every program that is started.
for _signum, _handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, _handler)


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def need(available: object, what: str) -> None:
    """Skip the test without an external program; in CI its absence is a failure."""
    if available:
        return
    if in_ci():
        raise AssertionError(f"{what} is missing, and CI must have it")
    raise unittest.SkipTest(f"{what} is missing")


def environment(**extra: str) -> dict[str, str]:
    """The test's environment with the checkout's package first and no CI dress."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENLOOP_", "GITHUB_"))
    }
    return {**kept, "PYTHONPATH": SRC, **extra}


def agent(name: str, *words: object) -> str:
    """The shell command of a small program in tests/programs/."""
    parts = [sys.executable, os.path.join(AGENTS, f"{name}.py"), *map(str, words)]
    return " ".join(map(shlex.quote, parts))


def own_mounts() -> bool:
    """Whether file systems can be mounted that nobody else sees, and that go with this process:
    others, a judge for one, have another view when something is mounted below /tmp."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], check=False).returncode == 0


def wait_until(condition: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> Any:
    """Poll until the condition gives something true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain for {what or condition}")
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def read_pid(path: str) -> int | None:
    """The PID that a small agent wrote, once it is there whole."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return None
    return int(text) if text.endswith("\n") else None


class Workspace:
    """A workspace with its project beside it, and the program run on it."""

    def __init__(self, folder: str, config: dict[str, Any]) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "ws")
        self.project = os.path.join(folder, "project")
        os.makedirs(self.path, exist_ok=True)
        os.makedirs(self.project, exist_ok=True)
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        document = {"version": 1, "project_root": "project", **config}
        with open(self.file("openloop.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def project_file(self, name: str) -> str:
        return os.path.join(self.project, name)

    def read(self, name: str) -> str:
        with open(self.file(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def exists(self, name: str) -> bool:
        return os.path.lexists(self.file(name))

    @property
    def heartbeat(self) -> dict[str, Any]:
        return json.loads(self.read("heartbeat.json"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The record's events; empty before the first run. A last line that is being written, or
        that a killed runner left torn, is none."""
        if not self.exists("events.jsonl"):
            return []
        whole = self.read("events.jsonl").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def artifact(self, number: int) -> dict[str, Any]:
        return json.loads(self.read(f"artifacts/round-{number:04d}.json"))

    def steps(self) -> list[tuple[int, str, str]]:
        """(round, step, outcome) of every finished step."""
        return [(e["round"], e["step"], e["outcome"]) for e in self.events_of("step_finished")]

    def run(self, *words: str, exitcode: int | None = 0, **how: Any) -> Done:
        return run_openloop("run", self.path, *words, exitcode=exitcode, workspace=self, **how)

    def start(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        return start_openloop("run", self.path, *words, **how)

    def audit(self, *words: str, exitcode: int = 0) -> Done:
        return run_openloop("audit", self.path, *words, exitcode=exitcode, workspace=self)

    def status(self) -> dict[str, Any]:
        return json.loads(run_openloop("status", self.path, "--json", exitcode=None).out)

    def running_step(self, step: str) -> int | None:
        """The PID of `step` while it runs, as the heartbeat tells it."""
        try:
            beat = self.heartbeat
        except (OSError, ValueError):
            return None
        same = beat["step"] == step and beat["status"] == "running"
        return beat["pid"] if same and beat["pid"] else None


class Done:
    """A finished program: its exit code and both streams."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_openloop(
    *words: str,
    exitcode: int | None = 0,
    workspace: Workspace | None = None,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    timeout: float = 60.0,
    before: Sequence[str] = (),
    python: str = sys.executable,
) -> Done:
    """Run the real program. On another exit code than expected both streams, the heartbeat
    and the latest log's end are shown. `None` accepts any code. before: words of a program that
    starts it."""
    asked = subprocess.run(
        [*before, python, "-m", "openloop", *words],
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    out = asked.stdout.decode(errors="replace")
    err = asked.stderr.decode(errors="replace")
    done = Done(asked.returncode, out, err)
    if "Traceback" in err:
        raise AssertionError(f"a traceback:\n{err}")
    if exitcode is not None and done.code != exitcode:
        raise AssertionError(_mismatch(words, exitcode, done, workspace))
    return done


def _mismatch(words: tuple[str, ...], expected: int, done: Done, place: Workspace | None) -> str:
    parts = [
        f"openloop {' '.join(words)} ended with {done.code}, expected {expected}",
        f"--- stdout\n{done.out}",
        f"--- stderr\n{done.err}",
    ]
    if place and place.exists("heartbeat.json"):
        parts.append(f"--- heartbeat\n{place.read('heartbeat.json')}")
        log = place.heartbeat.get("log_path")
        if log and place.exists(log):
            parts.append(f"--- {log}\n{place.read(log)[-2000:]}")
    return "\n".join(parts)


def run_script(name: str, *words: str, timeout: float = 280.0) -> subprocess.CompletedProcess[str]:
    """Run a Python program of scripts/ to its end; any exit code will do. timeout: seconds."""
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, "scripts", name), *words],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_openloop(
    *words: str, cwd: str | None = None, env: dict[str, str] | None = None, **how: Any
) -> subprocess.Popen[str]:
    """Start the real program and do not wait."""
    return subprocess.Popen(
        [sys.executable, "-m", "openloop", *words],
        cwd=cwd,
        env=environment() if env is None else env,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "errors": "replace",
            **how,
        },
    )


def with_devices(folder: str) -> list[str]:
    """Words before a program that give it, for root, a /dev with a disk and graphics processors."""
    script = (
        'mkdir "$0"; for name in null zero full random urandom tty; do : > "$0/$name"; '
        'mount --bind "/dev/$name" "$0/$name"; done; mkdir "$0/dri" "$0/pts" "$0/shm"; '
        ': > "$0/dri/card0"; : > "$0/nvidia0"; : > "$0/sda"; mount --rbind "$0" /dev; exec "$@"'
    )
    return ["unshare", "-m", "/bin/sh", "-c", script, os.path.join(folder, "devices")]


def set_environment(test: unittest.TestCase, **variables: str) -> None:
    """Set variables of this process until the test is over."""

    def restore(before: dict[str, str | None]) -> None:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    test.addCleanup(restore, {name: os.environ.get(name) for name in variables})
    os.environ.update(variables)


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def workspace(self, name: str = "w", /, **config: Any) -> Workspace:
        """A workspace in `folder/name` whose openloop.json holds `config`."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        return Workspace(folder, config)

    def started(self, place: Workspace, *words: str, **how: Any) -> subprocess.Popen[str]:
        """A running `openloop run`, ended with the test."""
        process = place.start(*words, **how)
        self.addCleanup(_end, process)
        return process

    def assert_gone(self, pid: int, within: float = 1.0) -> None:
        """The process ends within that many seconds (five times as many on a busy machine)."""
        began = time.monotonic()
        wait_until(lambda: not lives(pid), f"PID {pid} to be gone", patience=5 * within)
        if (seconds := time.monotonic() - began) > within and os.getloadavg()[0] < 2:
            self.fail(f"PID {pid} lived {seconds:.2f} s, allowed were {within:g}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


class Nobody:
    """An ordinary user, whom root can become. Skips the test where that cannot be."""

    def __init__(self, test: Case) -> None:
        if os.geteuid() != 0:
            test.skipTest("the tests are run by an ordinary user anyway")
        need(shutil.which("setpriv"), "setpriv")
        user = pwd.getpwnam("nobody")
        self.ids = user.pw_uid, user.pw_gid
        tool = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        # A shell in between, because setpriv itself still may open everything.
        self._become = [*tool, "/bin/sh", "-c", 'exec "$0" "$@"']
        os.chmod(test.folder, 0o755)
        self._env = environment(HOME=test.folder, PYTHONPATH=SRC)
        self.python = next(filter(self._can_run, (sys.executable, "/usr/bin/python3")), "")
        if not self.python:
            test.skipTest("an ordinary user cannot run this Python, or not read this checkout")

    def _can_run(self, python: str) -> bool:
        return self._openloop("--version", python=python, exitcode=None).code == 0

    def run_python(self, program: str) -> subprocess.CompletedProcess[str]:
        """What a program in Python does as this user."""
        words = [*self._become, self.python, "-c", program]
        return subprocess.run(words, env=self._env, capture_output=True, text=True, check=False)

    def run(self, place: Workspace, *before: str) -> Done:
        """Hand the workspace over and run it. before: words of a program that starts it as root."""
        for where, folders, names in os.walk(place.folder):
            for name in (".", *folders, *names):
                os.chown(os.path.join(where, name), *self.ids, follow_symlinks=False)
        return self._openloop("run", place.path, before=before, python=self.python)

    def _openloop(self, *words: str, before: Sequence[str] = (), **how: Any) -> Done:
        return run_openloop(*words, before=[*before, *self._become], env=self._env, **how)


def by_round(*scripts: str) -> str:
    """A command that runs the first script in round 1, the second in round 2, and so on."""
    cases = (f"{number}) {script} ;;" for number, script in enumerate(scripts, 1))
    return f"case $OPENLOOP_ROUND in {' '.join(cases)} esac"


def snapshot(folder: str, *, without: Container[str] = ()) -> dict[str, object]:
    """What stands below `folder`, by relative path: a file's bytes, a link's target, the mode of
    anything else. without: relative paths to leave out."""
    found: dict[str, object] = {}
    for where, folders, names in os.walk(folder):
        for path in (os.path.join(where, name) for name in (*folders, *names)):
            if (relative := os.path.relpath(path, folder)) in without:
                continue
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                content: object = os.readlink(path)
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    content = file.read()
            else:
                content = mode
            found[relative] = content
    return found


def recomputed_head(place: Workspace) -> str:
    """The head of a workspace's chain, computed here from the bytes of events.jsonl. Raises
    AssertionError where a line does not follow from the one before."""
    with open(place.file("events.jsonl"), "rb") as file:
        lines = file.read().split(b"\n")
    if lines.pop() != b"":
        raise AssertionError("the last line is torn")
    head = "0" * 64
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        if (event["seq"], event["prev"]) != (number, head):
            raise AssertionError(f"line {number} does not follow: {line!r}")
        head = hashlib.sha256(line).hexdigest()
    return head
