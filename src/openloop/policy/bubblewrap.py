"""The bubblewrap command line around a step: the paths it can write, and those hidden from it.

The file system is read-only except for the paths named here; /dev, /proc and the temporary folders
belong to the sandbox. The policy still compares afterwards: where a pattern names files that do not
exist yet, the sandbox leaves their folder writable.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from openloop.config.config import NO_POLICY, Policy
from openloop.core.errors import UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Hook, SandboxMode, Step
from openloop.fs.content import Tick
from openloop.fs.programs import find_outside
from openloop.policy.covered_paths import CoveredPaths, lies_in, skip_openloop
from openloop.record.mission import Mission
from openloop.record.workspace import (
    ATTACHMENTS,
    CONFIG,
    COPIES,
    HOME,
    KNOWLEDGE,
    OUTPUT,
)

NAME = "bwrap"
TEMPORARY = ("/tmp", "/var/tmp")
_MOST_MOUNTS = 256  # protected paths that are mounted read-only; the policy restores any others
_PROBE_SECONDS = 10.0
_SPECIAL = re.compile(r"[\\*?\[]")
_SYSTEM = (
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    # Root could set there, without any capability, what the kernel runs outside of the sandbox.
    *("--ro-bind-try", "/proc/sys", "/proc/sys"),
    *("--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger"),
)
_NAMESPACES = ("--die-with-parent", "--unshare-pid", "--as-pid-1", "--unshare-ipc")
# Root in the sandbox can work on files and its own processes, but not mount, create devices, open
# files by handle, or load kernel modules.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
# bubblewrap exits with the command and kills its other processes, so their grace period is given in
# here: $0 is its length in twentieths of a second. Outside a PID namespace -1 is every process.
_INIT_SCRIPT = """\
if [ $$ != 1 ]; then
    echo "openloop: the sandbox has no PID namespace of its own; nothing was started" >&2
    exit 126
fi
trap asked=1 TERM
"$@"
code=$?
if kill -0 -1; then
    [ "$asked" ] || kill -TERM -1
    while kill -0 -1 && [ "$0" -gt "${waited:-0}" ]; do
        sleep 0.05
        waited=$((${waited:-0} + 1))
    done
