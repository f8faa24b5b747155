"""The expectations of a play: each is polled until it is met or its time is up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from openloop.browser import targets
from openloop.browser.failure import BrowserRefused, Failure
from openloop.browser.page import Page
from openloop.browser.plays import locators
from openloop.browser.plays.play import PlayStep
from openloop.core.clock import monotonic
from openloop.core.text import printable
from openloop.process import log_scan

_PAUSE = 0.03  # seconds between two looks
_SHOWN = 200  # characters of a text that a failure repeats
Seen = str | None  # what was seen instead; None when all is as expected


def wait_for(page: Page, step: PlayStep, address: Callable[[str], str]) -> None:
    """Wait until an expectation is met. address: makes an address of the play absolute. Raises
    Failure."""
    deadline = monotonic() + step.timeout
    while True:
        try:
            seen = _difference(page, step.value, address)
        except BrowserRefused:
            seen = "the document is being replaced"
        if seen is None:
            return
        if monotonic() >= deadline:
            raise Failure(
                "not seen",
                expected=f"within {step.timeout:g} s {words(step.value)}",
                seen=printable(seen),
            )
        page.wait(_PAUSE)


def words(expected: Mapping[str, Any]) -> str:
    """An expectation as a line shows it: `at #score matches "[0-9]+"`."""
    shown = [
        f'{key} "{value}"' if key in ("text", "matches", "value", "title") else f"{key} {value}"
        for key, value in expected.items()
    ]
    return printable(", ".join(shown))


def _difference(page: Page, expected: Mapping[str, Any], address: Callable[[str], str]) -> Seen:
    if "url" in expected:
        return _url(page, address(expected["url"]))
    if "title" in expected:
        title = page.call_injected(page.frames()[0], "title") if page.frames() else ""
        return None if title == expected["title"] else f'title "{title}"'
    if "gone" in expected:
        count = targets.find_element(page, locators.parse(expected["gone"])).visible
        return f"{count} visible" if count else None
    if "at" in expected:
        return _at(page, locators.parse(expected["at"]), expected)
    return _shown(page, expected["text"])


def _url(page: Page, wanted: str) -> Seen:
    url = page.url if "#" in wanted else page.url.partition("#")[0]
    return None if same_url(url, wanted) else f"url {page.url}"


def same_url(url: str, wanted: str) -> bool:
    """Whether two addresses are equal, as the browser escapes spaces and non-ASCII characters."""
    return unquote(url) == unquote(wanted)


def _shown(page: Page, text: str) -> Seen:
    wanted = " ".join(text.split())
    frames = page.frames()
    for frame in frames:
        if page.call_injected(frame, "shows", wanted):
            return None
    glimpse = page.call_injected(frames[0], "glimpse") if frames else ""
    return f'a page that says "{glimpse[:_SHOWN]}"'


def _at(page: Page, locator: locators.Locator, expected: Mapping[str, Any]) -> Seen:
    found = targets.find_element(page, locator)
    if "count" in expected:
        wanted = int(expected["count"])
        return None if found.visible == wanted else f"{found.visible} visible"
    if found.seen:
        return found.seen
    if not found.visible:
        return "it is not visible"
    state = page.call_injected(found.frame, "read")
    for look in (_text, _matches, _value, _is):
        if (seen := look(state, expected)) is not None:
            return seen
    return None


def _text(state: Mapping[str, Any], expected: Mapping[str, Any]) -> Seen:
    if "text" not in expected or " ".join(expected["text"].split()) in state["text"]:
        return None
    return f'text "{state["text"][:_SHOWN]}"'


def _matches(state: Mapping[str, Any], expected: Mapping[str, Any]) -> Seen:
    if "matches" not in expected:
        return None
    found = log_scan.search(expected["matches"], state["text"])
    if found is None:
        raise Failure("the regular expression takes too long")
    return None if found else f'text "{state["text"][:_SHOWN]}"'


def _value(state: Mapping[str, Any], expected: Mapping[str, Any]) -> Seen:
    if "value" not in expected or state["value"] == expected["value"]:
        return None
    value = state["value"]
    return "it is no field" if value is None else f'value "{value[:_SHOWN]}"'


def _is(state: Mapping[str, Any], expected: Mapping[str, Any]) -> Seen:
    match expected.get("is"):
        case "checked" | "focused" | "disabled" as name:
            return None if state[name] else f"it is not {name}"
        case "enabled":
            return "it is disabled" if state["disabled"] else None
    return None


def are_equal(value: Any, wanted: Any) -> bool:
    """1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(are_equal, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(are_equal(value[k], wanted[k]) for k in value)
    return bool(value == wanted)
