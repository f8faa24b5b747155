"""The workspace's documents for people and agents, generated from the real configuration."""

from __future__ import annotations

from collections.abc import Mapping

from openloop.config.config import Command, Config, Policy
from openloop.core.errors import RecordError
from openloop.core.text import counted, number
from openloop.core.vocabulary import OnViolation, SandboxMode, Step
from openloop.fs import files

NAMES = ("mission.md", "loop_contract.md", "eval_criteria.md")
_WORDS = {
    Step.PLAY: "use the project as its user would",
    Step.SCAN: "look for bugs; it runs even when play failed",
    Step.FIX: "a change, made when a failure is outstanding",
    Step.VERIFY: "the deterministic check that decides",
    Step.BASELINE: "measure, and compare with the baseline; runs when verify passed",
    Step.IMPROVE: "a change, made when only the baseline was missed",
}
_NOT_CONFIGURED = "not configured"
_GENERATED = """
<!-- Made from openloop.json. A run writes this page again when that has changed. Remove this line
     to keep words of your own. -->
"""
_LARGEST = 1 << 20  # bytes of a page that is compared


def write(config: Config) -> Mapping[str, str]:
    """File name to Markdown text."""
    texts = (_mission(config), _contract(config) + _GENERATED, _criteria(config) + _GENERATED)
    return dict(zip(NAMES, texts, strict=True))


def refresh(config: Config, folder: int) -> None:
    """Write those pages again that were made from an earlier configuration and not edited since.

    folder: descriptor of the workspace. Raises RecordError where one cannot be written.
    """
    for name, text in write(config).items():
        try:
            old = files.read(name, folder=folder, limit=_LARGEST)
        except OSError:  # removed, or made into something else: it is a person's now
            continue
        if old.endswith(_GENERATED.encode()) and old != text.encode():
            try:
                files.replace(name, text.encode(), folder=folder)
            except OSError as error:
                raise RecordError(f"{name} cannot be written: {error.strerror}") from error


def _mission(config: Config) -> str:
    return f"""# Mission

## Objective

{config.mission or "(say here what must be true of the project at the end)"}

## Non-goals

- Changing, skipping or weakening the checks that decide: {", ".join(config.gates)}.
- Work that no gate asks for.
- Touching this workspace's record: openloop.json, events.jsonl, logs/, artifacts/.

## Definition of done

Every gate passes on the final state of the project, measured by OpenLoop after the last
change. The exact rules are in eval_criteria.md.
"""


def _contract(config: Config) -> str:
    rows = "\n".join(
        f"| {step} | {words} | {_cell(_command(config, step))} |" for step, words in _WORDS.items()
    )
    return f"""# Loop contract

One round is one trip through these steps, in this order:

| step | what it is for | command |
|---|---|---|
{rows}

- play, scan, verify and baseline are gates: they measure. fix and improve are changes.
- Evidence must be newer than the last change: what a change made stale is measured again.
- Each command runs with `/bin/sh -c` in the project root, its output in a log of its own
  under logs/. Whatever it starts is ended with it.
- Before each change artifacts/ receives a prompt file: what failed, how, and what was tried.
- Lessons worth keeping go into knowledge/, results of your own into output/.
- What lies in holdout/ is for gates alone: while a change runs it is not there.
- heartbeat.json says what runs at this moment; progress.md is the timeline; events.jsonl is
  the record, and only OpenLoop writes it.
"""


def _command(config: Config, step: Step) -> str:
    try:
        return f"`{config.command(step).run}`"
    except KeyError:
        return _NOT_CONFIGURED


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _criteria(config: Config) -> str:
    limits = config.limits
    gates = "\n".join(f"- **{gate}** passes: {_passes(config, gate)}" for gate in config.gates)
    runtime = f"{limits.max_runtime:g} s" if limits.max_runtime is not None else "no limit"
    return f"""# Evaluation criteria

## Complete (exit code 0)

All of these, each measured after the last change:

{gates}

No gate may end with a timeout, a stall, signs of memory exhaustion or an abnormal exit.

## Blocked (exit code 3)

- {counted(limits.max_consecutive_failures, "round")} in a row without success: a gate's latest
  result is not a pass, and the metric did not beat its best so far.
- The record or the configuration was changed by a command.

The next run of a blocked workspace is a trial of one round: complete closes the breaker,
anything else blocks again.

{_policy(config.policy)}## Exhausted (exit code 1)

- The run has used its {counted(config.total_rounds, "round")}, or `--max-rounds` if that is fewer.
- The run lasted longer than max_runtime_seconds: {runtime}.

## Limits of every command

- {limits.command_timeout:g} s of wall clock, {limits.stall_timeout:g} s without new output, then
  SIGTERM to its whole process tree and SIGKILL after {limits.kill_grace:g} s, unless a command
  below says otherwise.
{_own_limits(config)}"""


def _policy(policy: Policy | None) -> str:
    if policy is None:
        return ""
    lines = [f"- protected, restored after every step: {_list(policy.protect)}"]
    if policy.allow is not None:
        lines.append(f"- a change may touch nothing but {_list(policy.allow)}")
    if policy.max_changed_files is not None:
        lines.append(f"- a change touches at most {counted(policy.max_changed_files, 'file')}")
    if policy.max_diff_lines is not None:
        lines.append(
            f"- a change adds and removes at most {counted(policy.max_diff_lines, 'line')}"
        )
    if policy.withhold:
        lines.append(
            f"- not there while a change runs, and otherwise protected: {_list(policy.withhold)}"
        )
    if policy.sandbox is not SandboxMode.NONE:
        only = "" if policy.sandbox is SandboxMode.BWRAP else ", where bubblewrap works"
        lines.append(f"- changes run in a sandbox in which only this can be written{only}")
    ends = policy.on_violation is OnViolation.FAIL
    what = "and the round ends as unhealthy at once" if ends else "and the round goes on"
    return "\n".join(
        ["## Not allowed", "", *lines, "", f"What breaks this is restored, {what}.", "", ""]
    )


def _list(patterns: tuple[str, ...]) -> str:
    return ", ".join(f"`{pattern}`" for pattern in patterns) or "nothing"


def _passes(config: Config, gate: Step) -> str:
    command = config.command(gate)
    words = f"`{command.run}` exits with 0"
    if command.expect is not None:
        words += f", its log matches `{command.expect}`"
    if command.reject is not None:
        words += f", its log does not match `{command.reject}`"
    if command.private:
        words += " (its log is private)"
    if gate is Step.BASELINE and config.baseline:
        base = config.baseline
        wanted = f"{base.direction.replace('_', ' or ')} {number(base.value)}"
        words += f", and {base.metric_name} (group 1 of `{base.regex}`) is {wanted}"
        if base.repeat > 1:
            words += f", the median of {base.repeat} runs"
    return words


def _own_limits(config: Config) -> str:
    lines = [
        f"- {step}: {command.timeout:g} s of wall clock, "
        f"{command.stall_timeout:g} s without output.\n"
        for step, command in config.commands.items()
        if _differs(config, command)
    ]
    return "".join(lines)


def _differs(config: Config, command: Command) -> bool:
    usual = (config.limits.command_timeout, config.limits.stall_timeout)
    return (command.timeout, command.stall_timeout) != usual