fi 2>/dev/null
exit "$code"
"""


# $0 is a word to repeat, $1 a folder that must not be writable.
_PROBE = 'echo "$0 $$"; : 2>/dev/null >"$1/written"'
PROVEN = "a command is the first process of a PID namespace, and cannot write outside"


class Sandbox(NamedTuple):
    """bubblewrap on this machine, PROVEN by a probe. program: its absolute path. changes, gates:
    whether these steps run in it."""

    program: str
    changes: bool
    gates: bool

    @property
    def proven(self) -> str:
        """The result of the probe, for the record."""
        return f"{self.program}: {PROVEN}"

    def encloses(self, step: Step | Hook) -> bool:
        return isinstance(step, Step) and (self.changes if step.is_change else self.gates)

    def wrapper(
        self,
        mission: Mission,
        step: Step,
        *,
        command: str,
        env: Mapping[str, str],
        hidden: Sequence[str],
        state: Sequence[str] = (),
        tick: Tick,
    ) -> tuple[str, ...]:
        """The words that precede a step's own command.

        command, env: the step's own; temporary files that they name stay visible. hidden: absolute
        paths of folders that look empty in a change. state: paths outside the project that the
        step's agent writes, as in `policy.writable`. tick: see CoveredPaths.
        """
        grace = round(mission.config.limits.kill_grace * 20)
        policy = mission.config.policy or NO_POLICY
        if step.is_gate:
            hidden = ()
            parts = [
                _outside_project(mission.root, policy.writable),
                _writable(mission.root),
                _workspace_mounts(mission, ATTACHMENTS),
            ]
        else:
            parts = [
                _project_mounts(mission, policy, state, tick),
                _workspace_mounts(mission, KNOWLEDGE, OUTPUT, ATTACHMENTS),
            ]
        if lies_in(_openloop_folder(mission), mission.root):  # what is mounted last is on top
            parts.reverse()
        return (
            *(self.program, *_isolation()),
            *_computing_devices(),
            *_temporary_folders(mission, command, env),
            *(word for part in parts for word in part),
            *_hidden(hidden),
            *("--chdir", mission.root, "--", "/bin/sh", "-c", _INIT_SCRIPT, str(grace)),
        )


def choose(mission: Mission) -> tuple[Sandbox | None, str]:
    """(sandbox that the policy asks for, or None; a warning when it is missing, or "").

    Raises UsageError when a required sandbox does not work here.
    """
    policy = mission.config.policy or NO_POLICY
    changes = policy.sandbox is not SandboxMode.NONE and mission.config.improver is not None
    if not (changes or policy.sandbox_gates):
        return None, ""
    why = trouble(mission.root)
    if not why:
        return Sandbox(find_outside(mission.root, NAME), changes, policy.sandbox_gates), ""
    if policy.sandbox is not SandboxMode.AUTO:
        key = "sandbox" if changes else "sandbox_gates"
        raise UsageError(
            f"the sandbox cannot be used: {why}",
            where=f"{mission.workspace.shown(CONFIG)}: policy.{key}",
            fix=remedy(),
        )
    return None, f"{enclosed(changes, policy.sandbox_gates)} run without a sandbox: {why}"


def enclosed(changes: bool, gates: bool) -> str:
    """The kinds of steps that the policy wants in the sandbox, in words."""
    return " and ".join(("changes",) * changes + ("gates",) * gates)


def remedy() -> str:
    return (
        "install bubblewrap (Debian, Fedora, Arch: the package `bubblewrap`) and allow user "
        'namespaces, or write "sandbox": "none"'
    )


def trouble(root: str) -> str:
    """Why bubblewrap cannot be used for a project at `root`; "" when it can. Runs it once."""
    if root == "/":
        return "the project root is the whole file system"
    program = find_outside(root, NAME)
    if not program:
        inside = shutil.which(NAME)
        return f"{inside} lies in the project" if inside else f"{NAME} is not on PATH"
    with tempfile.TemporaryDirectory() as folder:
        return _isolates(program, folder)


def _isolates(program: str, folder: str) -> str:
    """Why bubblewrap does not isolate a command; "" when a probe in it shows that it does."""
    nonce = secrets.token_hex(8)
    words = [program, *_isolation(), "/bin/sh", "-c", _PROBE, nonce, folder]
    try:
        probe = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} cannot be run: {error}"
    word, _, pid = probe.stdout.decode(errors="replace").strip().partition(" ")
    if word != nonce:
        lines = probe.stderr.decode(errors="replace").strip().splitlines()
        return printable(lines[-1] if lines else f"{program} did not run the command")
    if pid != "1":
        return f"{program} makes no PID namespace: a command could signal every process"
    if os.listdir(folder):
        return f"{program} does not isolate: a command can write outside the sandbox"
    return ""


def _isolation() -> Iterator[str]:
    """The words for processes and capabilities of its own, on a read-only system."""
    yield from _NAMESPACES
    if os.geteuid() == 0:
        yield from ("--cap-drop", "ALL")
        for name in _CAPABILITIES:
            yield from ("--cap-add", f"CAP_{name}")
    yield from _SYSTEM


# --- visible and writable paths ----------------------------------------------------------


def _computing_devices() -> Iterator[str]:
    """Mounts of graphics processors and the like in the sandbox's own /dev."""
    for path in (*sorted(glob.glob("/dev/nvidia*")), "/dev/dri", "/dev/kfd"):
        yield from ("--dev-bind-try", path, path)


def _temporary_folders(mission: Mission, command: str, env: Mapping[str, str]) -> Iterator[str]:
    """Empty temporary folders with read-only mounts of the files that the step needs."""
    lists = [value for name, value in {**os.environ, **env}.items() if name.endswith("PATH")]
    needed = "\n".join((command, mission.root, mission.workspace.path, *lists))
    for place in dict.fromkeys(map(os.path.realpath, TEMPORARY)):
        if not os.path.isdir(place):
            continue
        yield from ("--tmpfs", place)
        for name in sorted(_named_in(needed, place)):
            yield from ("--ro-bind-try", f"{place}/{name}", f"{place}/{name}")
    if "TMPDIR" not in env:
        yield from ("--setenv", "TMPDIR", TEMPORARY[0])


