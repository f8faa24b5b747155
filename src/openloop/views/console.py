"""The console output of a run: a live line, a line for each finished step, a verdict.

Progress goes to stderr, the verdict to stdout. On a terminal the running command has one live
line; elsewhere nothing is ever redrawn and no control character is written. Everything that a
command wrote is escaped first. A reader that stands still (Ctrl-S, a full pipe) holds up the
next step, but neither the watchdog nor a signal.
"""

from __future__ import annotations

import os
import select
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from openloop.core import clock, usage
from openloop.core.text import counted, fit, printable
from openloop.core.vocabulary import Kind, Outcome, Status
from openloop.loop import gates
from openloop.loop.events import Event
from openloop.loop.state import State, Violation
from openloop.record import projections
from openloop.record.projections import LiveFacts
from openloop.record.workspace import ARTIFACTS, LOGS, Workspace
from openloop.views import changes

READER_PATIENCE = 1.0  # seconds that a reader which takes nothing is waited for after a signal
_STOPPED = 0.01  # seconds until a terminal that has just been stopped is asked again
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}
_STATUS_COLOUR = {Status.COMPLETE: "green", Status.EXHAUSTED: "yellow", Status.BLOCKED: "red"}


class Screen:
    """A stream that may be a terminal, and may be closed by its reader at any time."""

    def __init__(self, stream: TextIO, give_up: Callable[[], object] = lambda: False) -> None:
        """give_up: asked while the reader takes nothing; true ends the wait, and the stream."""
        self._encoding = stream.encoding
        self._descriptor = _without_blocking(stream)
        self._ready = select.poll()
        self._ready.register(self._descriptor, select.POLLOUT)
        self._give_up = give_up
        self.is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._coloured = self.is_terminal and not os.environ.get("NO_COLOR")
        self._live = False
        self._page = 0  # lines of the page that stands there
        self._open = True
        self._writing = threading.Lock()

    @property
    def is_open(self) -> bool:
        """False once the reader of the stream has gone."""
        return self._open

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._coloured and colour else text

    def line(self, text: str) -> None:
        """A permanent line, above the live one."""
        with self._writing:
            self._write(f"{self._clear()}{text}\n")

    def raw(self, text: str) -> None:
        """Write text as it is, control sequences included."""
        with self._writing:
            self._write(text)

    def live(self, text: str) -> None:
        """The one line that is redrawn; nothing where there is no terminal, or it stands still."""
        if not self.is_terminal or not self._writing.acquire(blocking=False):
            return
        try:
            if self._ready.poll(0):
                width = _terminal_size().columns - 1
                self._write(self._clear() + fit(text, width), wait=False)
                self._live = True
        finally:
            self._writing.release()

    def page(self, lines: Sequence[str]) -> None:
        """Lines that replace those of the call before; nothing where there is no terminal."""
        if not self.is_terminal:
            return
        size = _terminal_size()
        shown = [f"{fit(line, size.columns - 1)}\n" for line in lines[: size.lines - 1]]
        up = f"\x1b[{self._page}A" if self._page else ""
        self._page = len(shown)
        with self._writing:
            self._write(f"{up}\r\x1b[J{''.join(shown)}")

    def end_live(self) -> None:
        with self._writing:
            self._write(self._clear())

    def _clear(self) -> str:
        was, self._live = self._live, False
        return "\r\x1b[2K" if was else ""

    def _write(self, text: str, *, wait: bool = True) -> None:
        """wait: until all is written; otherwise bytes that the reader does not take at once are
        lost. A reader that went away (`| head`) must not end the run."""
        data = text.encode(self._encoding, "backslashreplace")  # what the locale cannot show
        while data and self._open and (self._is_ready() if wait else self._ready.poll(0)):
            try:  # as much as never blocks a pipe that is ready
                written = os.write(self._descriptor, data[: select.PIPE_BUF])
            except BlockingIOError:  # Ctrl-S came after it was ready
                if not wait:
                    return
                self._open = not self._give_up()
                time.sleep(_STOPPED)
                continue
            except OSError:
                self._open = False
                return
            data = data[written:]

    def _is_ready(self) -> bool:
        """Wait for the reader; False once the wait is given up, which gives up the stream too."""
        while not self._ready.poll(READER_PATIENCE * 1000):
            if self._give_up():
                self._open = False
                break
        return self._open


