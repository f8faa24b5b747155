"""A report for a pull request: short, and safe to paste whatever a log holds."""

from __future__ import annotations

from openloop.core import usage
from openloop.core.text import counted, markup
from openloop.loop.events import StepResult
from openloop.record import log_tail, projections
from openloop.views import changes, console
from openloop.views.audit import counts
from openloop.views.changes import Change
from openloop.views.console import duration
from openloop.views.reports import pictures
from openloop.views.reports.report import FailedStep, RunReport

_ROUNDS = 10  # latest rounds in the table
_FAILURES = 3  # latest failures that are shown with the end of their logs
_LOG_END = 2000  # bytes
_LOG_LINES = 30  # of a log or a diff
_CHANGES = 3  # latest changes that are shown with their diffs
_UNDONE = 10


def render(report: RunReport) -> str:
    parts = [
        _verdict(report),
        _gates(report),
        _rounds(report),
        _undone(report),
        *(_failure(report, failure) for failure in report.failures[:_FAILURES]),
        "\n".join(_change(report, change) for change in report.changes[:_CHANGES]),
        _attachments(report),
        _record(report),
    ]
    return "\n".join(part for part in parts if part)


def _verdict(report: RunReport) -> str:
    lines = [f"### OpenLoop: {markup(report.status)}", "", _words(report.reason), ""]
    if mission := " ".join(report.mission.split()):
        lines[1:1] = ["", f"> {_words(mission[:300])}"]
    if report.metric:
        lines += [_words(projections.metric_words(report.metric)), ""]
    if words := usage.in_words(report.usage):
        lines += [f"Agents: {words}", ""]
    for problem in report.problems:
        lines += [f"**Problem:** {_words(' '.join(str(problem).split()))}", ""]
    return "\n".join(lines)


def _words(text: str) -> str:
    """Foreign text as `code`, so that it mentions nobody and links to nothing."""
    return f"<code>{markup(text)}</code>" if text else ""


def _gates(report: RunReport) -> str:
    if not report.gates:
        return ""
    lines = ["| gate | latest result | why |", "|---|---|---|"]
    for gate in report.gates:
        outcome = f"{gate.result.outcome}{', stale' if gate.stale else ''}"
        lines.append(f"| {gate.step} | {outcome} | {_words(gate.result.error[:200])} |")
    return "\n".join([*lines, ""])


def _rounds(report: RunReport) -> str:
    rounds = report.run_rounds[-_ROUNDS:]
    if not rounds:
        return ""
    lines = ["| round | outcome | time | steps |", "|---|---|---|---|"]
    for one in rounds:
        steps = ", ".join(f"{s.result.step} {_sign(s.result)}" for s in one.steps)
        outcome = one.outcome or "open"
        lines.append(f"| {one.number} | {outcome} | {duration(one.seconds)} | {steps} |")
    left = sum(report.history.earlier.values()) + len(report.rounds) - len(rounds)
    if left:
        lines += ["", f"{counted(left, 'earlier round')} left out."]
    return "\n".join([*lines, ""])


def _sign(result: StepResult) -> str:
    sign = "✓" if result.outcome.passed else f"**{result.outcome}**"
    used = usage.of_step(result.usage)
    return f"{sign} ({used})" if used else sign


def _undone(report: RunReport) -> str:
    found = report.undone[:_UNDONE]
    if not found:
        return ""
    lines = [f"- violation in {_words(console.violation_words(one))}" for one in found]
    left = len(report.undone) - len(found)
    if left:
        lines.append(f"- and {left} more")
    return "\n".join([*lines, ""])


def _failure(report: RunReport, failure: FailedStep) -> str:
    result = failure.result
    end = report.log_end(result, _LOG_END)
    title = f"round {failure.round.number}, {result.step} {result.outcome}"
    log = f"{_words(result.log_path)} is empty or gone.\n"
    if end and end.lines:
        log = log_tail.fenced(end.lines[-_LOG_LINES:])
    return f"<details><summary>{title}: {_words(result.detail)}</summary>\n\n{log}\n</details>\n"


def _change(report: RunReport, change: Change) -> str:
    title = f"round {change.round}, {change.result.step}: {changes.diff_counts(change.result)}"
    found, left = changes.quoted(report.workspace, change, _LOG_LINES)
    if not found:
        return f"{title}\n"
    rest = [f"… and {left} more"] if left else []
    diff = log_tail.fenced([*found, *rest], language="diff")
    return f"<details><summary>{title}</summary>\n\n{diff}\n</details>\n"


def _attachments(report: RunReport) -> str:
    lines = []
    for left in pictures.of(report)[:_ROUNDS]:
        names = _words(pictures.names(left.result))
        lines.append(f"- round {left.round}, {left.result.step} left {names}")
    return "\n".join([*lines, ""]) if lines else ""


def _record(report: RunReport) -> str:
    seen = report.audit
    if seen.broken:
        words = _words(f"{seen.broken.where}: {seen.broken.why}")
        return f"Record: **broken**, {words}\n"
    if not seen.is_whole:
        checked = f"the latest {counts(seen)} are intact"
        return f"Record: not audited as a whole: openloop audit; {checked}, head `{seen.head}`\n"
    return f"Record: intact, {counts(seen)}, head `{seen.head}`\n"
