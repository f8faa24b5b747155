"""What is wrong with a text that is not JSON, in plain words.

Everything before the place where the decoder stopped is the beginning of a valid document, so few
facts decide: the character there, the one before it, and which bracket is open.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_SPACE = " \t\r\n"
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_COMMENT = re.compile(r"//|/\*|#|<!--")
_CONFLICT = re.compile(r"<{7}|={7}|>{7}|\|{7}")
_WORD = re.compile(r"[^\s\"'{}\[\],:=]{1,40}")
_NUMBER = re.compile(r"[-+]?\.?\d")
_QUOTES = "'`\u00b4\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_VALUES = dict.fromkeys(("true", "yes", "on"), "true")
_VALUES |= dict.fromkeys(("false", "no", "off"), "false")
_VALUES |= dict.fromkeys(("none", "null", "nil", "undefined"), "null")
_ANY_VALUE = """write a "text", a number, true, false, null, a [list] or an {object}"""


class JsonMistake(NamedTuple):
    """what: continues "is not valid JSON: …". position: where in the text it can be corrected."""

    what: str
    position: int
    fix: str

    def place(self, text: str) -> tuple[int, int]:
        """Line and column in the text, both from 1."""
        return _line_and_column(text, self.position)


def explain(text: str, error: json.JSONDecodeError) -> JsonMistake:
    """The mistake that made the decoder stop."""
    if error.msg.startswith(("Invalid", "Unterminated")):
        return _in_string(text, error)
    at = error.pos
    if "trailing comma" in error.msg:  # from Python 3.13 on, it stops at the comma itself
        at = len(text) - len(text[at + 1 :].lstrip(_SPACE))
    stop = _Stop(text, at)
    return (
        _foreign(stop)
        or _comma(stop)
        or (_after_the_end(stop) if "Extra data" in error.msg else None)
        or (_key(stop) if "property name" in error.msg else None)
        or (_colon(stop) if "':'" in error.msg else None)
        or (_between(stop) if "','" in error.msg else None)
        or _value(stop)
    )


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


class _Stop:
    """The place where the decoder stopped.

    at: its position. after: the text from there. end: where the text before it ends, white space
    not counted; last: the character there, "" for none. opened: the innermost open bracket, "" for
    none; bracket: the same in words, with its place.
    """

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at, self.after = text, at, text[at:]
        before = text[:at].rstrip(_SPACE)
        self.end, self.last = len(before), before[-1:]
        brackets: list[int] = []
        for match in _STRING_OR_BRACKET.finditer(before):
            if match[0] in ("{", "["):
                brackets.append(match.start())
            elif match[0] in ("}", "]"):
                brackets.pop()
        start = brackets[-1] if brackets else at
        self.opened = text[start:at][:1]
        line, column = _line_and_column(text, start)
        place = f"line {line}" if "\n" in text[start:at] else f"column {column}"
        self.bracket = f"the {self.opened} in {place}"

    @property
    def first(self) -> str:
        return self.after[:1]

    @property
    def closing(self) -> str:
        """The bracket that closes the innermost open one."""
        return "}" if self.opened == "{" else "]"

    @property
    def word(self) -> str:
        """The word that begins here, or else the one character."""
        match = _WORD.match(self.after)
        return match[0] if match else self.first


def _in_string(text: str, error: json.JSONDecodeError) -> JsonMistake:
    at = error.pos
    if error.msg.startswith("Unterminated"):
        return JsonMistake("a string has no closing quotation mark", at, 'end the string with "')
    if "control character" not in error.msg:
        fix = r'write every backslash twice, for example "score=(\\d+)"'
        return JsonMistake("a backslash in a string begins no escape of JSON", at, fix)
    if text[at] in "\r\n":
        what = "a string goes on past the end of its line"
        return JsonMistake(what, at, r'end the string with " here, or write its line break as \n')
    if text[at] == "\t":
        return JsonMistake("a string holds a tab", at, r"write it as \t")
    fix = f"remove it, or write it as \\u{ord(text[at]):04x}"
    return JsonMistake("a string holds a control character", at, fix)


def _foreign(stop: _Stop) -> JsonMistake | None:
    """The end of the text, and what other formats have and JSON has not."""
    if not stop.first:
        what = f"{stop.bracket} is never closed"
        return JsonMistake(what, stop.at, f"add what is missing at the end: {stop.closing}")
    if _CONFLICT.match(stop.after):
        fix = "keep one side of it, without the lines of marks"
        return JsonMistake("an unresolved merge conflict", stop.at, fix)
    if _COMMENT.match(stop.after):
        fix = 'remove the comment; notes go into keys such as "x-note"'
        return JsonMistake("JSON has no comments", stop.at, fix)
    if stop.first in _QUOTES:
        what = f'{stop.first} does not quote in JSON, only " does'
        return JsonMistake(what, stop.at, 'put keys in "…", and texts, too')
    if stop.first.isspace() or (stop.first > "\x1f" and not stop.first.isprintable()):
        what = f"an invisible character that is no plain space, U+{ord(stop.first):04X}"
        return JsonMistake(what, stop.at, "delete it, or type a plain space instead")
    return None


def _comma(stop: _Stop) -> JsonMistake | None:
    """A comma with nothing to separate, or nothing where a value belongs."""
    if stop.last == ":" and stop.first in ",}]":
        return JsonMistake("a key has no value", stop.at, f"after the colon, {_ANY_VALUE}")
    if stop.last == "," and stop.first in "}]":
        what = f"an extra comma before {stop.first}"
        return JsonMistake(what, stop.end - 1, "remove the comma")
    if stop.first == "," and stop.last in ("", ",", "{", "["):
        words = {"": "an extra comma at the beginning", ",": "two commas in a row"}
        what = words.get(stop.last, f"an extra comma after {stop.last}")
        return JsonMistake(what, stop.at, "remove the comma")
    return None


def _after_the_end(stop: _Stop) -> JsonMistake:
    if stop.first == ":":
        return JsonMistake("no { before the first key", 0, "begin with {, and end with }")
    if stop.first in "}]":
        fix = "remove it, or add the bracket that it should close"
        return JsonMistake(f"one {stop.first} too many", stop.at, fix)
    if stop.first == ",":
        what = f"an extra comma after the last {stop.last}"
        return JsonMistake(what, stop.at, "keep one object here and remove the comma")
    fix = "keep one object here and remove what follows it"
    return JsonMistake("there is more text after its end", stop.at, fix)


def _key(stop: _Stop) -> JsonMistake:
    if re.match(r"[\w$]", stop.first):
        what = f"the key {stop.word} has no quotation marks"
        return JsonMistake(what, stop.at, f'put keys in "…", here "{stop.word}"')
    return JsonMistake(f"{stop.word} stands where a key belongs", stop.at, 'put keys in "…"')


def _colon(stop: _Stop) -> JsonMistake:
    if stop.first in ",}]":
        return JsonMistake("a key has no value", stop.end, f"add a colon, then {_ANY_VALUE}")
    if stop.first == "=":
        return JsonMistake("= stands where a colon belongs", stop.at, "write : instead")
    if stop.end == stop.at:
        return _after_quotation_mark(stop)
    what = "there is no colon between a key and its value"
    return JsonMistake(what, stop.end, "add a colon after the key")


def _between(stop: _Stop) -> JsonMistake:
    """What stands after a value, where a comma or the closing bracket belongs."""
    adjacent = stop.end == stop.at
    if stop.first in "}]":
        what = f"{stop.first} stands before {stop.bracket} is closed"
        return JsonMistake(what, stop.at, f"add {stop.closing} first, or correct the bracket")
    if stop.first in ";:=":
        what = f"{stop.first} stands where a comma or a bracket belongs"
        return JsonMistake(what, stop.at, "write a comma instead")
    if adjacent and stop.last.isdigit() and stop.first not in '"{[':
        return _number(stop)
    if adjacent and stop.last == '"':
        return _after_quotation_mark(stop)
    if not re.match(r'["{\[\d-]|(true|false|null)\b', stop.after):
        what = f"{stop.word} stands after a value, outside of quotation marks"
        return JsonMistake(what, stop.at, 'put the whole text in one pair of "…"')
    what = "a comma is missing between two entries"
    return JsonMistake(what, stop.end, "add what is missing: a comma at this place")


def _after_quotation_mark(stop: _Stop) -> JsonMistake:
    what = 'text stands right after the " that ends a string'
    fix = r"""write " inside a string as \", or use ' there; look for a " too many or too few"""
    return JsonMistake(what, stop.at, fix)


def _number(stop: _Stop) -> JsonMistake:
    """A number that goes on with what JSON numbers do not have."""
    begun = re.search(r"[^\s,:\[{]+$", stop.text[: stop.end])
    start = begun.start() if begun else stop.at
    found = _WORD.match(stop.text[start:])
    return _not_a_number(found[0] if found else stop.word, start)


def _not_a_number(word: str, position: int) -> JsonMistake:
    fix = 'write digits alone, such as 300 or 0.5; put text in "…"'
    return JsonMistake(f"{word} is not a JSON number", position, fix)


def _value(stop: _Stop) -> JsonMistake:
    word = stop.word
    if known := _VALUES.get(word.lower()):
        return JsonMistake(f"{word} is not a JSON value", stop.at, f"write {known}")
    if _NUMBER.match(stop.after):
        return _not_a_number(word, stop.at)
    if not stop.last:
        return JsonMistake(f"it begins with {word}, not with {{", stop.at, "write an {object}")
    if re.match(r"\w", word):
        what = f"the text that begins with {word} has no quotation marks"
        return JsonMistake(what, stop.at, 'put it in "…"')
    return JsonMistake(f"{word} is not a JSON value", stop.at, _ANY_VALUE)
