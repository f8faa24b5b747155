"""What `init` says of the workspace that it wrote: a sentence a line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from openloop.agents import catalog
from openloop.core.vocabulary import CHANGES
from openloop.record.workspace import HOME, Workspace
from openloop.setup.command_starts import bare_command
from openloop.setup.detection import detect
from openloop.setup.findings import REPLACE_ME


def on_root(workspace: Workspace, root: str) -> Iterator[str]:
    """A remark on a project that nobody named, and that the workspace does not lie in as usual."""
    if root == os.path.dirname(workspace.path):
        folder = shlex.quote(f"PROJECT/{HOME}/{os.path.basename(workspace.path)}")
        yield f"the project is {root}, because the workspace lies in it and no other was named."
        yield f"for another one: --project-root PATH, or a workspace in it, such as {folder}"


def on_project_above(root: str, verify: object) -> Iterator[str]:
    """A remark on a folder above that is a project, where the root itself shows no tests."""
    folder = os.path.dirname(root)
    while verify == REPLACE_ME and folder != os.path.dirname(folder):
        if name := detect.marker_in(folder):
            yield f"{folder} holds {name}: is that the project? Then run init there."
            return
        folder = os.path.dirname(folder)


def on_policy(document: Mapping[str, Any]) -> Iterator[str]:
    """Remarks on a missing policy, or a missing list of sources."""
    example = '{"protect": ["tests/**"], "allow": ["src/**"]}'
    if "policy" not in document:
        yield f"no policy, because no test command was found: write one, for example {example}."
    elif "allow" not in document["policy"]:
        yield f"policy.allow is left out, because no source was seen; for example {example}."


def on_agent(agent: str | None, commands: Mapping[str, Any], example: str) -> Iterator[str]:
    """Remarks on the configured agent, or on none. example: of the command that runs the tests."""
    if agent is None:
        if not commands.keys() & CHANGES:
            yield "no fix, because no agent was named: a run only measures. --agent NAME writes it,"
            yield "openloop agents lists the names; or write a command into commands.fix."
        return
    chosen = catalog.preset_named(agent)
    if chosen.note:
        verify = commands["verify"]
        tests = example or ("" if verify == REPLACE_ME or isinstance(verify, dict) else verify)
        yield f"{chosen.name}: {chosen.note_for(bare_command(tests))}"
    if chosen.install:
        yield f"if it is not installed: {chosen.install}"
