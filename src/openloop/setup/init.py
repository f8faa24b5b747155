"""`openloop init`: write a workspace that a person and an agent can use at once."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openloop.agents import catalog
from openloop.browser import chromium
from openloop.config import config
from openloop.config.config import NO_POLICY, Config
from openloop.core import clock
from openloop.core.errors import UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Kind, Step
from openloop.fs import files
from openloop.fs.files import NotRegular
from openloop.loop import transitions
from openloop.loop.events import Event
from openloop.loop.state import State
from openloop.record import chain, event_format, integrity, projections
from openloop.record import workspace as places
from openloop.record.chain import BrokenChain
from openloop.record.integrity import RecordMismatch
from openloop.record.lock import Lock
from openloop.record.projections import LiveFacts, WriterProcess
from openloop.record.workspace import (
    CONFIG,
    EVENTS,
    FOLDERS,
    HEARTBEAT,
    HOME,
    PROGRESS,
    Workspace,
)
from openloop.runner import documents
from openloop.setup import init_remarks
from openloop.setup.detection import detect, web_page
from openloop.setup.missions import known_tools, templates

_SCHEMA = "openloop.schema.json"
_IGNORES = ".gitignore"
_DEFAULT_MISSION = "Keep the project working: every gate passes."


@dataclass(frozen=True, slots=True)
class InitResult:
    """The result of init: the workspace, its configuration, and remarks on them."""

    workspace: Workspace
    root: str
    config: Config
    notes: tuple[str, ...]


def init(
    path: str,
    *,
    project_root: str | None,
    mission: str | None,
    agent: str | None,
    force: bool,
    template: str | None = None,
    source: str | None = None,
) -> InitResult:
    """Create the workspace at `path`. Raises UsageError, HeldError, OSError.

    force: write openloop.json, whose old text is kept beside it, and the documents again; nothing
    else is ever replaced, and a record that is not intact is set aside. template: one of the
    missions that ship. source: where a loop of another tool lies that is taken over.
    """
    place = places.at(path)
    _refuse_to_overwrite(place, force)
    if project_root is None:
        _refuse_project(place)
    if template is not None and source is not None:
        raise UsageError("--template and --from exclude each other", fix="leave one of them out")
    shipped = templates.template_named(template) if template is not None else None
    loop = known_tools.single(source, project_root) if source is not None else None
    if shipped:
        templates.make_root(place.base if project_root is None else project_root)
    elif loop:
        project_root = project_root or loop.folder
        agent = agent or loop.agent or None
    root = _root(place, project_root)
    has_sample = shipped is not None and templates.is_vacant(root, place.path)
    if shipped:
        found = detect.Detection({}, [*shipped.sentences(root, agent, has_sample)], [], [])
        document = _document(place, root, mission or shipped.config["mission"], agent, found)
        document = shipped.configured(document, agent, has_sample)
    else:
        found = detect.detect(root, has_browser=chromium.is_installed())
        aim = mission or (loop and loop.mission) or _DEFAULT_MISSION
        document = _document(place, root, aim, agent, found)
    if loop:
        document = loop.configured(document)
        if loop.gate:  # then what was found is not what is written
            found.found.clear()
        found.found.extend(loop.sentences(agent))
    data = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    known = config.parse(data, where=place.shown(CONFIG))
    with _locked(place) as folder:
        notes = _write(place, folder, known, data)
        if shipped:
            shipped.write(place.path, root, has_sample)
        if found.play and (force or not files.exists(web_page.FILE, folder=folder)):
            text = json.dumps(found.play, indent=2) + "\n"
            files.replace(web_page.FILE, text.encode(), folder=folder)
    where = init_remarks.on_root(place, root) if project_root is None else ()
    about_agent = init_remarks.on_agent(agent, document["commands"], found.example)
    above = init_remarks.on_project_above(root, document["commands"]["verify"])
    sentences = (
        *where,
        *found.found,
        *above,
        *init_remarks.on_policy(document),
        *notes,
        *about_agent,
    )
    return InitResult(place, root, known, (*sentences, *_hide_from_git(place)))


@contextlib.contextmanager
def _locked(place: Workspace) -> Iterator[int]:
    """The descriptor of the workspace's folder, made if it is missing, while nobody else writes
    there. Raises HeldError; UsageError for what cannot be written."""
    try:
        os.makedirs(place.path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create {place.given}: {error.strerror}") from None
    lock = Lock(place, patience=0)
    try:
        yield lock.folder
    except OSError as error:
        raise UsageError(
            f"{place.given} cannot be written: {error.strerror}",
            fix="make room, or give yourself permission, then: openloop init --force",
        ) from None
    finally:
        lock.release()


def _root(place: Workspace, project_root: str | None) -> str:
    root = os.path.realpath(place.base if project_root is None else project_root)
    if os.path.isdir(root):
        return root
    what = "is not a folder" if os.path.exists(root) else "does not exist"
    if project_root is None:
        raise UsageError(
            f"{place.given} has no project: {root} {what}",
            fix="choose a place in the project's folder, or name it: --project-root PATH",
        )
    raise UsageError(
        f"project root {project_root} {what}", fix="name an existing folder: --project-root PATH"
    )


def _refuse_to_overwrite(place: Workspace, force: bool) -> None:
    if os.path.lexists(place.path) and not os.path.isdir(place.path):
        raise UsageError(f"{place.given} exists and is not a folder", fix="choose another name")
    mine = (CONFIG, *documents.NAMES, EVENTS, HEARTBEAT, PROGRESS)
    there = [name for name in mine if os.path.lexists(place.file(name))]
    if there and not force:
        raise UsageError(
            f"{place.given} already holds {', '.join(there)}",
            fix="choose another folder, or write the configuration and the documents again "
            f"(the record, logs, artifacts, knowledge and output stay): "
            f"openloop init --force {place.quoted}",
        )


def _refuse_project(place: Workspace) -> None:
    """Raises UsageError for a folder that is itself a project: the files of a workspace would lie
    among its own, and its parent would be taken for the project."""
    name = detect.marker_in(place.path)
    if name and not os.path.lexists(place.file(CONFIG)):
        inner = shlex.quote(os.path.normpath(f"{place.given}/{HOME}/main"))
        raise UsageError(
            f"{place.given} is a project (it holds {name}): the files of a workspace would lie "
            "among its own",
            fix=f"make a folder for them: openloop init {inner}",
        )


def _document(
    place: Workspace, root: str, mission: str, agent: str | None, found: detect.Detection
) -> dict[str, Any]:
    """The document of openloop.json: the findings about the project, and all limits."""
    commands: dict[str, Any] = {str(step): run for step, run in found.commands.items()}
    if agent is not None:
        chosen = catalog.preset_named(agent).as_command()
        commands |= {"fix": chosen, "improve": chosen}
    order = ("play", "scan", "fix", "verify", "improve")
    document: dict[str, Any] = {
        "$schema": f"./{_SCHEMA}",
        "version": 1,
        "mission": mission,
        "total_rounds": 10,
        "project_root": _relative(place, root),
        "commands": {step: commands[step] for step in order if step in commands},
    }
    if found.protect:
        document["policy"] = {"protect": found.protect}
        if found.allow:
            caches = list(catalog.preset_named(agent).caches) if agent else []
            document["policy"]["allow"] = [*found.allow, *caches]
    document["limits"] = {
        "command_timeout_seconds": 900,
        "stall_timeout_seconds": 300,
        "max_consecutive_failures": 5,
    }
    return document


def _relative(place: Workspace, root: str) -> str:
    """The root from the workspace's base where it lies below it, else absolute."""
    base = os.path.realpath(place.base)
    inside = root == base or root.startswith(base.rstrip("/") + "/")
    return os.path.relpath(root, base) if inside else root