def _named_in(text: str, place: str) -> Iterator[str]:
    """The entries of a temporary folder whose paths occur in the text."""
    try:
        names = os.listdir(place)
    except OSError:
        return
    for name in names:
        at = text.find(f"{place}/{name}")
        while at >= 0:
            end = at + len(place) + 1 + len(name)
            if not re.match(r"[\w.-]", text[end : end + 1]):
                yield name
                break
            at = text.find(f"{place}/{name}", end)


def _writable(*paths: str) -> Iterator[str]:
    for path in paths:
        yield from ("--bind-try", path, path)


def _outside_project(root: str, writable: Iterable[str]) -> Iterator[str]:
    """Mounts of the writable paths outside the project."""
    extra = [os.path.realpath(os.path.expanduser(path)) for path in writable]
    yield from _writable(*(path for path in extra if not _is_inside(root, path)))


def _is_inside(root: str, path: str) -> bool:
    return lies_in(root, path) and path != root


def _project_mounts(
    mission: Mission, policy: Policy, state: Sequence[str], tick: Tick
) -> Iterator[str]:
    """Mounts of the allowed folders, the protected paths in them, and other writable paths."""
    root = mission.root
    writable = (*policy.writable, *state)
    extra = [os.path.realpath(os.path.expanduser(path)) for path in writable]
    inside = [path for path in extra if _is_inside(root, path)]
    yield from _outside_project(root, writable)
    folders = _writable_folders(root, policy)
    if root not in folders:
        yield from ("--ro-bind", root, root)
    yield from _writable(*folders, *inside)
    for path in _protected(mission, policy, folders, tick):
        yield from ("--ro-bind-try", path, path)


def _writable_folders(root: str, policy: Policy) -> list[str]:
    """The deepest existing folders that contain every allowed path, existing or not."""
    if policy.allow is None:
        return [root]
    found = {_folder_of(root, glob) for glob in policy.allow if not glob.startswith("!")}
    return sorted(path for path in found if not any(lies_in(o, path) for o in found - {path}))


def _folder_of(root: str, pattern: str) -> str:
    """The deepest existing folder for a pattern's paths; the root for one without a slash."""
    names = pattern.rstrip("/").split("/")
    path = root
    if len(names) > 1:
        for name in filter(None, names[:-1]):
            inner = os.path.join(path, name)
            if _SPECIAL.search(name) or os.path.islink(inner) or not os.path.isdir(inner):
                break
            path = inner
    return path


def _protected(mission: Mission, policy: Policy, folders: Iterable[str], tick: Tick) -> list[str]:
    """The protected paths in or above the writable folders; folders first."""
    if not policy.protect:
        return []
    folders = tuple(folders)
    skip = skip_openloop(mission.root, mission.workspace.path)
    found = [
        (not folder, os.path.join(mission.root, os.fsdecode(path)))
        for path, folder in CoveredPaths(policy.protect, tick).walk(mission.root, skip=skip)
    ]
    paths = [
        path
        for _, path in sorted(found)
        if not os.path.islink(path)
        and any(lies_in(each, path) or lies_in(path, each) for each in folders)
    ]
    return paths[:_MOST_MOUNTS]


def _openloop_folder(mission: Mission) -> str:
    """The workspace, or the `.openloop` folder that holds it and the project's others."""
    above = os.path.dirname(mission.workspace.path)
    return above if os.path.basename(above) == HOME else mission.workspace.path


def _workspace_mounts(mission: Mission, *writable: str) -> Iterator[str]:
    """The workspace, read-only but for the folders of these names, without its copies of files."""
    home = _openloop_folder(mission)
    yield from ("--ro-bind", home, home)
    yield from _hidden(map(mission.workspace.file, COPIES))
    for name in writable:
        path = mission.workspace.file(name)
        if os.path.isdir(path) and not os.path.islink(path):
            yield from ("--bind", path, path)


def _hidden(paths: Iterable[str]) -> Iterator[str]:
    for path in map(os.path.realpath, paths):
        if os.path.isdir(path):
            yield from ("--tmpfs", path, "--remount-ro", path)
