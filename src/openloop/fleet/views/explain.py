"""Why a task is not running, and what to do about it."""

from __future__ import annotations

import shlex

from openloop.fleet import task_files
from openloop.fleet.decide import Queue
from openloop.fleet.fleet_file import Fleet
from openloop.fleet.state import Phase, StateName, TaskState
from openloop.fleet.views.status import FleetStatus, running_words


def lines(fleet: Fleet, status: FleetStatus, name: str) -> list[str]:
    """The answer of `fleet explain` about one task."""
    task = status.state.tasks[name]
    where = shlex.quote(status.given)
    why, todo = _words(fleet, status, task, where)
    shown = [f"{name}: {status.state.word(task)}", f"  why   {why}", f"  do    {todo}"]
    if task.launch:
        folder = task_files.launch_folder(fleet, name, task.number)
        shown.append(f"  launch {task.launch}, job {task.job or 'not known'}: {folder}")
    return shown


def _words(fleet: Fleet, status: FleetStatus, task: TaskState, where: str) -> tuple[str, str]:
    """(why, what to do)."""
    match task.phase:
        case Phase.WAITING if task.name not in status.state.listed:
            return (
                f"{status.given} no longer lists it",
                f"list it again: openloop fleet run {where}",
            )
        case Phase.WAITING:
            return _waiting(fleet, status, task, where)
        case Phase.OVER:
            return _over(status, task, where)
    if why := status.state.unreachable.get(task.engine):
        engine = task.engine or fleet.launcher.name
        todo = "nothing is lost: it is asked again and again; see that it can be reached"
        if task.phase is not Phase.RUNNING:
            name = shlex.quote(task.name)
            todo += f"; or begin again elsewhere: openloop fleet cancel {where} {name}, then retry"
        return f"{engine} cannot be asked: {why}", todo
    if task.phase is Phase.RUNNING:
        return f"it runs: {running_words(status.beat(task))}", _watch(status, task)
    if task.phase is Phase.LAUNCHING and not status.held:
        return "the coordinator died while it handed it over", f"openloop fleet run {where}"
    todo = "wait; its engine.log says more"
    if fleet.launcher.name == "slurm":
        todo = f"ask the engine why: squeue --start --job={task.job or 'ID'}"
    return f"{fleet.launcher.name} has it and has not begun it yet", todo


def _waiting(fleet: Fleet, status: FleetStatus, task: TaskState, where: str) -> tuple[str, str]:
    if not status.held:
        return "no coordinator lives", f"openloop fleet run {where}"
    if fleet.sha256 != status.state.sha256:
        why = f"{status.given} was changed after the live coordinator had read it"
        return why, "end fleet run with Ctrl-C and start it again: what runs goes on"
    most = status.state.max_parallel or fleet.max_parallel
    queue = Queue(fleet.tasks, fleet.groups, fleet.hosts, most)
    for other in status.state.tasks.values():
        if other.phase is Phase.WAITING:
            queue.add(other.name)
        elif other.phase.is_live:
            queue.take_slot(other.name, other.engine)
    why = queue.why_waiting(task.name, status.state.unreachable)
    if task.reason:
        return f"it was tried before: {task.reason}", "it is tried again; see to the reason"
    return why or "it is about to be started", "wait, or raise the bound"


def _over(status: FleetStatus, task: TaskState, where: str) -> tuple[str, str]:
    name = shlex.quote(task.name)
    retry = f"openloop fleet retry {where} {name}"
    if task.end == StateName.COMPLETE:
        to_land = task.tree_made and not task.landed
        landed = f"openloop fleet land {where} {name}" if to_land else ""
        return task.reason or "every gate passed", landed or "nothing"
    look = f"openloop status {shlex.quote(status.workspace(task))}"
    return task.reason or "no reason is known", f"look at it: {look}; then: {retry}"


def _watch(status: FleetStatus, task: TaskState) -> str:
    return f"watch it: openloop status {shlex.quote(status.workspace(task))} --watch"
