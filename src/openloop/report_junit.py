"""A report as JUnit XML: a test suite a round of the latest run, a test case a gate.

It keeps to what the two schemas in use have in common: Ant's, which most readers grew up with, and
that of Jenkins' xunit plugin. So a test case holds its failure with the end of its log, and the
logs of all gates of a round are the output of its suite.
"""

from __future__ import annotations

from html import escape

from openloop.history import Round
from openloop.report import Report
from openloop.states import Outcome, StepResult
from openloop.text import printable

_LOG_END = 8000  # bytes of each log
_ERRORS = (Outcome.ERROR, Outcome.INTERRUPTED)  # nothing was measured
_GONE = "(not there any more)"


def render(report: Report) -> str:
    suites = [_suite(report, index, one) for index, one in enumerate(report.run_rounds)]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', _tag("testsuites", {}, suites), ""])


def _suite(report: Report, index: int, one: Round) -> str:
    gates = [station.result for station in one.steps if station.result.step.is_gate]
    failed = [result for result in gates if not result.outcome.passed]
    errors = sum(result.outcome in _ERRORS for result in failed)
    attributes = {
        "name": f"round {one.number}",
        "package": f"openloop.{report.name}",
        "id": str(index),
        "hostname": report.host or "localhost",
        "timestamp": one.started_at[:19],
        "tests": str(len(gates)),
        "failures": str(len(failed) - errors),
        "errors": str(errors),
        "time": f"{one.seconds:.3f}",
    }
    output = "\n".join(_output(report, result) for result in gates)
    return _tag(
        "testsuite",
        attributes,
        [
            _properties(one),
            *(_case(report, one, result) for result in gates),
            f"<system-out>{output}</system-out>",
            f"<system-err>{_lines(_not_gates(one))}</system-err>",
        ],
    )


def _properties(one: Round) -> str:
    known = {"run": str(one.run), "outcome": one.outcome or "open", "reason": one.reason}
    found = [_tag("property", {"name": name, "value": value}) for name, value in known.items()]
    return _tag("properties", {}, found)


def _case(report: Report, one: Round, result: StepResult) -> str:
    attributes = {
        "name": f"{result.step} again" if result.confirm else str(result.step),
        "classname": f"openloop.{report.name}.round {one.number}",
        "time": f"{result.duration_seconds:.3f}",
    }
    if result.outcome.passed:
        return _tag("testcase", attributes)
    name = "error" if result.outcome in _ERRORS else "failure"
    why = {"type": str(result.outcome), "message": result.detail or str(result.outcome)}
    end = report.log_end(result, _LOG_END)
    problem = f"<{name}{_attributes(why)}>{_lines(end.lines) if end else _GONE}</{name}>"
    return _tag("testcase", attributes, [problem])


def _output(report: Report, result: StepResult) -> str:
    end = report.log_end(result, _LOG_END)
    return f"{_lines((f'==> {result.log_path}',))}\n{_lines(end.lines) if end else _GONE}\n"


def _not_gates(one: Round) -> list[str]:
    """What the changes and the policy did, which no test case tells."""
    changes = [
        f"{station.result.step} {station.result.outcome} {station.result.detail}".rstrip()
        for station in one.steps
        if station.result.step.is_change
    ]
    return [*changes, *(f"undone in {found.step}: {found.text}" for found in one.undone)]


def _tag(name: str, attributes: dict[str, str], children: list[str] | None = None) -> str:
    opening = f"<{name}{_attributes(attributes)}"
    if not children:
        return f"{opening}/>"
    return "\n".join([f"{opening}>", *children, f"</{name}>"])


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f' {name}="{escape(printable(value))}"' for name, value in attributes.items())


def _lines(lines: tuple[str, ...] | list[str]) -> str:
    """Text that XML 1.0 may hold: what is not printable is shown as an escape."""
    return "\n".join(escape(printable(line)) for line in lines)
