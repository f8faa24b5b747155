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
    return _Reader(text).document


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


class _Reader:
    """Reads a document from its first line to its last."""

    def __init__(self, text: str) -> None:
        self._lines = [line.rstrip() for line in text.splitlines()]
        self._read = 0  # lines
        self.document = YamlDocument()
        self._mapping(-1, self.document.values)

    def _peek(self) -> str:
        """The next line that says something, "" at the end; those before it are read."""
        while self._read < len(self._lines) and _is_empty(self._lines[self._read]):
            self._read += 1
        return self._lines[self._read] if self._read < len(self._lines) else ""

    def _report(self) -> None:
        """Report the line read last as one that says more than is read here."""
        self.document.unread.append(self._read)

    def _mapping(self, above: int, into: dict[str, Any]) -> None:
        """Read the lines that are indented deeper than `above`."""
        own = _indent(self._peek())
        while (line := self._peek()) and (depth := _indent(line)) > above:
            self._read += 1
            match = _KEY.match(line.strip())
            if depth != own or not match or line[depth] == "\t":
                self._report()
            else:
                self._value(match[1], match[2] or "", depth, into)

    def _value(self, name: str, text: str, depth: int, into: dict[str, Any]) -> None:
        """Read one key's value, on its line or below it."""
        if name in into:
            self._report()
        if _BLOCK.match(text):
            into[name] = self._block(depth)
            return
        try:
            into[name] = _scalar(text)
        except UnsupportedYaml:
            self._report()
            into.pop(name, None)
            return
        if into[name] is not None or not (below := self._peek()):
            return
        if below.lstrip().startswith("- ") and _indent(below) >= depth:
            into[name] = self._list()
        elif _indent(below) > depth:
            into[name] = {}
            self._mapping(depth, into[name])

    def _block(self, depth: int) -> str:
        kept = []
        for line in self._lines[self._read :]:
            if line and _indent(line) <= depth:
                break
            kept.append(line.strip())
        self._read += len(kept)
        return "\n".join(kept).strip()

    def _list(self) -> list[Any]:
        found: list[Any] = []
        depth = _indent(self._peek())
        while line := self._peek():
            is_item = line.lstrip().startswith("- ") and _indent(line) >= depth
            if not is_item and _indent(line) <= depth:
                break
            self._read += 1
            try:
                if not is_item:
                    raise UnsupportedYaml(line)
                found.append(_item(line.strip()[2:].strip()))
            except UnsupportedYaml:
                self._report()
        return found


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
            return json.loads(match[1] if match else text)
        except ValueError:
            raise UnsupportedYaml(text) from None
    if text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)' *(?:#.*)?$", text)
        if match is None:
            raise UnsupportedYaml(text)
        return match[1].replace("''", "'")
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
