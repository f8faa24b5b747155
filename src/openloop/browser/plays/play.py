"""A play as a value: read, checked in full, and never changed afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from openloop.browser.plays import keys, locators
from openloop.config import schema, strict_json
from openloop.config.schema import Complaint, Problem
from openloop.core.errors import ConfigError, OpenLoopError
from openloop.fs import files

PATIENCE = 5.0  # seconds that a step waits
OPENING = 20.0  # seconds that `open` waits
_LARGEST = 16 << 20  # bytes of a play
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|about:|data:)")
KINDS: Mapping[str, tuple[str, ...]] = {  # kind of step → what may stand beside it
    "open": ("url",),
    "click": (),
    "hover": (),
    "fill": (),
    "type": (),
    "press": (),
    "select": (),
    "upload": (),
    "dialog": ("text",),
    "page": (),
    "expect": (),
    "script": ("equals",),
    "measure": ("script",),
    "screenshot": ("at", "full", "one_colour", "like", "tolerance"),
}
_ALONE = ("url", "title", "gone", "download")  # expectations that nothing stands beside


@dataclass(frozen=True, slots=True)
class PlayStep:
    """One step. kind: its first key. value: the value of that key. options: the other keys.
    timeout: seconds."""

    kind: str
    value: Any
    options: Mapping[str, Any]
    timeout: float


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """A server: its shell command, the path that answers when it is ready, and within how many
    seconds that must be."""

    run: str
    ready: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size of a page. width, height: in pixels."""

    width: int = 1280
    height: int = 720
    mobile: bool = False
    dark: bool = False


@dataclass(frozen=True, slots=True)
class Play:
    """A play. folder: paths are relative to it. base: "" when there is none. allow_console,
    allow_requests: regular expressions."""

    name: str
    folder: str
    base: str
    serve: ServeCommand | None
    viewport: Viewport
    allow_console: tuple[str, ...]
    allow_requests: tuple[str, ...]
    steps: tuple[PlayStep, ...]


def load(given: str) -> Play:
    """The play in a file, or the one that only looks at a URL. Raises UsageError, ConfigError."""
    if _URL.match(given):
        return _look_at(given)
    fix = "name a JSON file that you may read, or a URL such as http://127.0.0.1:8000/"
    data = files.read_argument("PLAY", given, limit=_LARGEST, fix=fix, fix_size="split it")
    return parse(data, where=given)


def _look_at(url: str) -> Play:
    steps = (
        PlayStep("open", url, {}, OPENING),
        PlayStep("screenshot", "page", {}, PATIENCE),
    )
    return Play(url, os.getcwd(), "", None, Viewport(), (), (), steps)


def parse(data: bytes, *, where: str) -> Play:
    """The play that the bytes hold. where: the file's name, whose folder paths are relative to.
    Raises ConfigError with every problem found."""
    document = strict_json.read(strict_json.decode(data, where), where)
    found = list(_checker().problems(document))
    found = found or list(_contradictions(document))
    if found:
        raise ConfigError(tuple(_error(problem, where) for problem in found))
    return _play(document, where)


def _error(problem: Problem, where: str) -> OpenLoopError:
    name = schema.dotted(problem.path) if problem.path else "the play"
    return OpenLoopError(f"{name} {problem.what}", where=where, fix=problem.fix)


@cache
def _checker() -> schema.Checker:
    formats = {
        "locator": locators.check,
        "key": keys.check,
        "regex": _check_regex,
        "name": _check_name,
    }
    return schema.Checker(schema.load("browser/plays/play"), formats)


def _check_regex(text: str) -> Iterator[Complaint]:
    try:
        re.compile(text)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        what = f"must be a regular expression, got {schema.shown_value(text)}: {error}"
        yield what, "write it as Python's re module reads it, every backslash twice"


def _check_name(text: str) -> Iterator[Complaint]:
    if not re.fullmatch(r"[A-Za-z0-9][\w-]{0,79}", text, re.ASCII):
        what = f"must be a name of letters, digits, _ and -, got {schema.shown_value(text)}"
        yield what, "write for example after-login"


# --- what no rule for a single key can say -----------------------------------------------


