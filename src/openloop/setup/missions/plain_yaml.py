"""A reader for the small part of YAML that settings of loops use; lines beyond it are reported.

Read are mappings by indentation, lists of plain values, values on one line, quoted ones too, and
block texts. Anchors, tags, values over several lines, and flow mappings are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KEY = re.compile(r"([\w.-]+):(?: +(.*))?$")
_COMMENT = re.compile(r"(?:^| +)#.*$")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?$")
_BLOCK = re.compile(r"[|>][+-]?$")
_STRANGE = ("&", "*", "!", "{", "[", "%", "@", "`", "|", ">", '"', "'")  # begin what is not plain
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}


@dataclass(slots=True)
class YamlDocument:
    """values: nested mappings. unread: numbers of lines that say more than is read here."""

    values: dict[str, Any] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)


class UnsupportedYaml(Exception):
    """A value outside the supported part of YAML."""


def read(text: str) -> YamlDocument:
    """Read a document as far as it is simple."""
    found = YamlDocument()
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    _mapping(lines, 0, -1, found.values, found.unread)
    return found


def at(values: Mapping[str, Any], *keys: str) -> Any:
    """The value below these keys; None where there is none."""
    here: Any = values
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    return here


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_empty(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#") or line == "---"


def _mapping(
    lines: list[tuple[int, str]], start: int, above: int, into: dict[str, Any], unread: list[int]
) -> int:
    """Read the lines that are indented deeper than `above`; returns where it stopped."""
    place, own = start, None
    while place < len(lines):
        number, line = lines[place]
        if _is_empty(line):
            place += 1
            continue
        depth = _indent(line)
        if depth <= above:
            break
        own = depth if own is None else own
        match = _KEY.match(line.strip())
        if depth != own or not match or line[depth] == "\t":
            unread.append(number)
            place += 1
            continue
        place = _value(lines, place, match, depth, into, unread)
    return place


def _value(
    lines: list[tuple[int, str]],
    place: int,
    match: re.Match[str],
    depth: int,
    into: dict[str, Any],
    unread: list[int],
) -> int:
    """Read one key's value, on its line or below it; returns the next line."""
    name, text = match[1], match[2] or ""
    number = lines[place][0]
    if name in into:
        unread.append(number)
    if _BLOCK.match(text):
        return _block(lines, place + 1, depth, name, into)
    try:
        into[name] = _scalar(text)
    except UnsupportedYaml:
        unread.append(number)
        into.pop(name, None)
        return place + 1
    following = next((n for n in range(place + 1, len(lines)) if not _is_empty(lines[n][1])), None)
    if into[name] is not None or following is None:
        return place + 1
    below = lines[following][1]
    if below.lstrip().startswith("- ") and _indent(below) >= depth:
        return _list(lines, following, name, into, unread)
    if _indent(below) > depth:
        into[name] = {}
        return _mapping(lines, following, depth, into[name], unread)
    return place + 1


def _block(
    lines: list[tuple[int, str]], place: int, depth: int, name: str, into: dict[str, Any]
) -> int:
    kept = []
    while place < len(lines) and (not lines[place][1] or _indent(lines[place][1]) > depth):
        kept.append(lines[place][1].strip())
        place += 1
    into[name] = "\n".join(kept).strip()
    return place


def _list(
    lines: list[tuple[int, str]], place: int, name: str, into: dict[str, Any], unread: list[int]
) -> int:
    depth = _indent(lines[place][1])
    into[name] = []
    while place < len(lines):
        number, line = lines[place]
        if not _is_empty(line):
            if _indent(line) < depth or not line.lstrip().startswith("- "):
                if _indent(line) <= depth:
                    break
                unread.append(number)
            else:
                try:
                    into[name].append(_item(line.strip()[2:].strip()))
                except UnsupportedYaml:
                    unread.append(number)
        place += 1
    return place


def _item(text: str) -> Any:
    if _KEY.match(text) and not text.startswith(('"', "'")):
        raise UnsupportedYaml(text)  # a mapping in a list
    return _scalar(text)


def _scalar(text: str) -> Any:
    """A value on one line. Raises UnsupportedYaml."""
    text = text.strip()
    if text.startswith('"'):
        match = re.match(r'("(?:[^"\\]|\\.)*") *(?:#.*)?$', text)
        try:
            return json.loads(match[1]) if match else _no(text)
        except ValueError:
            raise UnsupportedYaml(text) from None
    if text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)' *(?:#.*)?$", text)
        return match[1].replace("''", "'") if match else _no(text)
    text = _COMMENT.sub("", text).strip()
    if text.startswith("[") and text.endswith("]"):
        parts = [part for part in text[1:-1].split(",") if part.strip()]
        return [_scalar(part) for part in parts]
    if text.startswith(_STRANGE):
        raise UnsupportedYaml(text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.match(text):
        return float(text) if "." in text else int(text)
    return text


def _no(text: str) -> Any:
    raise UnsupportedYaml(text)
