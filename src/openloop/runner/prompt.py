"""The prompt of a change: the mission, what failed, and what was tried."""

from __future__ import annotations

from typing import Protocol

from openloop.config.config import Config, Policy
from openloop.core.text import counted
from openloop.core.vocabulary import Outcome, SandboxMode, Step
from openloop.loop import gates
from openloop.loop.state import RoundSummary, State
from openloop.record import attachments, log_tail, projections
from openloop.record.mission import Mission
from openloop.record.workspace import KNOWLEDGE, LOGS, Workspace

TAIL = 6000  # bytes of each failing log that are quoted


class WithheldFiles(Protocol):
    """The withheld files, which a prompt must not name."""

    def is_named_in(self, text: str) -> bool:
        """Whether the text names one of them."""


def build(mission: Mission, state: State, step: Step, withheld: WithheldFiles) -> str:
    """The Markdown prompt for the change `step` that is about to start."""
    config, workspace = mission.config, mission.workspace
    failed = gates.failing(config, state)
    parts = [
        f"# {step} in round {state.round}\n",
        f"You work inside a monitored loop. Change the project at `{mission.root}` so that every "
        "gate passes; then end. The gates are run after you by another process: only their "
        "result counts, not what you report.\n",
        "## Mission\n",
        _mission(config, workspace),
        "## What failed\n",
        *(_failure(config, state, workspace, gate, withheld) for gate in failed),
        "## Gates\n",
        _gates(config),
        "## What earlier rounds tried\n",
        _history(state),
        "## Rules\n",
        _rules(workspace) + _policy(config.policy),
    ]
    return "\n".join(parts)


def _mission(config: Config, workspace: Workspace) -> str:
    return f"{config.mission or '(none written)'}\n\nMore: `{workspace.file('mission.md')}`\n"


def _failure(
    config: Config, state: State, workspace: Workspace, gate: Step, withheld: WithheldFiles
) -> str:
    result = state.gates[gate]
    lines = [f"### {gate}: {result.outcome}\n", f"{result.error}\n"]
    if state.metric and gate is Step.BASELINE:
        lines.append(f"Metric: {projections.metric_words(state.metric)}\n")
    if config.command(gate).private:
        return "\n".join([*lines, "Its log is private.\n"])
    end = log_tail.end_of(workspace, result.log_path, TAIL)
    if end and withheld.is_named_in(end.text):
        lines.append("The end of its log names what is withheld, and is not quoted.\n")
    elif end and end.lines:
        quoted = log_tail.fenced(("…", *end.lines) if end.before else end.lines)
        lines.append(f"The end of its log, `{workspace.file(result.log_path)}`:\n\n{quoted}")
    if shown := attachments.pictures(workspace, result.log_path):
        names = ", ".join(f"`{path}`" for path in shown)
        lines.append(f"Pictures of what it saw: {names}\n")
    return "\n".join(lines)


def _gates(config: Config) -> str:
    return "\n".join(f"- {gate}: `{config.command(gate).run}`" for gate in config.gates) + "\n"


def _history(state: State) -> str:
    if not state.history:
        return "This is the first round.\n"
    undone = [
        f"- undone by the policy in round {one.round}, {one.step}: {one.text}"
        for one in state.undone
    ]
    return "\n".join([*map(_round, state.history), *undone]) + "\n"


def _round(past: RoundSummary) -> str:
    steps = ", ".join(f"{step} {outcome}" for step, outcome in past.steps)
    changes = {step: outcome for step, outcome in past.steps if step.is_change}
    if tried := [step for step, outcome in changes.items() if outcome is Outcome.PASSED]:
        words = f"{' and '.join(tried)} ran and did not help"
    elif broken := [step for step, outcome in changes.items() if outcome is Outcome.POLICY]:
        words = f"{' and '.join(broken)} broke the policy"
    else:
        words = "no change ran to its end"
    return f"- round {past.round} ({past.outcome}): {steps}. {words.capitalize()}."


def _policy(policy: Policy | None) -> str:
    """The limits that the change is measured by, so that an honest agent can keep them."""
    if policy is None:
        return ""
    lines = []
    if policy.protect:
        lines.append(f"Protected, whatever you do to them is undone: {_patterns(policy.protect)}.")
    if policy.allow is not None:
        lines.append(f"You may change nothing but {_patterns(policy.allow)}.")
    if policy.withhold:
        withheld = _patterns(policy.withhold)
        lines.append(f"Not there while you work, and nothing may be put there: {withheld}.")
    if policy.sandbox is not SandboxMode.NONE:
        lines.append(
            "Where a sandbox is at hand you work in one: the rest of the disk is read-only."
        )
    if policy.max_changed_files is not None:
        lines.append(
            f"Change at most {counted(policy.max_changed_files, 'file')}, or all of it is undone."
        )
    if policy.max_diff_lines is not None:
        lines.append(
            f"Change at most {counted(policy.max_diff_lines, 'line')}, or all of it is undone."
        )
    return "".join(f"- {line}\n" for line in lines)


def _patterns(patterns: tuple[str, ...]) -> str:
    return ", ".join(f"`{pattern}`" for pattern in patterns)


def _rules(workspace: Workspace) -> str:
    return (
        "- Fix the cause. Do not edit, skip or weaken the checks, and do not touch the loop's "
        "own files.\n"
        f"- The loop's state is `{workspace.file('heartbeat.json')}`; logs are in "
        f"`{workspace.file(LOGS)}`.\n"
        f"- Read `{workspace.file(KNOWLEDGE)}` first, and put lessons for later rounds there, "
        "one short Markdown file each.\n"
        "- Processes that you start in the background are ended when you end.\n"
    )
