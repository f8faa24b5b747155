"""The only writer of a workspace: appends events, and rewrites the files derived from them.

events.jsonl is the truth; heartbeat.json, progress.md and artifacts/ follow from it. What was
read or written once is kept in memory and never read back from where an agent could write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from openloop.core import clock
from openloop.core.errors import Interrupted, OpenLoopError, RecordError, TamperError, UsageError
from openloop.core.vocabulary import Kind, Status, Step
from openloop.fs import files
from openloop.loop import actions, transitions
from openloop.loop.events import Event
from openloop.record import chain, event_format, integrity, projections, record_end
from openloop.record.lock import Lock
from openloop.record.mission import Mission
from openloop.record.projections import LiveFacts, WriterProcess
from openloop.record.workspace import (
    ARTIFACTS,
    CONFIG,
    EVENTS,
    FOLDERS,
    HEARTBEAT,
    KNOWLEDGE,
    OUTPUT,
    PROGRESS,
    Workspace,
)
from openloop.record.writer.event_log import EventLog
from openloop.record.writer.progress_file import ProgressFile
from openloop.record.writer.rebuild import rebuild_missing
from openloop.record.writer.step_files import StepFiles
from openloop.record.writer.tamper_watch import WatchedFile


class Store:
    """Holds the lock, the record and the state. Close it to release the workspace."""

    def __init__(self, mission: Mission, lock: Lock, *, check_files: bool = True) -> None:
        """check_files: as for `EventLog`. Raises TamperError when the record is not intact, OSError
        when it cannot be opened."""
        self.workspace = mission.workspace
        self.lock = lock
        self._live = LiveFacts()
        self._folder = lock.folder
        self._mission = mission
        self._writer = WriterProcess(os.getpid(), socket.gethostname())
        self.step_files = StepFiles(self.workspace, lock.folder, self._cannot_keep)
        self._config = WatchedFile(CONFIG, mission.data, lock.folder)
        self._writing = threading.Lock()  # the watchdog beats while the runner records
        self._started = clock.monotonic()
        self._base = 0.0  # seconds of the run before this process took it on
        self._event_log = EventLog(self.workspace, lock, check_files=check_files)
        self._progress = ProgressFile(lock.folder, mission.config.mission)
        self.is_unrestored = False  # configuration or record: a command's edit is still there
        self._failure = ""  # why the record could not be kept
        self._last_status: Status | None = None  # see `fail`
        self.state = self._event_log.loaded.state
        self.line = b""  # the latest event as it was written
        self._torn = ""
        self._removal = ""  # that the workspace was removed, until that is on record
        self._base = self.state.elapsed

    def prepare(self) -> None:
        """Repair what a crash left: a torn line, missing projections. Raises UsageError."""
        try:
            self._torn = self._event_log.drop_torn()
            for name in FOLDERS:
                os.close(files.open_or_make_folder(name, folder=self._folder))
            rebuild_missing(self._folder, self._event_log.descriptor)
            self._progress.open(self._event_log.descriptor)
        except OSError as error:
            raise _not_started(self.workspace, error) from None

    def note_torn(self) -> None:
        """Record that a torn last line was dropped, once a run is open."""
        if self._torn:
            text = f"the last line of {EVENTS} was torn: dropped, a copy is {self._torn}"
            self.record(Kind.NOTE, note="torn", text=text)

    @property
    def head(self) -> str:
        """The chain's head: sha256 of the latest event's line."""
        return self._event_log.head

    # --- events ---

    def record(
        self,
        kind: Kind,
        *,
        step: Step | None = None,
        run: int | None = None,
        round: int | None = None,
        durable: bool = False,
        **data: Any,
    ) -> Event:
        """Append one event and apply it. Raises RecordError when it cannot be kept."""
        if kind is Kind.RUN_STARTED and not data["resumed"]:
            self._started, self._base = clock.monotonic(), 0.0
        event = Event(
            kind=kind,
            time=clock.utc(),
            elapsed=round_to_ms(self.elapsed),
            run=self.state.run if run is None else run,
            round=self.state.round if round is None else round,
            step=step,
            data=data,
            seq=self.state.seq + 1,
        )
        state = transitions.apply(self.state, event)
        line = event_format.encode(event, self.head)
        with self._writing:
            try:
                self._event_log.append(line, durable=durable)
            except OSError as error:
                raise self._cannot_keep(EVENTS, error) from None
            self.state, self.line = state, line
        self._report(event)
        return event

    @property
    def elapsed(self) -> float:
        """Seconds that the run has lasted, earlier parts of a resumed one included."""
        return self._base + clock.monotonic() - self._started

    def _cannot_keep(self, name: str, error: OSError) -> RecordError:
        self._failure = f"the record cannot be kept: {name}: {error.strerror or error}"
        fix = "remove the cause"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            fix = f"make room, but not with {EVENTS} and the logs of finished steps"
            if self.state.running:
                fix += f"; {self._live.log_path} may go, its step is not finished"
        fix += ", then run again: the run is resumed"
        return RecordError(self._failure, where=self.workspace.shown(name), fix=fix)

    def _report(self, event: Event) -> None:
        """Append the event to progress.md."""
        if line := projections.progress_line(event):
            try:
                self._progress.append(line, self._event_log.descriptor)
            except OSError as error:
                raise self._cannot_keep(PROGRESS, error) from None

    # --- the end of a round, the heartbeat ---

    def finish_round(self, end: actions.FinishRound) -> Event:
        """Keep the round's artifact durably, then record the end with the artifact's hash."""
        ended_at = clock.utc()
        seconds = round_to_ms(self.elapsed - self.state.round_started_elapsed)
        document = projections.artifact(
            self.state, end, ended_at=ended_at, duration_seconds=seconds
        )
        data = projections.to_bytes(document)
        name = f"round-{self.state.round:04d}.json"
        self.step_files.write_round(name, data)
        return self.record(
            Kind.ROUND_FINISHED,
            durable=True,
            outcome=end.outcome,
            decision=end.decision,
            reason=end.reason,
            consecutive_failures=end.consecutive_failures,
            ended_at=ended_at,
            duration_seconds=seconds,
            artifact=f"{ARTIFACTS}/{name}",
            artifact_sha256=chain.head_of(data),
        )

    def beat(self, live: LiveFacts | None = None) -> None:
        """Rewrite heartbeat.json. live: what runs now, as until now when None.
        Raises RecordError; safe to call from the watchdog."""
        with self._writing:
            self._live = live or self._live
            left = projections.eta_seconds(self._mission.config, self.state, self.elapsed)
            self._live.eta = left
            document = projections.heartbeat(
                self.state,
                self._live,
                self._writer,
                mission=self._mission.config.mission,
                total_rounds=self._mission.config.total_rounds,
                now=clock.utc(),
                eta=None if left is None else (left, clock.utc(left)),
                head=self.head,
            )
            self._put_heartbeat(projections.heartbeat_bytes(document))

    def _put_heartbeat(self, data: bytes, attempts: int = 3) -> None:
        self._check_folder()
        try:
            files.replace(HEARTBEAT, data, folder=self._folder)
        except FileNotFoundError as error:  # removed at this moment: look again
            if attempts == 1:
                raise self._cannot_keep(HEARTBEAT, error) from None
            self._put_heartbeat(data, attempts - 1)
        except OSError as error:
            raise self._cannot_keep(HEARTBEAT, error) from None

    # --- tampering ---

    def mismatches(self) -> dict[str, str]:
        """Logs and artifacts that do not match the record: path in the workspace, and why."""
        found = integrity.mismatches(self.workspace, self._event_log.descriptor)
        return {name: why for name, why in found.items() if name not in self.state.accepted}

    def tampering(self, *, every: bool = False) -> str:
        """A sentence about how a command changed the configuration, the record, or its finished
        files; "" if it did not. every: see `FinishedFiles`."""
        found = self.record_tampering(), self.file_tampering(every=every)
        return "; ".join(filter(None, found))

    def record_tampering(self) -> str:
        """A sentence about a changed configuration or events.jsonl; "" for neither. Both are
        restored where possible; the changed ones are kept beside them."""
        with self._writing:
            self._check_folder()
        found, self._removal = [self._removal], ""
        for watched in (self._config, self._event_log):
            if words := watched.difference():
                try:
                    found.append(words + watched.restore())
                except OSError as error:
                    self.is_unrestored = True
                    found.append(f"{words}, and cannot be restored: {error.strerror}")
        return "; ".join(filter(None, found))

    def file_tampering(self, *, every: bool = False) -> str:
        """The same about finished logs and artifacts. every: see `FinishedFiles`."""
        return "; ".join(filter(None, self.step_files.differences(every=every)))

    def _check_folder(self) -> None:
        """Restore a workspace that was removed. Raises RecordError."""
        if not self.lock.check():
            return
        try:
            done = f"{CONFIG}{self._config.restore()}; {EVENTS}{self._event_log.restore()}"
            for name in FOLDERS:
                os.close(files.open_or_make_folder(name, folder=self._folder))
            lost = self.step_files.restore()
            rebuild_missing(self._folder, self._event_log.descriptor)
            self._progress.open(self._event_log.descriptor)
        except OSError as error:
            raise self._cannot_keep(str(error.filename or EVENTS), error) from None
        self._removal = (
            "the workspace was removed while a command ran, as git clean -fdx, git stash -u and "
            f"rm -rf do: {done}; lost: {lost} finished {'file' if lost == 1 else 'files'}, "
            f"{KNOWLEDGE}/ and {OUTPUT}/"
        )

    def fail(self, why: str, status: Status | None = None) -> None:
        """Set the reason and status of the last heartbeat when this process cannot continue.
        Without a status, an open run is shown as interrupted."""
        self._failure = self._failure or why
        self._last_status = status

    def close(self) -> None:
        """Write a last heartbeat, which says why the runner has ended, and close the record."""
        self._writer = WriterProcess(None, self._writer.host)
        self._live.pid = None
        is_open = self.state.status is Status.RUNNING  # not taken to its end
        if status := self._last_status or (Status.INTERRUPTED if is_open else None):
            self.state = self.state._replace(
                status=status, reason=self._failure or "OpenLoop failed"
            )
        with contextlib.suppress(RecordError):
            self.beat()
        self._progress.close()
        self._event_log.close()


@contextlib.contextmanager
def opened(mission: Mission, lock: Lock, *, check_files: bool = True) -> Iterator[Store]:
    """The store of a workspace, closed at the end; its last heartbeat says why it ended.

    check_files: as for `EventLog`.

    Raises TamperError when the record is not intact (the heartbeat says `blocked` then),
    UsageError when it cannot be written, RecordError for an OSError of the caller's.
    """
    workspace = mission.workspace
    try:
        store = Store(mission, lock, check_files=check_files)
    except TamperError as error:
        _show_blocked(workspace, lock, error.what)
        raise
    except OSError as error:
        raise _not_started(workspace, error) from None
    try:
        yield store
    except OpenLoopError as error:
        store.fail(error.what, _status_after(error))
        raise
    except OSError as error:
        store.fail(str(error))
        raise RecordError(
            f"the run cannot go on: {error.strerror or error}",
            where=str(error.filename or workspace.given),
            fix="remove the cause, then run again: the run is resumed",
        ) from None
    finally:
        store.close()


def _status_after(error: OpenLoopError) -> Status | None:
    if isinstance(error, Interrupted):
        return Status.INTERRUPTED
    return Status.BLOCKED if isinstance(error, TamperError) else None


def _not_started(workspace: Workspace, error: OSError) -> UsageError:
    return UsageError(
        f"the record cannot be written: {error.strerror or error}",
        where=workspace.shown(str(error.filename or "")),
        fix="make room, or the file system writable; nothing was started",
    )


def _show_blocked(workspace: Workspace, lock: Lock, reason: str) -> None:
    """Write `blocked` to the heartbeat of a workspace whose record cannot be continued."""
    document = record_end.heartbeat(workspace) or {"version": projections.VERSION}
    document |= {
        "status": Status.BLOCKED,
        "reason": reason,
        "pid": None,
        "runner_pid": None,
        "updated_at": clock.utc(),
    }
    with contextlib.suppress(OSError):
        files.replace(HEARTBEAT, projections.heartbeat_bytes(document), folder=lock.folder)


def round_to_ms(seconds: float) -> float:
    return round(seconds, 3)
