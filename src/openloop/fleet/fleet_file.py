"""FLEET as a value: read, checked in full, and never changed afterwards."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from openloop.config import schema, strict_json
from openloop.core.errors import ConfigError, OpenLoopError, UsageError
from openloop.fleet import checks
from openloop.fleet.checks import WORKTREE as WORKTREE
from openloop.fleet.checks import Entry, Problems
from openloop.fleet.journal import TASKS
from openloop.fleet.launchers import launcher
from openloop.fleet.launchers.launcher import Host, Launcher
from openloop.fs import files
from openloop.record import workspace

_LIMIT = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Task:
    """One task. workspace: absolute. project_root: absolute, "" when the workspace is the user's
    own. lane: tasks of one lane never run at the same time; "" for none."""

    name: str
    mission: str | None
    workspace: str
    project_root: str
    set: Mapping[str, Any]
    group: str
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """folder: where the fleet keeps its state. base: where relative project roots begin. config:
    the bytes of the tasks' configuration. sha256: of every file that was read."""

    given: str
    folder: str
    base: str
    launcher: Launcher
    hosts: tuple[Host, ...]
    options: str
    max_parallel: int
    isolation: str
    config: Any
    groups: Mapping[str, int]
    tasks: tuple[Task, ...]
    sha256: str
    warnings: tuple[str, ...]

    def task_folder(self, name: str) -> str:
        """The folder of a task, with its launches."""
        return os.path.join(self.folder, TASKS, name)

    def worktree(self, name: str) -> str:
        """The path of a task's worktree."""
        return os.path.join(self.task_folder(name), "tree")


def state_folder(path: str) -> str:
    """Where the fleet in the file at `path` keeps its state."""
    whole = os.path.realpath(path)
    name = os.path.basename(whole).removesuffix(".json")
    return os.path.join(os.path.dirname(whole), f"{name}.fleet")


def own_workspace(folder: str, name: str) -> str:
    """The workspace of a task that brings none. folder: where the fleet keeps its state."""
    return os.path.join(folder, TASKS, name, "workspace")


def workspaces(path: str) -> dict[str, str]:
    """Task to workspace, hardly checked: for `status`, which need not judge what a coordinator has
    accepted. Raises UsageError, ConfigError."""
    data = _read(path)
    document = strict_json.read(strict_json.decode(data, path), path)
    folder = state_folder(path)
    try:
        entries = list(document.get("tasks", ()))
        if "tasks_file" in document:
            more = files.read(_beside(path, document["tasks_file"]), limit=_LIMIT)
            lines = [line for line in map(bytes.strip, more.split(b"\n")) if line[:1] not in b"#"]
            entries += json.loads(b"[" + b",".join(lines) + b"]")
        found = {
            one["name"]: _beside(path, one["workspace"])
            if "workspace" in one
            else own_workspace(folder, one["name"])
            for one in entries
        }
        if found and len(found) == len(entries):
            return found
    except (AttributeError, TypeError, KeyError, ValueError, OSError):
        pass  # `load` says what is wrong, and where
    return {task.name: task.workspace for task in load(path).tasks}


def load(path: str, known: str = "") -> Fleet:
    """The fleet in the file at `path`. Raises UsageError, and ConfigError with every problem.

    known: hash of the files of a fleet that was checked before: then its tasks are not again.
    """
    data = _read(path)
    document = strict_json.read(strict_json.decode(data, path), path)
    problems = Problems()
    schema_problems = list(checks.checker().problems(document))
    for problem in schema_problems:
        problems.say(path, problem.path, problem.what, problem.fix)
    if not isinstance(document, dict):
        raise ConfigError(tuple(problems))
    whole = {**_defaults(schema.load("fleet/fleet")), **document}
    listed = _read_part(path, whole, "tasks_file")
    config = _read_part(path, whole, "config")
    sha256 = _sha256(data, *(part for part in (listed, config) if isinstance(part, bytes)))
    entries = _entries(path, whole, listed, problems, checked=known == sha256)
    if not entries and not problems:
        key, what = next(
            ((key, "holds no task") for key in ("tasks_file", "tasks") if key in document),
            ("tasks", "is required"),
        )
        problems.say(path, (key,), what, "add tasks, or name a tasks_file")
    checks.check_across(entries, whole, path, problems)
    sound = [one for one in entries if checks.is_sound(one[0])] if problems else entries
    base = None
    if any("workspace" not in task for task, _, _ in sound):
        base = _configuration(path, whole, config, problems)
    roots = {} if known == sha256 else checks.check_tasks(sound, base, whole, path, problems)
    if not any(problem.path[:1] == ("launcher",) for problem in schema_problems):
        checks.check_installed(_launcher(whole), path, problems)
    if problems:
        raise ConfigError(tuple(problems))
    return _fleet(path, whole, entries, base, sha256, roots)


def _read(path: str) -> bytes:
    if not path:
        raise UsageError("FLEET is empty", fix="name a file, such as fleet.json")
    try:
        return files.read(os.path.realpath(path), limit=_LIMIT)
    except OSError as error:
        why, fix = error.strerror, "name a file that you may read"
        if os.path.isdir(path):
            why, fix = "it is a folder", f"name the file that lists the tasks{_fleet_in(path)}"
        elif isinstance(error, FileNotFoundError):
            fix = "write one: openloop help fleet"
        raise UsageError(f"{path} cannot be read: {why}", fix=fix) from None


def _fleet_in(folder: str) -> str:
    """The file that was probably meant, as the end of a message."""
    whole = os.path.realpath(folder)
    near = [f"{whole.removesuffix('.fleet')}.json"] if whole.endswith(".fleet") else []
    near += [os.path.join(folder, *names, "fleet.json") for names in ((), (workspace.HOME,))]
    return next((f": {path}" for path in near if os.path.isfile(path)), ", such as fleet.json")


