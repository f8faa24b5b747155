"""`openloop status`: the latest heartbeat, checked against the record, and the next step.

Starts quickly: modules for unusual workspaces are imported late.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os

from openloop.core.errors import ConfigError, OpenLoopError, UsageError
from openloop.core.text import counted, printable
from openloop.core.vocabulary import Status
from openloop.fs.files import NotRegular
from openloop.record import chain, record_end, withheld
from openloop.record import workspace as workspaces
from openloop.record.lock import runner_lives
from openloop.record.workspace import CONFIG, EVENTS, HEARTBEAT, LOGS, Workspace

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
_WRITTEN_AGAIN = "the next run writes it again"


class WorkspaceStatus:
    """The state of a workspace, as `status` shows it.

    heartbeat: the document, with `crashed` derived. problems: why it is not valid. undone: the
    violations that the policy restored in this run, the latest last: round, step, text of each.
    withheld: the archive with the files that are withheld right now, "" for none.
    """

    __slots__ = ("heartbeat", "problems", "undone", "withheld", "workspace")

    def __init__(
        self,
        workspace: Workspace,
        heartbeat: Mapping[str, Any],
        problems: tuple[OpenLoopError, ...],
        undone: list[dict[str, Any]],
    ) -> None:
        self.workspace = workspace
        self.heartbeat = heartbeat
        self.problems = problems
        self.undone = undone
        self.withheld = withheld.archive_path(workspace)

    @property
    def status(self) -> str:
        return str(self.heartbeat["status"])

    def to_json(self) -> dict[str, Any]:
        problems = [{"what": p.what, "where": p.where, "fix": p.fix} for p in self.problems]
        return {
            **self.heartbeat,
            "undone": self.undone,
            "withheld": self.withheld or None,
            "valid": not problems,
            "problems": problems,
        }


def inspect(path: str) -> WorkspaceStatus:
    """The state of the workspace at `path`. Raises UsageError when there is none."""
    workspace = workspaces.existing(path)
    problems: list[OpenLoopError] = []
    seen = None
    beat = record_end.heartbeat(workspace)  # before the record, which is never behind it
    try:
        seen = record_end.read_end(workspace)
    except (chain.BrokenChain, NotRegular) as error:
        fix = f"look at it: openloop audit {workspace.quoted}"
        problems.append(_problem(workspace, EVENTS, f"{EVENTS} is not intact: {error}", fix))
    except OSError as error:
        problems.append(workspaces.unreadable(workspace, EVENTS, error))
    document, found = heartbeat_checked_against_record(workspace, beat, seen)
    problems += [*_config_problems(workspace, seen.config_sha256 if seen else ""), *found]
    if seen and (grown := changed_log(workspace, seen)):
        fix = f"look at it: openloop audit {workspace.quoted}"
        problems.append(_problem(workspace, grown[0], grown[1], fix))
    return WorkspaceStatus(workspace, document, tuple(problems), seen.undone if seen else [])


def heartbeat_checked_against_record(
    workspace: Workspace, beat: Mapping[str, Any] | None, seen: record_end.RecordEnd | None
) -> tuple[Mapping[str, Any], list[OpenLoopError]]:
    """(the heartbeat as far as the record supports it, with `crashed` derived; its problems).

    beat: None when there is none. seen: the end of the record, None when it is not intact. A
    heartbeat of a run that is over counts only where the record says the same.
    """
    problems: list[OpenLoopError] = []
    if beat is None:
        problems.append(_lost_heartbeat(workspace))
        beat = _from_record(workspace) if seen else _UNKNOWN
    elif beat["status"] != Status.RUNNING and not _agrees(beat["status"], seen):
        latest = record_end.heartbeat(workspace) or _UNKNOWN
        if runner_lives(workspace) or latest["status"] != beat["status"]:
            beat = latest  # it has moved on since
        else:
            beat = _from_record(workspace) if seen else {**beat, **_UNKNOWN}
            if seen:
                says = f"{HEARTBEAT} says {printable(latest['status'])}"
                what = f"{says}, and the record {seen.status}"
                problems.append(_problem(workspace, HEARTBEAT, what, _WRITTEN_AGAIN))
    if beat["status"] == Status.RUNNING and not runner_lives(workspace):
        beat = record_end.heartbeat(workspace) or beat  # it may just have come to its end
    if beat["status"] == Status.RUNNING and not runner_lives(workspace):
        beat = {**beat, "status": Status.CRASHED, "reason": "its runner is gone"}
    return beat, problems


def _agrees(status: str, seen: record_end.RecordEnd | None) -> bool:
    """Whether the record and a heartbeat agree about the run. A run that could not write its
    record any more is interrupted, and only the heartbeat says so."""
    if seen is None:
        return False
    return status == seen.status or (status, seen.status) == (Status.INTERRUPTED, Status.RUNNING)


def changed_log(workspace: Workspace, seen: record_end.RecordEnd) -> tuple[str, str] | None:
    """The path of the latest log and its error when its size differs from the record; None when it
    does not, or while a step is running."""
    if seen.log is None or not seen.log[0].startswith(f"{LOGS}/"):
        return None
    path, size = seen.log
    try:
        there = os.lstat(workspace.file(path)).st_size
    except OSError:
        return path, f"{path} is missing; the record says {size} bytes"
    if there == size:
        return None
    return path, f"{path} has {there} bytes; the record says {size}: it was changed after its step"


def _config_problems(workspace: Workspace, checked: str) -> tuple[OpenLoopError, ...]:
    """checked: sha256 of a configuration that a run has accepted, "" when none has."""
    try:
        data = workspaces.read_config(workspace)
        if hashlib.sha256(data).hexdigest() == checked:
            root = json.loads(data).get("project_root", workspaces.DEFAULT_ROOT)
        else:
            from openloop.config import config

            root = config.parse(data, where=workspace.shown(CONFIG)).project_root
        workspaces.existing_project_root(workspace, root)
    except ConfigError as error:
        return error.problems
    except UsageError as error:
        return (error,)
    return ()


def _problem(workspace: Workspace, name: str, what: str, fix: str) -> OpenLoopError:
    return OpenLoopError(what, where=workspace.shown(name), fix=fix)


def _lost_heartbeat(workspace: Workspace) -> OpenLoopError:
    there = os.path.lexists(workspace.file(HEARTBEAT))
    what = f"{HEARTBEAT} is {'not readable as a heartbeat' if there else 'missing'}"
    return _problem(workspace, HEARTBEAT, what, _WRITTEN_AGAIN)


_UNKNOWN = {"status": "unknown", "reason": "the record cannot be read"}


def _from_record(workspace: Workspace) -> dict[str, Any]:
    """A heartbeat made from the record alone, where the file is missing."""
    from openloop.record import projections, reader

    try:
        record = reader.load_path(workspace)
    except (chain.BrokenChain, OSError):  # damaged since it was seen
        return _UNKNOWN
    return projections.heartbeat(
        record.state,
        projections.LiveFacts(),
        projections.WriterProcess(None, ""),
        mission="",
        total_rounds=0,
        now="",
        eta=None,
        head=record.head,
    )


def lines(report: WorkspaceStatus) -> list[str]:
    """The report for a person."""
    beat = report.heartbeat
    shown = [f"{report.status}: {text(beat.get('reason')) or nothing_yet(report)}"]
    for name, words in (
        ("mission", text(beat.get("mission"))),
        ("run", _run_words(beat)),
        ("step", _step_words(beat)),
        ("log", _log_words(beat)),
        ("waiting", wait_details(beat)),
        ("usage", _usage_words(beat.get("usage"))),
        ("metric", _metric_words(beat.get("metric"))),
        ("speed", _speed_words(beat)),
        ("failures", _failure_words(beat)),
        ("attached", _attachment_words(beat.get("attachments"))),
        ("error", text(beat.get("last_error"))[:300]),
        ("updated", text(beat.get("updated_at"))),
        ("head", text(beat.get("event_head"))),
    ):
        if words:
            shown.append(f"  {name:<9} {words}")
    for one in report.undone:
        words = f"round {one['round']}, {one['step']}: {one['text']}"
        shown.append(f"  {'violation':<9} {printable(words)}")
    if report.withheld:
        until: dict[str, str] = {
            Status.RUNNING: "until it ends",
            Status.READY: "and no record names it: unpack it with tar",
        }
        back = until.get(report.status, "until the next run")
        shown.append(f"  {'withheld':<9} files are kept in {report.withheld} {back}")
    shown += [line for problem in report.problems for line in str(problem).splitlines()]
    count = len(report.problems)
    found = counted(count, "problem") if count else "configuration, heartbeat and record agree"
    shown.append(f"  {'checked':<9} {found}")
    return shown


def text(value: object) -> str:
    return printable(str(value)) if value not in (None, "") else ""


def nothing_yet(report: WorkspaceStatus) -> str:
    """The text that stands in for an unknown reason."""
    if report.status == Status.RUNNING:
        return "no round has ended yet"
    return "nothing has run yet" if report.status == Status.READY else "no reason given"


def _run_words(beat: Mapping[str, Any]) -> str:
    if not beat.get("run"):
        return ""
    return f"{text(beat['run'])}, round {text(beat.get('round'))}"


def _step_words(beat: Mapping[str, Any]) -> str:
    if not beat.get("command"):
        return ""
    pid = f", PID {text(beat['pid'])}" if beat.get("pid") else ""
    outcome = text(beat.get("normality"))
    outcome = "" if outcome in ("", "normal") else f", {outcome}"
    return f"{text(beat.get('step')) or 'hook'}{pid}{outcome}: {text(beat['command'])[:200]}"


def _attachment_words(count: object) -> str:
    return f"{text(count)} {'file' if count == 1 else 'files'} in this round" if count else ""


def _log_words(beat: Mapping[str, Any]) -> str:
    if not beat.get("log_path"):
        return ""
    return f"{text(beat['log_path'])}, {text(beat.get('log_bytes'))} bytes"


def _metric_words(metric: object) -> str:
    if not isinstance(metric, dict):
        return ""
    passed = "passed" if metric.get("passed") else "missed"
    value, best = text(metric.get("value")) or "not measured", text(metric.get("best"))
    direction = text(metric.get("direction")).replace("_", " or ")
    wanted = f"wanted {direction} {text(metric.get('threshold'))}"
    return f"{text(metric.get('name'))} {value}, {passed} ({wanted}, best {best or 'none'})"


def wait_details(beat: Mapping[str, Any]) -> str:
    """`for claude until 14:05 (usage limit: …)`, in local time. A heartbeat may hold anything."""
    known, until = text(beat.get("waiting_for")), text(beat.get("waiting_until"))
    if not (known and until):
        return f"for {known}" if known else ""
    from openloop.views.console import local_time

    with contextlib.suppress(ValueError, OverflowError):
        until = local_time(until)
    agent, _, why = known.partition(" (")
    return f"for {agent} until {until} ({why}"


def _usage_words(found: object) -> str:
    """The usage of the agents in words. A heartbeat may hold anything."""
    if not isinstance(found, dict):
        return ""
    from openloop.core import usage

    try:
        return printable(usage.in_words(usage.RunUsage.from_json(found)))
    except (KeyError, TypeError, ValueError):
        return ""


def _speed_words(beat: Mapping[str, Any]) -> str:
    speed = beat.get("speed")
    if not isinstance(speed, dict) or speed.get("seconds_per_round") is None:
        return ""
    unknown = ", ETA not known yet" if beat.get("status") == "running" else ""
    eta = f", ETA {text(beat['eta'])}" if beat.get("eta") else unknown
    return f"{text(speed['seconds_per_round'])} s a round{eta}"


def _failure_words(beat: Mapping[str, Any]) -> str:
    count = beat.get("consecutive_failures")
    return f"{text(count)} failed {'round' if count == 1 else 'rounds'} in a row" if count else ""
