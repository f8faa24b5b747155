"""The history of a record: the latest rounds in full, the earlier ones counted.

Only the end of a record is read, and no further than its chain is intact: the cost does not grow
with the record. A round that is not shown whole is not decoded but for its end and its
measurements.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from openloop.core.vocabulary import Decision, Kind, RoundOutcome, Step
from openloop.fs import files
from openloop.loop.events import Event, Measurement, Metric, StepResult
from openloop.loop.state import State, Violation
from openloop.record import chain, reader, record_end
from openloop.record.chain import BrokenChain
from openloop.record.record_end import RecordWindow
from openloop.record.workspace import EVENTS, Workspace

Line = tuple[int, bytes]  # its number, counted from 1, and its bytes


@dataclass(frozen=True, slots=True)
class FinishedStep:
    """A finished step of a round; offset: seconds from the round's start to its own."""

    result: StepResult
    offset: float


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step that was started and has not finished; offset as for a FinishedStep."""

    step: Step
    confirm: bool
    command: str
    log_path: str
    offset: float


@dataclass(frozen=True, slots=True)
class Round:
    """One round. outcome and decision are None while it is open; seconds: as far as recorded."""

    run: int
    number: int
    started_at: str
    seconds: float
    outcome: RoundOutcome | None
    decision: Decision | None
    reason: str
    steps: tuple[FinishedStep, ...]
    running: RunningStep | None
    undone: tuple[Violation, ...]
    checkpoints: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One measurement of the baseline. best: the best value after it."""

    round: int
    metric: Metric


@dataclass(frozen=True, slots=True)
class History:
    """rounds: the latest, oldest first. earlier: outcomes of those before them, counted; rounds
    that were not read are UNREAD.

    broken: where the record stops being intact, "" when it is; nothing after it is shown.
    """

    rounds: tuple[Round, ...]
    earlier: Mapping[str, int]
    measured: tuple[MetricPoint, ...]
    broken: str


UNREAD = "not read"  # outcome of rounds that lie before the end that is read


@dataclass(slots=True)
class _Reading:
    """The lines read so far. kept: those of the latest rounds. metric: before them."""

    kept: deque[list[Line]]
    metric: Metric | None = None
    earlier: Counter[str] = field(default_factory=Counter)
    measured: list[MetricPoint] = field(default_factory=list)

    def take(self, lines: Iterable[Line]) -> None:
        for number, line in lines:
            kind = chain.kind_of(line)
            if kind == Kind.ROUND_STARTED:
                if len(self.kept) == self.kept.maxlen:
                    self._count(self.kept.popleft())
                self.kept.append([])
            if self.kept:
                self.kept[-1].append((number, line))
            if kind == Kind.STEP_FINISHED and chain.step_of(line) == Step.BASELINE:
                self._measure(number, line)

    def begin(self, number: int, line: bytes) -> None:
        """Take over the state before the first round_started that is read."""
        event = reader.decode_at(number, line)
        if event.round > 1:
            self.earlier[UNREAD] = event.round - 1
        try:
            metric = event.data["state"]["metric"]
            self.metric = Metric.from_json(metric) if metric else None
        except (TypeError, ValueError, KeyError) as error:
            why = f"it carries another state than OpenLoop writes: {error}"
            raise BrokenChain(number, why) from None

    def _count(self, lines: list[Line]) -> None:
        ends = [line for line in lines if chain.kind_of(line[1]) == Kind.ROUND_FINISHED]
        outcome = "unfinished"
        for number, line in ends:
            outcome = str(reader.decode_at(number, line).data.get("outcome"))
        self.earlier[outcome] += 1

    def _measure(self, number: int, line: bytes) -> None:
        event = reader.decode_at(number, line)
        if "metric" in event.data:
            try:
                measurement = Measurement.from_json(event.data["metric"])
            except (TypeError, ValueError, KeyError) as error:
                why = f"its metric is not one that OpenLoop writes: {error}"
                raise BrokenChain(number, why) from None
            before = self.measured[-1].metric if self.measured else self.metric
            self.measured.append(MetricPoint(event.round, measurement.after(before)))


