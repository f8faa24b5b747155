"""Why a task is not running, and what to do about it."""

from __future__ import annotations

import shlex

from openloop.fleet import task_files
from openloop.fleet.decide import Queue
from openloop.fleet.fleet_file import Fleet
from openloop.fleet.state import Phase, StateName, TaskState
from openloop.fleet.views.status import FleetReport, running_words


def lines(fleet: Fleet, report: FleetReport, name: str) -> list[str]:
    """The answer of `fleet explain` about one task."""
    task = report.state.tasks[name]
    where = shlex.quote(report.given)
    why, todo = _words(fleet, report, task, where)
    shown = [f"{name}: {report.state.word(task)}", f"  why   {why}", f"  do    {todo}"]
    if task.launch:
        folder = task_files.launch_folder(fleet, name, task.number)
        shown.append(f"  launch {task.launch}, job {task.job or 'not known'}: {folder}")
    return shown


def _words(fleet: Fleet, report: FleetReport, task: TaskState, where: str) -> tuple[str, str]:
    """(why, what to do)."""
    match task.phase:
        case Phase.WAITING if task.name not in report.state.listed:
            return (
                f"{report.given} no longer lists it",
                f"list it again: openloop fleet run {where}",
            )
        case Phase.WAITING:
            return _waiting(fleet, report, task, where)
        case Phase.OVER:
            return _over(report, task, where)
    if why := report.state.unreachable.get(task.engine):
        engine = task.engine or fleet.launcher.name
        return (
            f"{engine} cannot be asked: {why}",
            "nothing is lost: it is asked again and again; see that it can be reached",
        )
    if task.phase is Phase.RUNNING:
        return f"it runs: {running_words(report.beat(task))}", _watch(report, task)
    if task.phase is Phase.LAUNCHING and not report.held:
        return "the coordinator died while it handed it over", f"openloop fleet run {where}"
    todo = "wait; its engine.log says more"
    if fleet.launcher.name == "slurm":
        todo = f"ask the engine why: squeue --start --job={task.job or 'ID'}"
    return f"{fleet.launcher.name} has it and has not begun it yet", todo


def _waiting(fleet: Fleet, report: FleetReport, task: TaskState, where: str) -> tuple[str, str]:
    if not report.held:
        return "no coordinator lives", f"openloop fleet run {where}"
    if fleet.sha256 != report.state.sha256:
        why = f"{report.given} was changed after the live coordinator had read it"
        return why, "end fleet run with Ctrl-C and start it again: what runs goes on"
    queue = Queue(fleet.tasks, fleet.groups, fleet.hosts, fleet.max_parallel)
    for other in report.state.tasks.values():
        if other.phase is Phase.WAITING:
            queue.wait(other.name)
        elif other.phase.is_live:
            queue.take(other.name, other.engine)
    why = queue.why_waiting(task.name, report.state.unreachable)
    if task.reason:
        return f"it was tried before: {task.reason}", "it is tried again; see to the reason"
    return why or "it is about to be started", "wait, or raise the bound"


def _over(report: FleetReport, task: TaskState, where: str) -> tuple[str, str]:
    name = shlex.quote(task.name)
    retry = f"openloop fleet retry {where} {name}"
    if task.end == StateName.COMPLETE:
        landed = f"openloop fleet land {where} {name}" if task.commit and not task.landed else ""
        return task.reason or "every gate passed", landed or "nothing"
    look = f"openloop status {shlex.quote(report.workspace(task))}"
    return task.reason or "no reason is known", f"look at it: {look}; then: {retry}"


def _watch(report: FleetReport, task: TaskState) -> str:
    return f"watch it: openloop status {shlex.quote(report.workspace(task))} --watch"
