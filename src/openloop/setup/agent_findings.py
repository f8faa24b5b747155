"""What `doctor` finds about the agents that a configuration names. Programs are asked for their
version and options; no session is begun."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openloop.agents import catalog, check, sessions
from openloop.agents.preset import Preset
from openloop.config.config import NO_POLICY, Command, Config
from openloop.config.shell_commands import simple_commands
from openloop.core.errors import ConfigError, UsageError
from openloop.core.vocabulary import SandboxMode
from openloop.setup.findings import Finding, ok, problem, warning

_INFORMS = re.compile("prompt_?file|last_?error", re.IGNORECASE)  # as placeholders or variables


def findings(known: Config) -> Iterator[Finding]:
    """The findings about agents, in the order of the configuration; each program is asked once."""
    presets: dict[str, Preset] = {}
    for place, command in sessions.commands(known):
        yield from _uninformed(place, command)
        if command.agent is None:
            yield from _unread(known, place, command)
            continue
        try:
            preset = catalog.preset_named(
                command.agent, where=place, fix="openloop agents lists them"
            )
        except ConfigError as error:
            yield from (problem(f"{one.what} (in {one.where})", one.fix) for one in error.problems)
            continue
        except UsageError as error:
            yield problem(f"{place}.agent: {error.what}", error.fix)
            continue
        yield from _limits(place, command, preset)
        yield from _sandbox(known, place, command, preset)
        if command.agent not in presets:
            yield from _program(preset, command)
        presets[command.agent] = preset
    for words in sessions.unpriced(known, presets):
        yield problem(words, sessions.PRICE_FIX)


def _uninformed(place: str, command: Command) -> Iterator[Finding]:
    """Whether an agent that is called directly gets what OpenLoop wrote for it."""
    name = _called(command)
    if name and not _INFORMS.search(command.run):
        what = f"{place}: {name} gets no {{prompt_file}}, so it does not learn what failed"
        yield warning(what, "hand it over, for example behind the command: < {prompt_file}")


def _called(command: Command) -> str:
    """The known agent that a command calls directly; "" for none."""
    names = {one.name for one in simple_commands(command.run)} & {*catalog.names()}
    return min(names, default="")


def _unread(known: Config, place: str, command: Command) -> Iterator[Finding]:
    limits = known.limits
    if name := _called(command):
        what = (
            f"{place} calls {name}, but names no agent: a limit or a missing login that it reports"
        )
        fix = f'write {{"run": …, "agent": "{name}"}}; openloop agents {name} shows its command'
        yield warning(f"{what} counts as a failed round", fix)
    if limits.max_cost is not None or limits.max_tokens is not None:
        what = f"{place} names no agent: its usage does not count towards the limits"
        yield warning(what, 'add "agent": "NAME"; openloop agents lists them')


def _limits(place: str, command: Command, preset: Preset) -> Iterator[Finding]:
    if command.stall_timeout < preset.silence_seconds:
        what = f"{place}: {preset.name} may be silent for {preset.silence_seconds:g} s and go on"
        least = f"write stall_timeout_seconds of {preset.silence_seconds:g} or more"
        yield warning(f"{what}, the stall limit is {command.stall_timeout:g} s", least)
    if command.timeout <= command.stall_timeout:
        what = f"{place}: the timeout of {command.timeout:g} s ends it before the stall limit can"
        yield warning(what, "write a longer timeout_seconds, or a shorter stall_timeout_seconds")


def _sandbox(known: Config, place: str, command: Command, preset: Preset) -> Iterator[Finding]:
    policy = known.policy or NO_POLICY
    if policy.sandbox is SandboxMode.NONE:
        return
    if preset.unboxed and preset.in_sandbox(command.run) != command.run:
        yield ok(f"{place}: the sandbox of {preset.name} itself is switched off inside of ours")
    elif preset.unboxed and not any(words in command.run for words in preset.unboxed.values()):
        words = " or ".join(preset.unboxed.values())
        what = f"{place}: {preset.name} may start a sandbox of its own, which cannot nest in ours"
        yield warning(what, f"write {words} in its command")


def installation(command: Command, program: str) -> str:
    """How to install a program that is the one of the command's agent; "" when that is unknown."""
    if command.agent is None:
        return ""
    try:
        preset = catalog.preset_named(command.agent)
    except (ConfigError, UsageError):  # a finding of its own
        return ""
    return preset.install if preset.program == program else ""


def _program(preset: Preset, command: Command) -> Iterator[Finding]:
    seen = check.check_agent(preset, start=True)
    if not seen.path:
        if preset.install and preset.program not in command.run.split():  # else a problem anyway
            what = f"{preset.name} is not installed: {preset.program} is not on PATH"
            yield warning(what, preset.install)
        return
    obstacles = check.obstacles(seen)
    for words in obstacles:
        yield warning(f"{preset.name} {seen.version}: {words}", f"openloop agents {preset.name}")
    if not obstacles:
        yield ok(f"{preset.name} {seen.version} knows the options of its preset")
