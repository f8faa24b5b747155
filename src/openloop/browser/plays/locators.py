"""Locators: how a play names an element of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from openloop.config.schema import Complaint, shown_value
from openloop.core.text import nearest

KINDS = ("text", "role", "label", "testid")
_PREFIX = re.compile(r"([a-z]{2,20})=(.*)", re.DOTALL)
_ROLE = re.compile(r"\s*([a-z]+)\s*(?:\[\s*name\s*=\s*(.*?)\s*\]\s*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Locator:
    """One locator. kind: one of KINDS, or "css". name: of a role, the accessible name; None for
    any. exact: whether a text must be the whole text."""

    source: str
    kind: str
    value: str
    name: str | None = None
    exact: bool = False


def parse(source: str) -> Locator:
    """The locator in a text that `check` has accepted."""
    found = _PREFIX.fullmatch(source)
    if not found or found[1] not in KINDS:
        return Locator(source, "css", source)
    kind, value = found[1], found[2]
    if kind == "role" and (role := _ROLE.fullmatch(value)):
        name = role[2]
        return Locator(source, kind, role[1], None if name is None else _plain(name)[0])
    text, exact = _plain(value)
    return Locator(source, kind, text, exact=exact)


def check(source: str) -> Iterator[Complaint]:
    """The error in a locator and its correction; "" when it is valid."""
    found = _PREFIX.fullmatch(source)
    if not found:
        return
    kind, value = found[1], found[2]
    if kind not in KINDS:
        fix = f"write {nearest(kind, KINDS, likeness=0.0)}=…, or a CSS selector"
        yield f"begins with {kind}=, which is no kind of locator: {shown_value(source)}", fix
    elif not _plain(value)[0]:
        yield f"names nothing: {shown_value(source)}", f"write something after {kind}="
    elif kind == "role" and not _ROLE.fullmatch(value):
        fix = "write role=button, or role=button[name=Start]"
        yield f"is no role with or without a name: {shown_value(source)}", fix


def _plain(value: str) -> tuple[str, bool]:
    """(text with its white space collapsed, whether it stood in quotes)."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return " ".join((value[1:-1] if quoted else value).split()), quoted
