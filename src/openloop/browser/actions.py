"""The actions of a play on a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from openloop.browser import targets
from openloop.browser.failure import Failure, Gone
from openloop.browser.page import CLOSED, Page
from openloop.browser.plays import keys, locators
from openloop.browser.plays.play import PlayStep

Action = Callable[[Page, PlayStep], None]


def _click(page: Page, step: PlayStep) -> None:
    how = {"at": step.value} if isinstance(step.value, str) else step.value
    offset = {"x": how["x"], "y": how["y"]} if "x" in how else None
    spot = _wait_until_actionable(page, step, how["at"], offset=offset)
    if page.is_mobile:
        _await(page, _tap(page, spot), step)
        return
    button, count = how.get("button", "left"), int(how.get("count", 1))
    asked = [_mouse(page, spot, "mouseMoved")]
    for number in range(1, count + 1):
        asked += [
            _mouse(page, spot, "mousePressed", button=button, clickCount=number),
            _mouse(page, spot, "mouseReleased", button=button, clickCount=number),
        ]
    _await(page, asked, step)


def _hover(page: Page, step: PlayStep) -> None:
    spot = _wait_until_actionable(page, step, step.value)
    _await(page, [_mouse(page, spot, "mouseMoved")], step)


def _fill(page: Page, step: PlayStep) -> None:
    text = step.value["text"]
    spot = _wait_until_actionable(page, step, step.value["at"], text=text)
    if page.call_injected(spot.frame, "isPicked"):
        if page.call_injected(spot.frame, "put", text) != text:
            raise Failure("the field does not take it", expected=text, seen="another value")
        return
    page.call_injected(spot.frame, "focus", {"select": True})
    if text:
        _await(page, [page.ask("Input.insertText", text=text)], step)
    else:
        page.call_injected(spot.frame, "emptyField")


def _type(page: Page, step: PlayStep) -> None:
    for character in step.value:
        _press_key(page, step, "Enter" if character == "\n" else character)


def _press(page: Page, step: PlayStep) -> None:
    how = {"key": step.value} if isinstance(step.value, str) else step.value
    if "at" in how:
        spot = _wait_until_actionable(page, step, how["at"], anywhere=True)
        page.call_injected(spot.frame, "focus", {"select": False})
    _press_key(page, step, how["key"], hold=float(how.get("hold_seconds", 0)))


def _press_key(page: Page, step: PlayStep, source: str, hold: float = 0.0) -> None:
    modifiers, key = keys.split(source)
    pressed: list[dict[str, Any]] = []
    held: list[str] = []
    for name in [*modifiers, key]:
        bits = keys.bits([*held, *([name] if name in keys.MODIFIERS else [])])
        pressed.append({**keys.event(name, bits), "modifiers": bits})
        held += [name] if name in keys.MODIFIERS else []
    asked = [_key(page, "keyDown", each) for each in pressed]
    if hold:
        page.wait(hold)
    asked += [_key(page, "keyUp", each) for each in reversed(pressed)]
    _await(page, asked, step)


def _key(page: Page, kind: str, how: Mapping[str, Any]) -> int:
    if kind == "keyUp" or not how["text"]:
        how = {name: value for name, value in how.items() if name != "text"}
        kind = "keyUp" if kind == "keyUp" else "rawKeyDown"
    return page.ask("Input.dispatchKeyEvent", type=kind, **how)


def _select(page: Page, step: PlayStep) -> None:
    spot = _wait_until_actionable(page, step, step.value["at"])
    chosen = page.call_injected(spot.frame, "choose", step.value["value"])
    if "why" in chosen:
        options = ", ".join(chosen.get("options", ()))
        raise Failure(f"{spot.what} {chosen['why']}", seen=options and f"options: {options}")


def _upload(page: Page, step: PlayStep) -> None:
    spot = _wait_until_actionable(page, step, step.value["at"], anywhere=True, hidden=True)
    paths = [os.path.abspath(path) for path in step.value["files"]]
    for path in paths:
        if not os.path.isfile(path):
            raise Failure(f"{path} is not a file")
    element = page.element(spot.frame)
    page.call("DOM.setFileInputFiles", files=paths, objectId=element)


ACTIONS: Mapping[str, Action] = {
    "click": _click,
    "hover": _hover,
    "fill": _fill,
    "type": _type,
    "press": _press,
    "select": _select,
    "upload": _upload,
}


def _wait_until_actionable(
    page: Page, step: PlayStep, source: str, **needs: Any
) -> targets.ActionPoint:
    return targets.wait_until_actionable(page, locators.parse(source), step.timeout, **needs)


def _tap(page: Page, spot: targets.ActionPoint) -> list[int]:
    point = {"x": spot.x, "y": spot.y}
    return [
        page.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point]),
        page.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[]),
    ]


def _mouse(page: Page, spot: targets.ActionPoint, kind: str, **how: Any) -> int:
    return page.ask("Input.dispatchMouseEvent", type=kind, x=spot.x, y=spot.y, **how)


def _await(page: Page, asked: list[int], step: PlayStep) -> None:
    """Wait for the answers to messages that have all been sent. An action that closes the page
    succeeded."""
    for number in asked:
        try:
            page.result(number, step.timeout)
        except Gone:
            if page.ending != CLOSED:
                raise
