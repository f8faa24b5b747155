"""The files of a task: its workspace, the order of a launch, and their state afterwards."""

from __future__ import annotations

import json
import os
from typing import Any

from openloop.core.text import printable
from openloop.fleet import state as states
from openloop.fleet import task_configuration
from openloop.fleet.decide import Observation
from openloop.fleet.fleet_file import WORKTREE, Fleet, Task
from openloop.fleet.launchers import launch
from openloop.fleet.state import TaskState
from openloop.fs import files
from openloop.record import record_end, workspace

_END = 2000  # bytes at the end of a log in which its last line is looked for
_SHOWN = 300  # characters of it
_BELOW_AN_ERROR = ("  in: ", "  fix: ")  # lines that follow what is wrong


def launch_folder(fleet: Fleet, name: str, number: int) -> str:
    """The folder of a task's launch with this number."""
    return os.path.join(fleet.task_folder(name), f"launch-{number}")


def project_root(fleet: Fleet, task: Task, prefix: str = "") -> str:
    """Where the task's commands run. prefix: of the project in its repository."""
    if fleet.isolation == WORKTREE:
        return os.path.join(fleet.worktree(task.name), prefix).rstrip("/")
    return task.project_root


def configured(fleet: Fleet, task: Task, root: str) -> bytes:
    """The bytes of the task's openloop.json."""
    if not task.project_root:
        return workspace.read_config(workspace.at(task.workspace))
    return task_configuration.for_task(fleet.config, task.mission, task.set, root)


def write_workspace(fleet: Fleet, task: Task) -> None:
    """The workspace of a task that brings none; written only where it differs."""
    if not task.project_root:
        return
    prefix = ""
    if fleet.isolation == WORKTREE:
        from openloop.fleet import worktrees

        prefix = worktrees.prefix(task)
    write_configuration(task.workspace, configured(fleet, task, project_root(fleet, task, prefix)))


def write_configuration(path: str, data: bytes) -> None:
    """A workspace at `path` with this openloop.json. Raises OSError."""
    _make(path)
    try:
        if files.read(os.path.join(path, workspace.CONFIG)) == data:
            return
    except OSError:
        pass
    folder = files.open_folder(path)
    try:
        files.replace(workspace.CONFIG, data, folder=folder)
    finally:
        os.close(folder)


def _make(folder: str) -> None:
    """Make a folder; its parent usually exists."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)


def write_order(fleet: Fleet, task: Task, known: TaskState, folder: str) -> None:
    """Write the order of a launch. Raises OSError."""
    _make(folder)
    order = {"launch": known.launch, "workspace": task.workspace, "cwd": fleet.base}
    with open(os.path.join(folder, launch.ORDER), "w", encoding="utf-8") as file:
        file.write(json.dumps(order))


def update_observation(folder: str, launched: str, seen: Observation) -> None:
    """Read the files of a launch into `seen`. An end file counts once the launch is gone: while it
    lives, a command of its run has written it."""
    found = launch.read(folder, launch.END)
    if found is not None and states.is_end(found, launched) and not launch.live_pid(folder):
        seen.end, seen.begun = found, True
    elif not seen.begun and os.path.exists(os.path.join(folder, launch.CLAIM)):
        claimant = launch.read(folder, launch.CLAIM)
        seen.begun = claimant is not None and launch.FENCED not in claimant


def ask_to_stop(folder: str) -> None:
    """Leave the stop file, also where somebody removed the folder. Raises OSError."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, launch.STOP), "w", encoding="utf-8"):
        pass


def heartbeat(path: str) -> dict[str, Any]:
    """The heartbeat of a workspace, empty where there is none."""
    return record_end.heartbeat(workspace.at(path)) or {}


def liveness_marker(path: str) -> object:
    """The part of a heartbeat that changes while its runner lives."""
    beat = heartbeat(path)
    return tuple(beat.get(name) for name in ("event_seq", "updated_at", "log_bytes"))


def beat_words(path: str) -> str:
    """The end of a sentence with the status in a workspace; "" without one."""
    status = heartbeat(path).get("status")
    return f"; its workspace says {printable(str(status))}" if status else ""


def last_line(folder: str, name: str) -> str:
    """The last line of a log that is not blank, fit to be shown; of an error, what is wrong."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    upwards = (line for line in reversed(lines) if not line.startswith(_BELOW_AN_ERROR))
    last = next((line.strip() for line in upwards if line.strip()), "")
    return printable(last)[:_SHOWN]