def _write(place: Workspace, folder: int, known: Config, data: bytes) -> list[str]:
    notes = []
    for name in FOLDERS:
        os.close(files.open_or_make_folder(name, folder=folder))
    if _set_aside_broken_record(place, folder):
        notes.append(
            f"the old record is not intact: set aside as {EVENTS}.broken-*, a new one begins"
        )
    if _differs(CONFIG, data, folder):
        kept = files.set_aside(CONFIG, folder=folder, word="replaced")
        notes.append(f"the {CONFIG} that was there is kept as {kept}")
    _write_documents(folder, known, data)
    begun = None if files.exists(EVENTS, folder=folder) else _begin_record(place, folder)
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


def _hide_from_git(place: Workspace) -> list[str]:
    """Make git leave the folder of all workspaces alone: `git clean` and `git stash -u` would take
    a record along. A file that is there already stays."""
    above = place.path
    while os.path.basename(above) != HOME:
        if above == os.path.dirname(above):
            return []
        above = os.path.dirname(above)
    with contextlib.suppress(FileExistsError), open(os.path.join(above, _IGNORES), "x") as file:
        file.write("*\n")
    return [f"git leaves {HOME} alone; to keep a record in git: git add -f {place.quoted}"]


def _begin_record(place: Workspace, folder: int) -> Event | None:
    """Make events.jsonl, empty but beside files of earlier rounds: there its one event says that
    a person began it again, so that an emptied record is never taken for new."""
    begun = None
    if integrity.round_files(place):
        last = integrity.highest_round(place)
        text = f"a new record begins beside the files of earlier rounds, after round {last}"
        data = {"note": "begun", "text": text}
        begun = Event(Kind.NOTE, clock.utc(), 0.0, 0, last, None, data, seq=1)
    files.replace(EVENTS, _line(begun) + b"\n" if begun else b"", folder=folder)
    return begun


