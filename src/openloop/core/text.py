"""Text that came from elsewhere, made fit to be shown; and the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """Text safe for a terminal: one line, what cannot be printed shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fit(text: str, columns: int) -> str:
    """The beginning of a text that takes so many columns of a terminal at most."""
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


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The known word most like `word`; "" when none is. likeness: 0 (any) to 1 (the same)."""
    import difflib  # only a mistake needs it, and it is slow to import

    return next(iter(difflib.get_close_matches(word[:100], list(known), 1, likeness)), "")


def number(value: float) -> str:
    """The shortest text that tells this number from every other one."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