def _without_blocking(stream: TextIO) -> int:
    """A descriptor of the stream; of a terminal one of its own, as Ctrl-S may come between
    "ready" and the write. The flag on the stream itself would hold for every process there."""
    if stream.isatty():
        try:
            name = os.ttyname(stream.fileno())
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # another user's terminal, or one that this container does not show
            pass
    return stream.fileno()


class Console:
    """The view for people: on a terminal and in the log of a CI job."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last = ""
        self._began = time.monotonic()
        self._command: LiveFacts | None = None

    def event(self, event: Event, state: State, line: bytes) -> None:
        match event.kind:
            case Kind.RUN_STARTED:
                self._screen.line(_opening_words(event, state))
            case Kind.STEP_FINISHED:
                self.step(event, state)
            case Kind.WAIT_STARTED:
                self._screen.line(f"  {state.round:>4}  {waiting_words(event.data)}")
            case Kind.ROUND_FINISHED:
                self.round(event, state)
            case Kind.BREAKER_TRIPPED:
                self._screen.line(self._screen.paint("breaker tripped", "red"))
            case Kind.NOTE if event.data["note"] != "restoring":
                self._screen.line(f"note: {printable(event.data['text'])}")
            case Kind.POLICY_VIOLATED:
                self._screen.line(f"policy: {event.step} {printable(event.data['text'])}")
            case Kind.CHECKPOINT_RESTORED:
                whose = "policy: " if event.data["why"] == "policy" else ""
                self._screen.line(f"{whose}{printable(event.data['text'])}")
            case Kind.RUN_FINISHED:
                self._screen.end_live()

    def step(self, event: Event, state: State) -> None:
        result = state.steps[-1]
        self._last = f"{result.step} {result.outcome}"
        self._screen.line(step_line(self._screen, state))

    def round(self, event: Event, state: State) -> None:
        words = f"round {event.round} {event.data['outcome']}"
        if event.data["decision"] == "continue":
            self._screen.line(f"{words}: {printable(event.data['reason'])}")
        else:
            self._screen.line(words)

    def beat(self, live: LiveFacts, state: State) -> None:
        if live is not self._command:
            self._command, self._began = live, time.monotonic()
        if state.waiting:
            waits = {"agent": state.waiting.agent, "until": state.waiting.until}
            self._screen.live(waiting_words({**waits, "why": state.waiting.why}))
        elif live.own_work:
            self._screen.live(f"round {state.round} | {live.own_work}")
        elif live.pid is not None:
            self._screen.live(live_line(live, state, time.monotonic() - self._began, self._last))


def _opening_words(event: Event, state: State) -> str:
    verb = "resumed" if event.data["resumed"] else "started"
    rounds = counted(state.round_budget - state.rounds_used, "round")
    trial = " (half-open trial)" if state.trial else ""
    return f"run {state.run} {verb}: {rounds} at most{trial}"


def step_line(screen: Screen, state: State) -> str:
    """One finished step on one line."""
    result = state.steps[-1]
    colour = "green" if result.outcome is Outcome.PASSED else "red"
    outcome = screen.paint(f"{result.outcome:<11}", colour)
    name = f"{result.step}{' again' if result.confirm else ''}"
    words = f"  {state.round:>4}  {name:<14} {outcome} {duration(result.duration_seconds):>7}"
    if result.detail:
        words += f"  {printable(result.detail)}"
    if (did := changes.diff_counts(result)) and (
        result.outcome.passed or changes.has_changes(result)
    ):
        words += f"  {did}"
    if result.outcome is not Outcome.PASSED:
        words += f"  {screen.paint(result.log_path, 'dim')}"
    return words


def waiting_words(data: Mapping[str, Any]) -> str:
    """`waiting for claude until 14:05 (usage limit: …)`, in local time."""
    until = local_time(data["until"])
    return printable(f"waiting for {data['agent']} until {until} ({data['why']})")


def local_time(moment: str) -> str:
    """`14:05`, or with the date when it is not today's."""
    then = time.localtime(time.time() + clock.seconds_until(moment))
    today = time.strftime("%F") == time.strftime("%F", then)
    return time.strftime("%H:%M" if today else "%F %H:%M", then)


