"""FLEET as a value: read, checked in full, and never changed afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openloop.config import config, schema, strict_json
from openloop.core.errors import ConfigError, OpenLoopError, UsageError
from openloop.fleet import checks, configuration
from openloop.fleet.checks import WORKTREE as WORKTREE
from openloop.fleet.checks import Entry, Problems
from openloop.fleet.launchers import launcher
from openloop.fleet.launchers.launcher import Host, Launcher
from openloop.fs import files
from openloop.record import workspace

_LIMIT = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Task:
    """One loop. workspace: absolute. project_root: absolute, "" where the workspace is the user's
    own. lane: of tasks that may not run at the same time, "" mostly."""

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
    warnings: tuple[str, ...] = field(default=())

    def task_folder(self, name: str) -> str:
        return os.path.join(self.folder, "tasks", name)


def state_folder(path: str) -> str:
    """Where the fleet in the file at `path` keeps its state."""
    whole = os.path.realpath(path)
    name = os.path.basename(whole).removesuffix(".json")
    return os.path.join(os.path.dirname(whole), f"{name}.fleet")


def names(path: str) -> tuple[list[tuple[str, str]], str]:
    """(name, workspace) of each task, and the hash of the files, hardly checked: for `status`,
    which need not judge what a coordinator has accepted. Raises UsageError, ConfigError."""
    data = _read(path, path)
    document = strict_json.read(strict_json.decode(data, path), path)
    entries = list(document.get("tasks", ())) if isinstance(document, dict) else []
    more = b""
    if isinstance(document, dict) and isinstance(listed := document.get("tasks_file"), str):
        more = _read(_beside(path, listed), listed)
        try:
            lines = [line for line in map(bytes.strip, more.split(b"\n")) if line[:1] not in b"#"]
            entries += json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            load(path)  # says where
    folder = state_folder(path)
    try:
        found = [
            (
                one["name"],
                _beside(path, one["workspace"])
                if "workspace" in one
                else os.path.join(folder, "tasks", one["name"], "workspace"),
            )
            for one in entries
        ]
    except (TypeError, KeyError):
        load(path)
        raise
    return found, _sha256(data, more)


def load(path: str, known: str = "") -> Fleet:
    """The fleet in the file at `path`. Raises UsageError, and ConfigError with every problem.

    known: hash of the files of a fleet that was checked before: then its tasks are not again.
    """
    if not path:
        raise UsageError("FLEET is empty", fix="name a file, such as fleet.json")
    data = _read(path, path)
    document = strict_json.read(strict_json.decode(data, path), path)
    problems = Problems()
    rules = schema.load("fleet/fleet")
    for problem in checks.checker().problems(document):
        problems.say(path, problem.path, problem.what, problem.fix)
    if not isinstance(document, dict):
        raise ConfigError(tuple(problems))
    entries: list[Entry] = [
        (one, path, ("tasks", n)) for n, one in enumerate(_list(document, "tasks"))
    ]
    more = b""
    if isinstance(listed := document.get("tasks_file"), str):
        more = _read(_beside(path, listed), listed)
        checked = known == _sha256(data, more)
        entries += [(one, where, ()) for one, where in _lines(more, listed, problems, checked)]
    if not entries and not problems:
        problems.say(path, ("tasks",), "is required", "add tasks, or name a tasks_file")
    whole = {**_defaults(rules), **document}
    if problems:
        checks.check_across(entries, whole, path, problems)
        raise ConfigError(tuple(problems))
    return _fleet(path, whole, entries, _sha256(data, more), known, problems)


def _read(path: str, given: str) -> bytes:
    try:
        return files.read(os.path.realpath(path), limit=_LIMIT)
    except OSError as error:
        fix = "write one: openloop help fleet" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{given} cannot be read: {error.strerror}", fix=fix) from None


def _beside(path: str, name: str) -> str:
    return os.path.realpath(os.path.join(os.path.dirname(path), os.path.expanduser(name)))


def _sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = document.get(key, ())
    return found if isinstance(found, list) else ()


def _defaults(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part["default"] for key, part in rule["properties"].items() if "default" in part}


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


def _fleet(
    path: str,
    whole: dict[str, Any],
    entries: list[Entry],
    sha256: str,
    known: str,
    problems: Problems,
) -> Fleet:
    place = workspace.at(path)
    folder = state_folder(path)
    checks.check_across(entries, whole, path, problems)
    chosen = _launcher(whole)
    base_config: Any = None
    if any("workspace" not in task for task, _, _ in entries):
        given = os.path.join(os.path.dirname(path), whole["config"])
        data = _read(_beside(path, whole["config"]), given)
        base_config = strict_json.read(strict_json.decode(data, given), given)
        sha256 = _sha256(sha256.encode(), data)
    if known != sha256:
        _check_tasks(entries, base_config, whole, path, problems)
    for program in chosen.needs:
        if not shutil.which(program):
            what = f"is {chosen.name}, and {program} is not installed"
            fix = f"install it, or choose another one of {', '.join(launcher.SHIPPED)}"
            problems.say(path, ("launcher",), what, fix)
    if problems:
        raise ConfigError(tuple(problems))
    tasks = [_task(task, path, folder, place.base) for task, _, _ in entries]
    warnings, tasks = _ground(tasks, whole["isolation"])
    hosts = [Host(one, 1) if isinstance(one, str) else _host(one) for one in _list(whole, "hosts")]
    return Fleet(
        given=path,
        folder=folder,
        base=place.base,
        launcher=chosen,
        hosts=tuple(hosts) or (Host("", 1 << 30),),
        options=whole["options"],
        max_parallel=int(whole["max_parallel"]),
        isolation=whole["isolation"],
        config=base_config,
        groups={
            name: int(one["max_parallel"])
            for name, one in whole.get("groups", {}).items()
            if not name.startswith(("$", "x-"))
        },
        tasks=tuple(tasks),
        sha256=sha256,
        warnings=tuple(warnings),
    )


def _host(document: Mapping[str, Any]) -> Host:
    return Host(document["name"], int(document.get("slots", 1)))


def _launcher(whole: Mapping[str, Any]) -> Launcher:
    defaults = _defaults(schema.load("fleet/fleet")["$defs"]["launcher"])
    chosen = whole["launcher"]
    if isinstance(chosen, str):
        return launcher.make(chosen, launcher.shipped(chosen), defaults)
    return launcher.make("your own", chosen, defaults)


def _check_tasks(
    entries: list[Entry], base: Any, whole: Mapping[str, Any], path: str, problems: Problems
) -> None:
    """Every configuration that a task would run with, the same one once."""
    checked: set[str] = set()
    for task, where, place in entries:
        if "workspace" in task:
            if not os.path.isfile(os.path.join(_beside(path, task["workspace"]), "openloop.json")):
                what = f"is no workspace: {task['workspace']}"
                fix = f"create it: openloop init {task['workspace']}"
                problems.say(where, (*place, "workspace"), what, fix)
            continue
        changes = task.get("set", {})
        same = json.dumps(changes, sort_keys=True)
        if same in checked:
            continue
        checked.add(same)
        given = os.path.join(os.path.dirname(path), whole["config"])
        name = f"{given} as task {task['name']} has it ({where})" if changes else given
        try:
            config.parse(configuration.for_task(base, None, changes, "."), where=name)
        except ConfigError as error:
            problems += error.problems


def _task(document: Mapping[str, Any], path: str, folder: str, base: str) -> Task:
    name = document["name"]
    own = "workspace" in document
    root = "" if own else os.path.expanduser(document.get("project_root", "."))
    return Task(
        name=name,
        mission=document.get("mission"),
        workspace=_beside(path, document["workspace"])
        if own
        else os.path.join(folder, "tasks", name, "workspace"),
        project_root="" if own else os.path.realpath(os.path.join(base, root)),
        set=document.get("set", {}),
        group=document.get("group", ""),
    )


def _ground(tasks: list[Task], isolation: str) -> tuple[list[str], list[Task]]:
    """Warnings of tasks that share a workspace or a project root; the former run in turn."""
    warnings = []
    shared = Counter(task.workspace for task in tasks)
    for where, count in shared.items():
        if count > 1:
            warnings.append(f"{count} tasks share the workspace {where}: they run one by one")
    if isolation != WORKTREE:
        roots = Counter(task.project_root for task in tasks if task.project_root)
        for where, count in roots.items():
            if count > 1:
                warnings.append(
                    f"{count} tasks share the project root {where}: they change each other's "
                    'ground; "isolation": "worktree" gives each its own'
                )
    if len(shared) == len(tasks):
        return warnings, tasks
    lanes = [where if count > 1 else "" for where, count in shared.items()]
    by_place = dict(zip(shared, lanes, strict=True))
    return warnings, [_in_lane(task, by_place[task.workspace]) for task in tasks]


def _in_lane(task: Task, lane: str) -> Task:
    return Task(
        task.name, task.mission, task.workspace, task.project_root, task.set, task.group, lane
    )
