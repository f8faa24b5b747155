"""Compare an answer with the expectations of its case: as text, word by word, or as JSON.

Every function describes the first difference without quoting either side, "" for none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

from openloop.config.schema import JsonObject
from openloop.judge.cases import Answer, Case, OutputMatch

Search = Callable[[str, str], bool | None]  # (expression, text); None when it takes too long

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)
_ARITHMETIC = Context(prec=60, traps=[])  # far finer than a float; an overflow is no match


def failure(case: Case, answer: Answer, search: Search) -> str:
    """Why the answer fails the case, or "".

    Quotes neither answer nor expectation: agents read logs, and must not learn the cases from them.
    """
    if answer.trouble:
        return answer.trouble
    if answer.code != case.exit_code:
        return f"exit code {answer.code}, expected {case.exit_code}"
    for name, output, expected in (
        ("stdout", answer.stdout, case.stdout),
        ("stderr", answer.stderr, case.stderr),
    ):
        if expected is not None and (why := _differs(case, name, output, expected, search)):
            return f"{name} {why}"
    return ""


def _differs(case: Case, name: str, output: bytes, expected: str, search: Search) -> str:
    try:
        text = output.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start})"
    if not text and expected.strip() and case.match is not OutputMatch.REGEX:
        return "is empty"
    match case.match:
        case OutputMatch.EXACT:
            return texts(text, expected)
        case OutputMatch.REGEX:
            found = search(expected, text)
            if found is None:
                return "keeps the regular expression busy for too long"
            return "" if found else "does not match"
        case OutputMatch.JSON if name == "stdout":
            return values(text, expected, case.tolerance)
        case OutputMatch.NUMBER if name == "stdout":
            return words(text.split(), expected.split(), case.tolerance)
    return texts(text.strip(), expected.strip())


def texts(text: str, expected: str) -> str:
    if text == expected:
        return ""
    pairs = zip(text.split("\n"), expected.split("\n"), strict=False)
    first = next((line for line, (one, other) in enumerate(pairs, 1) if one != other), None)
    if first is None:
        longer = "more" if len(text) > len(expected) else "fewer"
        return f"has {longer} lines than expected"
    return f"differs in line {first}"


def words(given: list[str], expected: list[str], tolerance: Decimal) -> str:
    for position, (word, wanted) in enumerate(zip(given, expected, strict=False), 1):
        numbers = NUMBER.fullmatch(word) and NUMBER.fullmatch(wanted)
        near = numbers and _close(Decimal(word), Decimal(wanted), tolerance)
        if word != wanted and not near:
            return f"differs in word {position}"
    if len(given) != len(expected):
        return f"has {'more' if len(given) > len(expected) else 'fewer'} words than expected"
    return ""


def _close(value: Decimal, wanted: Decimal, tolerance: Decimal) -> bool:
    if value == wanted:
        return True
    off = _ARITHMETIC.abs(_ARITHMETIC.subtract(value, wanted))
    return off.is_finite() and off <= tolerance


def values(text: str, expected: str, tolerance: Decimal) -> str:
    try:
        value = read_json(text)
    except ValueError as error:
        return f"is not JSON: {error}"
    try:
        return "" if _equal(value, read_json(expected), tolerance) else "is another JSON value"
    except RecursionError:
        return "is not JSON: nested too deeply"


def read_json(text: str) -> Any:
    """A JSON value, its numbers exact. Raises ValueError, also for NaN and repeated keys."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_exact,
            parse_float=_exact,
            parse_constant=_refuse,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = JsonObject.read(pairs)
    if found.repeated:
        raise ValueError("a key is given more than once")
    return found


def _exact(digits: str) -> Decimal:
    if not NUMBER.fullmatch(digits):
        raise ValueError("a number is too large")
    return Decimal(digits)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")


def _equal(value: Any, wanted: Any, tolerance: Decimal) -> bool:
    """Whether two JSON values are equal: 1 equals 1.0 but not true; keys have no order."""
    if type(value) is not type(wanted):
        return False
    if isinstance(value, dict):
        return value.keys() == wanted.keys() and all(
            _equal(value[key], wanted[key], tolerance) for key in value
        )
    if isinstance(value, list):
        return len(value) == len(wanted) and all(
            _equal(one, other, tolerance) for one, other in zip(value, wanted, strict=True)
        )
    if isinstance(value, Decimal):
        return _close(value, wanted, tolerance)
    return bool(value == wanted)
