"""Judges a step by its facts: the outcome, the metric, and whether the mission is complete."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from openloop.config.config import Baseline, Command, Config
from openloop.core.text import number, printable
from openloop.core.vocabulary import GATES, Match, Outcome, Step
from openloop.loop.events import Measurement, StepResult
from openloop.loop.state import State

LAST_ERROR_LENGTH = 2000  # characters
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
MOST_WRITES = 3  # times in a row that a gate writes until that is a failure
OBSCURED = ", but would without its colours and carriage returns (try NO_COLOR=1 in its env)"
_EXPLAINED_CODES = {126: "found but not executable", 127: "command not found"}


class Exit(NamedTuple):
    """How a command's process tree came to its end.

    code, signal: of the shell, None when it has none. ended: what OpenLoop itself did to it
    (timeout, stalled, interrupted) or why it never ran (error); None when it ended by itself.
    seconds: monotonic. peak_rss_bytes: the peak of the largest process, not below what the guard
    itself uses (about 12 MB), because the kernel counts from before exec. oom: kernel evidence, ""
    for none. survivors: PIDs that not even SIGKILL ended, normally none."""

    code: int | None = None
    signal: str | None = None
    ended: Outcome | None = None
    detail: str = ""
    pid: int | None = None
    seconds: float = 0.0
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None
    oom: str = ""
    survivors: tuple[int, ...] = ()


class LogFacts(NamedTuple):
    """What one reading of a command's own output found.

    oom_marker: the line that matched, "" for none. expected, rejected: None when not asked.
    values: the metric's matches as text, several equal ones kept once. trouble: why a
    regular expression of the user's gave no answer. obscured: whether one that found nothing would
    find something without the colours and carriage returns of the log's end.
    """

    oom_marker: str = ""
    expected: bool | None = None
    rejected: bool | None = None
    values: tuple[str, ...] = ()
    trouble: str = ""
    obscured: bool = False


class Verdict(NamedTuple):
    outcome: Outcome
    detail: str = ""
    value: float | None = None  # of the metric, for a baseline


def verdict_of(command: Command, end: Exit, facts: LogFacts) -> Verdict:
    """The outcome of one command. Evidence of a lie or an illness beats the exit code."""
    if end.ended in (Outcome.ERROR, Outcome.INTERRUPTED):
        return Verdict(end.ended, end.detail)
    if end.survivors:
        return Verdict(
            Outcome.ERROR, f"PIDs {', '.join(map(str, end.survivors))} could not be ended"
        )
    if end.oom:
        return Verdict(Outcome.OOM, end.oom)
    if facts.oom_marker and end.code != 0:
        words = "so" if command.private else repr(facts.oom_marker)
        return Verdict(Outcome.OOM, f"suspected by limits.oom_markers: the log says {words}")
    if end.ended is not None:
        return Verdict(end.ended, end.detail)
    if end.code != 0:
        return Verdict(Outcome.FAILED, _exit_words(end))
    if facts.trouble:
        return Verdict(Outcome.FAILED, facts.trouble)
    if facts.rejected:
        return Verdict(Outcome.FAILED, f"its log matches reject {command.reject!r}")
    if facts.expected is False:
        why = f"its log does not match expect {command.expect!r}"
        return Verdict(Outcome.FAILED, why + (OBSCURED if facts.obscured else ""))
    return Verdict(Outcome.PASSED)


def _exit_words(end: Exit) -> str:
    if end.signal:
        return f"killed by {end.signal}, not by OpenLoop"
    explained = _EXPLAINED_CODES.get(end.code or 0)
    return f"exit {end.code} ({explained})" if explained else f"exit {end.code}"


def words_if_not_run(result: StepResult | None) -> str:
    """Why the shell could not run a command, mostly because it is not there, as the end of a
    sentence; "" for any other result."""
    if result is None or result.outcome is not Outcome.FAILED:
        return ""
    return f": {result.detail}" if result.exit_code in _EXPLAINED_CODES else ""


def is_certain(verdicts: Sequence[Verdict], *, single_failure: bool) -> bool:
    """Whether further repetitions cannot change the result any more.

    single_failure: one failure decides, as for a measurement.
    """
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.INTERRUPTED in outcomes or (single_failure and outcomes != {Outcome.PASSED}):
        return True
    return Outcome.PASSED in outcomes and len(outcomes) > 1


def combined_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a gate over its repetitions: only all of them passing passes."""
    failed = [verdict for verdict in verdicts if not verdict.outcome.passed]
    if not failed or verdicts[-1].outcome is Outcome.INTERRUPTED:
        return verdicts[-1]
    if len(failed) == len(verdicts):
        return failed[0]
    words = f"{len(failed)} of {len(verdicts)} runs did not pass: {failed[0].detail}"
    return Verdict(Outcome.FLAKY, words)


