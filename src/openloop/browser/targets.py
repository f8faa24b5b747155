"""Find the one element, in any frame, that a locator names, and wait until it can be acted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openloop.browser.failure import BrowserRefused, Failure, NoAnswer
from openloop.browser.page import Page
from openloop.browser.pipe import ANSWER
from openloop.browser.plays.locators import Locator
from openloop.core.clock import monotonic
from openloop.core.text import printable

_PAUSE = 0.03  # seconds between two looks
_ROLES = 1.0  # seconds that the roles of an inner frame may take
_NAMES = 8  # of other elements, that a failure lists


@dataclass(frozen=True, slots=True)
class FoundElement:
    """The current match of a locator. frame: where the single element is. seen: a description when
    there is not exactly one. count: the number of visible elements, or of all when none is
    visible."""

    count: int
    visible: int
    frame: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class ActionPoint:
    """A point of the viewport where an element can be acted on. frame: where the element is."""

    x: float
    y: float
    frame: str
    what: str


def find_element(page: Page, locator: Locator) -> FoundElement:
    """Look once. Raises BrowserRefused while a document is being replaced."""
    count = visible = 0
    frame = ""
    few: list[str] = []
    for each in page.frames():
        kept = (
            _by_role(page, each, locator)
            if locator.kind == "role"
            else _by_page(page, each, locator)
        )
        if kept["count"] and (kept["visible"] or not visible):
            if kept["visible"] and not visible:
                count = 0  # those before it cannot be seen
                few = []
            frame = each
            count += kept["count"]
            visible += kept["visible"]
            few += kept["few"]
    if count == 1:
        return FoundElement(1, visible, frame)
    if count:
        return FoundElement(count, visible, frame, f"{count} elements: {', '.join(few[:3])}")
    return FoundElement(0, 0, seen=f"no such element{_others(page, locator)}")


def _by_page(page: Page, frame: str, locator: Locator) -> dict[str, Any]:
    asked = {"kind": locator.kind, "value": locator.value, "exact": locator.exact}
    try:
        kept: dict[str, Any] = page.call_injected(frame, "find", asked)
    except BrowserRefused as refused:
        if "is not a valid selector" in refused.what:
            raise Failure(f"{locator.source} is not a CSS selector") from None
        raise
    return kept


def _nodes(page: Page, frame: str, role: str) -> list[tuple[int, str]]:
    """Pairs (node, accessible name) of all elements with a role."""
    asked = {"objectId": page.document(frame), "role": role}
    within = ANSWER if page.is_main(frame) else _ROLES
    try:
        tree = page.call("Accessibility.queryAXTree", within=within, **asked)["nodes"]
    except NoAnswer:
        if page.is_main(frame):
            raise
        page.scroll_to_frame(frame)  # one of another site that is out of sight is not laid out
        raise BrowserRefused("its frame is being brought into sight") from None
    return [
        (node["backendDOMNodeId"], " ".join(str(node.get("name", {}).get("value", "")).split()))
        for node in tree
        if not node.get("ignored") and "backendDOMNodeId" in node
    ]


def _by_role(page: Page, frame: str, locator: Locator) -> dict[str, Any]:
    nodes = [
        node
        for node, name in _nodes(page, frame, locator.value)
        if locator.name is None or name == locator.name
    ]
    kept: dict[str, Any] = page.call_on_nodes(frame, nodes, "keep")
    return kept


def _others(page: Page, locator: Locator) -> str:
    """The elements of the same role, for the message about a mistyped name."""
    if locator.kind != "role" or locator.name is None:
        return ""
    names = [name for frame in page.frames() for _, name in _nodes(page, frame, locator.value)]
    shown = ", ".join(f'"{name[:40]}"' for name in names[:_NAMES])
    return f"; with that role: {shown}" if names else "; nothing has that role"


def wait_until_actionable(
    page: Page, locator: Locator, timeout: float, **needs: Any
) -> ActionPoint:
    """Wait until the single element can be acted on. needs: see inject.js. Raises Failure."""
    deadline = monotonic() + timeout
    while True:
        try:
            spot, seen = _try(page, locator, needs)
        except BrowserRefused:
            spot, seen = None, "its document is being replaced"
        if spot:
            return spot
        if monotonic() >= deadline:
            raise Failure(
                "cannot be acted on",
                expected=f"within {timeout:g} s one {locator.source}, visible, still, enabled and "
                "not covered",
                seen=printable(seen),
            )
        page.wait(_PAUSE)


def _try(page: Page, locator: Locator, needs: dict[str, Any]) -> tuple[ActionPoint | None, str]:
    found = find_element(page, locator)
    if found.seen:
        return None, found.seen
    at = page.call_injected(found.frame, "approach", needs)
    if "why" in at:
        return None, f"it {at['why']}"
    what, x, y = at["what"], at["x"], at["y"]
    if not needs.get("anywhere"):
        for frame, parent in page.around(found.frame):
            at = page.call_on_nodes(parent, [page.frame_element(frame)], "outer", x, y)
            if "why" in at:
                return None, f"it {at['why']}"
            x, y = at["x"], at["y"]
    return ActionPoint(x, y, found.frame, what), ""
