"""Strict reading of JSON that a person wrote; errors say where and how to fix them."""

from __future__ import annotations

import json
from typing import Any

from openloop.config.schema import JsonObject
from openloop.core.errors import ConfigError, OpenLoopError

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SAFE_DIGITS = 300  # an integer of so many digits still fits a float
_FIXES = (  # part of the JSON decoder's message, and how to fix it
    ("escape", r'write every backslash twice, for example "score=(\\d+)"'),
    ("property name", 'put keys in "…", no comma before }; notes go into keys such as "x-note"'),
    ("trailing comma", "remove the comma before the closing bracket"),
    ("delimiter", "add what is missing before this place"),
    ("control character", r"write a line break inside a string as \n, a tab as \t"),
    ("Unterminated", 'end the string with "'),
    ("Extra data", "keep one object here and remove what follows it"),
)
_ANY_VALUE = """write a "text", a number, true, false, null, a [list] or an {object}"""


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
        fix = next((fix for part, fix in _FIXES if part in error.msg), _ANY_VALUE)
        place = _place(where, line or error.lineno, error.colno)
        raise _refusal(f"{whole} is not valid JSON: {error.msg}", place, fix) from None
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
