"""`fleet land`: merge complete branches, only if the gates pass on the merged tree.

The merges are tried in a worktree of their own, all together. The target branch moves when the
gates of the tasks, and of those that landed before, passed there, and only forward. Where they do
not, each half is tried by itself, down to a single task; whatever does not land keeps its branch
and its worktree.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator

from openloop.core import interpreter
from openloop.core.errors import ExitCode, Interrupted
from openloop.fleet import task_configuration, task_files, worktrees
from openloop.fleet.fleet_file import Fleet, Task
from openloop.fleet.git import GitError, run_git, run_git_with_author
from openloop.fleet.git import top as top_of
from openloop.fleet.journal import Event, of_task
from openloop.fleet.launchers import launch
from openloop.fleet.state import EventName, FleetState, StateName
from openloop.process.signals import Interrupts
from openloop.record import workspace

_FOLDER = "landing"
_PATIENCE = 60.0  # seconds for gates to end that were left behind
_WHEN_NOTED = 'read -r word && exec "$@" </dev/null'  # ends at once when nobody notes it
_VERDICTS = (ExitCode.OK, ExitCode.FAILED, ExitCode.BLOCKED)  # exit codes that judge the tree


def _event(task: Task, target: str = "", commit: str = "", reason: str = "") -> Event:
    """commit: the tip of the target after the task; "" with the reason why it is not landed."""
    kind = EventName.TASK_LANDED if commit else EventName.TASK_NOT_LANDED
    return of_task(kind, task.name, target=target, commit=commit, reason=reason)


class Landing:
    """Lands tasks, with one scratch worktree for each repository. state: is current at any time.
    say: gets messages about the progress."""

    def __init__(
        self, fleet: Fleet, state: FleetState, interrupts: Interrupts, say: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._state = state
        self._interrupts = interrupts
        self._say = say
        self._scratch: dict[str, str] = {}
        self._folder = os.path.join(fleet.folder, _FOLDER)

    def land(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Try these tasks, and yield the event of each; the caller records it before the next one
        is tried. Raises Interrupted."""
        self._end_left_behind()
        batches: dict[str, list[Task]] = {}
        for task in tasks:
            try:
                batches.setdefault(self._repository(task), []).append(task)
            except GitError as error:
                yield _event(task, reason=str(error))
        for top, batch in batches.items():
            yield from self._land(top, batch)

    def _repository(self, task: Task) -> str:
        """The top of the repository that holds the task's work, committed. Raises GitError."""
        known = self._state.tasks[task.name]
        if known.end != StateName.COMPLETE:
            raise GitError(f"it is {known.end or 'not over'}, not complete")
        if not known.tree_made:
            raise GitError('it has no worktree: write "isolation": "worktree" before it is run')
        if not known.commit or os.path.lexists(self._fleet.worktree(task.name)):
            worktrees.commit(self._fleet, task, known.base)
        return top_of(task.project_root)

    def _land(self, top: str, batch: list[Task]) -> Iterator[Event]:
        """Land a batch together; if that fails, each half by itself, down to single tasks."""
        target = ""
        try:
            target = self._target(top)
            commits = self._merge(batch, top, target)
        except GitError as error:
            if len(batch) == 1:
                yield _event(batch[0], target, reason=str(error))
                return
            half = len(batch) // 2
            yield from self._land(top, batch[:half])
            yield from self._land(top, batch[half:])
        else:
            for task, commit in zip(batch, commits, strict=True):
                yield _event(task, target, commit)

    def _target(self, top: str) -> str:
        branch = run_git(top, "symbolic-ref", "--quiet", "HEAD", fine=(0, 1))
        if not branch:
            raise GitError(f"{top} has a detached HEAD: git switch to the branch to land on")
        return branch.removeprefix("refs/heads/")

    def _merge(self, batch: list[Task], top: str, target: str) -> list[str]:
        """The commits at which each task is part of the target. Raises GitError when it did not
        move."""
        before = run_git(top, "rev-parse", f"refs/heads/{target}")
        scratch = self._clean(top, before)
        commits = [self._merge_one(task, scratch) for task in batch]
        merged = commits[-1]
        if merged != before:
            self._try_gates(batch, scratch, top, before, merged)
            self._move(top, target, before, merged)
        return commits

    def _merge_one(self, task: Task, scratch: str) -> str:
        """The commit with the task's branch in it. Raises GitError."""
        branch = worktrees.branch_of(task.name)
        before = run_git(scratch, "rev-parse", "HEAD")
        common = run_git(scratch, "merge-base", before, branch, fine=(0, 1))
        if common == run_git(scratch, "rev-parse", branch):
            return before  # all of it is there
        message = f"Land {branch}"
        run_git_with_author(
            scratch, "merge", "--no-ff", "--no-edit", "-m", message, branch, fine=(0, 1)
        )
        if conflicts := run_git(scratch, "diff", "--name-only", "--diff-filter=U").splitlines():
            raise GitError(f"conflict in {', '.join(conflicts)}: merge {branch} by hand")
        merged = run_git(scratch, "rev-parse", "HEAD")
        if merged == before:
            raise GitError(f"git did not merge {branch}")
        return merged

    def _clean(self, top: str, commit: str) -> str:
        """The scratch worktree of a repository, at this commit and with nothing else in it."""
        if top not in self._scratch:
            path = os.path.join(self._folder, f"tree-{len(self._scratch) + 1}")
            worktrees.discard(top, path)  # of a landing that was killed
            os.makedirs(os.path.dirname(path), exist_ok=True)
            run_git(top, "worktree", "add", "--quiet", "--force", "--detach", path, commit)
            self._scratch[top] = path
        scratch = self._scratch[top]
        self._check_out(scratch, commit)
        return scratch

    def _check_out(self, scratch: str, commit: str) -> None:
        run_git(scratch, "reset", "--quiet", "--hard")
        run_git(scratch, "clean", "-ffdxq")
        run_git(scratch, "checkout", "--quiet", "--force", "--detach", commit)

    def _try_gates(
        self, batch: list[Task], scratch: str, top: str, before: str, merged: str
    ) -> None:
        """Run the gates of the tasks on the merged tree, then those of the tasks that landed before
        them, the same ones once. Raises GitError."""
        tried: set[str] = set()
        for task in batch:
            if why := self._fails(task, scratch, merged, tried):
                raise GitError(f"its gates do not pass on the merged tree: {why}")
        for other in self._landed(top, before):
            if not (why := self._fails(other, scratch, merged, tried)):
                continue
            if not self._fails(other, scratch, before, set()):
                raise GitError(
                    f"the gates of {other.name}, which landed before, do not pass on the merged "
                    f"tree: {why}"
                )
            self._say(f"the gates of {other.name} do not pass without the merge either")

    def _fails(self, task: Task, scratch: str, commit: str, tried: set[str]) -> str:
        """Why the gates of the task do not pass at this commit; "" when they do, or were tried.
        Raises GitError when nobody knows."""
        if (key := self._gates_key(task, scratch)) in tried:
            return ""
        tried.add(key)
        self._check_out(scratch, commit)
        return self._run_gates(task, scratch)

    def _landed(self, top: str, before: str) -> Iterator[Task]:
        """The tasks whose work is in this commit of the repository."""
        for task in self._fleet.tasks:
            if commit := self._state.tasks[task.name].landed:
                with contextlib.suppress(GitError):  # its project is gone
                    here = top_of(task.project_root) == top
                    if here and run_git(top, "merge-base", before, commit, fine=(0, 1)) == commit:
                        yield task

    def _configured(self, task: Task, scratch: str) -> tuple[bytes, str]:
        """The (openloop.json, holdout/ or "") with which the gates of a task run in the scratch
        worktree."""
        root = os.path.join(scratch, worktrees.prefix(task)).rstrip("/")
        data = task_configuration.gates_only(task_files.configured(self._fleet, task, root), root)
        holdout = os.path.join(task.workspace, workspace.HOLDOUT)
        return data, holdout if os.path.isdir(holdout) else ""

    def _gates_key(self, task: Task, scratch: str) -> str:
        """A key that is equal for two tasks with the same gates."""
        data, holdout = self._configured(task, scratch)
        document = json.loads(data)
        document.pop("mission", None)
        return json.dumps([document, holdout], sort_keys=True)

    def _run_gates(self, task: Task, scratch: str) -> str:
        """Run a task's gates, in a workspace for that: "", or why they do not pass. Raises
        GitError when nobody knows, Interrupted."""
        place = os.path.join(self._folder, task.name)
        data, holdout = self._configured(task, scratch)
        task_files.write_configuration(place, data)
        if holdout:
            shutil.copytree(holdout, os.path.join(place, workspace.HOLDOUT), dirs_exist_ok=True)
        self._say(f"gates of {task.name} on the merged tree")
        process = self._start_gates(place)
        code = self._wait(process)
        beat = task_files.heartbeat(place)
        if code == ExitCode.HELD:
            raise GitError(
                f"another run holds {place}: end process {beat.get('runner_pid')}, then land again"
            )
        if code not in _VERDICTS:
            raise GitError(f"its gates ended with exit code {code}: openloop run {place}")
        why = beat.get("reason") or f"exit code {code}"
        return "" if code == ExitCode.OK else f"{why}; look at {place}"

    def _start_gates(self, place: str) -> subprocess.Popen[bytes]:
        """Start the run of a workspace. It begins only after it is noted, so that the next landing
        finds it wherever this one is killed."""
        command = [*interpreter.own_command(), "run", place, "--quiet"]
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WHEN_NOTED, "gates", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is meant for us
        )
        assert process.stdin
        with process.stdin:
            launch.write_run(self._folder, process.pid)
            process.stdin.write(b"noted\n")
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of a run, which is ended when a signal arrives."""
        ended = os.pidfd_open(process.pid)
        try:
            if not self._interrupts.received:
                select.select([ended, self._interrupts.wakeup], [], [])
        finally:
            os.close(ended)
        if self._interrupts.received:
            process.terminate()
            process.wait()
            self._check_signals()
        return process.wait()

    def _check_signals(self) -> None:
        if received := self._interrupts.received:
            what = "landing was interrupted: what did not land stays as it is"
            raise Interrupted(received[0], what, fix="run the same command again")

    def _end_left_behind(self) -> None:
        """End the gates that a landing which was killed has left running."""
        pid = launch.pid_of(self._folder, launch.RUN)
        if pid is None:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if launch.pid_of(self._folder, launch.RUN) != pid:
                return
            self._say(f"ending process {pid}: gates of a landing that was killed")
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            select.select([descriptor, self._interrupts.wakeup], [], [], _PATIENCE)
        finally:
            os.close(descriptor)
        self._check_signals()

    def _move(self, top: str, target: str, before: str, merged: str) -> None:
        """Move the target forward, with the files of the tree that has it checked out."""
        if self._target(top) != target:
            raise GitError(f"{target} is no longer checked out in {top}: land again")
        if run_git(top, "rev-parse", f"refs/heads/{target}") != before:
            raise GitError(f"{target} was moved by somebody else meanwhile: land again")
        try:
            run_git(top, "merge", "--ff-only", "--quiet", "--no-autostash", merged)
        except GitError as error:
            todo = "commit or stash what is in" if "overwritten" in str(error) else "look at"
            raise GitError(f"{target} cannot be moved: {error}; {todo} {top}") from None
        if run_git(top, "rev-parse", f"refs/heads/{target}") != merged:
            raise GitError(f"{target} was moved by somebody else meanwhile: land again")

    def close(self) -> None:
        """Remove the scratch worktrees; everything in them is in a branch."""
        for top, path in self._scratch.items():
            with contextlib.suppress(GitError):
                worktrees.discard(top, path)
