"""`fleet land`: merge complete branches one after the other, each only if its gates pass merged.

A merge is tried in a worktree of its own. The target branch moves when the task's gates passed
there, and only forward; whatever does not land keeps its branch and its worktree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from openloop.fleet import configuration, preparation, worktrees
from openloop.fleet.document import Fleet, Task
from openloop.fleet.git import Trouble, ask, write
from openloop.fleet.state import TaskState, Word
from openloop.record import workspace

_FOLDER = "landing"


@dataclass(frozen=True, slots=True)
class Landed:
    """commit: the tip of the target after the task; "" with the reason why it is not landed."""

    commit: str
    target: str
    reason: str = ""


class Landing:
    """Scratch worktrees, one a repository, while a command lands."""

    def __init__(self, fleet: Fleet, say: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._say = say
        self._scratch: dict[str, str] = {}

    def land(self, task: Task, known: TaskState) -> Landed:
        """Try one task. Raises nothing that keeps the others from being tried."""
        target = ""
        try:
            if known.end != Word.COMPLETE:
                raise Trouble(f"it is {known.end or 'not over'}, not complete")
            if not known.tree_made:
                raise Trouble('it has no worktree: write "isolation": "worktree" before it is run')
            worktrees.commit(self._fleet, task)
            top = worktrees.top(task.project_root)
            target = self._target(top)
            return Landed(self._merge(task, top, target), target)
        except Trouble as error:
            return Landed("", target, str(error))

    def _target(self, top: str) -> str:
        branch = ask(top, "symbolic-ref", "--quiet", "HEAD", fine=(0, 1))
        if not branch:
            raise Trouble(f"{top} has a detached HEAD: git switch to the branch to land on")
        return branch.removeprefix("refs/heads/")

    def _merge(self, task: Task, top: str, target: str) -> str:
        before = ask(top, "rev-parse", f"refs/heads/{target}")
        branch = worktrees.branch_of(task.name)
        if ask(top, "merge-base", before, branch) == ask(top, "rev-parse", branch):
            return before  # all of it is there
        scratch = self._clean(top, before)
        message = f"Land {branch}"
        write(scratch, "merge", "--no-ff", "--no-edit", "-m", message, branch, fine=(0, 1))
        if conflicts := ask(scratch, "diff", "--name-only", "--diff-filter=U").splitlines():
            raise Trouble(f"conflict in {', '.join(conflicts)}: merge {branch} by hand")
        merged = ask(scratch, "rev-parse", "HEAD")
        if merged == before:
            raise Trouble(f"git did not merge {branch}")
        self._try_gates(task, scratch)
        self._move(top, target, before, merged)
        return merged

    def _clean(self, top: str, commit: str) -> str:
        """The scratch worktree of a repository, at this commit and with nothing else in it."""
        if top not in self._scratch:
            path = os.path.join(self._fleet.folder, _FOLDER, f"tree-{len(self._scratch) + 1}")
            self._remove(top, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            ask(top, "worktree", "add", "--quiet", "--detach", path, commit)
            self._scratch[top] = path
        scratch = self._scratch[top]
        ask(scratch, "reset", "--quiet", "--hard")
        ask(scratch, "clean", "-ffdxq")
        ask(scratch, "checkout", "--quiet", "--force", "--detach", commit)
        return scratch

    def _try_gates(self, task: Task, scratch: str) -> None:
        """Run the task's gates on the merged tree, in a workspace for that. Raises Trouble."""
        root = os.path.join(scratch, worktrees.prefix(task)).rstrip("/")
        place = os.path.join(self._fleet.folder, _FOLDER, task.name)
        data = preparation.configured(self._fleet, task, root)
        preparation.write_configuration(place, configuration.gates_only(data, root))
        with contextlib.suppress(FileNotFoundError):  # what its gates judge by
            held = workspace.HOLDOUT
            shutil.copytree(
                os.path.join(task.workspace, held), os.path.join(place, held), dirs_exist_ok=True
            )
        self._say(f"gates of {task.name} on the merged tree")
        done = subprocess.run(
            preparation.program("run", place, "--quiet"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            why = preparation.heartbeat(place).get("reason") or f"exit code {done.returncode}"
            raise Trouble(f"its gates do not pass on the merged tree: {why}; look at {place}")

    def _move(self, top: str, target: str, before: str, merged: str) -> None:
        """Move the target forward, with the files of the tree that has it checked out."""
        try:
            ask(top, "merge", "--ff-only", "--quiet", "--no-autostash", merged)
        except Trouble as error:
            raise Trouble(
                f"{target} cannot be moved: {error}; commit or stash what is in {top}"
            ) from None
        if ask(top, "rev-parse", f"refs/heads/{target}") != merged:
            raise Trouble(f"{target} was moved by somebody else meanwhile: land again")

    def close(self) -> None:
        """Remove the scratch worktrees, which hold nothing that is not in a branch."""
        for top, path in self._scratch.items():
            self._remove(top, path)

    def _remove(self, top: str, path: str) -> None:
        if os.path.lexists(path):
            with contextlib.suppress(Trouble):
                ask(top, "worktree", "remove", "--force", path)