def _line(event: Event) -> bytes:
    return event_format.encode(event, chain.FIRST_PREV)


def _write_documents(folder: int, known: Config, data: bytes) -> None:
    texts = documents.write(known)
    with open(os.path.join(os.path.dirname(config.__file__), os.pardir, _SCHEMA), "rb") as file:
        shown = ((CONFIG, data), (_SCHEMA, file.read()))
    for name, content in (*shown, *((name, text.encode()) for name, text in texts.items())):
        files.replace(name, content, folder=folder)


def _set_aside_broken_record(place: Workspace, folder: int) -> bool:
    """Rename a record that cannot be continued; its logs and artifacts stay where they are."""
    if _holds(place):
        return False
    for name in (EVENTS, HEARTBEAT, PROGRESS):
        if files.exists(name, folder=folder):
            files.set_aside(name, folder=folder, word="broken")
    return True


def _holds(place: Workspace) -> bool:
    """Whether the next run can continue the record, or has none to continue. Raises UsageError for
    a record that cannot be read, which may be intact."""
    try:
        integrity.load_path(place)
    except (NotRegular, BrokenChain, RecordMismatch):
        return False
    except OSError as error:
        raise places.unreadable(place, EVENTS, error) from None
    return True


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


def lines(made: InitResult) -> list[str]:
    """The summary of init for a person."""
    given, known = made.workspace.given, made.config
    policy = known.policy or NO_POLICY
    fix = known.commands.get(Step.FIX)
    repeated = Step.IMPROVE if fix and fix == known.commands.get(Step.IMPROVE) else None
    rows = [
        ("protect", policy.protect and ", ".join(policy.protect)),
        ("allow", policy.allow and ", ".join(policy.allow)),
        *((step, command.run) for step, command in known.commands.items() if step is not repeated),
        ("improve", "as fix" if repeated else ""),
        ("rounds", f"at most {known.total_rounds}, the first of which only measures"),
        ("blocked", f"after {known.limits.max_consecutive_failures} rounds in a row that fail"),
    ]
    return [
        f"workspace {given} for {made.root}",
        *(f"  {printable(f'{name:<8} {text}')}" for name, text in rows if text),
        *(f"  {sentence}" for sentence in made.notes),
        f"  nothing was run; read {made.workspace.shown(CONFIG)} before you trust it",
        f"next: openloop doctor {made.workspace.quoted}",
    ]
