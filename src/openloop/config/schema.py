"""The rules of openloop.json: openloop.schema.json, and a reader of the JSON Schema it uses.

Only the keywords that our file uses are understood (draft 2020-12). Stricter than the
standard, which has no words for it: numbers are finite; strings can be handed to a command (no
NUL, no half of a surrogate pair); blank counts as empty; keys stand once; and a `format` is a
function that the caller brings. Our own annotations: `x-unit` (what to write), `x-names` (which
keys are allowed).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from openloop.core.text import nearest, printable

Path = tuple[str | int, ...]  # keys and list positions, from the top of the document
Rule = Mapping[str, Any]
Complaint = tuple[str, str]  # what is wrong, how to fix it
Format = Callable[[str], Iterable[Complaint]]

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a string", (str,)),
    "integer": ("a whole number", (int, float)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "object": ("an object", (dict,)),
    "array": ("a list", (list,)),
    "null": ("null", (type(None),)),
}
_SHOWN = 60  # characters of a value that a message repeats
_TYPO = 0.8  # from this likeness on (difflib) a key is a known one, mistyped


class Problem(NamedTuple):
    """One place that breaks a rule. `what` continues the path: "must be …, got …"."""

    path: Path
    what: str
    fix: str


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which keys its text holds more than once."""

    repeated: frozenset[str] = frozenset()

    @classmethod
    def read(cls, pairs: list[tuple[str, Any]]) -> JsonObject:
        """For `object_pairs_hook`: the last value of a repeated key is kept."""
        found = cls(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            repeated: set[str] = set()
            for key, _ in pairs:
                (repeated if key in seen else seen).add(key)
            found.repeated = frozenset(repeated)
        return found


@cache
def load(name: str = "openloop") -> Rule:
    """A schema that ships with the package: that of the configuration, or `judge/case`."""
    package = __file__.rsplit("/", 2)[0]
    loader: Any = globals()["__loader__"]  # reads from a zip archive, too
    rules: Rule = json.loads(loader.get_data(f"{package}/{name}.schema.json"))
    return rules


def defaults(*section: str) -> dict[str, Any]:
    """The default values of a section; keys without a default are left out."""
    rule = load()
    for name in section:
        rule = rule["properties"][name]
    return {key: part["default"] for key, part in rule["properties"].items() if "default" in part}


class Checker:
    """Finds every problem of a document, in the order of the document."""

    def __init__(self, root: Rule, formats: Mapping[str, Format]) -> None:
        self._root = root
        self._formats = formats

    def problems(self, document: object) -> Iterator[Problem]:
        return self._check(document, self._root, ())

    def _check(
        self, value: object, rule: Rule, path: Path, required: bool = False
    ) -> Iterator[Problem]:
        rule = self._choose(value, self._resolve(rule))
        if not _fits(value, rule):
            wanted = self._wanted(rule)
            yield Problem(path, f"must be {wanted}, got {shown_value(value)}", _fix(rule))
        elif isinstance(value, str):
            yield from self._check_text(value, rule, path, required)
        elif isinstance(value, dict):
            yield from self._check_object(value, rule, path)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self._check(
                    item, rule.get("items", {}), (*path, position), required=True
                )
        elif _exceeds(value, rule):
            yield Problem(
                path, f"must be at most {rule['maximum']}, got {shown_value(value)}", _fix(rule)
            )

    def _resolve(self, rule: Rule) -> Rule:
        """The rule that a `$ref` points to, overridden by the keywords beside the `$ref`."""
        while "$ref" in rule:
            target = self._root["$defs"][rule["$ref"].removeprefix("#/$defs/")]
            beside = {key: part for key, part in rule.items() if key != "$ref"}
            rule = {**target, **beside}
        return rule

    def _choose(self, value: object, rule: Rule) -> Rule:
        """The branch of an `anyOf` that fits the type of the value."""
        for branch in map(self._resolve, rule.get("anyOf", ())):
            if _has_type(value, branch):
                return branch
        return rule

    def _wanted(self, rule: Rule) -> str:
        if "const" in rule:
            return shown_value(rule["const"])
        if "enum" in rule:
            return "one of " + ", ".join(map(shown_value, rule["enum"]))
        if "anyOf" in rule:
            return " or ".join(self._wanted(self._resolve(branch)) for branch in rule["anyOf"])
        return " or ".join(_kind_in_words(kind, rule) for kind in _kinds(rule))

    def _check_text(self, text: str, rule: Rule, path: Path, required: bool) -> Iterator[Problem]:
        if "\0" in text:
            yield Problem(path, "holds a NUL character", r"remove \u0000")
        elif not _is_encodable(text):
            yield Problem(
                path,
                f"holds half of a surrogate pair: {shown_value(text)}",
                r"remove it, or write both halves, for example \ud83d\ude00",
            )
        elif len(text.strip()) < rule.get("minLength", 0):
            instead = "" if required else "remove the key, or "
            yield Problem(path, f"must not be blank, got {shown_value(text)}", instead + _fix(rule))
        elif check := self._formats.get(rule.get("format", "")):
            for what, fix in check(text):
                yield Problem(path, printable(what), fix)

    def _check_object(self, found: dict[str, Any], rule: Rule, path: Path) -> Iterator[Problem]:
        repeated = found.repeated if isinstance(found, JsonObject) else ()
        required = list(self._required(found, rule))
        for key, value in found.items():
            place = (*path, key)
            part = _part(key, rule)
            if part is True:
                continue
            if key in repeated:
                yield Problem(place, "is given more than once", "keep one of them")
            if part is None:
                yield self._unknown(key, rule, path)
            else:
                yield from self._check(value, part, place, key in required)
        for key in required:
            if key not in found:
                yield from self._missing(key, rule, path)

    def _required(self, found: dict[str, Any], rule: Rule) -> Iterator[str]:
        yield from rule.get("required", ())
        if "if" in rule and any(self._check(dict(found), rule["if"], ())):
            yield from rule["else"]["required"]

    def _missing(self, key: str, rule: Rule, path: Path) -> Iterator[Problem]:
        """Report a missing key; for a missing object, the keys that it must have."""
        part = self._resolve(rule["properties"][key])
        if "required" in part:
            yield from self._check({}, part, (*path, key))
        else:
            yield Problem((*path, key), "is required", f'add for example "{key}": {_example(part)}')

    def _unknown(self, key: str, rule: Rule, path: Path) -> Problem:
        place = (*path, key)
        if "x-names" in rule:
            return Problem(place, "is not a name that can be used here", rule["x-names"])
        known = list(rule["properties"])
        near = rule.get("x-aliases", {}).get(key) or nearest(key, known, likeness=_TYPO)
        if not near and (home := self._home(key, path)):
            return Problem(place, "is not known here", f"move it: the key is {dotted(home)}")
        near = near or nearest(key, known, likeness=0.0)
        hint = rule.get("x-hint") or f"known here: {', '.join(known)}"
        return Problem(place, "is not a known key", f"the nearest known key is {near}; {hint}")

    def _home(self, key: str, path: Path) -> Path | None:
        """The section that a misplaced key belongs to; "" when no section has it."""
        sections = self._root["properties"]
        if len(path) > 1:
            return None
        if key in sections:
            return (key,)
        homes = ((name, key) for name in sections if key in sections[name].get("properties", ()))
        return next(homes, None)


def dotted(path: Path) -> str:
    """A path as people write it: `limits.oom_markers[2]`."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        elif re.fullmatch(r"[\w-]{1,60}", part):
            words += f".{part}"
        else:
            words += f"[{shown_value(part)}]"
    return words.removeprefix(".") or "the configuration"


def shown_value(value: object) -> str:
    """A value as its JSON text, cut short and safe for a terminal; containers by their kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = _in_full(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return printable(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _part(key: str, rule: Rule) -> Any:
    """The rule for one key of an object: True to ignore it, None when it is not allowed."""
    if key in rule.get("properties", ()):
        return rule["properties"][key]
    for pattern, part in rule.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return part
    return None if rule.get("additionalProperties") is False else True


def _fits(value: object, rule: Rule) -> bool:
    """Whether a value has the right type and lies within the bounds of the rule."""
    if "anyOf" in rule or not _has_type(value, rule):
        return False
    if "const" in rule and value != rule["const"]:
        return False
    if "enum" in rule and value not in rule["enum"]:
        return False
    if not isinstance(value, int | float):
        return True
    too_low = value < rule.get("minimum", value)
    return not too_low and ("exclusiveMinimum" not in rule or value > rule["exclusiveMinimum"])


def _exceeds(value: object, rule: Rule) -> bool:
    return isinstance(value, int | float) and value > rule.get("maximum", value)


def _kinds(rule: Rule) -> list[str]:
    kinds = rule.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _has_type(value: object, rule: Rule) -> bool:
    return "type" not in rule or any(_is_of(value, kind) for kind in _kinds(rule))


def _is_of(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        # 3.0 is an integer, as in JSON Schema
        return _is_number(value) and (kind == "number" or value % 1 == 0)
    return isinstance(value, _KINDS[kind][1])


def _is_number(value: Any) -> bool:
    """Whether it is a finite number: 0 times NaN or an infinity is not 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value * 0 == 0


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind_in_words(kind: str, rule: Rule) -> str:
    words, types = _KINDS[kind]
    if float in types and rule.get("exclusiveMinimum") == 0:
        return words.replace("a ", "a positive ")
    if float in types and "minimum" in rule:
        return f"{words} of {rule['minimum']} or more"
    return words


def _example(rule: Rule) -> str:
    return _in_full(rule.get("examples", [None])[0])


def _fix(rule: Rule) -> str:
    unit = f"{rule['x-unit']}, " if "x-unit" in rule else ""
    return f"write {unit}for example {_example(rule)}"


def _in_full(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
