"""The lines of a file of cases: parse them, and add recorded answers to them.

A file of cases is JSON lines; blank lines and lines that begin with `#` are comments.
case.schema.json has the schema of a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from openloop.config import schema, strict_json
from openloop.config.schema import Complaint, Problem
from openloop.core.errors import ConfigError, OpenLoopError
from openloop.core.text import number
from openloop.judge import compare
from openloop.judge.cases import Answer, Case, GeneratorLine, OutputMatch

_DEEPEST = 200  # folders above a file of a case
_ANSWERS = ("stdout", "stderr", "exit_code")


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A line with a case: its number, its text, its JSON document."""

    number: int
    text: str
    document: Any


def parse(
    data: bytes, *, where: str, recording: bool = False, names: str = "case "
) -> tuple[Case | GeneratorLine, ...]:
    """The cases and generators in the bytes, in order.

    where: the file's name. recording: a case may lack expectations. names: the prefix of generated
    names for cases without one. Raises ConfigError with every problem found.
    """
    problems: list[OpenLoopError] = []
    found: list[Case | GeneratorLine] = []
    for line in lines(data, where, problems):
        place = f"{where}, line {line.number}"
        wrong = list(_problems(line.document, recording))
        problems += [_error(problem, place) for problem in wrong]
        if wrong:
            continue
        if _generates(line.document):
            document = _defaults("judge/generator") | line.document
            timeout = float(document["timeout_seconds"])
            found.append(GeneratorLine(line.number, document["generate"], timeout))
        else:
            found.append(_case(line, f"{names}{len(found) + 1}"))
    cases = [each for each in found if isinstance(each, Case)]
    for case, other in repeated_names(cases):
        what = f"name {schema.shown_value(case.name)} stands in line {other.line} too"
        place = f"{where}, line {case.line}"
        problems.append(OpenLoopError(what, where=place, fix="give each case its own"))
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def repeated_names(cases: Iterable[Case]) -> Iterator[tuple[Case, Case]]:
    """(case, first case of that name) for each case whose name is taken."""
    first: dict[str, Case] = {}
    for case in cases:
        if case.name in first:
            yield case, first[case.name]
        first.setdefault(case.name, case)


def _generates(document: Any) -> bool:
    return isinstance(document, dict) and "generate" in document