def live_line(live: LiveFacts, state: State, seconds: float, last: str) -> str:
    """`round 4 (2 of 3) | verify 12 s | log 3.4 KB | ETA 2 min | last play passed`."""
    parts = [
        f"round {state.round} ({state.rounds_used + 1} of {state.round_budget})",
        f"{live.step or 'hook'} {duration(seconds)}",
        f"log {size(live.log_bytes)}",
    ]
    parts.append("ETA not known yet" if live.eta is None else f"ETA {duration(live.eta)}")
    if live.agent_waits:
        parts.append(f"the agent tries again: {printable(live.agent_waits)}")
    elif last:
        parts.append(f"last {last}")
    return " | ".join(parts)


def verdict(screen: Screen, workspace: Workspace, state: State, head: str) -> None:
    """The closing summary."""
    status = screen.paint(state.status, _STATUS_COLOUR.get(state.status, "yellow"))
    screen.line(f"{status}: {printable(state.reason)}")
    rounds = counted(state.rounds_used, "round")
    facts = [("run", f"{state.run}, {rounds}, {duration(state.elapsed)}")]
    if state.metric:
        facts.append(("metric", projections.metric_words(state.metric)))
    if words := usage.in_words(state.usage):
        facts.append(("usage", words))
    if state.last_error:
        facts.append(("error", printable(state.last_error)[:300]))
    if state.unsandboxed:
        facts.append(("warning", state.unsandboxed))
    facts += [("violation", violation_words(one)) for one in state.undone]
    if state.round:
        artifact = workspace.shown(f"{ARTIFACTS}/round-{state.round:04d}.json")
        facts.append(("evidence", f"{artifact}, logs in {workspace.shown(LOGS)}"))
    facts.append(("head", head))
    facts.append(("next", next_step(workspace, state, head)))
    for name, text in facts:
        screen.line(f"  {name:<9} {printable(text)}")


def violation_words(one: Violation) -> str:
    return printable(f"round {one.round}, {one.step}: {one.text}")


def next_step(workspace: Workspace, state: State, head: str) -> str:
    """The advice for a person after a run that ended with this status."""
    place = shlex.quote(workspace.given)
    match state.status:
        case Status.COMPLETE:
            return f"prove it later: openloop audit {place} --head {head}"
        case Status.BLOCKED if state.unsettled:
            return f"restore that by hand, then: openloop run {place}; or: openloop accept {place}"
        case Status.BLOCKED | Status.EXHAUSTED if any(map(gates.words_if_not_run, state.steps)):
            return f"look what is missing: openloop doctor {place}; then: openloop run {place}"
        case Status.BLOCKED:
            return f"look at the evidence, fix the cause, then run one trial: openloop run {place}"
        case Status.EXHAUSTED:
            return f"look at the evidence, or allow more rounds: openloop run {place}"
    return f"go on where it stopped: openloop run {place}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Bytes with a decimal unit."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


class QuietView:
    """The view of `--quiet`: only the verdict is shown, by the caller."""

    def event(self, event: Event, state: State, line: bytes) -> None:
        pass

    def beat(self, live: LiveFacts, state: State) -> None:
        pass


class EventStream(QuietView):
    """The view of `run --json`: every event as it is recorded, one object a line."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def event(self, event: Event, state: State, line: bytes) -> None:
        self._screen.line(line.decode())


def _terminal_size() -> os.terminal_size:
    import shutil  # slow to import, and only a terminal needs it

    return shutil.get_terminal_size()
