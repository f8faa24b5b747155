"""Keys: the events of a keyboard for the names that a play uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openloop.config.schema import Complaint, shown_value
from openloop.core.text import nearest

MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}  # bits of the protocol
_NAMED = {  # name → (virtual key code, text)
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    "Space": (32, " "),
    "Escape": (27, ""),
    "Backspace": (8, ""),
    "Delete": (46, ""),
    "Insert": (45, ""),
    "Home": (36, ""),
    "End": (35, ""),
    "PageUp": (33, ""),
    "PageDown": (34, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    **{f"F{number}": (111 + number, "") for number in range(1, 13)},
    "Shift": (16, ""),
    "Control": (17, ""),
    "Alt": (18, ""),
    "Meta": (91, ""),
}
_PUNCTUATION = {  # on a keyboard of the United States
    **dict(zip("-_", ("Minus",) * 2, strict=True)),
    **dict(zip("=+", ("Equal",) * 2, strict=True)),
    **dict(zip(",<", ("Comma",) * 2, strict=True)),
    **dict(zip(".>", ("Period",) * 2, strict=True)),
    **dict(zip("/?", ("Slash",) * 2, strict=True)),
    **dict(zip(";:", ("Semicolon",) * 2, strict=True)),
}


def split(source: str) -> tuple[list[str], str]:
    """(modifiers, key) of `Control+A`; the key `+` may stand last."""
    *before, key = source[:-1].split("+")
    return before, key + source[-1]


def check(source: str) -> Iterator[Complaint]:
    modifiers, key = split(source)
    for word in modifiers:
        if word not in MODIFIERS:
            yield f"holds {shown_value(word)}, which is no modifier", f"use {', '.join(MODIFIERS)}"
    if len(key) > 1 and key not in _NAMED:
        near = nearest(key, _NAMED, likeness=0.0)
        yield (
            f"is no key: {shown_value(key)}",
            f"the nearest is {near}; a single character is itself",
        )


def bits(modifiers: list[str]) -> int:
    return sum(MODIFIERS[word] for word in modifiers)


def event(key: str, modifiers: int) -> dict[str, Any]:
    """The parameters of Input.dispatchKeyEvent that press the key."""
    if key in _NAMED:
        code, text = _NAMED[key]
        name = " " if key == "Space" else key
        place = f"{key}Left" if key in MODIFIERS else key
    else:
        name = text = key
        code, place = _typed(key)
    if modifiers & ~MODIFIERS["Shift"]:
        text = ""  # Control+A types nothing
    return {"key": name, "code": place, "text": text, "windowsVirtualKeyCode": code}


def _typed(key: str) -> tuple[int, str]:
    if key.isascii() and key.isalpha():
        return ord(key.upper()), f"Key{key.upper()}"
    if key.isascii() and key.isdigit():
        return ord(key), f"Digit{key}"
    if key == " ":
        return 32, "Space"
    return 0, _PUNCTUATION.get(key, "")
