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
from openloop.core.text import printable
from openloop.core.vocabulary import CHANGES, Step
from openloop.fs.files import NotRegular
from openloop.process import log_scan
from openloop.record import chain, integrity, mission, record_end
from openloop.record import workspace as workspaces
from openloop.record.lock import runner_lives
from openloop.record.workspace import CHECKPOINTS, CONFIG, EVENTS, FOLDERS, Workspace
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
    workspace = workspaces.existing_folder(path)
    if not os.path.lexists(workspace.file(CONFIG)):
        from openloop.setup.missions import known_tools

        if others := known_tools.found(workspace.path):
            return DoctorReport(tuple(finding for loop in others for finding in loop.findings))
    workspaces.existing_record(path)
    known, on_config = _config(workspace)
    findings = [*_folders(workspace), *_disk(workspace), *_record(workspace), *_machine()]
    findings += on_config
    if known is None:
        return DoctorReport(tuple(findings))
    try:
        root = workspaces.existing_project_root(workspace, known.project_root)
    except UsageError as error:
        what = f"{error.what} (in {error.where})"
        return DoctorReport((*findings, problem(what, error.fix)))
    return DoctorReport((*findings, *_mission(workspace, known, root)), runnable=True)


# --- the workspace ----------------------------------------------------------------------


def _folders(workspace: Workspace) -> Iterator[Finding]:
    missing = [n for n in documents.NAMES if not os.path.isfile(workspace.file(n))]
    if missing:
        fix = f"write them, or let init do it: openloop init --force {workspace.quoted}"
        yield warning(f"{', '.join(missing)} missing: agents are asked to read them", fix)
    else:
        yield ok(f"{', '.join(documents.NAMES)} are there")
    for name in (*FOLDERS, CHECKPOINTS):
        path = workspace.file(name)
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            yield problem(
                f"{workspace.shown(name)} is not a folder", "remove it; a run makes it again"
            )
    if (user := os.stat(workspace.path).st_uid) != os.geteuid():
        what = f"the workspace belongs to another user (uid {user}), who can change its record"
        yield warning(what, "make a workspace of your own: openloop init")
    if os.access(workspace.path, os.W_OK | os.X_OK) and not _read_only(workspace.path):
        yield ok("the workspace can be written")
    else:
        yield problem(f"{workspace.given} cannot be written", "give yourself write permission")


def _read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _disk(workspace: Workspace) -> Iterator[Finding]:
    free = shutil.disk_usage(workspace.path).free
    room = f"{free / 1e6:.0f} MB of disk are free"
    if free < _LITTLE_ROOM:
        yield problem(f"only {room}: the record could not be kept", "make room")
    elif free < _ROOM:
        yield warning(f"only {room}: logs may not fit", "make room")
    else:
        yield ok(room)


def _record(workspace: Workspace) -> Iterator[Finding]:
    if runner_lives(workspace):
        pid = (record_end.heartbeat(workspace) or {}).get("runner_pid")
        fix = f"wait for it, or watch it: openloop status {workspace.quoted} --watch"
        yield warning(f"a live runner (PID {pid}) holds the workspace", fix)
        return
    try:
        record = integrity.load_path(workspace)
    except (chain.BrokenChain, integrity.RecordMismatch, NotRegular) as error:
        fix = (
            f"look at it: openloop audit {workspace.quoted}; "
            f"to start a new record: openloop init --force {workspace.quoted}"
        )
        yield problem(f"{EVENTS} is not intact: {error}", fix)
        return
    except OSError as error:
        found = workspaces.unreadable(workspace, EVENTS, error)
        yield problem(found.what, found.fix)
        return
    if record.state.unsettled:
        what = f"run {record.state.run} left this unsettled: {record.state.unsettled}"
        yield warning(what, f"restore it and run again, or: openloop accept {workspace.quoted}")
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


def _config(workspace: Workspace) -> tuple[Config | None, list[Finding]]:
    """The configuration, None for one that is not valid, and the findings about it."""
    try:
        known = config.parse(workspaces.read_config(workspace), where=workspace.shown(CONFIG))
    except ConfigError as error:
        return None, [problem(f"{p.what} (in {p.where})", p.fix) for p in error.problems]
    except UsageError as error:
        return None, [problem(error.what, error.fix or f"openloop init {workspace.quoted}")]
    return known, [ok(f"{CONFIG} is valid: gates {', '.join(known.gates)}")]


def _mission(workspace: Workspace, known: Config, root: str) -> Iterator[Finding]:
    yield ok(f"project root {root}")
    if root == workspace.path or root.startswith(workspace.path + "/"):
        fix = "keep the workspace in PROJECT/.openloop/NAME and name the project as root"
        yield warning("the project root is, or lies in, the workspace itself", fix)
    for other in mission.loops_beside(workspace, root):
        fix = "wait for it, or give each loop a worktree: openloop help fleet"
        yield warning(mission.same_project(other), fix)
    yield from _submodules(root)
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
    yield from policy_findings.patterns(workspace, known, root)
    yield from policy_findings.sandbox(known, root)
    if known.improver:
        from openloop.setup import agent_findings  # slow to import

        yield from agent_findings.findings(known)
    yield from policy_findings.installation(known, root)
    yield from policy_findings.withheld_files(workspace, known)


def _submodules(root: str) -> Iterator[Finding]:
    """The submodules that a plain `git clone` left empty."""
    try:
        with open(os.path.join(root, ".gitmodules"), encoding="utf-8", errors="replace") as file:
            paths = re.findall(r"^[ \t]*path[ \t]*=[ \t]*(.*\S)", file.read(), re.MULTILINE)
    except OSError:
        return
    places = [(path, os.path.join(root, path)) for path in paths]
    if empty := [path for path, place in places if os.path.isdir(place) and not os.listdir(place)]:
        yield warning(
            f"submodules are empty: {', '.join(map(printable, empty))}",
            "if the gates need them: git submodule update --init --recursive",
        )


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
