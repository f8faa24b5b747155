"""Missions that ship: each is a folder of data that runs offline as it is.

In the folder: template.json (what it is), openloop.json, project/ (a sample), agents/ (an honest
one and a lying one, both scripted), and holdout/ (what its gates need). What a template knows of
its sample alone, scripted agents and canaries, is left out where a project is there already.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from openloop.agents import catalog
from openloop.core.errors import UsageError
from openloop.core.text import nearest
from openloop.record.workspace import CONFIG, HOLDOUT, HOME

_FOLDER = os.path.abspath(os.path.join(os.path.dirname(__file__), *2 * (os.pardir,), "templates"))
_CHANGES = ("fix", "improve")
_AGENTS = "agents"
_ASIDE = frozenset((HOME, ".git"))  # what a project may hold that is taken for empty


@dataclass(frozen=True)
class Template:
    """One mission that ships. needs: programs that must be there besides Python."""

    name: str
    title: str
    text: str
    needs: tuple[str, ...]

    @property
    def folder(self) -> str:
        return os.path.join(_FOLDER, self.name)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its openloop.json, without the project's root."""
        config: dict[str, Any] = _read(os.path.join(self.folder, CONFIG))
        return config

    def to_json(self) -> dict[str, Any]:
        own = {"name": self.name, "title": self.title, "text": self.text, "needs": self.needs}
        return {**own, "mission": self.config["mission"], "gates": list(_gates(self.config))}

    def configured(
        self, document: dict[str, Any], agent: str | None, has_sample: bool
    ) -> dict[str, Any]:
        """`document`, which init would write without a template, with what the template says."""
        config = copy.deepcopy(self.config)
        if not has_sample:
            for gate in _gates(config).values():
                gate.pop("canary", None)
        for step in _CHANGES:
            if step in config["commands"] and agent:
                config["commands"][step] = document["commands"][step]
            elif not has_sample:
                config["commands"].pop(step, None)
        if agent:
            config["policy"]["allow"] += catalog.preset_named(agent).caches
        return {**document, **config, "mission": document["mission"]}

    def write(self, workspace: str, root: str, has_sample: bool) -> None:
        """Copy the files: into the workspace those that it lacks, and the sample project."""
        _copy(os.path.join(self.folder, HOLDOUT), os.path.join(workspace, HOLDOUT))
        if has_sample:
            _copy(os.path.join(self.folder, _AGENTS), os.path.join(workspace, _AGENTS))
            _copy(os.path.join(self.folder, "project"), root)

    def sentences(self, root: str, agent: str | None, has_sample: bool) -> Iterable[str]:
        """Lines for a person about the files that were written."""
        yield f"{self.title}: openloop templates {self.name}"
        yield from (f"it needs {need}" for need in self.needs)
        if not has_sample:
            yield f"{root} is not empty: the mission comes without its sample project, scripted"
            yield "  agents and canaries; correct the gates where your project differs"
            if not agent:
                yield "nothing repairs yet: name an agent with --agent NAME --force"
        elif not agent:
            step = next(step for step in _CHANGES if step in self.config["commands"])
            yield f"{step} calls a script, {_AGENTS}/honest.py; {_AGENTS}/lying.py cheats: try it"


def names() -> list[str]:
    return sorted(os.listdir(_FOLDER))


def every() -> list[Template]:
    return [template_named(name) for name in names()]


def template_named(name: str, where: str = "--template") -> Template:
    """The template of that name. Raises UsageError where there is none."""
    known = names()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(f"{where}: no template is called {name}", fix=f"{hint}openloop templates")
    facts = _read(os.path.join(_FOLDER, name, "template.json"))
    return Template(name, facts["title"], facts["text"], tuple(facts["needs"]))


def make_root(root: str) -> None:
    """Make the folder of a sample project. Raises UsageError."""
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        what = f"cannot create the project root {root}: {error.strerror}"
        raise UsageError(what, fix="name another folder: --project-root PATH") from None


def is_vacant(root: str, workspace: str) -> bool:
    """Whether nothing but workspaces lies in a project: room for a sample."""
    others = (name for name in os.listdir(root) if name not in _ASIDE)
    return all(os.path.join(root, name) == workspace for name in others)


def lines(templates: Iterable[Template]) -> list[str]:
    """A list of the templates for a person, one a line."""
    rows = [f"{one.name:<20} {one.title}" for one in templates]
    return [*rows, "next: openloop init --template NAME .openloop/NAME"]


def details(template: Template) -> list[str]:
    """The details of one template for a person."""
    gates = (f"  {name}: {gate['run']}" for name, gate in _gates(template.config).items())
    return [
        f"{template.name}: {template.title}",
        template.text,
        *(f"it needs {need}" for need in template.needs),
        f"mission: {template.config['mission']}",
        "gates:",
        *gates,
        f"next: openloop init --template {template.name} .openloop/{template.name}",
    ]


def _gates(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The gates' commands, as objects, by name."""
    commands = config["commands"].items()
    gates = {name: command for name, command in commands if name not in _CHANGES}
    return {
        **gates,
        **({"baseline": config["baseline"]["command"]} if "baseline" in config else {}),
    }


def _read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _copy(source: str, target: str) -> None:
    """Copy a folder's files that are not there yet, without their modes: a package may be
    read-only."""
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != "__pycache__"]
        place = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
        os.makedirs(place, exist_ok=True)
        for name in names:
            path = os.path.join(place, name)
            if not os.path.lexists(path):
                shutil.copyfile(os.path.join(folder, name), path)
