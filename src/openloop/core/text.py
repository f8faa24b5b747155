"""Untrusted text made safe to display, and the nearest known word to a misspelt one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

TAB = " " * 4  # how a tabulator is shown
_ESCAPES = (  # OSC and its like, CSI, and the short ones
    r"\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]"
)
_ERASES_LINE = r".*\x1b\[2K"
_ERASES_END = r"\x1b\[0?K"


def printable(text: str) -> str:
    """Text safe for a terminal: one line, what cannot be printed shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_path(path: bytes) -> str:
    """A path as text that is safe for a terminal."""
    return printable(os.fsdecode(path))


def without_escapes(text: str) -> str:
    """Text without the escapes that colour it or move the cursor, each line with a plain end."""
    return re.sub(_ESCAPES, "", text).replace("\r\n", "\n") if _is_drawn(text) else text


def as_displayed(line: str) -> str:
    """One line of a log as a terminal shows it in the end, printable: a carriage return goes back
    to its beginning, a backspace by one character; colours and other escapes are left out."""
    line = line.removesuffix("\r")
    if _is_drawn(line):
        shown = ""
        for part in line.split("\r"):
            drawn = _without_backspaces(re.sub(_ESCAPES, "", re.sub(_ERASES_LINE, "", part)))
            kept = "" if re.search(_ERASES_END, part) or "\x1b[2K" in part else shown[len(drawn) :]
            shown = drawn + kept
        line = shown
    return printable(line.replace("\t", TAB))


def _is_drawn(text: str) -> bool:
    return "\x1b" in text or "\r" in text or "\b" in text


def _without_backspaces(text: str) -> str:
    if "\b" not in text:
        return text
    shown: list[str] = []
    for character in text:
        if character != "\b":
            shown.append(character)
        elif shown:
            shown.pop()
    return "".join(shown)


def fit(text: str, columns: int) -> str:
    """The longest beginning of a text that fits into this many columns of a terminal."""
    if text.isascii():
        return text[:columns]
    import unicodedata  # slow to import, and few lines need it

    for index, character in enumerate(text):
        wide = unicodedata.east_asian_width(character) in "WF"
        columns -= 0 if unicodedata.combining(character) else 1 + wide
        if columns < 0:
            return text[:index]
    return text


def markup(text: str) -> str:
    """Text that Markdown shows as it stands: it ends no cell of a table and is no markup."""
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return "".join(f"\\{c}" if c in "`*_[]\\" else c for c in plain)


def counted(count: int, thing: str) -> str:
    """`1 round`, `2 rounds`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The known word most similar to `word`; "" when none is similar. likeness: 0 (any) to 1 (the
    same)."""
    import difflib  # only a mistake needs it, and it is slow to import

    return next(iter(difflib.get_close_matches(word[:100], list(known), 1, likeness)), "")


def number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
