"""`openloop init`: write a workspace that a person and an agent can use at once."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, replace
from typing import Any

from openloop.agents import catalog
from openloop.browser import chromium
from openloop.config import config
from openloop.config.config import NO_POLICY, Config
from openloop.core.errors import UsageError
from openloop.core.text import printable
from openloop.core.vocabulary import Step
from openloop.fs import files
from openloop.record import workspace as workspaces
from openloop.record.workspace import CONFIG, EVENTS, HEARTBEAT, HOME, PROGRESS, Workspace
from openloop.runner import documents
from openloop.setup import init_remarks, workspace_files
from openloop.setup.detection import detect, web_page
from openloop.setup.missions import known_tools, templates
from openloop.setup.missions.foreign_loop import ForeignLoop
from openloop.setup.missions.templates import Template

_DEFAULT_MISSION = "Keep the project working: every gate passes."


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The options of `openloop init`, None for those that were not given.

    force: write openloop.json, whose old text is kept beside it, and the documents again; nothing
    else is ever replaced, and a record that is not intact is set aside. template: one of the
    missions that ship. source: where a loop of another tool lies that is taken over.
    """

    project_root: str | None
    mission: str | None
    agent: str | None
    force: bool
    template: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class InitResult:
    """The result of init: the workspace, its configuration, and remarks on them."""

    workspace: Workspace
    root: str
    config: Config
    remarks: tuple[str, ...]


def init(path: str, options: InitOptions) -> InitResult:
    """Create the workspace at `path`. Raises UsageError, HeldError, OSError."""
    workspace = workspaces.at(path)
    _refuse_to_overwrite(workspace, options.force)
    if options.project_root is None:
        _refuse_project(workspace)
    if options.template is not None and options.source is not None:
        raise UsageError("--template and --from exclude each other", fix="leave one of them out")
    shipped = loop = None
    if options.template is not None:
        shipped = templates.template_named(options.template)
        given = options.project_root
        templates.make_root(workspace.base if given is None else given)
    elif options.source is not None:
        loop = known_tools.single(options.source, options.project_root)
        options = replace(
            options,
            project_root=options.project_root or loop.folder,
            agent=options.agent or loop.agent or None,
        )
    root = _root(workspace, options.project_root)
    has_sample = shipped is not None and templates.is_vacant(root, workspace.path)
    if shipped:
        document, found = _of_template(shipped, has_sample, workspace, root, options)
    else:
        document, found = _of_project(loop, workspace, root, options)
    data = _json(document)
    known = config.parse(data, where=workspace.shown(CONFIG))
    with workspace_files.locked(workspace) as folder:
        notes = workspace_files.write(workspace, folder, known, data)
        if shipped:
            shipped.write(workspace.path, root, has_sample)
        if found.play and (options.force or not files.exists(web_page.FILE, folder=folder)):
            files.replace(web_page.FILE, _json(found.play), folder=folder)
    remarks = (
        *(init_remarks.on_root(workspace, root) if options.project_root is None else ()),
        *found.remarks,
        *init_remarks.on_project_above(root, document["commands"]["verify"]),
        *init_remarks.on_policy(document),
        *notes,
        *init_remarks.on_agent(options.agent, document["commands"], found.example),
        *workspace_files.hide_from_git(workspace),
    )
    return InitResult(workspace, root, known, remarks)


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _root(workspace: Workspace, project_root: str | None) -> str:
    root = os.path.realpath(workspace.base if project_root is None else project_root)
    if os.path.isdir(root):
        return root
    what = "is not a folder" if os.path.exists(root) else "does not exist"
    if project_root is None:
        raise UsageError(
            f"{workspace.given} has no project: {root} {what}",
            fix="choose a place in the project's folder, or name it: --project-root PATH",
        )
    raise UsageError(
        f"project root {project_root} {what}", fix="name an existing folder: --project-root PATH"
    )


def _refuse_to_overwrite(workspace: Workspace, force: bool) -> None:
    if os.path.lexists(workspace.path) and not os.path.isdir(workspace.path):
        raise UsageError(f"{workspace.given} exists and is not a folder", fix="choose another name")
    mine = (CONFIG, *documents.NAMES, EVENTS, HEARTBEAT, PROGRESS)
    there = [name for name in mine if os.path.lexists(workspace.file(name))]
    if there and not force:
        raise UsageError(
            f"{workspace.given} already holds {', '.join(there)}",
            fix="choose another folder, or write the configuration and the documents again "
            f"(the record, logs, artifacts, knowledge and output stay): "
            f"openloop init --force {workspace.quoted}",
        )


def _refuse_project(workspace: Workspace) -> None:
    """Raises UsageError for a folder that is itself a project: the files of a workspace would lie
    among its own, and its parent would be taken for the project."""
    name = detect.marker_in(workspace.path)
    if name and not os.path.lexists(workspace.file(CONFIG)):
        inner = shlex.quote(os.path.normpath(f"{workspace.given}/{HOME}/main"))
        raise UsageError(
            f"{workspace.given} is a project (it holds {name}): the files of a workspace would lie "
            "among its own",
            fix=f"make a folder for them: openloop init {inner}",
        )


def _of_template(
    shipped: Template, has_sample: bool, workspace: Workspace, root: str, options: InitOptions
) -> tuple[dict[str, Any], detect.Detection]:
    """The document of openloop.json for a template. has_sample: its sample is the project."""
    mission, agent = options.mission, options.agent
    found = detect.Detection({}, [*shipped.sentences(root, agent, has_sample)], [], [])
    document = _document(workspace, root, mission or shipped.config["mission"], agent, found)
    return shipped.configured(document, agent, has_sample), found


def _of_project(
    loop: ForeignLoop | None, workspace: Workspace, root: str, options: InitOptions
) -> tuple[dict[str, Any], detect.Detection]:
    """The document of openloop.json for what the project shows, and for a loop that is taken over
    with it."""
    found = detect.detect(root, has_browser=chromium.is_installed())
    mission = options.mission or (loop and loop.mission) or _DEFAULT_MISSION
    document = _document(workspace, root, mission, options.agent, found)
    if loop:
        document = loop.configured(document)
        if loop.gate:  # then what was found is not what is written
            found.remarks.clear()
        found.remarks.extend(loop.sentences(options.agent))
    return document, found


def _document(
    workspace: Workspace, root: str, mission: str, agent: str | None, found: detect.Detection
) -> dict[str, Any]:
    """The document of openloop.json: the findings about the project, and all limits."""
    commands: dict[str, Any] = {str(step): run for step, run in found.commands.items()}
    if agent is not None:
        chosen = catalog.preset_named(agent).as_command()
        commands |= {"fix": chosen, "improve": chosen}
    order = ("play", "scan", "fix", "verify", "improve")
    document: dict[str, Any] = {
        "$schema": f"./{workspace_files.SCHEMA}",
        "version": 1,
        "mission": mission,
        "total_rounds": 10,
        "project_root": _relative(workspace, root),
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


def _relative(workspace: Workspace, root: str) -> str:
    """The root from the workspace's base where it lies below it, else absolute."""
    base = os.path.realpath(workspace.base)
    inside = root == base or root.startswith(base.rstrip("/") + "/")
    return os.path.relpath(root, base) if inside else root


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
        *(f"  {sentence}" for sentence in made.remarks),
        f"  nothing was run; read {made.workspace.shown(CONFIG)} before you trust it",
        f"next: openloop doctor {made.workspace.quoted}",
    ]
