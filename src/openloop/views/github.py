"""The view inside GitHub Actions: a group for each round, an annotation, a summary table."""

from __future__ import annotations

import contextlib
import os

from openloop.core.text import markup
from openloop.core.vocabulary import Kind, Status
from openloop.fs import files
from openloop.loop.events import Event, StepResult
from openloop.loop.state import State
from openloop.record import projections
from openloop.views.console import Console, Screen, duration


def is_here() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


class GitHubConsole(Console):
    """The console's lines, in groups that GitHub folds."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._rows: list[StepResult] = []
        self._rounds: list[int] = []

    def event(self, event: Event, state: State, line: bytes) -> None:
        if event.kind is Kind.ROUND_STARTED:
            self._screen.line(f"::group::round {event.round}")
        super().event(event, state, line)
        match event.kind:
            case Kind.STEP_FINISHED:
                self._rows.append(state.steps[-1])
                self._rounds.append(event.round)
            case Kind.ROUND_FINISHED:
                self._screen.line("::endgroup::")
            case Kind.RUN_FINISHED:
                self._annotate(state)
                self._summarize(state)

    def _annotate(self, state: State) -> None:
        """An error at the top of the job's page for each gate that did not pass."""
        if state.status is Status.COMPLETE:
            return
        for gate, result in state.gates.items():
            if not result.outcome.passed:
                title = f"{gate} {result.outcome}"
                self._screen.line(f"::error title={_property(title)}::{_data(result.error)}")

    def _summarize(self, state: State) -> None:
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        text = "\n".join([*_heading(state), *map(_row, self._rounds, self._rows)]) + "\n"
        # The summary is a courtesy of the job's page; the run's result stands without it.
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with open(files.open_regular(path, flags), "a", encoding="utf-8") as file:
                file.write(text)


def _heading(state: State) -> list[str]:
    lines = [f"### OpenLoop: {state.status}", "", markup(state.reason), ""]
    if state.metric:
        lines += [markup(projections.metric_words(state.metric)), ""]
    return [*lines, "| round | step | outcome | time | why |", "|---|---|---|---|---|"]


def _row(number: int, result: StepResult) -> str:
    name = f"{result.step} (again)" if result.confirm else result.step
    cells = (str(number), name, result.outcome, duration(result.duration_seconds), result.detail)
    return f"| {' | '.join(map(markup, cells))} |"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
