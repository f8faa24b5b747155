"""A report as one page: no script, no network, dark and light, everything shown escaped."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from importlib import resources

from openloop import __version__
from openloop.core import usage
from openloop.core.text import counted
from openloop.core.vocabulary import Status, Step
from openloop.loop.events import StepResult
from openloop.record import projections
from openloop.record.log_tail import Excerpt
from openloop.views import changes
from openloop.views.audit import counts
from openloop.views.changes import Change
from openloop.views.console import duration, size, violation_words
from openloop.views.history import FinishedStep, Round
from openloop.views.reports import charts, pictures
from openloop.views.reports.charts import escaped
from openloop.views.reports.report import FailedStep, Gate, RunReport

_NOT_WHOLE = "Not audited as a whole: openloop audit"
_LOG_END = 8000  # bytes of a failure's log
_FAILURES = 20  # failures that are shown with the end of their logs
_CHANGES = 10  # latest changes that are shown with their diffs
_DIFF_LINES = 400
_PATHS = 20  # paths that are named for one violation


def render(report: RunReport) -> str:
    """The page, as text to be encoded in UTF-8."""
    style = (
        resources.files("openloop.views.reports").joinpath("report.css").read_text(encoding="utf-8")
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    parts = (
        _header(report),
        _broken(report),
        _gates(report),
        _timeline(report),
        _metric(report),
        _usage(report),
        _failures(report),
        _changes(report),
        pictures.render(report),
        _policy(report),
        _rounds(report),
        _record(report),
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:\
; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escaped(report.name)}: {escaped(report.status)} - OpenLoop report</title>
<style>{style}</style>
</head>
<body>
<main>
{"".join(parts)}
<footer>Made by OpenLoop {escaped(__version__)} at {escaped(_time(report.generated_at))} UTC.
This page needs no network and runs no script.</footer>
</main>
</body>
</html>
"""


def _header(report: RunReport) -> str:
    mission = " ".join(report.mission.split()) or report.name
    rounds = counted(len(report.run_rounds), "round")
    shown = rounds if len(report.run_rounds) < len(report.rounds) else _rounds_words(report)
    facts = [("workspace", escaped(report.workspace.given))]
    if report.run:
        facts.append(("run", f"{report.run}: {escaped(shown)}, {duration(report.seconds)}"))
    if report.metric:
        facts.append(("metric", escaped(projections.metric_words(report.metric))))
    if words := usage.in_words(report.usage):
        facts.append(("usage", escaped(words)))
    if report.consecutive_failures:
        facts.append(("failed", f"{counted(report.consecutive_failures, 'round')} in a row"))
    if report.updated_at:
        facts.append(("updated", f"{escaped(_time(report.updated_at))} UTC"))
    if report.next and report.status != Status.COMPLETE:
        facts.append(("next", escaped(report.next)))
    rows = "".join(f"<div><dt>{name}</dt><dd>{words}</dd></div>" for name, words in facts)
    status = escaped(report.status)
    return f"""<header class="s-{status}">
<p class="brand">OpenLoop <span>report</span></p>
<h1>{escaped(mission[:300])}</h1>
<p class="verdict"><strong>{status}</strong> <span>{escaped(report.reason)}</span></p>
<dl>{rows}</dl>
</header>
"""


def _rounds_words(report: RunReport) -> str:
    """The number of rounds, and how many of them are only counted."""
    earlier = sum(report.history.earlier.values())
    words = counted(len(report.rounds) + earlier, "round")
    return f"{words}, the latest {len(report.rounds)} shown" if earlier else words


def _time(utc: str) -> str:
    """`2026-01-31 12:00:59` of an ISO time."""
    return utc[:19].replace("T", " ")


def _broken(report: RunReport) -> str:
    """The errors in record and workspace, shown before anything else."""
    lines = [str(problem) for problem in report.problems]
    if report.history.broken:
        lines.append(
            f"The record is intact only up to here: {report.history.broken}. "
            "What came later is not shown."
        )
    items = "".join(f"<li><pre>{_lines(line.splitlines())}</pre></li>" for line in lines)
    return f'<section class="problems"><h2>Problems</h2><ul>{items}</ul></section>' if lines else ""


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(map(escaped, lines))


def _gates(report: RunReport) -> str:
    if not report.gates:
        return ""
    cards = "".join(map(_card, report.gates))
    return f"""<section><h2>Gates</h2>
<p class="hint">The latest result of each gate. Stale: measured before the latest change.</p>
<ul class="cards">{cards}</ul></section>
"""


