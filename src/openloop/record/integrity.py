"""Checks that the files named by the record still match it.

`audit` checks every event. The start of a run checks the latest rounds, so that it does not
continue a record with foreign lines, at a cost that does not grow with the length of the record.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Container, Iterable, Iterator

from openloop.core import clock
from openloop.core.vocabulary import Decision, Kind, Status, Step
from openloop.fs import files
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, projections, reader, record_end, withheld
from openloop.record.chain import BrokenChain
from openloop.record.reader import Record
from openloop.record.workspace import ARTIFACTS, CHECKPOINTS, EVENTS, LOGS, WITHHELD, Workspace

ROUNDS = 8  # of the latest run, which a start checks
LARGEST = 256 << 10  # bytes of a log that a start hashes; of a larger one only the size is asked
_ROUND = r"round-(\d{4,12})"
_BEGUN = ("before-", "best-")  # how checkpoints that only a round makes are called


class RecordMismatch(Exception):
    """A file does not match the record. where: the file, as the user would write it."""

    def __init__(self, where: str, why: str, name: str = "") -> None:
        """name: the file's path in the workspace, where it is not the log or the artifact."""
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why
        self.name = name


def load(workspace: Workspace, events: int) -> Record:
    """The record in an open events.jsonl, complete as far as its end and the heartbeat show. Raises
    BrokenChain, naming the line, or RecordMismatch."""
    record = reader.load(events)
    if why := reader.lost(record.state, record.head, record_end.heartbeat(workspace)):
        raise RecordMismatch(workspace.shown(EVENTS), why)
    if record.state.seq == 0:
        check_empty(workspace)
    return record


def check_latest(workspace: Workspace, events: int, record: Record) -> None:
    """Check the latest rounds of the latest run, and their logs too if the run was cut off. Raises
    as `check` does. A runner that ended in order has watched its logs; later changes to them are
    left to `audit`. After a power cut logs may be short or missing."""
    running = record.state.status is Status.RUNNING
    cut_off = running and record.events[-1].time > clock.booted()
    largest = LARGEST if cut_off else None
    may_lack = (ARTIFACTS,) if cut_off else (ARTIFACTS, LOGS)
    for number, state, event in reader.latest_rounds(events, ROUNDS):
        if event.run == record.state.run:
            with _unless_accepted(workspace, record.state.accepted):
                check(workspace, number, state, event, largest=largest, may_lack=may_lack)


@contextlib.contextmanager
def _unless_accepted(workspace: Workspace, accepted: Iterable[str]) -> Iterator[None]:
    """Ignore a mismatch that a person has accepted."""
    try:
        yield
    except RecordMismatch as found:
        if found.where not in map(workspace.shown, accepted):
            raise


def mismatches(workspace: Workspace, events: int) -> dict[str, str]:
    """Every log and artifact that does not match the record: its path in the workspace, and why.
    Raises BrokenChain when the events contradict each other."""
    found: dict[str, str] = {}
    state = State()
    for number, line in chain.check_chain(reader.lines(events)):
        event = reader.decode_at(number, line)
        try:
            check(workspace, number, state, event)
        except RecordMismatch as mismatch:
            name = (
                mismatch.name
                or event.data["log_path" if event.kind is Kind.STEP_FINISHED else "artifact"]
            )
            found[name] = mismatch.why
        state = reader.apply_at(number, state, event)
    return found


def load_path(workspace: Workspace) -> Record:
    """As `load` and `check_latest`, of a workspace; empty when there is no record yet."""
    try:
        events = files.open_regular(workspace.file(EVENTS), os.O_RDONLY)
    except FileNotFoundError:
        check_empty(workspace)
        return reader.load_path(workspace)
    try:
        record = load(workspace, events)
        check_latest(workspace, events, record)
        return record
    finally:
        os.close(events)


def check_empty(workspace: Workspace) -> None:
    """Raises RecordMismatch for files of rounds that an empty record does not name."""
    if left := round_files(workspace):
        raise RecordMismatch(workspace.shown(EVENTS), f"no event is left, but {left[0]} is there")


def highest_round(workspace: Workspace) -> int:
    """The highest round number that an artifact or a log carries; 0 without any."""
    found = (re.search(_ROUND, name) for name in round_files(workspace))
    return max((int(match[1]) for match in found if match), default=0)