def _read_part(path: str, whole: Mapping[str, Any], key: str) -> bytes | OSError | None:
    """The bytes of a file that FLEET names, or why it cannot be read; None when it names none."""
    if not isinstance(given := whole.get(key), str):
        return None
    try:
        return files.read(_beside(path, given), limit=_LIMIT)
    except OSError as error:
        return error


def _beside(path: str, name: str) -> str:
    return os.path.realpath(_shown(path, name))


def _shown(path: str, name: str) -> str:
    """A file that FLEET names, as the user would write it."""
    return os.path.join(checks.folder_of(path), os.path.expanduser(name))


def _sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = document.get(key, ())
    return found if isinstance(found, list) else ()


def _defaults(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part["default"] for key, part in rule["properties"].items() if "default" in part}


def _entries(
    path: str,
    whole: Mapping[str, Any],
    listed: bytes | OSError | None,
    problems: Problems,
    *,
    checked: bool,
) -> list[Entry]:
    """The tasks in FLEET, then those in its tasks_file."""
    found: list[Entry] = [
        (one, path, ("tasks", number)) for number, one in enumerate(_list(whole, "tasks"))
    ]
    if listed is None:
        return found
    given = whole["tasks_file"]
    if isinstance(listed, OSError):
        what = f"cannot be read: {given}: {listed.strerror}"
        problems.say(path, ("tasks_file",), what, "write it, one task a line")
        return found
    return [*found, *((one, at, ()) for one, at in _lines(listed, given, problems, checked))]


def _lines(data: bytes, given: str, problems: Problems, checked: bool) -> Iterator[tuple[Any, str]]:
    """(task, where it stands) of each line that holds one."""
    try:
        text = strict_json.decode(data, given)
    except ConfigError as error:
        problems += error.problems
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{given}, line {number}"
        if checked:
            yield json.loads(line), where
            continue
        try:
            task = strict_json.read(line, given, line=number)
        except ConfigError as error:
            problems += error.problems
            continue
        for problem in checks.task_checker().problems(task):
            place = schema.dotted(problem.path) if problem.path else "the task"
            problems.append(OpenLoopError(f"{place} {problem.what}", where=where, fix=problem.fix))
        yield task, where


def _configuration(
    path: str, whole: Mapping[str, Any], data: bytes | OSError | None, problems: Problems
) -> Any:
    """The document in `config`; None when it has a problem, which is added to `problems`."""
    if data is None:
        return None
    given = _shown(path, whole["config"])
    if isinstance(data, OSError):
        what = f"cannot be read: {given}: {data.strerror}"
        fix = "write it, as for one loop, or give each task a workspace that is there"
        return problems.say(path, ("config",), what, fix)
    try:
        found = strict_json.read(strict_json.decode(data, given), given)
    except ConfigError as error:
        problems += error.problems
        return None
    if not isinstance(found, dict):
        what = f"must hold an object, got {schema.shown_value(found)}"
        return problems.say(given, ("config",), what, "write a configuration: openloop help")
    return found


def _fleet(
    path: str,
    whole: Mapping[str, Any],
    entries: list[Entry],
    config: Any,
    sha256: str,
    roots: Mapping[str, str],
) -> Fleet:
    """roots: project roots of workspaces that are there."""
    folder, base = state_folder(path), workspace.at(path).base
    resolve = cache(os.path.realpath)  # many tasks have the same project
    tasks = [
        _task(task, path, folder, lambda root: resolve(os.path.join(base, root)))
        for task, _, _ in entries
    ]
    places = [(one.workspace, one.project_root or roots.get(one.workspace, "")) for one in tasks]
    hosts = [Host(one, 1) if isinstance(one, str) else _host(one) for one in _list(whole, "hosts")]
    return Fleet(
        given=path,
        folder=folder,
        base=base,
        launcher=_launcher(whole),
        hosts=tuple(hosts) or (Host("", 1 << 30),),
        options=whole["options"],
        max_parallel=int(whole["max_parallel"]),
        isolation=whole["isolation"],
        config=config,
        groups={
            name: int(one["max_parallel"])
            for name, one in whole.get("groups", {}).items()
            if not name.startswith(("$", "x-"))
        },
        tasks=tuple(_in_lanes(tasks)),
        sha256=sha256,
        warnings=tuple(checks.warnings(places, whole["isolation"])),
    )


def _host(document: Mapping[str, Any]) -> Host:
    return Host(document["name"], int(document.get("slots", 1)))


def _launcher(whole: Mapping[str, Any]) -> Launcher:
    defaults = _defaults(schema.load("fleet/fleet")["$defs"]["launcher"])
    chosen = whole["launcher"]
    if isinstance(chosen, str):
        return launcher.make(chosen, launcher.shipped(chosen), defaults)
    return launcher.make("your launcher", chosen, defaults)


def _task(
    document: Mapping[str, Any], path: str, folder: str, resolve: Callable[[str], str]
) -> Task:
    name = document["name"]
    own = "workspace" in document
    root = "" if own else os.path.expanduser(document.get("project_root", "."))
    return Task(
        name=name,
        mission=document.get("mission"),
        workspace=_beside(path, document["workspace"]) if own else own_workspace(folder, name),
        project_root="" if own else resolve(root),
        set=document.get("set", {}),
        group=document.get("group", ""),
    )


def _in_lanes(tasks: list[Task]) -> list[Task]:
    """The tasks, those that share a workspace in a lane of its name."""
    shared = Counter(task.workspace for task in tasks)
    if len(shared) == len(tasks):
        return tasks
    return [
        replace(task, lane=task.workspace if shared[task.workspace] > 1 else "") for task in tasks
    ]
