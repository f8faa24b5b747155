"""openloop.json of a task: the fleet's configuration with the task's own mission and changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any


def for_task(base: Any, mission: str | None, changes: Mapping[str, Any], root: str) -> bytes:
    """The bytes of the file. changes: dotted key to value. root: the project root."""
    document = copy.deepcopy(base) if changes else dict(base) if isinstance(base, dict) else base
    if not isinstance(document, dict):
        return json.dumps(document).encode()
    for key, value in changes.items():
        _set(document, key.split("."), value)
    if mission is not None:
        document["mission"] = mission
    document["project_root"] = root
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def gates_only(data: bytes, root: str) -> bytes:
    """The same configuration without what changes the project, for one round in `root`."""
    document = json.loads(data)
    for key in ("policy", "hooks"):
        document.pop(key, None)
    commands = document["commands"]
    document["commands"] = {
        step: commands[step] for step in commands if step not in ("fix", "improve")
    }
    baseline = document.get("baseline")
    if isinstance(baseline, dict):
        baseline.pop("keep_best", None)
    return json.dumps({**document, "total_rounds": 1, "project_root": root}, indent=2).encode()


def _set(document: dict[str, Any], keys: list[str], value: Any) -> None:
    *above, last = keys
    for key in above:
        inner = document.get(key)
        if not isinstance(inner, dict):
            inner = document[key] = {}
        document = inner
    document[last] = value
