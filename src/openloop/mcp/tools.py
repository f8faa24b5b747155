"""The tools: their names, arguments and descriptions.

An agent reads this list in every conversation: it is kept short, and its order is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INSTRUCTIONS = (
    "OpenLoop runs coding agents in rounds until gates pass. start returns at once, and the run "
    "goes on without this server; call wait, not status again and again. Only the status "
    "'complete' means done."
)
_WORKSPACE = {"type": "string", "description": "workspace folder, relative to the root"}


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. changes: it starts or stops something; destructive: it ends work in progress."""

    name: str
    description: str
    arguments: dict[str, Any]
    changes: bool = False
    destructive: bool = False
    of_a_workspace: bool = True

    def to_json(self) -> dict[str, Any]:
        own = {"workspace": _WORKSPACE} if self.of_a_workspace else {}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {**own, **self.arguments},
            "additionalProperties": False,
        }
        if own:
            schema["required"] = ["workspace"]
        hints = {
            "readOnlyHint": not self.changes,
            "destructiveHint": self.destructive,
            "openWorldHint": False,
        }
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": schema,
            "annotations": hints,
        }


TOOLS = (
    Tool(
        "list",
        "List the loops below the root: workspace, status, round, reason.",
        {},
        of_a_workspace=False,
    ),
    Tool(
        "start",
        "Start or resume a run, detached: it outlives this server. Fails when it cannot start.",
        {"max_rounds": {"type": "integer", "minimum": 1}},
        changes=True,
    ),
    Tool(
        "status",
        "Where a run stands: status, reason, round, step, metric, last error, usage.",
        {},
    ),
    Tool(
        "wait",
        "Wait until the run is over, or its round or step changes; then return the status.",
        {
            "until": {"enum": ["over", "round", "step"], "default": "over"},
            "seconds": {"type": "number", "minimum": 0, "maximum": 45, "default": 45},
        },
    ),
    Tool(
        "logs",
        "Text of a step's log, its end unless offset is given. Private gates are not shown.",
        {
            "round": {"type": "integer", "minimum": 1, "description": "default: the latest"},
            "step": {"enum": ["play", "scan", "fix", "verify", "baseline", "improve"]},
            "offset": {"type": "integer", "minimum": 0, "description": "first byte"},
        },
    ),
    Tool(
        "report",
        "The run as Markdown: verdict, gates, rounds, failures, policy, whether it is intact.",
        {},
    ),
    Tool(
        "stop",
        "End the running loop. The first call returns a token and what would be ended; call "
        "again with the token.",
        {"token": {"type": "string"}},
        changes=True,
        destructive=True,
    ),
    Tool(
        "doctor",
        "Check configuration and workspace for mistakes. Runs no command of the project.",
        {},
    ),
)