def round_files(workspace: Workspace) -> list[str]:
    """Artifacts, logs and checkpoints that only a round leaves."""
    found = []
    for name in (ARTIFACTS, LOGS):
        found += [f"{name}/{one}" for one in _names(workspace.file(name)) if re.match(_ROUND, one)]
    manifests = f"{CHECKPOINTS}/manifests"
    names = _names(workspace.file(manifests))
    return found + [f"{manifests}/{name}" for name in names if name.startswith(_BEGUN)]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def check(
    workspace: Workspace,
    number: int,
    state: State,
    event: Event,
    *,
    largest: int | None = None,
    may_lack: Container[str] = (),
) -> None:
    """Hold one event against the state before it and the files that it names.

    largest: bytes of a log up to which it is hashed; None for all. may_lack: the files that are
    not checked, ARTIFACTS (about to be written again) or LOGS. Raises BrokenChain, RecordMismatch.
    """
    try:
        match event.kind:
            case Kind.ROUND_STARTED if state.seq > 0:
                _carried(number, state, event)
            case Kind.STEP_FINISHED if LOGS not in may_lack:
                _log(workspace, event, largest)
                _attachments(workspace, event, largest)
            case Kind.ROUND_FINISHED:
                _completion(number, state, event)
                _artifact(workspace, state, event, on_disk=ARTIFACTS not in may_lack)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BrokenChain):
            raise
        raise BrokenChain(number, f"a field is missing or of another kind: {error}") from None


def _carried(number: int, state: State, event: Event) -> None:
    # Read and written again: an older version carried fewer fields.
    carried = State().with_json(event.data["state"])
    if carried.to_json() != state.to_json():
        raise BrokenChain(number, "the state in it does not follow from the events before it")


def _completion(number: int, state: State, event: Event) -> None:
    """Check that a completed round has every gate passed after the last change."""
    if event.data["decision"] != Decision.COMPLETE:
        return
    measured = {result.step for result in state.steps if result.step.is_gate} | {Step.VERIFY}
    for gate in sorted(measured):
        result = state.gates.get(gate)
        if result is None or not result.outcome.passed or result.seq < state.change_seq:
            raise BrokenChain(
                number, f"says complete, but {gate} had not passed since the last change"
            )


def _log(workspace: Workspace, event: Event, largest: int | None) -> None:
    path = workspace.shown(event.data["log_path"])
    size, digest = _digest(workspace, event.data["log_path"], largest)
    if size is None and event.data["log_path"] in withheld.archived_files(workspace):
        return  # the log of a private gate, during a change or since a crash in one
    if size is None:
        why = "is missing, or is not a regular file any more"
        if _was_away(workspace, event):
            why += f", nor is it in {WITHHELD}/{withheld.ARCHIVE}: look for what else was withheld"
        raise RecordMismatch(path, why)
    if size != event.data["log_bytes"]:
        raise RecordMismatch(path, f"holds {size} bytes, recorded were {event.data['log_bytes']}")
    if digest not in ("", event.data["log_sha256"]):
        raise RecordMismatch(path, "was changed after it was recorded: its sha256 differs")


def _attachments(workspace: Workspace, event: Event, largest: int | None) -> None:
    for one in event.data.get("attachments", ()):
        name, path = one["path"], workspace.shown(one["path"])
        size, digest = _digest(workspace, name, largest)
        if size is None and name not in withheld.archived_files(workspace):
            raise RecordMismatch(path, "is missing, or is not a regular file any more", name)
        if size not in (None, one["bytes"]):
            raise RecordMismatch(path, f"holds {size} bytes, recorded were {one['bytes']}", name)
        if digest not in ("", one["sha256"]):
            raise RecordMismatch(
                path, "was changed after it was recorded: its sha256 differs", name
            )


def _was_away(workspace: Workspace, event: Event) -> bool:
    """Whether it is a private log that the workspace may hold in its archive."""
    return bool(event.data.get("private")) and os.path.isdir(workspace.file(WITHHELD))


def _artifact(workspace: Workspace, state: State, event: Event, *, on_disk: bool) -> None:
    path = workspace.shown(event.data["artifact"])
    expected = projections.to_bytes(projections.artifact_of(state, event))
    if hashlib.sha256(expected).hexdigest() != event.data["artifact_sha256"]:
        raise RecordMismatch(
            path, f"event {event.seq} names a hash that its own events do not give"
        )
    if not on_disk:
        return
    size, digest = _digest(workspace, event.data["artifact"], None)
    if size is None:
        raise RecordMismatch(path, "is missing; the next run writes the latest ones again")
    if digest != event.data["artifact_sha256"]:
        raise RecordMismatch(path, "was changed after it was recorded: its sha256 differs")


def _digest(workspace: Workspace, name: str, largest: int | None) -> tuple[int | None, str]:
    """(size in bytes, sha256) of a workspace file; (None, "") when it is not there, no hash when
    it is larger than `largest`."""
    try:
        descriptor = files.open_regular(workspace.file(name), os.O_RDONLY)
    except OSError:
        return None, ""
    with open(descriptor, "rb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        if largest is not None and size > largest:
            return size, ""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
