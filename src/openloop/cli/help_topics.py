"""`openloop help TOPIC`: the pages of the manual, laid out for a terminal of any width."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator

_MANUAL = os.path.join(os.path.dirname(os.path.dirname(__file__)), "manual")
_CELL = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HTML = re.compile(r"^</?[a-z]+>.*\n", re.MULTILINE)  # <details> and its like
_ITEM = re.compile(r"(- |\d+\. )")
_MARKUP = re.compile(r"`([^`]*)`|\*\*(.+?)\*\*")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_NARROWEST = 20  # columns
_WIDEST = 100


def names() -> list[str]:
    """The pages of the manual, which are the topics."""
    return sorted(name.removesuffix(".md") for name in os.listdir(_MANUAL) if name.endswith(".md"))


def source(name: str) -> str:
    """A topic's Markdown."""
    with open(os.path.join(_MANUAL, f"{name}.md"), encoding="utf-8") as file:
        return file.read()


def summary(name: str) -> str:
    """The first sentence below a topic's title."""
    text = source(name).split("\n\n")[1]
    return re.split(r"(?<=[.:]) ", _plain(text))[0]


def lines(name: str, columns: int) -> list[str]:
    """A topic as lines of plain text, none longer than `columns` but for code and long words."""
    width = max(_NARROWEST, min(_WIDEST, columns - 1))
    shown: list[str] = []
    for number, part in enumerate(_FENCE.split(_HTML.sub("", source(name)))):
        if number % 2:
            shown += [*("    " + line for line in part.splitlines()), ""]
            continue
        for block in filter(None, map(str.strip, part.split("\n\n"))):
            shown += [*_block(block, width), ""]
    return shown[:-1]


def _block(block: str, width: int) -> Iterator[str]:
    """A heading, a table, a list, or a paragraph."""
    if block.startswith("#"):
        yield from textwrap.wrap(_plain(block.lstrip("#")).upper(), width)
    elif block.startswith("|"):
        for row in block.splitlines()[2:]:
            yield from _row(row, width)
    elif _ITEM.match(block):
        for item in re.split(r"\n(?=- |\d+\. )", block):
            yield from textwrap.wrap(_plain(item), width, subsequent_indent="   ")
    else:
        yield from textwrap.wrap(_plain(block), width)


def _row(row: str, width: int) -> Iterator[str]:
    """The first cell, those between in brackets, and below them the last one."""
    first, *between, meaning = (_plain(cell) for cell in _CELL.split(row)[1:-1])
    name = " ".join([first, *(f"({cell})" for cell in between if cell)])
    yield from textwrap.wrap(name, width, initial_indent="  ", subsequent_indent="    ")
    yield from textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _plain(markdown: str) -> str:
    text = _LINK.sub(r"\1", " ".join(markdown.split()))
    return _MARKUP.sub(lambda match: match[1] or match[2] or "", text).replace("\\|", "|")
