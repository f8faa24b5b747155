"""The tools' work: find, start, watch and stop loops, and read their logs and reports.

Workspaces are named relative to the root and lie below it, whatever symlinks say. Answers are
capped, and say where the rest is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from openloop.core import interpreter
from openloop.core.errors import ExitCode, OpenLoopError, UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Status, Step
from openloop.record import lock, record_end
from openloop.record import workspace as workspaces
from openloop.record.workspace import LOGS, Workspace
from openloop.views import discovery, history, status
from openloop.views.reports import markdown, report

ROWS = 200  # loops that `list` shows
TEXT = 12_000  # characters of a log or a report in one answer
LONGEST_WAIT = 45.0  # seconds: below the 60 after which common clients give up
_START = 10.0  # seconds in which a run is up or has failed
_NOT_RUN = (ExitCode.USAGE, ExitCode.HELD, ExitCode.RECORD)
_POLL = 0.25  # seconds
_TOKEN_LASTS = 900.0  # seconds
_ROUNDS = 30  # latest rounds whose logs can be asked for
_FIELDS = (
    *("status", "reason", "run", "round", "total_rounds", "step", "pid", "log_path", "log_bytes"),
    *("run_started_at", "updated_at", "speed", "eta", "normality", "metric", "usage"),
    *("waiting_until", "consecutive_failures", "last_error", "undone", "valid", "problems"),
)

Result = dict[str, Any]
Progress = Callable[[float, str], None]


class Loops:
    """The loops below one root."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._secret = secrets.token_bytes(32)  # tokens of another server are of no use
        self._started: list[subprocess.Popen[bytes]] = []

    def call(
        self, name: str, arguments: Mapping[str, Any], cancelled: threading.Event, tell: Progress
    ) -> Result:
        """The result of a tool's call. Raises UsageError for arguments that are not its own, and
        OpenLoopError for what the tool cannot do."""
        given = dict(arguments)
        if name == "list":
            _refuse_others(given)
            return self._list()
        workspace = self._workspace(given.pop("workspace", None))
        tools: dict[str, Callable[..., Result]] = {
            "start": self._start,
            "status": self._status,
            "wait": lambda workspace, **how: self._wait(workspace, cancelled, tell, **how),
            "logs": self._logs,
            "report": self._report,
            "stop": self._stop,
            "doctor": self._doctor,
        }
        known = {"start": ("max_rounds",), "wait": ("until", "seconds"), "stop": ("token",)}
        known["logs"] = ("round", "step", "offset")
        _refuse_others({key: given[key] for key in given if key not in known.get(name, ())})
        return tools[name](workspace, **given)

    def _workspace(self, path: object) -> Workspace:
        if not isinstance(path, str) or not path:
            raise UsageError("workspace must be the path of a workspace", fix="call list")
        try:
            found = os.path.realpath(os.path.join(self._root, path))
        except ValueError:  # a NUL, or half of a surrogate pair
            raise UsageError(f"no path can be {printable(path)}", fix="call list") from None
        if os.path.commonpath([found, self._root]) != self._root:
            raise UsageError(f"{path} is not below the root {self._root}", fix="call list")
        return workspaces.existing(found)

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self._root)

    def _list(self) -> Result:
        paths, whole = discovery.find(self._root)
        rows = []
        for path in paths[:ROWS]:
            beat = status.inspect(path).heartbeat
            row = {key: beat.get(key) for key in ("status", "round", "reason", "updated_at")}
            rows.append({"workspace": self._shown(path), **row})
        found = {"root": self._root, "loops": rows, "more": len(paths) - len(rows)}
        if found["more"]:
            found["rest"] = "ask a server whose --root is a folder further down"
        return _document({**found, "complete_search": whole})

    def _start(self, workspace: Workspace, max_rounds: object = None) -> Result:
        words = [*interpreter.own_command(), "run", workspace.path, "--quiet"]
        if max_rounds is not None:
            words += ["--max-rounds", str(_whole(max_rounds, "max_rounds"))]
        self._started = [one for one in self._started if one.poll() is None]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self._root,
            )
            self._started.append(process)
            deadline = time.monotonic() + _START
            while process.poll() is None and _latest_runner(workspace) != process.pid:
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL / 5)
            if process.returncode in _NOT_RUN:  # of any other run the status says how it ended
                output.seek(0)
                text = output.read(TEXT).decode(errors="replace").strip()
                raise OpenLoopError(f"the run ended with exit code {process.returncode}: {text}")
        return self._status(workspace)

    def _status(self, workspace: Workspace) -> Result:
        return _document(self._facts(workspace))

    def _facts(self, workspace: Workspace) -> dict[str, Any]:
        seen = status.inspect(workspace.path).to_json()
        seen["last_error"] = str(seen.get("last_error") or "")[:500]
        facts = {key: seen[key] for key in _FIELDS if seen.get(key) not in (None, "", [], {})}
        return {"workspace": self._shown(workspace.path), **facts}

    def _wait(
        self,
        workspace: Workspace,
        cancelled: threading.Event,
        tell: Progress,
        until: str = "over",
        seconds: float = LONGEST_WAIT,
    ) -> Result:
        if until not in ("over", "round", "step"):
            raise UsageError("until must be over, round or step")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise UsageError("seconds must be a number")
        began = time.monotonic()
        first = self._facts(workspace)
        seen = first
        while seen["status"] == Status.RUNNING and _same(first, seen, until):
            waited = time.monotonic() - began
            if waited >= min(seconds, LONGEST_WAIT) or cancelled.wait(_POLL):
                break
            latest = self._facts(workspace)
            if not _same(seen, latest, "step"):
                tell(waited, f"round {latest.get('round')}, {latest.get('step', 'between steps')}")
            seen = latest
        return _document(seen)

    def _logs(
        self,
        workspace: Workspace,
        round: object = None,
        step: object = None,
        offset: int | None = None,
    ) -> Result:
        if round is not None:
            _whole(round, "round")
        if step is not None and step not in list(Step):
            raise UsageError(f"step must be one of {', '.join(Step)}")
        if offset is not None:
            offset = _whole(offset, "offset", least=0)
        rounds = history.read(workspace, detailed=_ROUNDS).rounds
        for one in reversed(rounds):
            if round not in (None, one.number):
                continue
            if one.running and step in (None, one.running.step):
                return self._log(workspace, one.running.log_path, offset)
            for station in reversed(one.steps):
                if step in (None, station.result.step):
                    if station.result.private:
                        raise UsageError(f"the log of {station.result.step} is private")
                    return self._log(workspace, station.result.log_path, offset)
        raise UsageError(
            f"no such log in the latest {_ROUNDS} rounds", where=self._shown(workspace.file(LOGS))
        )

    def _log(self, workspace: Workspace, name: str, offset: int | None) -> Result:
        path = workspace.file(name)
        with open(path, "rb", opener=_no_follow) as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - TEXT) if offset is None else offset
            start = min(start, size)
            data = os.pread(file.fileno(), TEXT, start)
        if start + len(data) < size:  # whole lines: no character is torn between two answers
            data = data[: data.rfind(b"\n") + 1] or data
        text = "\n".join(map(printable, data.decode(errors="replace").split("\n")))
        end = start + len(data)
        facts = f"{self._shown(path)}: bytes {start} to {end} of {size}"
        more = f"; the rest: offset={end}" if end < size else ""
        return {"content": [{"type": "text", "text": f"{facts}{more}\n{text}"}], "isError": False}

    def _report(self, workspace: Workspace) -> Result:
        text = markdown.render(report.collect(workspace.path))
        if len(text) > TEXT:
            rest = f"openloop report {self._shown(workspace.path)} --format md"
            text = f"{text[:TEXT]}\n… cut at {TEXT} characters; the whole: {rest}"
        return {"content": [{"type": "text", "text": text}], "isError": False}

    def _doctor(self, workspace: Workspace) -> Result:
        """In a process of its own, which may bound each regular expression by a signal."""
        done = subprocess.run(
            [*interpreter.own_command(), "doctor", workspace.path, "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_WAIT,
            check=False,
        )
        if not done.stdout:
            raise OpenLoopError(done.stderr.decode(errors="replace").strip())
        return _document(json.loads(done.stdout))

    def _stop(self, workspace: Workspace, token: object = None) -> Result:
        beat = status.inspect(workspace.path).heartbeat
        runner = beat.get("runner_pid")
        if not isinstance(runner, int) or runner not in lock.holders(workspace):
            raise UsageError(f"nothing runs in {self._shown(workspace.path)}")
        what = f"{workspace.path} {runner} {beat.get('run_started_at')}"
        if token is None:
            expires = str(int(time.time() + _TOKEN_LASTS))
            facts = {key: beat.get(key) for key in ("run", "round", "step")}
            return _document(
                {
                    "would_end": {"workspace": self._shown(workspace.path), "pid": runner, **facts},
                    "token": f"{expires}.{self._signed(what, expires)}",
                    "next": "call stop again with this token",
                }
            )
        given = token if isinstance(token, str) and token.isascii() else ""
        expires, _, signature = given.partition(".")
        signed = hmac.compare_digest(signature, self._signed(what, expires))
        if not signed or int(expires) < time.time():
            raise UsageError("the token is not of this run, or too old", fix="call stop without it")
        descriptor = os.pidfd_open(runner)
        try:
            if runner not in lock.holders(workspace):
                raise UsageError("the run is over")
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
        return _document({"stopping": self._shown(workspace.path), "next": "call wait"})

    def _signed(self, what: str, expires: str) -> str:
        return hmac.new(self._secret, f"{what} {expires}".encode(), hashlib.sha256).hexdigest()[:32]


def _latest_runner(workspace: Workspace) -> object:
    """The PID of the latest runner according to the heartbeat."""
    return (record_end.heartbeat(workspace) or {}).get("runner_pid")


def _document(document: Mapping[str, Any]) -> Result:
    text = json.dumps(document, separators=(",", ":"))
    content = [{"type": "text", "text": text}]
    return {"content": content, "structuredContent": document, "isError": False}


def _refuse_others(given: Mapping[str, Any]) -> None:
    if given:
        raise UsageError(f"unknown arguments: {', '.join(sorted(given))}")


def _whole(value: object, name: str, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number from {least}")
    return value


def _same(one: Mapping[str, Any], other: Mapping[str, Any], until: str) -> bool:
    """Whether nothing has happened that a wait would end for."""
    keys = {"over": ("run",), "round": ("run", "round"), "step": ("run", "round", "step")}
    return all(one.get(key) == other.get(key) for key in keys[until])


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