def read(workspace: Workspace, *, detailed: int) -> History:
    """The history of a workspace that others may be writing. detailed: rounds to show whole."""
    reading = _Reading(deque(maxlen=detailed))
    broken = ""
    rounds: list[Round] = []
    try:
        end = _end(workspace, detailed)
        begin = end.first + end.rounds[0]
        if end.first > 1:
            reading.begin(begin, end.lines[end.rounds[0]])
        lines = _confirmed(chain.check_chain(end.lines, first=end.first, prev=end.prev))
        reading.take(line for line in lines if line[0] >= begin)
    except (BrokenChain, OSError) as error:
        broken = str(error)
    try:
        rounds.extend(_rounds(reading.kept))
    except BrokenChain as error:
        broken = broken or str(error)
    return History(tuple(rounds), dict(reading.earlier), tuple(reading.measured), broken)


def _end(workspace: Workspace, rounds: int) -> RecordWindow:
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return RecordWindow([], 1, [0], 0, b"")
    try:
        return record_end.window(events, count=rounds)
    finally:
        os.close(events)


def _confirmed(lines: Iterable[Line]) -> Iterator[Line]:
    """Each line once the next one has confirmed it by its hash; the last one at the end."""
    before: Line | None = None
    for line in lines:
        if before:
            yield before
        before = line
    if before:
        yield before


def _rounds(kept: Iterable[list[Line]]) -> Iterator[Round]:
    """The rounds that these lines record, replayed. Raises BrokenChain for a line that OpenLoop
    does not write."""
    state = State()
    for lines in kept:
        story = _Story()
        number = 0
        try:
            for number, line in lines:
                event = reader.decode_at(number, line)
                state = reader.apply_at(number, state, event)
                story.add(event)
            found = story.round(state)
        except BrokenChain:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenChain(number, f"a field is missing or of another kind: {error}") from None
        yield found


@dataclass(slots=True)
class _Story:
    """The facts about a round that its events hold and the state does not."""

    start: Event | None = None
    end: Event | None = None
    open: Event | None = None  # the latest step_started without its end
    latest: float = 0.0
    offsets: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        if self.end is None:
            self.latest = event.elapsed
        match event.kind:
            case Kind.ROUND_STARTED:
                self.start = event
            case Kind.STEP_STARTED:
                self.open = event

            case Kind.STEP_FINISHED:
                self.offsets.append(self._offset(self.open or event))
                self.open = None
            case Kind.ROUND_FINISHED:
                self.end = event

            case Kind.NOTE if event.data["note"] not in ("kept", "restoring"):
                self.notes.append(event.text("text"))

    def _offset(self, event: Event) -> float:
        return max(0.0, event.elapsed - self.start.elapsed) if self.start else 0.0

    def round(self, state: State) -> Round:
        """state: after the last of the events."""
        start, end = self.start, self.end
        assert start is not None  # every kept list begins with a round_started
        return Round(
            run=start.run,
            number=start.round,
            started_at=start.time,
            seconds=end.number("duration_seconds") if end else self.latest - start.elapsed,
            outcome=RoundOutcome(end.data["outcome"]) if end else None,
            decision=Decision(end.data["decision"]) if end else None,
            reason=end.text("reason") if end else "",
            steps=tuple(map(FinishedStep, state.steps, self.offsets)),
            running=self._running(),
            undone=state.violations,
            checkpoints=state.checkpoints,
            notes=tuple(self.notes),
        )

    def _running(self) -> RunningStep | None:
        begun = self.open
        if begun is None or begun.step is None or self.end is not None:
            return None
        return RunningStep(
            begun.step,
            bool(begun.data["confirm"]),
            begun.text("command"),
            begun.text("log_path"),
            self._offset(begun),
        )
