"""`openloop help TOPIC`: the tables of topics.md, laid out for a terminal of any width.

topics.md holds the rows that README.md holds as well; a test keeps them equal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import resources

_CELL = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_NARROWEST = 20  # columns
_WIDEST = 100


@cache
def _topics() -> dict[str, str]:
    """Topic to the Markdown below its heading."""
    text = resources.files("openloop.cli").joinpath("topics.md").read_text(encoding="utf-8")
    parts = re.split(r"^# (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names() -> list[str]:
    return list(_topics())


def source(name: str) -> str:
    """A topic's Markdown."""
    return _topics()[name]


def summary(name: str) -> str:
    """What a topic is about, in one sentence."""
    return _topics()[name].strip().partition("\n")[0]


def lines(name: str, columns: int) -> list[str]:
    """A topic as lines of plain text, none longer than `columns` but for words that are."""
    width = max(_NARROWEST, min(_WIDEST, columns - 1))
    shown: list[str] = []
    for block in _topics()[name].strip().split("\n\n"):
        shown += [*_block(block.strip(), width), ""]
    return shown[:-1]


def _block(block: str, width: int) -> Iterator[str]:
    if block.startswith("## "):
        yield block.removeprefix("## ").upper()
    elif block.startswith("|"):
        for row in block.splitlines()[2:]:
            yield from _row(row, width)
    else:
        yield from textwrap.wrap(_plain(block), width)


def _row(row: str, width: int) -> Iterator[str]:
    """The first cell, the ones between in brackets, and below them what it means."""
    first, *between, meaning = (_plain(cell) for cell in _CELL.split(row)[1:-1])
    name = " ".join([first, *(f"({cell})" for cell in between)])
    yield from textwrap.wrap(name, width, initial_indent="  ", subsequent_indent="    ")
    yield from textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _plain(markdown: str) -> str:
    return _LINK.sub(r"\1", " ".join(markdown.split())).replace("`", "").replace("\\|", "|")
