"""Attachments in the reports: names everywhere, and on the page the pictures themselves."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from openloop.fs import files
from openloop.loop.events import Attachment, StepResult
from openloop.record.attachments import PICTURES
from openloop.views.console import size
from openloop.views.reports.charts import escaped
from openloop.views.reports.report import RunReport

NAMED = 20  # files of one step that are named
_ROUNDS = 10  # latest rounds whose pictures are shown
_LARGEST = 512 << 10  # bytes of a picture that is shown
_MOST = 6 << 20  # bytes of all pictures of a page
_CONSOLE = 256 << 10  # bytes of a console.log that is looked through
_LINES = 10  # errors of a console that are shown


@dataclass(frozen=True, slots=True)
class StepAttachments:
    """The attachments of one step of a round."""

    round: int
    result: StepResult


def of(report: RunReport) -> list[StepAttachments]:
    """The steps with attachments that may be shown, the latest first."""
    return [
        StepAttachments(one.number, step.result)
        for one in reversed(report.rounds)
        for step in reversed(one.steps)
        if step.result.attachments and not step.result.private
    ]


def names(result: StepResult) -> str:
    """`end.png, in/a.txt and 3 more`."""
    shown = [name_of(one) for one in result.attachments[:NAMED]]
    left = len(result.attachments) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def name_of(attachment: Attachment) -> str:
    """Its path below the step's folder."""
    return attachment.path.split("/", 2)[-1]


def render(report: RunReport) -> str:
    """A section of the page: the pictures of each round side by side; what is too large is
    named."""
    page = _PageRoom(report)
    rounds = groupby(reversed(of(report)), key=lambda left: left.round)
    rows = [page.row(number, list(steps)) for number, steps in rounds][-_ROUNDS:]
    body = "".join(reversed(rows))
    return f"<section><h2>What the steps left</h2>{body}</section>\n" if rows else ""


class _PageRoom:
    """The room that is left on one page."""

    def __init__(self, report: RunReport) -> None:
        self._workspace = report.workspace
        self._room = _MOST

    def row(self, number: int, steps: list[StepAttachments]) -> str:
        """The steps of one round, in their order."""
        figures, below = [], []
        for left in steps:
            result = left.result
            title = f"{result.step} {result.outcome}"
            figures += list(self._figures(title, result.attachments))
            if console := self._console_errors(result.attachments):
                lines = "".join(f"{escaped(line)}\n" for line in console)
                below.append(f"<p class='hint'>{escaped(title)}, console</p><pre>{lines}</pre>")
            below.append(f"<p class='hint'>{escaped(f'{title}: {names(result)}')}</p>")
        shots = f"<div class='shots'>{''.join(figures)}</div>"
        return f"<h3>round {number}</h3>{shots}{''.join(below)}"

    def _figures(self, title: str, attachments: Sequence[Attachment]) -> Iterator[str]:
        for one in attachments:
            if not one.path.lower().endswith(PICTURES) or one.path.lower().endswith(".svg"):
                continue
            name = escaped(f"{title}: {name_of(one)}")
            if one.bytes > min(_LARGEST, self._room):
                yield _figure("", f"{name} ({size(one.bytes)}, not shown)")
            elif data := self._read(one, _LARGEST):
                self._room -= len(data)
                ending = one.path.rpartition(".")[2].lower().replace("jpg", "jpeg")
                source = f"data:image/{ending};base64,{base64.b64encode(data).decode()}"
                yield _figure(f'<img alt="{name}" src="{source}">', name)
            else:
                yield _figure("", f"{name} (not as recorded)")

    def _console_errors(self, attachments: Sequence[Attachment]) -> list[str]:
        found = next((one for one in attachments if one.path.endswith("/console.log")), None)
        if found is None:
            return []
        lines = self._read(found, _CONSOLE).decode(errors="replace").splitlines()
        kinds = ("error", "assert", "exception")
        return [line for line in lines if line.split()[1:2] and line.split()[1] in kinds][:_LINES]

    def _read(self, one: Attachment, limit: int) -> bytes:
        """The bytes of an attachment if they match the record, b"" otherwise."""
        try:
            data = files.read(self._workspace.file(one.path), limit=limit + 1)
        except OSError:
            return b""
        return data if hashlib.sha256(data).hexdigest() == one.sha256 else b""


def _figure(image: str, caption: str) -> str:
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
