"""Check FLEET against its schema, and for problems between its parts."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from openloop.config import config, schema
from openloop.config.schema import Checker, Complaint
from openloop.core.errors import ConfigError, OpenLoopError
from openloop.core.text import nearest
from openloop.fleet import task_configuration
from openloop.fleet.launchers import launcher
from openloop.fleet.launchers.launcher import Launcher
from openloop.record import workspace

Entry = tuple[Any, str, schema.Path]  # a task's document, its file and line, its path there
WORKTREE = "worktree"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9_-])){0,63}")
_HOST = re.compile(r"[A-Za-z0-9][\w.@:%-]*")


class Problems(list[OpenLoopError]):
    """Everything that is wrong, each with the file and the line where it stands."""

    def say(self, where: str, path: schema.Path, what: str, fix: str) -> None:
        place = schema.dotted(path) if path else "the fleet"
        self.append(OpenLoopError(f"{place} {what}", where=where, fix=fix))


def is_sound(task: Any) -> bool:
    """Whether a task matches its schema, so that further checks make sense."""
    return isinstance(task, dict) and not any(task_checker().problems(task))


def folder_of(path: str) -> str:
    """The folder of FLEET itself, where `path` may be a link to it."""
    return os.path.dirname(os.path.realpath(path) if os.path.islink(path) else path)


@cache
def _formats() -> dict[str, schema.Format]:
    return {
        "task-name": _check_name,
        "host": _check_host,
        "regex": config.check_regex,
        "launcher-command": _check_launcher_command,
    }


@cache
def checker() -> Checker:
    """The checker of a whole FLEET."""
    return Checker(schema.load("fleet/fleet"), _formats())


@cache
def task_checker() -> Checker:
    """The checker of a line of a tasks_file."""
    rules = schema.load("fleet/fleet")
    return Checker({**rules["$defs"]["task"], "$defs": rules["$defs"]}, _formats())


def _check_name(text: str) -> Iterator[Complaint]:
    if not _NAME.fullmatch(text) or text.endswith(".lock"):
        what = f"cannot name a folder and a branch, got {schema.shown_value(text)}"
        yield what, "use at most 64 letters and digits, with - _ or a single . between them"


def _check_host(text: str) -> Iterator[Complaint]:
    if not _HOST.fullmatch(text):
        yield f"is no name of a host, got {schema.shown_value(text)}", "write it as ssh knows it"


def _check_launcher_command(text: str) -> Iterator[Complaint]:
    for name in launcher.unknown_places(text):
        near = nearest(name, launcher.NAMES, likeness=0.0)
        yield (
            f"holds {{{name}}}, which is no variable",
            f"the nearest is {{{near}}}; known here: {', '.join(launcher.NAMES)}",
        )


def check_across(
    entries: Iterable[Entry], whole: Mapping[str, Any], path: str, problems: Problems
) -> None:
    """Check across entries: repeated names, unknown groups, and whether the hosts are needed."""
    groups = whole.get("groups", {})
    seen: dict[str, str] = {}
    for task, where, place in entries:
        if not isinstance(task, dict):
            continue
        name, group = task.get("name"), task.get("group")
        if isinstance(name, str) and name.lower() in seen:
            fix = "give each task a name of its own; small and capital letters count as the same"
            before = seen[name.lower()]
            problems.say(where, (*place, "name"), f"stands twice: {name!r}, as in {before}", fix)
        elif isinstance(name, str):
            seen[name.lower()] = where if not place else schema.dotted(place)
        if isinstance(group, str) and isinstance(groups, dict) and group not in groups:
            near = nearest(group, groups, likeness=0.0)
            fix = f"the nearest group is {near}" if near else 'add it: "groups": {…}'
            problems.say(where, (*place, "group"), f"is not one of groups: {group!r}", fix)
        _check_combination(task, where, place, whole, problems)
    _check_hosts(whole, path, problems)


def _check_hosts(whole: Mapping[str, Any], path: str, problems: Problems) -> None:
    chosen = whole["launcher"]
    known = chosen if isinstance(chosen, str) else None
    per_host = known == "ssh" or (isinstance(chosen, dict) and chosen.get("per_host") is True)
    if per_host and not whole.get("hosts"):
        problems.say(path, ("hosts",), "is required", 'add for example "hosts": ["node1"]')
    poll = chosen.get("poll") if isinstance(chosen, dict) else None
    for name in launcher.useless_in_poll(poll) if isinstance(poll, str) else ():
        what = f"holds {{{name}}}, but it asks about all launches at once"
        fix = "print a line for each launch that the engine has; {alive} reads them from its input"
        problems.say(path, ("launcher", "poll"), what, fix)
    if not per_host and whole.get("hosts") and known in launcher.SHIPPED:
        fix = 'remove them, or write "launcher": "ssh"'
        problems.say(path, ("hosts",), f"are for ssh, and the launcher is {known}", fix)


def _check_combination(
    task: Mapping[str, Any],
    where: str,
    place: schema.Path,
    whole: Mapping[str, Any],
    problems: Problems,
) -> None:
    changes = task.get("set")
    for key in ("project_root", "mission"):
        if isinstance(changes, dict) and key in changes and (key != "mission" or key in task):
            what, fix = "is overruled by the task's own key", f"write {key} beside set, and only it"
            problems.say(where, (*place, "set", key), what, fix)
    if "workspace" not in task:
        return
    for key in ("project_root", "mission", "set"):
        if key in task:
            what = "does not go with workspace, which holds its own configuration"
            problems.say(where, (*place, key), what, "remove one of the two")
    if whole["isolation"] == WORKTREE:
        what = "cannot be given a worktree: its project root stands in its own openloop.json"
        fix = 'write project_root instead, or "isolation": "none"'
        problems.say(where, (*place, "workspace"), what, fix)


def warnings(places: Sequence[tuple[str, str]], isolation: str) -> Iterator[str]:
    """A sentence for each workspace and each project root that several tasks share. places: the
    (workspace, project root) of each task."""
    for where, count in Counter(where for where, _ in places).items():
        if count > 1:
            yield f"{count} tasks share the workspace {where}: they run one by one"
    if isolation == WORKTREE:
        return
    on: dict[str, list[str]] = {}  # workspaces by project root
    for where, root in places:
        on.setdefault(root, []).append(where)
    for root, workspaces in on.items():
        if root and len(set(workspaces)) > 1:
            yield (
                f"{len(workspaces)} tasks share the project root {root}: they change each other's "
                'ground; "isolation": "worktree" gives each its own'
            )


def check_installed(chosen: Launcher, path: str, problems: Problems) -> None:
    """Check that the programs which a launcher needs are there."""
    for program in chosen.needs:
        if not shutil.which(program):
            what = f"needs {program}, which is not installed"
            fix = f"install it, or choose another one of {', '.join(launcher.SHIPPED)}"
            problems.say(path, ("launcher",), what, fix)


def check_tasks(
    entries: list[Entry], base: Any, whole: Mapping[str, Any], path: str, problems: Problems
) -> dict[str, str]:
    """Check each different configuration of the tasks, and the folders that they would run in.
    base: the document in `config`; None without one. Returns the project roots of existing
    workspaces."""
    here = _Checked(base, whole, path, problems)
    for task, where, place in entries:
        if "workspace" in task:
            here.check_workspace(task, where, place)
        else:
            here.check_project(task, where, place)
            if base is not None:
                here.check_configuration(task, where)
    return here.roots


class _Checked:
    """The checks done so far, so that none is repeated for the next task."""

    def __init__(self, base: Any, whole: Mapping[str, Any], path: str, problems: Problems) -> None:
        self._base = base
        self._folder = folder_of(path)
        self._given = os.path.join(self._folder, os.path.expanduser(str(whole["config"])))
        self._from = workspace.at(path).base
        self._isolated = whole["isolation"] == WORKTREE
        self._problems = problems
        self._seen: set[object] = set()
        self.roots: dict[str, str] = {}

    def _is_new(self, what: object) -> bool:
        known = what in self._seen
        self._seen.add(what)
        return not known

    def check_workspace(self, task: Mapping[str, Any], where: str, at: schema.Path) -> None:
        given = task["workspace"]
        path = os.path.join(self._folder, os.path.expanduser(given))
        if not self._is_new(path):
            return
        if not os.path.isfile(os.path.join(path, workspace.CONFIG)):
            fix = f"create it: openloop init {given}"
            self._problems.say(where, (*at, "workspace"), f"is no workspace: {given}", fix)
            return
        place = workspace.at(path)
        try:
            found = config.parse(workspace.read_config(place), where=place.shown(workspace.CONFIG))
            root = workspace.existing_project_root(place, found.project_root)
            self.roots[place.path] = os.path.realpath(root)
        except ConfigError as error:
            self._problems += error.problems
        except OpenLoopError as error:
            self._problems.append(error)

    def check_project(self, task: Mapping[str, Any], where: str, at: schema.Path) -> None:
        given = task.get("project_root", ".")
        if not self._is_new(("project", given)):
            return
        path = os.path.realpath(os.path.join(self._from, os.path.expanduser(given)))
        at = (*at, "project_root")
        if not os.path.isdir(path):
            fix = f"create it, or write a path that is absolute or starts from {self._from}"
            self._problems.say(where, at, f"is no folder: {given}", fix)
        elif self._isolated:
            from openloop.fleet import git  # it takes subprocess, and `status` does not

            try:
                git.head(git.top(path))
            except git.GitError as error:
                fix = 'git init and commit there, or write "isolation": "none"'
                self._problems.say(where, at, f"cannot have worktrees: {error}", fix)

    def check_configuration(self, task: Mapping[str, Any], where: str) -> None:
        changes = task.get("set", {})
        if not self._is_new(json.dumps(changes, sort_keys=True)):
            return
        given = self._given
        name = f"{given} as task {task['name']} has it ({where})" if changes else given
        try:
            config.parse(task_configuration.for_task(self._base, None, changes, "."), where=name)
        except ConfigError as error:
            self._problems += error.problems
