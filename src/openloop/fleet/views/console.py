"""What `fleet run` shows: a line for each task that ends; on a terminal one for each that runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from openloop.core import clock
from openloop.core.text import counted, printable
from openloop.fleet import task_files
from openloop.fleet.journal import Event
from openloop.fleet.state import EventName, FleetState, StateName
from openloop.fleet.views.status import count_words, running_words
from openloop.views.console import Screen, duration

if TYPE_CHECKING:
    from openloop.fleet.coordinator import Coordinator

_REDRAW = 1.0  # seconds
_COLOURS = {
    StateName.COMPLETE: "green",
    StateName.BLOCKED: "red",
    StateName.LOST: "red",
    "crashed": "red",
}


class FleetEventStream:
    """`--json`: each event as it is recorded."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def event(self, event: Event, line: bytes, state: FleetState) -> None:
        self._screen.line(line.decode())

    def tick(self, coordinator: Coordinator) -> None:
        pass

    def close(self) -> None:
        pass


class FleetConsole:
    """The output for people, also in the log of a CI job."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._drawn = 0.0

    def event(self, event: Event, line: bytes, state: FleetState) -> None:
        words = self._words(event, state)
        if words:
            self.line(words)

    def line(self, text: str) -> None:
        self.close()
        self._screen.line(text)

    def close(self) -> None:
        """Take the running tasks off the terminal."""
        if self._drawn:
            self._screen.page(())
            self._drawn = 0.0

    def _words(self, event: Event, state: FleetState) -> str:
        name = event.get("task", "")
        match event["event"]:
            case EventName.FLEET_STARTED:
                return f"{counted(event['tasks'], 'task')}: {count_words(state.counts())}"
            case EventName.TASK_ENDED:
                end = event["state"]
                took = f"  {duration(event['seconds'])}" if event.get("seconds") else ""
                why = event.get("note") or event["reason"]
                shown = self._screen.paint(f"{end:<11}", _COLOURS.get(end, "yellow"))
                return f"{shown} {name}{took}  {printable(why)}"
            case EventName.TASK_REFUSED:
                return f"refused     {name}  {printable(event['why'])}"
            case EventName.TASK_RELEASED:
                return f"not begun   {name}  {printable(event['why'])}: it is started again"
            case EventName.ENGINE_UNREACHABLE:
                what = event["host"] or "the engine"
                return f"unknown     {what} cannot be asked: {printable(event['why'])}"
            case EventName.ENGINE_REACHED:
                return f"reached     {event['host'] or 'the engine'} answers again"
            case EventName.TASK_LANDED:
                return f"landed      {name}  {event['commit'][:12]} on {event['target']}"
            case EventName.TASK_NOT_LANDED:
                return f"not landed  {name}  {printable(event['reason'])}"
            case EventName.NOTE:
                return f"note: {printable(event['text'])}"
        return ""

    def tick(self, coordinator: Coordinator) -> None:
        """Redraw the running tasks, about once a second."""
        now = clock.monotonic()
        if not self._screen.is_terminal or now - self._drawn < _REDRAW:
            return
        self._drawn = now
        room = max(1, shutil.get_terminal_size().lines - 3)
        state = coordinator.state
        live = state.live()
        drawn = []
        for task in live[:room]:
            beat = task_files.heartbeat(coordinator.workspace(task))
            words = running_words(beat) if beat else ""
            drawn.append(f"{state.word(task):<11} {task.name}  {words}")
        more = f", {len(live) - room} more live" if len(live) > room else ""
        self._screen.page([*drawn, count_words(state.counts()) + more])


def summary(state: FleetState, given: str) -> list[str]:
    """The closing summary: tasks by state, cost, time, and tasks that need a person."""
    tasks = state.shown()
    shown = [count_words(state.counts())]
    if seconds := sum(task.seconds or 0 for task in tasks):
        shown.append(f"  time      {duration(seconds)} in all")
    usages = [task.usage for task in tasks if task.usage]
    if usages:
        cost = sum(usage.get("cost_usd") or 0 for usage in usages)
        tokens = sum((u.get("input_tokens") or 0) + (u.get("output_tokens") or 0) for u in usages)
        least = "at least " if any(u.get("unpriced") for u in usages) else ""
        shown.append(f"  cost      {least}${cost:.2f}, {tokens} tokens")
    needy = [
        t
        for t in tasks
        if state.word(t) not in (StateName.COMPLETE, StateName.WAITING, StateName.CANCELLED)
        or t.is_uncommitted
    ]
    over = [task for task in needy if not task.phase.is_live]
    for task in over[:20]:
        shown.append(f"  person    {state.word(task)} {task.name}: {printable(task.reason)}")
    if len(over) > 20:
        shown.append(f"  person    … and {len(over) - 20} more")
    if over:
        shown.append(
            f"  next      openloop fleet explain {given} TASK, openloop fleet retry {given}"
        )
    return shown
