"""`openloop doctor`: check everything about a workspace that can be checked without a run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

from openloop.config import config, placeholders
from openloop.config.config import Command, Config
from openloop.config.oom_markers import OOM_MARKERS
from openloop.config.shell_commands import pitfalls
from openloop.core.errors import ConfigError, UsageError
from openloop.core.vocabulary import CHANGES, Step
from openloop.fs.files import NotRegular
from openloop.process import log_scan
from openloop.record import chain, integrity, record_end
from openloop.record import workspace as places
from openloop.record.lock import runner_lives
from openloop.record.workspace import (
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    FOLDERS,
    Workspace,
)
from openloop.runner import documents
from openloop.setup import policy_findings, script_findings
from openloop.setup.findings import REPLACE_ME, DoctorReport, Finding, ok, problem, warning
from openloop.setup.gate_programs import Programs

_ROOM = 200 << 20  # bytes of free disk below which logs may not fit
_LITTLE_ROOM = 10 << 20  # bytes below which not even the record may
_ORDINARY = "collected 12 items\n............ [100%]\n12 passed in 0.34s\nscore=0.5\n"
_HARD = ("a" * 5000 + "!", "1" * 5000 + "!", " " * 5000 + "!", "a1 " * 2000 + "\n")
_BY_MODULE = re.compile(r"\bpython[\d.]*\s+-m\s+openloop\b")  # the current directory comes first


def examine(path: str) -> DoctorReport:
    """Look at the workspace at `path`, or at the loops of other tools that lie there; runs none of
    their commands, but asks agents for their version and options. Raises UsageError."""
    place = places.existing_folder(path)
    if not os.path.lexists(place.file(CONFIG)):
        from openloop.setup.missions import known_tools

        if others := known_tools.found(place.path):
            return DoctorReport(tuple(finding for loop in others for finding in loop.findings))
    places.existing_record(path)
    findings = [*_folders(place), *_disk(place), *_record(place), *_machine()]
    known = _config(place, findings)
    if known is None:
        return DoctorReport(tuple(findings))
    try:
        root = places.existing_project_root(place, known.project_root)
    except UsageError as error:
        what = f"{error.what} (in {error.where})"
        return DoctorReport((*findings, problem(what, error.fix)))
    return DoctorReport((*findings, *_mission(place, known, root)), runnable=True)


# --- the workspace ----------------------------------------------------------------------


def _folders(place: Workspace) -> Iterator[Finding]:
    missing = [n for n in documents.NAMES if not os.path.isfile(place.file(n))]
    if missing:
        fix = f"write them, or let init do it: openloop init --force {place.quoted}"
        yield warning(f"{', '.join(missing)} missing: agents are asked to read them", fix)
    else:
        yield ok(f"{', '.join(documents.NAMES)} are there")
    for name in (*FOLDERS, CHECKPOINTS):
        path = place.file(name)
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            yield problem(f"{place.shown(name)} is not a folder", "remove it; a run makes it again")
    if (user := os.stat(place.path).st_uid) != os.geteuid():
        what = f"the workspace belongs to another user (uid {user}), who can change its record"
        yield warning(what, "make a workspace of your own: openloop init")
    if os.access(place.path, os.W_OK | os.X_OK) and not _read_only(place.path):
        yield ok("the workspace can be written")
    else:
        yield problem(f"{place.given} cannot be written", "give yourself write permission")


def _read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _disk(place: Workspace) -> Iterator[Finding]:
    free = shutil.disk_usage(place.path).free
    room = f"{free / 1e6:.0f} MB of disk are free"
    if free < _LITTLE_ROOM:
        yield problem(f"only {room}: the record could not be kept", "make room")
    elif free < _ROOM:
        yield warning(f"only {room}: logs may not fit", "make room")
    else:
        yield ok(room)


def _record(place: Workspace) -> Iterator[Finding]:
    if runner_lives(place):
        pid = (record_end.heartbeat(place) or {}).get("runner_pid")
        fix = f"wait for it, or watch it: openloop status {place.quoted} --watch"
        yield warning(f"a live runner (PID {pid}) holds the workspace", fix)
        return
    try:
        record = integrity.load_path(place)
    except (chain.BrokenChain, integrity.RecordMismatch, NotRegular) as error:
        fix = (
            f"look at it: openloop audit {place.quoted}; "
            f"to start a new record: openloop init --force {place.quoted}"
        )
        yield problem(f"{EVENTS} is not intact: {error}", fix)
        return
    except OSError as error:
        found = places.unreadable(place, EVENTS, error)
        yield problem(found.what, found.fix)
        return
    if record.state.unsettled:
        what = f"run {record.state.run} left this unsettled: {record.state.unsettled}"
        yield warning(what, f"restore it and run again, or: openloop accept {place.quoted}")
    yield ok(f"the record is intact ({record.state.seq} events; audit looks at all of them)")
    if record.torn:
        yield warning(f"the last line of {EVENTS} is torn", "the next run drops it, a copy is kept")


def _machine() -> Iterator[Finding]:
    if not os.path.exists("/bin/sh"):
        yield problem("/bin/sh is missing: no command can run", "install a POSIX shell")
    if not os.path.isdir("/proc/self"):
        yield problem("there is no /proc: no process can be followed", "run on Linux, with /proc")
        return
    yield ok("process trees can be followed, daemons included")


# --- the configuration ------------------------------------------------------------------


def _config(place: Workspace, findings: list[Finding]) -> Config | None:
    try:
        known = config.parse(places.read_config(place), where=place.shown(CONFIG))
    except ConfigError as error:
        findings += [problem(f"{p.what} (in {p.where})", p.fix) for p in error.problems]
        return None
    except UsageError as error:
        findings.append(problem(error.what, error.fix or f"openloop init {place.quoted}"))
        return None
    findings.append(ok(f"{CONFIG} is valid: gates {', '.join(known.gates)}"))
    return known


def _mission(place: Workspace, known: Config, root: str) -> Iterator[Finding]:
    yield ok(f"project root {root}")
    if root == place.path or root.startswith(place.path + "/"):
        fix = "keep the workspace in PROJECT/.openloop/NAME and name the project as root"
        yield warning("the project root is, or lies in, the workspace itself", fix)
    if not config.fits_environment(known.mission):
        fix = "keep it short, and the rest in mission.md"
        yield warning("the mission is too long for OPENLOOP_MISSION: only prompts hold it", fix)
    if not known.mission.strip():
        yield warning("no mission is written: agents do not learn the goal", "write one")
    yield from _limits(known)
    yield from _gates(known, root)
    for name, command in (*_commands(known), *_canaries(known)):
        yield from Programs(name, command, root).availability()
        for words in placeholders.warnings(command.run):
            yield warning(f"{name}: {words}", "check that this is meant")
        if _BY_MODULE.search(command.run):
            what = f"{name}: a file or folder in the project that is called openloop would be run"
            yield warning(f"{what} instead", "write openloop: it is first on the PATH of commands")
    yield from script_findings.findings(known, root, (*_commands(known), *_canaries(known)))
    yield from _expressions(known)
    yield from policy_findings.patterns(place, known, root)
    yield from policy_findings.sandbox(known, root)
    if known.improver:
        from openloop.setup import agent_findings  # slow to import

        yield from agent_findings.findings(known)
    yield from policy_findings.installation(known, root)
    yield from policy_findings.withheld_files(place, known)


def _gates(known: Config, root: str) -> Iterator[Finding]:
    """Gates that cannot fail, or that a change could make pass."""
    if known.command(Step.VERIFY).run == REPLACE_ME:
        what = "commands.verify is the placeholder that init wrote: it always fails"
        from openloop.setup.detection import detect  # only a placeholder needs it

        example = detect.detect(root, has_browser=False).example
        such = f", such as `{example}`" if example else ""
        yield problem(what, f"write the command that proves this project works{such}")
    for gate in known.gates:
        name = "baseline.command" if gate is Step.BASELINE else f"commands.{gate}"
        command = known.command(gate)
        for what, fix in pitfalls(command.run):
            yield warning(f"{name}: {what}", fix)
        if known.improver and known.policy and gate is not Step.PLAY:
            yield from Programs(name, command, root).writable(known.policy)
    for change in filter(known.commands.get, CHANGES):
        if known.policy:
            programs = Programs(f"commands.{change}", known.commands[change], root)
            yield from programs.rewritable(known.policy)


def _commands(known: Config) -> Iterator[tuple[str, Command]]:
    for step in Step:
        if step in known.commands:
            yield f"commands.{step}", known.commands[step]
            if fallback := known.commands[step].fallback:
                yield f"commands.{step}.fallback", fallback
    if known.baseline:
        yield "baseline.command", known.baseline.command
    for hook, command in known.hooks.items():
        yield f"hooks.{hook}", command


def _canaries(known: Config) -> Iterator[tuple[str, Command]]:
    for name, command in _commands(known):
        if command.canary is not None:
            yield f"{name}.canary", command._replace(run=command.canary)


def _limits(known: Config) -> Iterator[Finding]:
    limits = known.limits
    if known.improver is None:
        fix = "add commands.fix if something should repair it"
        yield warning("neither fix nor improve is configured: a run only measures", fix)
    if limits.max_consecutive_failures > known.total_rounds:
        fix = "lower it to total_rounds or below"
        yield warning(
            f"max_consecutive_failures {limits.max_consecutive_failures} is above total_rounds "
            f"{known.total_rounds}: the breaker can trip only over several runs",
            fix,
        )
    for name, command in _commands(known):
        if command.stall_timeout > command.timeout:
            yield warning(
                f"{name}: the stall limit ({command.stall_timeout:g} s) is above its timeout "
                f"({command.timeout:g} s): a stall is never noticed",
                "make stall_timeout_seconds the smaller one",
            )
        if limits.max_runtime is not None and command.timeout > limits.max_runtime:
            yield warning(
                f"{name}: its timeout ({command.timeout:g} s) is above max_runtime_seconds "
                f"({limits.max_runtime:g} s)",
                "a gate may run on past the end of the time allowed; lower the timeout",
            )


# --- regular expressions ----------------------------------------------------------------


def _expressions(known: Config) -> Iterator[Finding]:
    for name, command in _commands(known):
        if command.expect is not None:
            yield from _expression(f"{name}.expect", command.expect, "passes whatever is printed")
        if command.reject is not None:
            yield from _expression(f"{name}.reject", command.reject, "can never pass")
    if known.baseline:
        yield from _speed("baseline.regex", known.baseline.regex)
    own = known.limits.oom_markers if known.limits.oom_markers != OOM_MARKERS else ()
    for position, marker in enumerate(own):
        name = f"limits.oom_markers[{position}]"
        if log_scan.search(marker, _ORDINARY):
            fix = "anchor it at the start of a line and name the whole message"
            yield problem(
                f"{name} {marker!r} matches ordinary output, so every step would end as oom", fix
            )


def _expression(name: str, pattern: str, effect: str) -> Iterator[Finding]:
    if log_scan.search(pattern, ""):
        yield warning(
            f"{name} {pattern!r} matches an empty log, so the step {effect}",
            "write what really distinguishes good from bad",
        )
    yield from _speed(name, pattern)


def _speed(name: str, pattern: str) -> Iterator[Finding]:
    """Whether the expression is fast on text that makes bad ones take exponential time."""
    if any(log_scan.search(pattern, sample) is None for sample in _HARD):
        fix = "avoid nested repetition such as (a+)+; anchor it, or name the text more exactly"
        yield problem(f"{name} {pattern!r} takes longer than 2 s on a line of 5,000 letters", fix)
    else:
        yield ok(f"{name} is fast on samples")