def _card(gate: Gate) -> str:
    stale = ' <span class="stale">stale</span>' if gate.stale else ""
    why = f"<p>{escaped(gate.result.error[:300])}</p>" if gate.result.error else ""
    outcome = gate.result.outcome
    return f"<li><h3>{gate.step}</h3>{_badge(outcome)}{stale}{why}</li>"


def _badge(outcome: str) -> str:
    return f'<span class="badge o-{escaped(outcome)}">{escaped(outcome)}</span>'


def _timeline(report: RunReport) -> str:
    if not report.rounds:
        return ""
    earlier = report.history.earlier
    counted = ", ".join(f"{count} {escaped(outcome)}" for outcome, count in earlier.items())
    before = f"<p class='hint'>Earlier rounds, not drawn: {counted}.</p>" if counted else ""
    return f"""<section><h2>Rounds</h2>
<p class="hint">A row is a round, a bar is a step: the longer it took, the wider.
<span class="key gate o-passed"></span> gate passed
<span class="key gate o-failed"></span> did not pass
<span class="key change o-passed"></span> change
<span class="key gate o-policy"></span> against the policy</p>
{before}<div class="picture">{charts.timeline(report.rounds)}</div></section>
"""


def _metric(report: RunReport) -> str:
    measured = report.history.measured
    if not measured:
        return ""
    latest = measured[-1].metric
    return f"""<section><h2>Metric: {escaped(latest.name)}</h2>
<p class="hint"><span class="key line-value"></span> measured
<span class="key line-best"></span> best so far
<span class="key line-baseline"></span> baseline, {latest.direction.replace("_", " or ")}</p>
<div class="picture">{charts.metric(measured)}</div></section>
"""


def _usage(report: RunReport) -> str:
    drawn = charts.usage(report.run_rounds)
    if not drawn:
        return ""
    return f"""<section><h2>Usage</h2>
<p class="hint">A bar is a session of an agent: {escaped(usage.in_words(report.usage))}.</p>
<div class="picture">{drawn}</div></section>
"""


def _failures(report: RunReport) -> str:
    failures = report.failures
    if not failures:
        return ""
    shown = "".join(
        _failure(report, failure, is_open=index == 0 and report.status != Status.COMPLETE)
        for index, failure in enumerate(failures[:_FAILURES])
    )
    left = len(failures) - _FAILURES
    more = f"<p class='hint'>{left} earlier ones are left out.</p>" if left > 0 else ""
    return f"<section><h2>What did not pass</h2>{shown}{more}</section>\n"


def _failure(report: RunReport, failure: FailedStep, *, is_open: bool) -> str:
    result = failure.result
    title = f"round {failure.round.number}, {_name(result.step, confirm=result.confirm)}"
    end = report.log_end(result, _LOG_END)
    return f"""<details{" open" if is_open else ""}><summary><b>{escaped(title)}</b>
{_badge(result.outcome)} <span class="why">{escaped(result.detail)}</span></summary>
<p class="command"><code>{escaped(result.command)}</code></p>
{_log(result, end)}</details>
"""


def _name(step: Step, *, confirm: bool) -> str:
    return f"{step} again" if confirm else str(step)


def _log(result: StepResult, end: Excerpt | None) -> str:
    path = escaped(result.log_path)
    if end is None:
        return f"<p class='hint'>{path} is not there any more.</p>"
    if not end.lines:
        return f"<p class='hint'>{path} is empty.</p>"
    before = f", {size(end.before)} before it left out" if end.before else ""
    return (
        f'<p class="hint">{path}{before}</p><div class="log"><pre>{_lines(end.lines)}</pre></div>'
    )


def _changes(report: RunReport) -> str:
    if not report.changes:
        return ""
    shown = "".join(
        _change(report, change, is_open=index == 0)
        for index, change in enumerate(report.changes[:_CHANGES])
    )
    left = len(report.changes) - _CHANGES
    more = f"<p class='hint'>{counted(left, 'earlier change')} left out.</p>" if left > 0 else ""
    return f"<section><h2>What each change did</h2>{shown}{more}</section>\n"


def _change(report: RunReport, change: Change, *, is_open: bool) -> str:
    found, left = changes.quoted(report.workspace, change, _DIFF_LINES)
    words = f"round {change.round}, {change.result.step}"
    did = f'<span class="why">{escaped(changes.diff_counts(change.result))}</span>'
    if not found:
        return f"<p><b>{words}</b> {did}</p>"
    rows = "\n".join(map(_diff_line, found))
    rest = f"; {counted(left, 'more line')} in it" if left else ""
    where = f"{escaped((change.result.changes or {})['diff'])}{rest}"
    return f"""<details{" open" if is_open else ""}><summary><b>{words}</b> {did}</summary>
<div class="diff"><pre>{rows}</pre></div><p class="hint">{where}</p></details>
"""


