"""The rules of a preset: which lines of an agent's output they match, and the values in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from openloop.core.usage import Figures

_SIZES = {"": 1, "k": 1_000, "m": 1_000_000}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKmM]?)\Z")
LARGEST = 10**15  # a figure above it is no count of tokens


class OutputRule(NamedTuple):
    """One rule, as a preset writes it.

    when: dotted paths into a JSON record, and what must stand there. line: a regex for a line
    of text, whose named groups take the place of paths; `has` stands in every line it matches.
    """

    when: tuple[tuple[str, Any], ...]
    line: re.Pattern[str] | None
    has: bytes
    paths: Mapping[str, tuple[str, ...]]
    counts: str
    failure: str
    retries: bool
    clears: bool

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> OutputRule:
        """A rule from a preset that the schema has checked."""
        when = tuple(data.get("when", {}).items())
        line = re.compile(data["line"]) if "line" in data else None
        paths = {name: _listed(data[name]) for name in PATHS if name in data}
        if line:
            paths = {name: (name,) for name in line.groupindex}
        return cls(
            when=when,
            line=line,
            has=data["has"].encode() if "has" in data else _needle(when),
            paths=paths,
            counts=data.get("counts", "message"),
            failure=data.get("failure", ""),
            retries=data.get("retries", False),
            clears=data.get("clears", False),
        )

    def matches(self, record: Any, text: str) -> Any:
        """The record that the rule's paths lead into, or None. record: None for mere text."""
        if self.line is not None:
            found = self.line.search(text) if record is None else None
            return found.groupdict() if found else None
        if record is None:
            return None
        met = all(_is_met(wanted, values(record, path)) for path, wanted in self.when)
        return record if met else None

    def text(self, record: Any, name: str) -> str:
        """The text at the first of the rule's paths that has one; "" without."""
        for path in self.paths.get(name, ()):
            for value in values(record, path):
                if isinstance(value, str | int | float) and value != "":
                    return str(value)
        return ""

    def figures(self, record: Any) -> Figures:
        tokens = (_total(self, record, name) for name in ("input", "cached", "output"))
        whole = [None if value is None else int(value) for value in tokens]
        return Figures(whole[0], whole[1], whole[2], _total(self, record, "cost"))


PATHS = (
    *("input", "cached", "output", "cost", "id"),
    *("model", "session", "says", "status", "reset", "attempt", "attempts", "answer"),
)


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _needle(when: Sequence[tuple[str, Any]]) -> bytes:
    """The longest string that a record must hold as it stands, quoted as JSON; b"" for none."""
    words = [json.dumps(wanted) for _, wanted in when if isinstance(wanted, str)]
    return max(words, key=len, default="").encode()


def values(record: Any, path: str) -> Iterator[Any]:
    """The values at a dotted path. `*` is every member, `-1` the last one of a list, and `#`
    the first key of an object."""
    return _follow(record, path.split("."))


def _follow(found: Any, parts: Sequence[str]) -> Iterator[Any]:
    if not parts:
        yield found
        return
    part, rest = parts[0], parts[1:]
    if part == "*":
        members = found.values() if isinstance(found, dict) else found
        for member in members if isinstance(found, dict | list) else ():
            yield from _follow(member, rest)
    elif isinstance(found, dict):
        if part == "#" and found:
            yield from _follow(next(iter(found)), rest)
        elif part in found:
            yield from _follow(found[part], rest)
    elif isinstance(found, list) and found and part == "-1":
        yield from _follow(found[-1], rest)


def _is_met(wanted: Any, found: Iterator[Any]) -> bool:
    if isinstance(wanted, dict):
        regex = wanted["matches"]
        return any(isinstance(value, str) and re.search(regex, value) for value in found)
    choices = wanted if isinstance(wanted, list) else [wanted]
    return any(type(value) is type(one) and value == one for value in found for one in choices)


def _total(rule: OutputRule, record: Any, name: str) -> float | None:
    """The sum of the numbers at the rule's paths; None where there is none."""
    found = [
        number
        for path in rule.paths.get(name, ())
        for value in values(record, path)
        if (number := _number(value)) is not None
    ]
    return sum(found) if found else None


def _number(value: Any) -> float | None:
    """A number that can be a count or an amount, also written as `2.5k`."""
    if isinstance(value, str) and (found := _NUMBER.match(value.replace(",", ""))):
        value = float(found[1]) * _SIZES[found[2].lower()]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= LARGEST else None
