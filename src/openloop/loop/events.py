"""Events, and the result of a step as its `step_finished` event holds it."""

# Annotations are evaluated here: a NamedTuple compiles each one that is a string, which costs more.

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from openloop.core.vocabulary import Direction, Kind, Outcome, SandboxMode, Step


class Event(NamedTuple):
    """One line of events.jsonl, without its place in the chain.

    time: UTC, ISO 8601 with `Z`. elapsed: seconds the run has lasted on the monotonic clock,
    resumed parts added up. data: the fields that belong to this kind of event.
    """

    kind: Kind
    time: str
    elapsed: float
    run: int
    round: int
    step: Step | None = None
    data: Mapping[str, Any] = {}
    seq: int = 0

    def text(self, name: str) -> str:
        """A field that holds text. Raises KeyError, TypeError."""
        value = self.data[name]
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, not text")
        return value

    def number(self, name: str) -> float:
        """A field that holds a finite number. Raises KeyError, TypeError."""
        value = self.data[name]
        if type(value) not in (int, float) or not math.isfinite(value):
            raise TypeError(f"{name} is {value!r}, not a finite number")
        return float(value)


class Measurement(NamedTuple):
    """What the baseline measured. value: None when it could not be measured."""

    name: str
    value: float | None
    threshold: float
    direction: Direction
    passed: bool

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for what `to_json` does not return."""
        found = cls(**{**data, "direction": Direction(data["direction"])})
        numbers = [found.threshold] if found.value is None else [found.threshold, found.value]
        if not (isinstance(found.name, str) and all(map(math.isfinite, numbers))):
            raise ValueError("not a measurement")
        return found

    def best_until(self, before: "Metric | None") -> float | None:
        """The best value before this one; None when the metric's name or direction changed."""
        if before and (before.name, before.direction) == (self.name, self.direction):
            return before.best
        return None

    def after(self, before: "Metric | None") -> "Metric":
        """The metric with this as its latest measurement. before: the metric until now."""
        best = self.best_until(before)
        if self.value is not None and (best is None or self.direction.better(self.value, best)):
            best = self.value
        return Metric(*self, best)


class Metric(NamedTuple):
    """The latest measurement and the best value so far, as heartbeat.json shows them."""

    name: str
    value: float | None
    threshold: float
    direction: Direction
    passed: bool
    best: float | None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for what `to_json` does not return."""
        latest = {name: value for name, value in data.items() if name != "best"}
        return cls(*Measurement.from_json(latest), best=data["best"])


class Attachment(NamedTuple):
    """A file that a step left behind. path: in the workspace."""

    path: str
    bytes: int
    sha256: str


class StepResult(NamedTuple):
    """One finished step.

    duration_seconds is monotonic; peak_rss_bytes is the largest single process of the tree;
    detail says in a few words why the outcome is what it is; error is the `last_error` line.
    measurement: of a baseline. usage: what an agent's session took, as `step_finished` has it.
    refusal: why its agent was unavailable, see `AgentRefusal`. changes: what a change did, counted:
    files, added, removed (lines), whole (whether all is counted and in the diff), and diff, the
    path of that file in the workspace, "" when none is kept. wrote: printable paths of files that
    only a change may write, and that a gate wrote.
    """

    step: Step
    outcome: Outcome
    command: str = ""
    confirm: bool = False
    exit_code: int | None = None
    signal: str | None = None
    pid: int | None = None
    started_at: str = ""
    duration_seconds: float = 0.0
    log_path: str = ""
    log_bytes: int = 0
    log_sha256: str = ""
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None
    detail: str = ""
    error: str = ""
    value: float | None = None
    sandbox: str = SandboxMode.NONE  # what it ran in: none or bwrap
    private: bool = False  # its log is not quoted
    measurement: Measurement | None = None
    usage: Mapping[str, Any] | None = None
    refusal: Mapping[str, Any] | None = None
    attachments: tuple[Attachment, ...] = ()
    changes: Mapping[str, Any] | None = None
    wrote: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result as artifacts and reports hold it; usage, refusal, changes, attachments and
        `wrote` only when there are some."""
        found = {name: getattr(self, name) for name in self._fields if name not in _OPTIONAL}
        for name in ("usage", "refusal", "changes"):
            if (value := getattr(self, name)) is not None:
                found[name] = dict(value)
        if self.attachments:
            found["attachments"] = [one._asdict() for one in self.attachments]
        if self.wrote:
            found["wrote"] = list(self.wrote)
        return found

    def event_data(self) -> dict[str, Any]:
        """The fields of its `step_finished` event."""
        data = self.to_json()
        del data["step"]  # every event names its step
        if self.measurement:
            data["metric"] = self.measurement.to_json()
        return data

    @classmethod
    def of(cls, event: Event) -> Self:
        """The result that a step_finished records; fields that it lacks take their defaults.
        Raises KeyError, TypeError or ValueError for one that OpenLoop does not write."""
        for name in _TEXTS & event.data.keys():
            event.text(name)
        for name in _NUMBERS & event.data.keys():
            if name not in _NULLABLE or event.data[name] is not None:
                event.number(name)
        data = {name: event.data[name] for name in cls._fields if name in event.data}
        data |= {"step": event.step, "outcome": Outcome(data["outcome"])}
        if "metric" in event.data:
            data["measurement"] = Measurement.from_json(event.data["metric"])
        if not isinstance(data.get("changes", {}), Mapping):
            raise TypeError("changes are not an object")
        data["attachments"] = tuple(Attachment(**one) for one in data.get("attachments", ()))
        data["wrote"] = tuple(map(str, data.get("wrote", ())))
        return cls(**data)


_OPTIONAL = ("measurement", "usage", "refusal", "attachments", "changes", "wrote")
_TEXTS = {"command", "started_at", "log_path", "log_sha256", "detail", "error", "sandbox"}
_NULLABLE = {"exit_code", "pid", "peak_rss_bytes", "cpu_seconds", "value"}
_NUMBERS = {"duration_seconds", "log_bytes", *_NULLABLE}