def measure(baseline: Baseline, samples: Sequence[LogFacts]) -> Verdict:
    """The baseline's verdict over its repetitions: the matches of each, the median compared."""
    values: list[float] = []
    for facts in samples:
        picked = _pick(facts.values, baseline.match)
        if isinstance(picked, str):
            if not facts.values and facts.obscured:
                picked += OBSCURED
            why = "its log is private" if baseline.command.private else picked
            return Verdict(Outcome.FAILED, f"{baseline.metric_name} not measured: {why}")
        values.append(picked)
    value = median(values)
    words = f"{baseline.metric_name}={number(value)}"
    if len(values) > 1:
        words += f" (median of {', '.join(map(number, values))})"
    if baseline.direction.passes(value, baseline.value):
        return Verdict(Outcome.PASSED, words, value)
    wanted = f"{baseline.direction.replace('_', ' or ')} {number(baseline.value)}"
    return Verdict(Outcome.FAILED, f"{words}, wanted {wanted}", value)


def _pick(texts: tuple[str, ...], match: Match) -> float | str:
    """The one value that counts, or why there is none."""
    if not texts:
        return "nothing in the log matches the regex"
    numbers: list[float] = []
    for text in texts:
        number = float(text) if re.fullmatch(_NUMBER, text) else math.nan
        if not math.isfinite(number):
            return f"{text[:40]!r} is not a finite number"
        numbers.append(number)
    if match is Match.FIRST:
        return numbers[0]
    if match is Match.LAST:
        return numbers[-1]
    if len(set(numbers)) > 1:
        return f"several different values: {', '.join(texts[:5])} (see baseline.match)"
    return numbers[0]


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return ordered[middle - 1] / 2 + ordered[middle] / 2  # the sum may not be finite


def error_line(step: Step, verdict: Verdict, last_line: str) -> str:
    """One printable line: step, outcome, why, and the line of the log that says what failed."""
    words = f"{step} {verdict.outcome}"
    if verdict.detail:
        words += f" ({verdict.detail})"
    if last_line and last_line != verdict.detail:
        words += f": {last_line}"
    return printable(words)[:LAST_ERROR_LENGTH]


def measurement(baseline: Baseline, verdict: Verdict) -> Measurement:
    """The measurement of a baseline with this verdict."""
    return Measurement(
        baseline.metric_name,
        verdict.value,
        baseline.value,
        baseline.direction,
        verdict.outcome.passed,
    )


def with_violation(result: StepResult, broken: str) -> StepResult:
    """A step's result after the policy's verdict. broken: what broke the policy, "" for nothing.

    A gate that rewrote the files it is judged by has measured nothing.
    """
    if not broken or result.outcome is Outcome.INTERRUPTED:
        return result
    verdict = Verdict(Outcome.POLICY, broken)
    measured = result.measurement
    return result._replace(
        outcome=verdict.outcome,
        detail=broken,
        value=None,
        error=error_line(result.step, verdict, ""),
        measurement=measured._replace(value=None, passed=False) if measured else None,
    )


def fail_if_it_keeps_writing(result: StepResult, state: State) -> StepResult:
    """A gate's result after it wrote to the project. A gate may write files that only changes
    should, as a formatter does: it is measured again with the others. One that writes each time
    leaves another project than the one that it passed."""
    if not (result.wrote and result.outcome.passed):
        return result
    times = 1
    for earlier in reversed(state.steps):
        if earlier.step.is_change:
            break
        times += earlier.step is result.step and bool(earlier.wrote)
    if times < MOST_WRITES:
        return result
    return with_violation(
        result,
        f"wrote {first_of(result.wrote)} each of the {times} times it ran, so that it leaves "
        "another project than it passed: ignore such files, or take them out of policy.allow",
    )


def first_of(paths: Sequence[str]) -> str:
    """The first three paths, and the number of the others."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def failing(config: Config, state: State) -> tuple[Step, ...]:
    """Configured gates whose latest result is a failure, whatever has changed since."""
    known = (gate for gate in config.gates if gate in state.gates)
    return tuple(gate for gate in known if not state.gates[gate].outcome.passed)


def fresh(config: Config, state: State) -> tuple[Step, ...]:
    """Configured gates measured since the latest change, and since a gate last wrote code."""
    return tuple(
        gate
        for gate in config.gates
        if gate in state.gates and state.gates[gate].seq >= state.change_seq
    )


def failures_without_a_change_since(config: Config, state: State) -> tuple[Step, ...]:
    """Failures after which no change has run yet; a change whose agent was unavailable does not
    count."""
    return tuple(
        gate for gate in failing(config, state) if state.gates[gate].seq >= state.answer_seq
    )


def outstanding(config: Config, state: State) -> tuple[Step, ...]:
    """Failures that were measured since the latest change."""
    return _both(failing(config, state), fresh(config, state))


def stale(config: Config, state: State) -> tuple[Step, ...]:
    """Configured gates whose evidence is older than the latest change, or missing."""
    known = fresh(config, state)
    return tuple(gate for gate in config.gates if gate not in known)


def complete(config: Config, state: State) -> bool:
    """Every configured gate's latest result passed and none is stale."""
    return not failing(config, state) and not stale(config, state)


def _both(some: Iterable[Step], others: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(step for step in GATES if step in some and step in others)
