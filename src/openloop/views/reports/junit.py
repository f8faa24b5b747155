"""A report as JUnit XML: a test suite a round of the latest run, a test case a gate.

The schemas in use have no place for the output of a test case that both of them allow. So a case
holds its failure with the end of its log, and the logs of all gates of a round are the output of
its suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openloop.core.text import printable
from openloop.core.usage import RunUsage, Usage
from openloop.core.vocabulary import Outcome, Status
from openloop.loop.events import StepResult
from openloop.views import junit_xml
from openloop.views.history import Round
from openloop.views.reports import pictures
from openloop.views.reports.report import RunReport

_LOG_END = 8000  # bytes of each log
_ERRORS = (Outcome.ERROR, Outcome.INTERRUPTED)  # nothing was measured
_FINE = (Status.COMPLETE, Status.RUNNING, Status.READY)
_GONE = "(not there any more)"


def render(report: RunReport) -> str:
    suites = [_suite(report, one) for one in report.run_rounds]
    if why := _reason_without_gate(report, suites):
        suites.append(_run(report, printable(why)))
    return junit_xml.document(suites).decode()


def _reason_without_gate(report: RunReport, suites: Sequence[junit_xml.Suite]) -> str:
    """Why the run is not complete if no gate shows it, "" otherwise: a run blocked because of its
    record must not look as if everything passed."""
    if broken := report.audit.broken:
        return f"{broken.where}: {broken.why}"
    is_shown = any(test.failure for test in suites[-1].tests) if suites else False
    return "" if is_shown or report.status in _FINE else f"{report.status}: {report.reason}"


def _run(report: RunReport, why: str) -> junit_xml.Suite:
    group = printable(f"openloop.{report.name}.run")
    test = junit_xml.Test("run", group, 0.0, failure=why, kind=report.status)
    when, host = report.updated_at or report.generated_at, report.host or "localhost"
    return junit_xml.Suite("run", when, host, 0.0, [test])


def _suite(report: RunReport, one: Round) -> junit_xml.Suite:
    gates = [step.result for step in one.steps if step.result.step.is_gate]
    return junit_xml.Suite(
        name=f"round {one.number}",
        started=one.started_at,
        host=report.host,
        seconds=one.seconds,
        tests=[_test(report, one, result) for result in gates],
        out="\n".join(_output(report, result) for result in gates),
        err="\n".join(map(printable, _not_gates(one))),
        properties={
            "run": str(one.run),
            "outcome": one.outcome or "open",
            "reason": printable(one.reason),
            **_usage(one),
        },
    )


def _usage(one: Round) -> dict[str, str]:
    """The known usage of the agents of the round."""
    total = RunUsage()
    for step in one.steps:
        if step.result.usage is not None:
            total = total.plus(Usage.from_json(step.result.usage))
    known = {} if not total.sessions else total.to_json()
    return {name: str(value) for name, value in known.items() if value is not None}


def _test(report: RunReport, one: Round, result: StepResult) -> junit_xml.Test:
    name = f"{result.step} again" if result.confirm else str(result.step)
    group = printable(f"openloop.{report.name}.round {one.number}")
    if result.outcome.passed:
        return junit_xml.Test(name, group, result.duration_seconds)
    return junit_xml.Test(
        name,
        group,
        result.duration_seconds,
        failure=printable(result.detail) or result.outcome,
        kind=result.outcome,
        output=_log(report, result),
        is_error=result.outcome in _ERRORS,
    )


def _output(report: RunReport, result: StepResult) -> str:
    attached = "" if result.private else "".join(_attachments(report, result))
    return f"==> {printable(result.log_path)}\n{_log(report, result)}\n{attached}"


def _attachments(report: RunReport, result: StepResult) -> Iterator[str]:
    """The attachments, in the form that GitLab and the plug-in of Jenkins read."""
    for one in result.attachments[: pictures.NAMED]:
        yield f"[[ATTACHMENT|{printable(report.workspace.file(one.path))}]]\n"


def _log(report: RunReport, result: StepResult) -> str:
    end = report.log_end(result, _LOG_END)
    return end.text if end else _GONE


def _not_gates(one: Round) -> list[str]:
    """The actions of changes and policy, which no test case contains."""
    changes = [
        f"{step.result.step} {step.result.outcome} {step.result.detail}".rstrip()
        for step in one.steps
        if step.result.step.is_change
    ]
    return [*changes, *(f"violation in {found.step}: {found.text}" for found in one.undone)]
