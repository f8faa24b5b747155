"""What a record says round by round: the latest rounds whole, the earlier ones counted.

The whole record is read once, in pieces, and no further than its chain holds. A round that is
not shown whole is not decoded but for its end and its measurements.
"""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openloop.core.vocabulary import Decision, Kind, RoundOutcome, Step
from openloop.fs import files
from openloop.loop.state import Event, Measurement, Metric, StepResult, Violation
from openloop.record import event_format, reader
from openloop.record.event_format import Broken
from openloop.record.workspace import EVENTS, Workspace

_ENVELOPE = 160  # bytes in which a line names its event and its step
_ROUND_STARTED = f'"event": "{Kind.ROUND_STARTED}"'.encode()
_ROUND_FINISHED = f'"event": "{Kind.ROUND_FINISHED}"'.encode()
_STEP_FINISHED = f'"event": "{Kind.STEP_FINISHED}"'.encode()
_BASELINE = f'"step": "{Step.BASELINE}"'.encode()

Line = tuple[int, bytes]  # its number, counted from 1, and its bytes


@dataclass(frozen=True, slots=True)
class Station:
    """A finished step of a round; offset: seconds from the round's start to its own."""

    result: StepResult
    offset: float


@dataclass(frozen=True, slots=True)
class Running:
    """A step that was started and has not finished; offset as for a station."""

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
    steps: tuple[Station, ...]
    running: Running | None
    undone: tuple[Violation, ...]
    checkpoints: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of the baseline; best: what was best after it."""

    round: int
    metric: Metric


@dataclass(frozen=True, slots=True)
class History:
    """rounds: the latest, oldest first. earlier: outcomes of those before them, counted.

    broken: where the record stops to hold, "" when it holds; nothing after it is shown.
    """

    rounds: tuple[Round, ...]
    earlier: Mapping[str, int]
    measured: tuple[Measured, ...]
    broken: str


@dataclass(slots=True)
class _Reading:
    """What has been read so far. kept: the lines of the latest rounds."""

    kept: deque[list[Line]]
    earlier: Counter[str] = field(default_factory=Counter)
    measured: list[Measured] = field(default_factory=list)

    def take(self, lines: Iterable[Line]) -> None:
        for number, line in lines:
            if line.find(_ROUND_STARTED, 0, _ENVELOPE) >= 0:
                if len(self.kept) == self.kept.maxlen:
                    self._count(self.kept.popleft())
                self.kept.append([])
            if self.kept:
                self.kept[-1].append((number, line))
            if _is_measurement(line):
                self._measure(number, line)

    def _count(self, lines: list[Line]) -> None:
        ends = [line for line in lines if line[1].find(_ROUND_FINISHED, 0, _ENVELOPE) >= 0]
        outcome = "unfinished"
        for number, line in ends:
            outcome = str(reader.decode_at(number, line).data.get("outcome"))
        self.earlier[outcome] += 1

    def _measure(self, number: int, line: bytes) -> None:
        event = reader.decode_at(number, line)
        if "metric" in event.data:
            before = self.measured[-1].metric if self.measured else None
            metric = _metric(number, event.data["metric"], before)
            self.measured.append(Measured(event.round, metric))


def read(place: Workspace, *, detailed: int) -> History:
    """The history of a workspace that others may be writing. detailed: rounds to show whole."""
    reading = _Reading(deque(maxlen=detailed))
    broken = ""
    rounds: list[Round] = []
    try:
        reading.take(_confirmed(event_format.check_chain(_lines(place))))
    except (Broken, OSError) as error:
        broken = str(error)
    try:
        rounds.extend(map(_round, reading.kept))
    except Broken as error:
        broken = broken or str(error)
    return History(tuple(rounds), dict(reading.earlier), tuple(reading.measured), broken)


def _lines(place: Workspace) -> Iterator[bytes]:
    try:
        events = files.open_regular(place.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        yield from reader.lines(events)
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


def _is_measurement(line: bytes) -> bool:
    return line.find(_STEP_FINISHED, 0, _ENVELOPE) >= 0 and line.find(_BASELINE, 0, _ENVELOPE) >= 0


def _metric(number: int, data: Any, before: Metric | None) -> Metric:
    """The measurement with the best so far."""
    try:
        found = Measurement.from_json(data)
        numbers = [found.threshold] if found.value is None else [found.threshold, found.value]
        if not (isinstance(found.name, str) and all(map(math.isfinite, numbers))):
            raise ValueError("not a measurement")
    except (TypeError, ValueError, KeyError) as error:
        raise Broken(number, f"its metric is not one that OpenLoop writes: {error}") from None
    return found.after(before)


def _round(lines: list[Line]) -> Round:
    """The round that these lines tell. Raises Broken for what OpenLoop does not write."""
    told = _Told()
    number = 0
    try:
        for number, line in lines:
            told.hear(reader.decode_at(number, line))
        return told.round()
    except Broken:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(number, f"a field is missing or of another kind: {error}") from None


@dataclass(slots=True)
class _Told:
    """A round as far as its events have been heard."""

    start: Event | None = None
    end: Event | None = None
    open: Event | None = None  # the latest step_started without its end
    latest: float = 0.0
    steps: list[Station] = field(default_factory=list)
    undone: list[Violation] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        if self.end is None:
            self.latest = event.elapsed
        match event.kind:
            case Kind.ROUND_STARTED:
                self.start = event
            case Kind.STEP_STARTED:
                self.open = event
            case Kind.STEP_FINISHED:
                self.steps.append(Station(_result(event), self._offset(self.open or event)))
                self.open = None
            case Kind.POLICY_VIOLATED if event.step is not None:
                paths = tuple(map(_text, event.data["paths"]))
                text = _text(event.data["text"])
                self.undone.append(Violation(event.round, event.step, text, paths))
            case Kind.CHECKPOINT_RESTORED:
                self.checkpoints.append(_text(event.data["text"]))
            case Kind.ROUND_FINISHED:
                self.end = event
            case Kind.NOTE if event.data["note"] == "kept":
                self.checkpoints.append(_text(event.data["text"]))
            case Kind.NOTE if event.data["note"] != "restoring":  # what it brings is told later
                self.notes.append(_text(event.data["text"]))

    def _offset(self, event: Event) -> float:
        return max(0.0, event.elapsed - self.start.elapsed) if self.start else 0.0

    def round(self) -> Round:
        start, end = self.start, self.end
        assert start is not None  # every kept list begins with a round_started
        return Round(
            run=start.run,
            number=start.round,
            started_at=start.time,
            seconds=_number(end.data["duration_seconds"]) if end else self.latest - start.elapsed,
            outcome=RoundOutcome(end.data["outcome"]) if end else None,
            decision=Decision(end.data["decision"]) if end else None,
            reason=_text(end.data["reason"]) if end else "",
            steps=tuple(self.steps),
            running=self._running(),
            undone=tuple(self.undone),
            checkpoints=tuple(self.checkpoints),
            notes=tuple(self.notes),
        )

    def _running(self) -> Running | None:
        if self.open is None or self.open.step is None or self.end is not None:
            return None
        data = self.open.data
        return Running(
            self.open.step,
            bool(data["confirm"]),
            _text(data["command"]),
            _text(data["log_path"]),
            self._offset(self.open),
        )


def _result(event: Event) -> StepResult:
    """The step as the event tells it, each field that is shown of its own kind."""
    result = StepResult.of(event)
    for text in (result.command, result.started_at, result.log_path, result.detail, result.error):
        _text(text)
    for known in (result.duration_seconds, result.log_bytes):
        _number(known)
    for perhaps in (result.exit_code, result.peak_rss_bytes, result.cpu_seconds, result.value):
        if perhaps is not None:
            _number(perhaps)
    return result


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no finite number")
    return value
