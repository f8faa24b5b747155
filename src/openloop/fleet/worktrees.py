"""Git worktrees of tasks: made one at a time, committed to when a task is complete, never removed
once anything was started in them. The repository's hooks are not run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openloop.core.text import printable
from openloop.fleet.fleet_file import Fleet, Task
from openloop.fleet.git import GitError, has_lfs, head, run_git, run_git_with_author, top
from openloop.fleet.journal import Event, of_task
from openloop.fleet.state import EventName, TaskState

_REPOSITORY = "160000"  # its mode in git's index
MANY = 100  # from this number of worktrees on, their size is reported


@dataclass(frozen=True, slots=True)
class WorktreePlan:
    """A worktree to make: at `path`, on `branch`, which begins at the commit `base`."""

    top: str
    path: str
    branch: str
    base: str


def branch_of(name: str) -> str:
    """The branch of a task."""
    return f"openloop/{name}"


def prefix(task: Task) -> str:
    """The path of the project in its repository. Raises GitError."""
    found = os.path.relpath(task.project_root, os.path.realpath(top(task.project_root)))
    return "" if found == "." else found


def plan(fleet: Fleet, task: Task, base: str) -> WorktreePlan:
    """The worktree to make for a task. base: the commit that was recorded before, "" for HEAD.
    Raises GitError."""
    where = top(task.project_root)
    branch = branch_of(task.name)
    if not base:
        base = head(where)
        if _exists(where, branch):
            raise GitError(
                f"branch {branch} exists and is not of this fleet: rename the task, or the branch "
                f"(git branch -m {branch} NEW), then retry"
            )
    return WorktreePlan(where, fleet.worktree(task.name), branch, base)


def _exists(where: str, branch: str) -> bool:
    return bool(run_git(where, "for-each-ref", f"refs/heads/{branch}"))


def make(plan: WorktreePlan, *, again: bool) -> None:
    """Make the worktree. again: it was begun before and perhaps half made, and nothing was ever
    started in it. Raises GitError."""
    if again:
        discard(plan.top, plan.path)
    os.makedirs(os.path.dirname(plan.path), exist_ok=True)
    words = ["worktree", "add", "--quiet", "--force"]  # git may still list a removed one
    if _exists(plan.top, plan.branch):
        run_git(plan.top, *words, plan.path, plan.branch)
    else:
        run_git(plan.top, *words, "-b", plan.branch, plan.path, plan.base)


def prepare(fleet: Fleet, task: Task, known: TaskState, record: Callable[[Event], None]) -> None:
    """Make the worktree of a task that has none, or whose worktree somebody removed. record: gets
    an event before and after that. Raises GitError."""
    if known.tree_made and os.path.lexists(fleet.worktree(task.name)):
        return
    found = plan(fleet, task, known.base)
    if not (again := bool(known.base)):
        begun = {"base": found.base, "branch": found.branch}
        record(of_task(EventName.WORKTREE_STARTED, task.name, **begun))
    make(found, again=again and known.number == 0)
    record(of_task(EventName.WORKTREE_MADE, task.name))


def discard(top: str, path: str) -> None:
    """Remove a worktree without work in it, even one that is only half made. Raises GitError."""
    if os.path.lexists(path):
        run_git(top, "worktree", "remove", "--force", "--force", path, fine=(0, 128))
        shutil.rmtree(path, ignore_errors=True)


def committed(fleet: Fleet, task: Task, base: str) -> dict[str, str]:
    """Commit the work of a complete task: its `commit`, or a `note` on why there is none."""
    try:
        return {"commit": commit(fleet, task, base)}
    except GitError as error:
        return {"note": f"its work is not committed: {error}"}


def commit(fleet: Fleet, task: Task, base: str) -> str:
    """The commit at the tip of the task's branch, with all that its worktree holds. base: the
    commit that it began from. Raises GitError."""
    where, branch = fleet.worktree(task.name), branch_of(task.name)
    current = run_git(where, "symbolic-ref", "--quiet", "--short", "HEAD", fine=(0, 1))
    if current != branch:
        raise GitError(
            f"its worktree is on {current or 'a detached HEAD'}, not on {branch}: look at {where}, "
            f"and bring its work to {branch}"
        )
    run_git(where, "add", "--all")
    if inner := _repositories(where, base):
        run_git(where, "reset", "--quiet")
        raise GitError(
            f"{', '.join(inner)} in {where}: a git repository of its own, whose files are in no "
            "commit here: remove its .git folder, or make it a submodule"
        )
    if run_git(where, "status", "--porcelain"):
        subject = printable(task.mission or "").strip().partition(". ")[0][:60]
        title = f"{task.name}: {subject}" if subject else task.name
        run_git_with_author(where, "commit", "--quiet", "--no-verify", "--message", title)
    return run_git(where, "rev-parse", "HEAD")


def _repositories(where: str, base: str) -> list[str]:
    """Repositories in the index that were not there at `base` and are no submodules: git would
    commit their names alone."""
    words = ("diff", "--cached", "--raw", "--no-renames", "--diff-filter=AT", base)
    lines = [line.partition("\t") for line in run_git(where, *words).splitlines()]
    added = [name for mode, _, name in lines if mode.split()[1] == _REPOSITORY]
    if not added:
        return []
    query = ("config", "--file", ".gitmodules", "--get-regexp", r"\.path$")
    known = [line.partition(" ")[2] for line in run_git(where, *query, fine=(0, 1)).splitlines()]
    return [name for name in added if name not in known]


def remarks(fleet: Fleet, names: Sequence[str]) -> list[str]:
    """Warnings for a person before worktrees are made for these tasks. Raises GitError."""
    chosen = set(names)
    repositories: dict[str, int] = {}
    for task in fleet.tasks:
        if task.name in chosen:
            where = top(task.project_root)
            repositories[where] = repositories.get(where, 0) + 1
    return [words for where, count in repositories.items() for words in _remarks(where, count)]


def _remarks(where: str, count: int) -> list[str]:
    from openloop.views.console import size

    found = []
    if changed := run_git(where, "diff", "--name-only", "HEAD").splitlines():
        names = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        found.append(
            f"{where} has uncommitted changes ({names}): they are left alone, and worktrees begin "
            "at HEAD, without them"
        )
    if os.path.exists(os.path.join(where, ".gitmodules")):
        found.append(
            f"{where} has submodules, which are empty in a worktree: let a command fill them with "
            "git submodule update --init"
        )
    if _uses_lfs(where) and not has_lfs():
        found.append(f"{where} uses git-lfs, which is not installed: worktrees hold its pointers")
    if count >= MANY:
        listed = run_git(where, "ls-tree", "-r", "--long", "HEAD").splitlines()
        sizes = (line.partition("\t")[0].split()[3] for line in listed)
        each = sum(int(word) for word in sizes if word.isdecimal())
        free = shutil.disk_usage(where).free
        found.append(
            f"{count} worktrees of {size(each)} take about {size(count * each)}; "
            f"{size(free)} are free"
        )
    return found


def _uses_lfs(where: str) -> bool:
    try:
        with open(os.path.join(where, ".gitattributes"), encoding="utf-8", errors="replace") as f:
            return "filter=lfs" in f.read()
    except OSError:
        return False
