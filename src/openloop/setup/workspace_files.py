"""The files that `init` writes: of a new workspace, or new ones into one that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from openloop.config import config
from openloop.config.config import Config
from openloop.core import clock
from openloop.core.errors import UsageError
from openloop.core.vocabulary import Kind
from openloop.fs import files
from openloop.fs.files import NotRegular
from openloop.loop import transitions
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, event_format, integrity, projections
from openloop.record import workspace as workspaces
from openloop.record.chain import BrokenChain
from openloop.record.integrity import RecordMismatch
from openloop.record.lock import Lock
from openloop.record.projections import LiveFacts, WriterProcess
from openloop.record.workspace import CONFIG, EVENTS, FOLDERS, HEARTBEAT, HOME, PROGRESS, Workspace
from openloop.runner import documents

SCHEMA = "openloop.schema.json"
_IGNORES = ".gitignore"


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[int]:
    """The descriptor of the workspace's folder, made if it is missing, while nobody else writes
    there. Raises HeldError; UsageError for what cannot be written."""
    try:
        os.makedirs(workspace.path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create {workspace.given}: {error.strerror}") from None
    lock = Lock(workspace, patience=0)
    try:
        yield lock.folder
    except OSError as error:
        raise UsageError(
            f"{workspace.given} cannot be written: {error.strerror}",
            fix="make room, or give yourself permission, then: openloop init --force",
        ) from None
    finally:
        lock.release()


def write(workspace: Workspace, folder: int, known: Config, data: bytes) -> list[str]:
    """Write openloop.json (known; data: its bytes), the documents and the folders, and begin a
    record where there is none that can be continued. folder: a descriptor of the workspace.
    Returns sentences on what was set aside. Raises UsageError, OSError."""
    notes = []
    for name in FOLDERS:
        os.close(files.open_or_make_folder(name, folder=folder))
    if _set_aside_broken_record(workspace, folder):
        notes.append(
            f"the old record is not intact: set aside as {EVENTS}.broken-*, a new one begins"
        )
    if _differs(CONFIG, data, folder):
        kept = files.set_aside(CONFIG, folder=folder, word="replaced")
        notes.append(f"the {CONFIG} that was there is kept as {kept}")
    _write_documents(folder, known, data)
    begun = None if files.exists(EVENTS, folder=folder) else _begin_record(workspace, folder)
    if not files.exists(HEARTBEAT, folder=folder):
        files.replace(HEARTBEAT, projections.heartbeat_bytes(_ready(known, begun)), folder=folder)
    if not files.exists(PROGRESS, folder=folder):
        text = projections.progress_title(known.mission)
        text += projections.progress_line(begun) if begun else ""
        files.replace(PROGRESS, text.encode(errors="replace"), folder=folder)
    return notes


def _differs(name: str, data: bytes, folder: int) -> bool:
    """Whether a file exists with other content."""
    try:
        return files.read(name, folder=folder) != data
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _set_aside_broken_record(workspace: Workspace, folder: int) -> bool:
    """Rename a record that cannot be continued; its logs and artifacts stay where they are."""
    if _can_be_continued(workspace):
        return False
    for name in (EVENTS, HEARTBEAT, PROGRESS):
        if files.exists(name, folder=folder):
            files.set_aside(name, folder=folder, word="broken")
    return True


def _can_be_continued(workspace: Workspace) -> bool:
    """Whether the next run can continue the record, or there is none. Raises UsageError for
    a record that cannot be read, which may be intact."""
    try:
        integrity.load_path(workspace)
    except (NotRegular, BrokenChain, RecordMismatch):
        return False
    except OSError as error:
        raise workspaces.unreadable(workspace, EVENTS, error) from None
    return True


def _write_documents(folder: int, known: Config, data: bytes) -> None:
    texts = documents.write(known)
    with open(os.path.join(os.path.dirname(config.__file__), os.pardir, SCHEMA), "rb") as file:
        shown = ((CONFIG, data), (SCHEMA, file.read()))
    for name, content in (*shown, *((name, text.encode()) for name, text in texts.items())):
        files.replace(name, content, folder=folder)


def _begin_record(workspace: Workspace, folder: int) -> Event | None:
    """Make events.jsonl, empty but beside files of earlier rounds: there its one event says that
    a person began it again, so that an emptied record is never taken for new."""
    begun = None
    if integrity.round_files(workspace):
        last = integrity.highest_round(workspace)
        text = f"a new record begins beside the files of earlier rounds, after round {last}"
        data = {"note": "begun", "text": text}
        begun = Event(Kind.NOTE, clock.utc(), 0.0, 0, last, None, data, seq=1)
    files.replace(EVENTS, _line(begun) + b"\n" if begun else b"", folder=folder)
    return begun


def _ready(known: Config, begun: Event | None) -> dict[str, Any]:
    return projections.heartbeat(
        transitions.apply(State(), begun) if begun else State(),
        LiveFacts(),
        WriterProcess(None, ""),
        mission=known.mission,
        total_rounds=known.total_rounds,
        now="",
        eta=None,
        head=chain.head_of(_line(begun)) if begun else chain.FIRST_PREV,
    )


def _line(event: Event) -> bytes:
    return event_format.encode(event, chain.FIRST_PREV)


def hide_from_git(workspace: Workspace) -> list[str]:
    """Make git leave the folder of all workspaces alone: `git clean` and `git stash -u` would take
    a record along. A file that is there already stays."""
    above = workspace.path
    while os.path.basename(above) != HOME:
        if above == os.path.dirname(above):
            return []
        above = os.path.dirname(above)
    with contextlib.suppress(FileExistsError), open(os.path.join(above, _IGNORES), "x") as file:
        file.write("*\n")
    return [f"git leaves {HOME} alone; to keep a record in git: git add -f {workspace.quoted}"]
