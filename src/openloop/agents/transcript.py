"""The output of one session of an agent so far, read by the rules of its preset.

Bytes come in pieces, and the work that they make is bounded: lines that no rule can match are
skipped without being parsed, and a line above LONGEST_LINE is never held.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openloop.agents import failures
from openloop.agents.failures import ERROR, SessionFailure
from openloop.agents.output_rules import OutputRule
from openloop.agents.preset import OutputRules
from openloop.core.usage import FIGURES, Figures, Usage
from openloop.core.vocabulary import Refusal

LONGEST_LINE = 1 << 20  # bytes
LAST_WORDS = 4096  # bytes at the end of a log in which an error in plain text counts
REMEMBERED = 10_000  # messages whose figures are kept, so that none is counted twice


class Transcript:
    """Reads the log's bytes in order; knows the usage and the failure so far."""

    def __init__(
        self, reading: OutputRules, agent: str | None, before: Mapping[str, Figures] | None = None
    ) -> None:
        """before: what sessions that may be resumed had used, by their ids."""
        self._rules = reading.rules
        self._needles = tuple({rule.has for rule in self._rules})
        self._exits = reading.exits
        self._agent = agent
        self._before = before or {}
        self._rest = b""  # of a line whose end has not arrived
        self._in_long_line = False
        self._position = 0  # bytes that were fed or skipped
        self._missed = False  # something that may have held figures was skipped
        self._messages: dict[str, Figures] = {}
        self._sum = Figures()  # of messages and steps
        self._total = Figures()  # as the agent itself adds up
        self._goes_on = False  # the total is the session's, not the process's
        self._model = ""
        self._session = ""
        self._failure: SessionFailure | None = None
        self._failed_at = 0
        self._failed_in_text = False
        self.answer = ""  # the last message of the agent to its user

    # --- what comes in ---

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the log."""
        self._position += len(data)
        end = data.rfind(b"\n") + 1
        if end:
            start = data.find(b"\n") + 1 if self._in_long_line else 0
            self._in_long_line = False
            self._lines(self._rest + data[start:end], self._position - len(data) + end)
            self._rest = data[end:]
        elif not self._in_long_line:
            self._rest += data
        if len(self._rest) > LONGEST_LINE:
            self._rest, self._in_long_line = b"", True
            self._missed = True

    def skip(self, number: int) -> None:
        """Leave out bytes of the log; the rest begins inside a line."""
        self._position += number
        self._rest, self._in_long_line, self._missed = b"", True, True

    def end(self, code: int | None) -> None:
        """Read the rest at the end of the log. code: the exit code."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._lines(rest, self._position)
        if self._failed_in_text and self._position - self._failed_at > LAST_WORDS:
            self._failure = None
        if (kind := self._exits.get(code or 0)) and (
            self._failure is None or self._failure.kind == ERROR
        ):
            says = self._failure.says if self._failure else ""
            self._failure = SessionFailure(kind, says or f"exit {code}")

    def _lines(self, block: bytes, behind: int) -> None:
        """Whole lines, of which those are parsed that some rule may match. behind: the position
        in the log that follows them."""
        for start in self._candidates(block):
            end = block.find(b"\n", start)
            end = len(block) if end < 0 else end
            if end - start <= LONGEST_LINE:
                self._line(block[start:end], behind - len(block) + end)
            else:
                self._missed = True

    def _candidates(self, block: bytes) -> Sequence[int]:
        """Where lines begin that hold a needle of some rule, in order."""
        starts = set()
        for needle in self._needles:
            found = block.find(needle)
            while found >= 0:
                starts.add(block.rfind(b"\n", 0, found) + 1)
                end = block.find(b"\n", found)
                found = block.find(needle, end) if end >= 0 else -1
        return sorted(starts)

    def _line(self, line: bytes, position: int) -> None:
        record, text = _parsed(line)
        for rule in self._rules:
            found = rule.matches(record, text) if rule.has in line else None
            if found is not None:
                self._apply(rule, found, position, text)

    # --- what it means ---

    def _apply(self, rule: OutputRule, record: Any, position: int, text: str) -> None:
        model = rule.text(record, "model")
        self._model = model if model and not model.startswith("<") else self._model
        self._session = rule.text(record, "session") or self._session
        self.answer = rule.text(record, "answer") or self.answer
        self._count(rule, record)
        if rule.clears:
            self._failure = None
        if rule.failure:
            self._fail(rule, record, text)
            self._failed_at, self._failed_in_text = position, rule.line is not None

    def _count(self, rule: OutputRule, record: Any) -> None:
        figures = rule.figures(record)
        if not figures:
            return
        if rule.counts in ("process", "session"):
            self._total = figures.over(self._total)
            self._goes_on = rule.counts == "session"
            return
        name = rule.text(record, "id")
        if name:
            self._sum = self._sum.plus(_negative(self._messages.pop(name, Figures())))
            self._messages[name] = figures
            if len(self._messages) > REMEMBERED:
                del self._messages[next(iter(self._messages))]
        self._sum = self._sum.plus(figures)

    def _fail(self, rule: OutputRule, record: Any, text: str) -> None:
        says = failures.one_line_message(rule.text(record, "says") or (text if rule.line else ""))
        kind = rule.failure
        if kind == "said":
            kind = failures.kind_of(rule.text(record, "status"), says)
        reset = rule.text(record, "reset")
        before, times = self._failure, 1
        if before and before.kind == kind:
            says, reset = says or before.says, reset or before.reset
            times = before.times + (rule.line is None)
        if before and kind == ERROR and before.kind != ERROR and not before.retries:
            return  # the reason was given already; what follows says that the session failed
        if before and before.kind == Refusal.CREDIT and kind == Refusal.LIMIT:
            return  # no credit comes as HTTP 429, which some agents then call a limit
        if rule.retries and (attempt := rule.text(record, "attempt")):
            of = rule.text(record, "attempts")
            says = f"{says or kind} (try {attempt}{f' of {of}' if of else ''})"
        self._failure = SessionFailure(kind, says or kind, reset, rule.retries, times)

    # --- what it amounts to ---

    @property
    def failure(self) -> SessionFailure | None:
        """Why the session cannot work; None if it worked on afterwards."""
        return self._failure

    @property
    def total(self) -> tuple[str, Figures]:
        """(the session's id, its total, if a resumed session adds to it)."""
        return self._session, self._total if self._goes_on else Figures()

    @property
    def usage(self) -> Usage:
        total = self._total
        if self._goes_on and self._session in self._before:
            total = total.minus(self._before[self._session])
        figures = _without_empty_price(total.over(self._sum))
        complete = not self._missed or total.output_tokens is not None
        return Usage(self._agent, self._model or None, self._session or None, figures, complete)


def _parsed(line: bytes) -> tuple[Any, str]:
    """(the JSON object that a line is or None, the line as text)."""
    text = line.decode(errors="replace").strip()
    if text.startswith("{"):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            return None, text
        return (record if isinstance(record, dict) else None), text
    return None, text


def _negative(figures: Figures) -> Figures:
    values = (getattr(figures, name) for name in FIGURES)
    return Figures(*(None if value is None else -value for value in values))


def _without_empty_price(figures: Figures) -> Figures:
    """The figures with the cost removed if it is 0 although tokens were used: the agent knows no
    price."""
    if figures.cost_usd == 0 and figures.tokens != 0:
        return figures._replace(cost_usd=None)
    return figures
