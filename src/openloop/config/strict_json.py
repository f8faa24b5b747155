"""Strict reading of JSON that a person wrote; errors say where and how to fix them."""

from __future__ import annotations

import json
from typing import Any

from openloop.config.schema import JsonObject
from openloop.core.errors import ConfigError, OpenLoopError

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SAFE_DIGITS = 300  # an integer of so many digits still fits a float


def decode(data: bytes, where: str) -> str:
    """The text that the bytes of a file hold. where: its name. Raises ConfigError."""
    if data.startswith(_BYTE_ORDER_MARKS) or b"\0" in data[:4]:
        what = "the file is UTF-16 or begins with a byte order mark"
        raise _refusal(what, where, "save it as UTF-8 without a byte order mark")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = _place(where, line, column)
        raise _refusal("the file is not UTF-8", place, "save it as UTF-8") from None


def read(text: str, where: str, *, line: int | None = None) -> Any:
    """The JSON value of a whole file, or of its one line with that number (from 1).

    Objects are schema.Objects, which know their repeated keys. Raises ConfigError.
    """
    whole = "the file" if line is None else "the line"
    if not text.strip():
        raise _refusal(f"{whole} is empty", where, "write an {object}")
    try:
        return json.loads(text, object_pairs_hook=JsonObject.read, parse_int=_integer)
    except json.JSONDecodeError as error:
        from openloop.config import json_mistakes  # only a mistake needs it

        mistake = json_mistakes.explain(text, error)
        row, column = mistake.place(text)
        what = f"{whole} is not valid JSON: {mistake.what}"
        raise _refusal(what, _place(where, line or row, column), mistake.fix) from None
    except RecursionError:
        place = where if line is None else f"{where}, line {line}"
        raise _refusal(f"{whole} is nested too deeply", place, "use fewer brackets") from None


def _place(where: str, line: int, column: int) -> str:
    return f"{where}, line {line}, column {column}"


def _refusal(what: str, where: str, fix: str) -> ConfigError:
    return ConfigError((OpenLoopError(what, where=where, fix=fix),))


def _integer(digits: str) -> int | float:
    """An integer; a very long one, which Python refuses to read, as an infinite float."""
    return int(digits) if len(digits) < _SAFE_DIGITS else float(digits)
