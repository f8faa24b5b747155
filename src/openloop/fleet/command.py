"""The actions of `openloop fleet`: each prints its result and returns an exit code."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from openloop.core.errors import ConfigError, ExitCode, HeldError, OpenLoopError, UsageError
from openloop.core.text import counted, nearest, printable
from openloop.fleet import fleet_file
from openloop.fleet.state import FleetState, Phase, StateName, TaskState
from openloop.fleet.views.status import FleetStatus, count_words, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from openloop.fleet.coordinator import View
    from openloop.fleet.fleet_file import Fleet
    from openloop.fleet.journal import Journal
    from openloop.process.signals import Interrupts
    from openloop.views.console import Screen

WATCH_INTERVAL = 1.0  # seconds
_SILENCE = 10.0  # seconds after which `cancel` says what it waits for
_WAIT = 0.2  # seconds between two looks at what a live coordinator does


@dataclass(frozen=True, slots=True)
class FleetArguments:
    """The arguments of `openloop fleet`. say: prints an answer. tasks: names; none for all that the
    action applies to."""

    fleet: str
    say: Callable[[str], None]
    tasks: Sequence[str] = ()
    max_parallel: int | None = None
    json: bool = False
    watch: bool = False
    form: str = "html"
    output: str | None = None


def run(arguments: FleetArguments) -> int:
    """Start waiting tasks, adopt running ones, and wait for all of them."""
    with _opened(arguments.fleet) as (fleet, state, journal):
        for warning in fleet.warnings:
            print(f"warning: {printable(warning)}", file=sys.stderr)
        return _coordinate(arguments, fleet, state, journal)


def retry(arguments: FleetArguments) -> int:
    """Run the ended tasks that are not complete again."""
    from openloop.fleet import requests

    fleet = _load(arguments.fleet)
    status = FleetStatus(arguments.fleet)
    chosen = _chosen(arguments, status)
    _check_listed(arguments, status)
    names = [t.name for t in chosen if t.phase is Phase.OVER and t.end != StateName.COMPLETE]
    if arguments.tasks and len(names) < len(arguments.tasks):
        fine = sorted(set(arguments.tasks) - set(names))
        print(f"note: nothing to retry: {', '.join(fine)}", file=sys.stderr)
    if names:
        requests.post(fleet.folder, requests.RETRY, names)
    try:
        with _opened(arguments.fleet, fleet) as (_, state, journal):
            return _coordinate(arguments, fleet, state, journal)
    except HeldError:
        again = f"the live coordinator starts {counted(len(names), 'task')} again"
        arguments.say(again if names else "nothing to retry; a live coordinator runs the fleet")
        return ExitCode.OK


def cancel(arguments: FleetArguments) -> int:
    """End waiting and running tasks; returns when they have ended."""
    from openloop.fleet import requests
    from openloop.process.signals import Interrupts

    status = FleetStatus(arguments.fleet)
    fleet = None if status.held else _load(arguments.fleet)
    names = {task.name for task in _chosen(arguments, status) if task.phase is not Phase.OVER}
    if names:
        requests.post(status.folder, requests.CANCEL, sorted(names))
    with Interrupts() as interrupts:
        noted, since = False, time.monotonic()
        while names and not interrupts.received:
            if not _cancel_as_coordinator(arguments, fleet, names, interrupts):
                time.sleep(_WAIT)
            if not noted and time.monotonic() - since > _SILENCE:
                noted, who = True, status.state.coordinator
                print(f"note: waiting for the coordinator, {printable(who)}", file=sys.stderr)
            status = FleetStatus(arguments.fleet)
            tasks = status.state.tasks
            names = {name for name in names if tasks[name].phase is not Phase.OVER}
        if interrupts.received:
            return 128 + interrupts.received[0]
    arguments.say(f"{arguments.fleet}: {count_words(status.state.counts())}")
    return ExitCode.OK


def _cancel_as_coordinator(
    arguments: FleetArguments, fleet: Fleet | None, names: set[str], interrupts: Interrupts
) -> bool:
    """Cancel tasks in this process. False when a living coordinator will do so."""
    from openloop.fleet.coordinator import Coordinator, all_over
    from openloop.fleet.views.console import FleetConsole
    from openloop.views.console import Screen

    console = FleetConsole(Screen(sys.stderr))
    try:
        with _opened(arguments.fleet, fleet) as (fleet, state, journal):
            coordinator = Coordinator(fleet, state, journal, console, fleet.max_parallel)
            coordinator.run(interrupts, starting=False, until=all_over(names))
    except HeldError:
        return False
    except ConfigError:  # no matter if the coordinator has just ended the tasks, and then itself
        tasks = FleetStatus(arguments.fleet).state.tasks
        if any(tasks[name].phase is not Phase.OVER for name in names):
            raise
    return True


def show(arguments: FleetArguments) -> int:
    """Print the state of the fleet."""
    try:
        status = FleetStatus(arguments.fleet)
        if arguments.watch:
            status = _watch(status)
    except OpenLoopError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILED
    if arguments.json:
        import json

        arguments.say(json.dumps(status.to_json(), indent=2))
    else:
        arguments.say("\n".join(map(printable, lines(status))))
    return ExitCode.OK


def _watch(status: FleetStatus) -> FleetStatus:
    from openloop.views.console import Screen

    screen = Screen(sys.stdout)
    shown: list[str] = []
    while status.held and not status.is_over and screen.is_open:
        if (now := lines(status)) != shown:
            screen.raw("\x1b[H\x1b[2J" if screen.is_terminal else "")
            for line in now:
                screen.line(printable(line))
            shown = now
        time.sleep(WATCH_INTERVAL)
        status = FleetStatus(status.given)
    return status


def explain(arguments: FleetArguments) -> int:
    """Print why a task is not running."""
    from openloop.fleet.views import explain as explanation

    if len(arguments.tasks) != 1:
        raise UsageError("explain is about one task", fix="openloop fleet explain FLEET TASK")
    fleet, status = _load(arguments.fleet), FleetStatus(arguments.fleet)
    _chosen(arguments, status)
    arguments.say("\n".join(map(printable, explanation.lines(fleet, status, arguments.tasks[0]))))
    return ExitCode.OK


def land(arguments: FleetArguments) -> int:
    """Merge the complete tasks; returns 0 when all of them landed."""
    from openloop.fleet.journal import raising_record_errors
    from openloop.fleet.landing import Landing
    from openloop.fleet.views.console import FleetConsole
    from openloop.process.signals import Interrupts
    from openloop.views.console import Screen

    fleet = _load(arguments.fleet)
    status = FleetStatus(arguments.fleet)
    chosen = {task.name for task in _chosen(arguments, status)}
    _check_listed(arguments, status)
    if fleet.isolation != fleet_file.WORKTREE:
        fix = 'write "isolation": "worktree" before the fleet is run'
        raise UsageError("nothing can land: the tasks have no worktrees", fix=fix)
    with Interrupts() as interrupts, _opened(arguments.fleet, fleet) as (_, state, journal):
        console = FleetConsole(Screen(sys.stdout))
        tasks = [t for t in fleet.tasks if t.name in chosen and not state.tasks[t.name].landed]
        ready = []
        for task in tasks:
            known = state.tasks[task.name]
            if arguments.tasks or known.end == StateName.COMPLETE:
                ready.append(task)
            else:
                console.line(f"not landed  {task.name}  it is {state.word(known)}, not complete")
        work = Landing(fleet, state, interrupts, Screen(sys.stderr).line)
        with contextlib.closing(work), raising_record_errors(fleet.folder):
            for event in work.land(ready):
                for whole, line in journal.append([event], durable=True):
                    state.apply(whole)
                    console.event(whole, line, state)
        landed_all = all(state.tasks[task.name].landed for task in tasks)
    return ExitCode.OK if landed_all else ExitCode.FAILED


def report(arguments: FleetArguments) -> int:
    """A document about the whole fleet."""
    from openloop.fleet.views import report as reports

    document = reports.render(FleetStatus(arguments.fleet), arguments.form)
    if arguments.output is None:
        arguments.say(document.rstrip("\n"))
    else:
        try:
            with open(arguments.output, "w", encoding="utf-8") as file:
                file.write(document)
        except OSError as error:
            what = f"{arguments.output} cannot be written: {error.strerror}"
            raise UsageError(
                what, fix="name a file that you may write, where there is room"
            ) from None
    return ExitCode.OK


# --- shared ---


def _load(path: str) -> Fleet:
    from openloop.fleet import journal

    state = FleetState(())
    if path:
        journal.read(fleet_file.state_folder(path), state.apply)
    return fleet_file.load(path, state.sha256)


@contextlib.contextmanager
def _opened(path: str, fleet: Fleet | None = None) -> Iterator[tuple[Fleet, FleetState, Journal]]:
    """FLEET, its state and its record, which is read once and locked. fleet: where it is loaded
    already. Raises HeldError while a coordinator lives, ConfigError, TamperError, RecordError."""
    from openloop.fleet.journal import Journal

    folder, state = fleet_file.state_folder(path), FleetState(())
    with contextlib.ExitStack() as stack:
        journal = None
        if path and Journal.is_in(folder):  # the first run leaves no folder when FLEET is wrong
            journal = stack.enter_context(Journal(folder, state.apply))
        fleet = fleet or fleet_file.load(path, state.sha256)
        journal = journal or stack.enter_context(Journal(folder, state.apply))
        state.name_tasks(task.name for task in fleet.tasks)
        yield fleet, state, journal


def _chosen(arguments: FleetArguments, status: FleetStatus) -> list[TaskState]:
    """The named tasks, or all. Raises UsageError for an unknown name."""
    known = status.state.tasks
    for name in arguments.tasks:
        if name not in known:
            near = nearest(name, known, likeness=0.0)
            raise UsageError(f"{arguments.fleet} has no task {name}", fix=f"the nearest is {near}")
    return [known[name] for name in arguments.tasks] or status.state.shown()


def _check_listed(arguments: FleetArguments, status: FleetStatus) -> None:
    """Raises UsageError for named tasks that FLEET no longer lists."""
    if gone := [name for name in arguments.tasks if name not in status.state.listed]:
        what = f"{status.given} no longer lists {', '.join(gone)}"
        raise UsageError(what, fix="write them into it, then type the command again")


def _coordinate(
    arguments: FleetArguments, fleet: Fleet, state: FleetState, journal: Journal
) -> int:
    from openloop.fleet.coordinator import Coordinator
    from openloop.process.signals import Interrupts
    from openloop.views.console import Screen

    most = arguments.max_parallel or fleet.max_parallel
    with Interrupts() as interrupts:
        out, err = (
            Screen(stream, give_up=lambda: interrupts.received)
            for stream in (sys.stdout, sys.stderr)
        )
        view = _view(arguments, out, err)
        coordinator = Coordinator(fleet, state, journal, view, most)
        try:
            _print_worktree_notes(fleet, state)
            coordinator.run(interrupts)
            if not interrupts.received:
                coordinator.finish()
        finally:
            view.close()
        return _ended(arguments, state, out, err, interrupts)


def _ended(
    arguments: FleetArguments, state: FleetState, out: Screen, err: Screen, interrupts: Interrupts
) -> int:
    """Print how it ended; returns the exit code."""
    from openloop.fleet.views.console import summary

    if interrupts.received:
        interrupts.ignore()
    if not arguments.json:
        for line in summary(state, arguments.fleet):
            out.line(printable(line))
    if interrupts.received:
        live = len(state.live())
        if live:
            err.line(
                f"{counted(live, 'task')} still running; adopt with openloop fleet run "
                f"{arguments.fleet}, or end with openloop fleet cancel {arguments.fleet}"
            )
        return 128 + interrupts.received[0]
    complete = all(state.word(task) == StateName.COMPLETE for task in state.shown())
    return ExitCode.OK if complete else ExitCode.FAILED


def _view(arguments: FleetArguments, out: Screen, err: Screen) -> View:
    from openloop.fleet.views import console

    return console.FleetEventStream(out) if arguments.json else console.FleetConsole(err)


def _print_worktree_notes(fleet: Fleet, state: FleetState) -> None:
    from openloop.fleet import git, worktrees

    if fleet.isolation != fleet_file.WORKTREE:
        return
    states = state.tasks.values()
    names = [t.name for t in states if t.phase is Phase.WAITING and not t.tree_made]
    try:
        for words in worktrees.remarks(fleet, names):
            print(f"note: {printable(words)}", file=sys.stderr)
    except git.GitError as error:
        raise UsageError(
            f"no worktrees can be made: {error}", fix='or write "isolation": "none"'
        ) from None
