"""A document about a whole fleet: a page, Markdown, JSON, or JUnit XML with a suite a task."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from openloop.core import clock
from openloop.core.errors import OpenLoopError
from openloop.core.text import markup, printable
from openloop.fleet.state import Phase, StateName, TaskState
from openloop.fleet.views.status import FleetStatus, count_words
from openloop.views import junit_xml
from openloop.views.console import duration

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #8884;vertical-align:top}.complete{color:#1a7f37}"
    ".blocked,.lost,.crashed{color:#cf222e}.exhausted,.interrupted,.unknown{color:#9a6700}"
    "@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}}"
)


def render(status: FleetStatus, form: str) -> str:
    """form: html, md, json or junit."""
    return _FORMS[form](status)


def _json(status: FleetStatus) -> str:
    return json.dumps({**status.to_json(), "generated_at": clock.utc()}, indent=2) + "\n"


def _cells(task: Mapping[str, Any]) -> tuple[str, ...]:
    usage = task["usage"] or {}
    cost = usage.get("cost_usd")
    return (
        task["name"],
        task["state"],
        "" if task["round"] is None else str(task["round"]),
        duration(task["seconds"]) if task["seconds"] else "",
        "" if cost is None else f"${cost:.2f}",
        printable(task["reason"]),
    )


_HEAD = ("task", "state", "round", "time", "cost", "reason")


def _md(status: FleetStatus) -> str:
    whole = status.to_json()
    rows = [" | ".join(map(markup, _cells(task))) for task in whole["tasks"]]
    return "\n".join(
        [
            f"# Fleet {markup(os.path.basename(status.given))}",
            "",
            count_words(whole["counts"]),
            "",
            f"| {' | '.join(_HEAD)} |",
            "|" + "---|" * len(_HEAD),
            *(f"| {row} |" for row in rows),
            "",
        ]
    )


def _html(status: FleetStatus) -> str:
    whole = status.to_json()
    name = html.escape(os.path.basename(status.given))
    rows = "\n".join(_row(task) for task in whole["tasks"])
    head = "".join(f"<th>{word}</th>" for word in _HEAD)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Fleet {name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>Fleet {name}</h1><p>{html.escape(count_words(whole['counts']))}, "
        f"{clock.utc()}</p>\n<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n"
        "</tbody></table></body></html>\n"
    )


def _row(task: Mapping[str, Any]) -> str:
    state = html.escape(task["state"])
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(task))
    return f'<tr class="{state}">{cells}</tr>'


def _junit(status: FleetStatus) -> str:
    return junit_xml.document([_suite(status, task) for task in status.state.shown()]).decode()


def _suite(status: FleetStatus, task: TaskState) -> junit_xml.Suite:
    """The gates of the task's latest run; and why it is not complete, where no gate shows it."""
    name, word = task.name, status.state.word(task)
    tests: list[junit_xml.Test] = []
    if task.number and task.phase is Phase.OVER:
        tests = _gates(status.workspace(task), name)
    if not any(test.failure for test in tests) and word != StateName.COMPLETE:
        why = task.reason or word
        one = junit_xml.Test("run", f"openloop.{name}", task.seconds or 0.0, why, kind=word)
        tests = [*tests, one]
    return junit_xml.Suite(
        name=name,
        started=clock.utc(),
        host=task.host or "localhost",
        seconds=task.seconds or 0.0,
        tests=tests or [junit_xml.Test("run", f"openloop.{name}", task.seconds or 0.0)],
        properties={"state": word, "reason": printable(task.reason)},
    )


def _gates(workspace: str, name: str) -> list[junit_xml.Test]:
    """Of the last round of a workspace; none where it cannot be read."""
    from openloop.views.reports import report

    try:
        rounds = report.collect(workspace).run_rounds
    except (OpenLoopError, OSError, ValueError):
        return []
    found = [s.result for s in rounds[-1].steps if s.result.step.is_gate] if rounds else []
    return [
        junit_xml.Test(
            f"{result.step} again" if result.confirm else str(result.step),
            f"openloop.{name}",
            result.duration_seconds,
            "" if result.outcome.passed else printable(result.detail) or result.outcome,
            kind=result.outcome,
        )
        for result in found
    ]


_FORMS: dict[str, Callable[[FleetStatus], str]] = {
    "html": _html,
    "md": _md,
    "json": _json,
    "junit": _junit,
}