def _contradictions(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not document["steps"]:
        yield Problem(("steps",), "holds no step", 'begin with {"open": "/"}')
    needs_port = "{port}" in document.get("base", "")
    if needs_port and "serve" not in document:
        yield Problem(("base",), "names {port}, and there is no serve", "add serve, or the number")
    has_base = "base" in document or "serve" in document
    if document["steps"] and "dialog" in document["steps"][-1]:
        fix = "put it before the step that raises the dialog"
        yield Problem(("steps", len(document["steps"]) - 1, "dialog"), "has no step after it", fix)
    for number, step in enumerate(document["steps"]):
        yield from _of_step(("steps", number), step)
        if "open" in step and not has_base and not _URL.match(step["open"]):
            fix = "write a whole URL, or add serve or base to the play"
            yield Problem(("steps", number, "open"), "is relative, and there is no base", fix)


def kind_of(step: Mapping[str, Any]) -> str:
    """The kind of a step; "" for none."""
    if "measure" in step:  # with its script
        return "measure"
    return next((kind for kind in KINDS if kind in step), "")


def _of_step(path: schema.Path, step: Mapping[str, Any]) -> Iterator[Problem]:
    kind = kind_of(step)
    if not kind:
        yield Problem(path, "does nothing", f"add one of {', '.join(KINDS)}")
        return
    known = {kind, "timeout_seconds", *KINDS[kind]}
    for key in step:
        if key in known or key.startswith(("$", "x-")):
            continue
        if key in KINDS:
            yield Problem((*path, key), f"stands beside {kind}", "make it a step of its own")
        else:
            can = ", ".join(KINDS[kind]) or "only timeout_seconds"
            yield Problem((*path, key), f"has no meaning with {kind}", f"beside {kind}: {can}")
    if kind == "measure" and "script" not in step:
        yield Problem((*path, "script"), "is required", 'add "script": "return performance.now()"')
    if "tolerance" in step and "like" not in step:
        yield Problem((*path, "tolerance"), "has no meaning without like", "add like, a picture")
    if "at" in step and step.get("full"):
        yield Problem((*path, "full"), "has no meaning with at", "keep one of them")
    if kind == "expect":
        yield from _of_expectation((*path, kind), step[kind])
    if (
        kind == "click"
        and isinstance(step[kind], dict)
        and ("x" in step[kind]) != ("y" in step[kind])
    ):
        yield Problem((*path, kind), "has x or y alone", "write both, or neither")


def _of_expectation(path: schema.Path, expected: Mapping[str, Any]) -> Iterator[Problem]:
    if not expected:
        yield Problem(path, "expects nothing", 'write for example {"text": "You won"}')
    for key in _ALONE:
        if key in expected and len(expected) > 1:
            yield Problem((*path, key), "stands beside other expectations", "make it a step")
            return
    for key in ("matches", "value", "count", "is"):
        if key in expected and "at" not in expected:
            yield Problem((*path, key), "needs at", 'add "at": a locator')


# --- values -------------------------------------------------------------------------------


def _play(document: Mapping[str, Any], where: str) -> Play:
    rules = schema.load("browser/plays/play")["properties"]
    serve = document.get("serve")
    viewport = {**_defaults(rules["viewport"]), **_plain(document.get("viewport", {}))}
    allow = document.get("allow", {})
    return Play(
        name=os.path.basename(where),
        folder=os.path.dirname(os.path.realpath(where)),
        base=document.get("base", "http://127.0.0.1:{port}" if serve else ""),
        serve=_serve({**_defaults(rules["serve"]), **serve}) if serve else None,
        viewport=Viewport(
            int(viewport["width"]), int(viewport["height"]), viewport["mobile"], viewport["dark"]
        ),
        allow_console=tuple(allow.get("console", ())),
        allow_requests=tuple(allow.get("requests", ())),
        steps=tuple(map(_step, document["steps"])),
    )


def _defaults(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part["default"] for key, part in rule["properties"].items() if "default" in part}


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without the keys for notes."""
    return {key: value for key, value in section.items() if not key.startswith(("$", "x-"))}


def _serve(section: Mapping[str, Any]) -> ServeCommand:
    return ServeCommand(section["run"], section["ready"], float(section["timeout_seconds"]))


def _step(document: Mapping[str, Any]) -> PlayStep:
    kind = kind_of(document)
    options = {key: document[key] for key in KINDS[kind] if key in document}
    patience = OPENING if kind == "open" else PATIENCE
    return PlayStep(kind, document[kind], options, float(document.get("timeout_seconds", patience)))