def lines(data: bytes, where: str, problems: list[OpenLoopError]) -> Iterator[CaseLine]:
    """The lines with cases; lines that are not JSON are added to `problems`.

    Raises ConfigError when the file is not UTF-8.
    """
    for position, text in enumerate(strict_json.decode(data, where).split("\n"), 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        try:
            document = strict_json.read(text, where, line=position)
        except ConfigError as error:
            problems += error.problems
        else:
            yield CaseLine(position, text, document)


def _error(problem: Problem, where: str) -> OpenLoopError:
    name = schema.dotted(problem.path) if problem.path else "the case"
    return OpenLoopError(f"{name} {problem.what}", where=where, fix=problem.fix)


@cache
def _checker(name: str) -> schema.Checker:
    return schema.Checker(schema.load(name), {})


def _problems(document: Any, recording: bool) -> Iterator[Problem]:
    if _generates(document):
        yield from _checker("judge/generator").problems(document)
        return
    found = list(_checker("judge/case").problems(document))
    yield from found or _contradictions(document, recording)


def _defaults(name: str) -> dict[str, Any]:
    rules = schema.load(name)["properties"]
    return {key: rule["default"] for key, rule in rules.items() if "default" in rule}


def _contradictions(case: Mapping[str, Any], recording: bool) -> Iterator[Problem]:
    """Problems between keys, which the schema cannot express."""
    match = OutputMatch(case.get("match", OutputMatch.TRIM))
    if not recording and not any(key in case for key in _ANSWERS):
        yield Problem(
            (),
            "has no expectation",
            "add stdout, stderr or exit_code, or let --record add them",
        )
    if "tolerance" in case and match not in (OutputMatch.JSON, OutputMatch.NUMBER):
        yield Problem(("tolerance",), f"has no meaning with match {match}", "use json or number")
    for name in case.get("files", ()):
        if name.count("/") > _DEEPEST:
            what = f"lies more than {_DEEPEST} folders deep"
            yield Problem(("files", name), what, "use fewer folders")
        if any(other.startswith(f"{name}/") for other in case["files"]):
            what = "is a file, and a folder for another one"
            yield Problem(("files", name), what, "rename one of them")
    if "stdout" in case:
        for what, fix in _expectation(case["stdout"], match):
            yield Problem(("stdout",), what, fix)
    if match is OutputMatch.REGEX and (what := _broken(case.get("stderr", ""))):
        yield Problem(("stderr",), what, "write it as Python's re module reads it")


def _expectation(value: Any, match: OutputMatch) -> Iterator[Complaint]:
    if match is OutputMatch.JSON:
        try:
            compare.read_json(_expected(value, match))
        except ValueError as error:
            yield f"must be JSON, got {schema.shown_value(value)}: {error}", "write a JSON value"
    elif match is OutputMatch.NUMBER:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield f"must be a number or a string, got {schema.shown_value(value)}", "write a number"
        elif not any(map(compare.NUMBER.fullmatch, _expected(value, match).split())):
            yield f"must hold a number, got {schema.shown_value(value)}", "or use match trim"
    elif not isinstance(value, str):
        what = f"must be a string with match {match}, got {schema.shown_value(value)}"
        yield what, 'put it in "…", or use match json'
    elif match is OutputMatch.REGEX and (why := _broken(value)):
        yield why, "write it as Python's re module reads it, every backslash twice"


def _broken(pattern: str) -> str:
    try:
        re.compile(pattern, re.MULTILINE)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        return f"must be a regular expression, got {schema.shown_value(pattern)}: {error}"
    return ""


def _case(line: CaseLine, name: str) -> Case:
    """The case of a valid document, with defaults for absent keys."""
    found = _defaults("judge/case") | line.document
    match = OutputMatch(found["match"])
    return Case(
        name=found.get("name", name),
        line=line.number,
        args=tuple(found.get("args", ())),
        stdin=found["stdin"],
        files=dict(found.get("files", {})),
        env=dict(found.get("env", {})),
        stdout=_expected(found["stdout"], match) if "stdout" in found else None,
        stderr=found.get("stderr"),
        match=match,
        tolerance=Decimal(number(float(found["tolerance"]))),
        exit_code=int(found["exit_code"]),
        timeout=float(found["timeout_seconds"]),
        expects=any(key in line.document for key in _ANSWERS),
    )


def _expected(value: Any, match: OutputMatch) -> str:
    """The expected output as text; with json and number the file may have a JSON value."""
    return value if isinstance(value, str) else json.dumps(value)


# --- recording --------------------------------------------------------------------------


def unrecordable(case: Case, answer: Answer) -> str:
    """Why the answer cannot be recorded as the expectation, or ""."""
    if answer.trouble:
        return answer.trouble
    try:
        text = answer.stdout.decode()
    except UnicodeDecodeError as error:
        return f"stdout is not UTF-8 (byte {error.start})"
    if "\0" in text:
        return "stdout holds a NUL character"
    if case.match is OutputMatch.REGEX:
        return "a regular expression cannot be recorded"
    what = next((what for what, _ in _expectation(text, case.match)), "")
    return f"stdout {what}" if what else ""


def recorded(text: str, case: Case, answer: Answer) -> str:
    """The case's line with the answer appended as its expectation."""
    stdout = answer.stdout.decode()
    added: dict[str, Any] = {
        "stdout": stdout if case.match is OutputMatch.EXACT else stdout.strip()
    }
    if answer.code != 0:
        added["exit_code"] = answer.code
    before = text.rstrip().removesuffix("}").rstrip()
    comma = "" if before.endswith("{") else ", "
    return f"{before}{comma}{json.dumps(added, ensure_ascii=False)[1:-1]}}}"
