"""What a session of an agent used: tokens and money. Unknown is None, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Figures(NamedTuple):
    """Tokens and US dollars. input_tokens includes cached_tokens, those read from a cache."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def tokens(self) -> int | None:
        """Input and output together; None when neither is known."""
        known = [n for n in (self.input_tokens, self.output_tokens) if n is not None]
        return sum(known) if known else None

    def __bool__(self) -> bool:
        return any(getattr(self, name) is not None for name in FIGURES)

    def plus(self, other: Figures) -> Figures:
        return Figures(*(_sum((getattr(self, n), getattr(other, n))) for n in FIGURES))

    def minus(self, other: Figures) -> Figures:
        """The difference from `other`. A figure below its earlier value is returned whole, because
        its count began again."""
        return Figures(*(_less(getattr(self, n), getattr(other, n)) for n in FIGURES))

    def over(self, other: Figures) -> Figures:
        """These figures; an unknown one is taken from `other`."""
        own = ((getattr(self, n), getattr(other, n)) for n in FIGURES)
        return Figures(*(theirs if mine is None else mine for mine, theirs in own))


FIGURES = Figures._fields


class Usage(NamedTuple):
    """What one session used, and who reported it. complete: false when a part of its report may be
    missing."""

    agent: str | None = None
    model: str | None = None
    session: str | None = None
    figures: Figures = Figures()
    complete: bool = True

    def to_json(self) -> dict[str, Any]:
        """The usage as a JSON object, as events and artifacts hold it."""
        shown: dict[str, Any] = {
            "agent": self.agent,
            "model": self.model,
            "session": self.session,
            **{name: getattr(self.figures, name) for name in FIGURES},
        }
        return shown if self.complete else {**shown, "complete": False}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Usage:
        figures = _figures(data)
        complete = data.get("complete", True)
        return cls(data.get("agent"), data.get("model"), data.get("session"), figures, complete)


class RunUsage(NamedTuple):
    """What the sessions of a run used. unpriced: sessions whose cost is not wholly known."""

    figures: Figures = Figures()
    sessions: int = 0
    unpriced: int = 0

    def plus(self, usage: Usage) -> RunUsage:
        priced = usage.figures.cost_usd is not None and usage.complete
        figures = self.figures.plus(usage.figures)
        return RunUsage(figures, self.sessions + 1, self.unpriced + (not priced))

    def to_json(self) -> dict[str, Any]:
        shown = {name: getattr(self.figures, name) for name in FIGURES}
        return {**shown, "sessions": self.sessions, "unpriced": self.unpriced}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunUsage:
        return cls(_figures(data), int(data["sessions"]), int(data["unpriced"]))


def _figures(data: Mapping[str, Any]) -> Figures:
    """Raises TypeError for a value that is neither a number nor null."""
    if not isinstance(data, dict):
        raise TypeError("usage must be an object")
    for name in FIGURES:
        value = data.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"{name} must be a number")
    return Figures(*(data.get(name) for name in FIGURES))


def in_words(total: RunUsage) -> str:
    """`at least $1.20, 12.3k tokens in 3 sessions`; "" when there was no session."""
    if not total.sessions:
        return ""
    cost, tokens = total.figures.cost_usd, total.figures.tokens
    parts = [] if cost is None else [("at least " if total.unpriced else "") + dollars(cost)]
    if tokens is not None:
        parts.append(f"{count(tokens)} tokens")
    known = ", ".join(parts) or "unknown cost"
    return f"{known} in {total.sessions} session{'s' * (total.sessions != 1)}"


def of_step(data: Mapping[str, Any] | None) -> str:
    """`$0.50, 1.1k tokens` of one session, from its event; "" when nothing is known."""
    figures = Usage.from_json(data).figures if data else Figures()
    parts = [] if figures.cost_usd is None else [dollars(figures.cost_usd)]
    parts += [] if figures.tokens is None else [f"{count(figures.tokens)} tokens"]
    return ", ".join(parts)


def dollars(amount: float) -> str:
    """`$1.20`; below a cent with enough digits to show it."""
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.2g}"


def count(number: int) -> str:
    """`950`, `12.3k`, `4.1M`."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def _sum(values: Iterable[float | None]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _less(now: float | None, before: float | None) -> Any:
    if now is None or before is None or now < before:
        return now
    return now - before