def _diff_line(line: str) -> str:
    kind = {"+": "add", "-": "del", "@": "hunk", "d": "file"}.get(line[:1])
    return f'<span class="{kind}">{escaped(line)}</span>' if kind else escaped(line)


def _policy(report: RunReport) -> str:
    kept = [(one.number, words) for one in reversed(report.rounds) for words in one.checkpoints]
    if not report.undone and not kept:
        return ""
    undone = "".join(
        f"<li>{escaped(violation_words(one))}{_paths(one.paths)}</li>" for one in report.undone
    )
    checkpoints = "".join(f"<li>round {number}: {escaped(words)}</li>" for number, words in kept)
    parts = [f"<h3>Violations</h3><ul>{undone}</ul>"] if undone else []
    parts += [f"<h3>Kept and restored</h3><ul>{checkpoints}</ul>"] if checkpoints else []
    return f'<section class="policy"><h2>Policy</h2>{"".join(parts)}</section>\n'


def _paths(paths: Sequence[str]) -> str:
    if len(paths) < 2:
        return ""  # the words have named it
    left = len(paths) - _PATHS
    more = f"<li>and {left} more</li>" if left > 0 else ""
    items = "".join(f"<li><code>{escaped(path)}</code></li>" for path in paths[:_PATHS])
    return f"<ul>{items}{more}</ul>"


def _rounds(report: RunReport) -> str:
    if not report.rounds:
        return ""
    shown = "".join(
        _round(one, is_open=index == 0) for index, one in enumerate(reversed(report.rounds))
    )
    return f"<section><h2>Every step</h2>{shown}</section>\n"


def _round(one: Round, *, is_open: bool) -> str:
    rows = "".join(map(_step, one.steps))
    if running := one.running:
        name = _name(running.step, confirm=running.confirm)
        rows += (
            f"<tr><td>{name}</td><td>not finished</td><td></td><td></td><td></td>"
            f"<td></td><td></td><td><code>{escaped(running.log_path)}</code></td></tr>"
        )
    notes = "".join(f"<p class='hint'>{escaped(note)}</p>" for note in one.notes)
    outcome = one.outcome or "open"
    began = escaped(_time(one.started_at))
    why = f": {escaped(one.reason)}" if one.reason else ""
    return f"""<details{" open" if is_open else ""}><summary><b>round {one.number}</b>
<span class="badge r-{outcome}">{outcome}</span>
<span class="why">{duration(one.seconds)}, {began} UTC{why}</span>
</summary><div class="picture"><table><thead><tr><th>step</th><th>outcome</th><th>time</th>
<th>CPU</th><th>memory</th><th>usage</th><th>why</th><th>log</th></tr></thead><tbody>{rows}</tbody></table></div>
{notes}</details>
"""


def _step(step: FinishedStep) -> str:
    result = step.result
    cpu = "" if result.cpu_seconds is None else duration(result.cpu_seconds)
    memory = "" if result.peak_rss_bytes is None else size(result.peak_rss_bytes)
    cells = (
        escaped(_name(result.step, confirm=result.confirm)),
        _badge(result.outcome),
        duration(result.duration_seconds),
        cpu,
        memory,
        escaped(usage.of_step(result.usage)),
        escaped(result.detail or changes.diff_counts(result)),
        f"<code>{escaped(result.log_path)}</code>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _record(report: RunReport) -> str:
    seen = report.audit
    if seen.broken:
        verdict = f"{_badge('broken')} {escaped(seen.broken.where)}: {escaped(seen.broken.why)}"
    elif seen.is_whole:
        verdict = f"{_badge('intact')} {escaped(counts(seen))}"
    else:
        verdict = f"{_NOT_WHOLE}; the latest {escaped(counts(seen))} are intact"
    notes = "".join(f"<p class='hint'>{escaped(note)}</p>" for note in seen.notes)
    command = f"openloop audit {shlex.quote(report.workspace.given)} --head {seen.head}"
    check = (
        f"<p class='hint'>Check it later:</p><pre>{escaped(command)}</pre>" if seen.events else ""
    )
    return f"""<section class="record"><h2>Record</h2><p>{verdict}</p>{notes}{check}</section>
"""
