"""A loop of another tool: its weaknesses, and the parts that an OpenLoop mission can take over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from openloop.core.text import counted
from openloop.setup.findings import Finding, ok, problem, warning


@dataclass(slots=True)
class ForeignLoop:
    """One loop, as far as its file says.

    folder: the project. name: the file, from there. agent: a preset's name, or "". protect: what
    it keeps from the agent. left_out: what a mission does not take over.
    """

    folder: str
    name: str
    agent: str = ""
    prompt: str = ""
    gate: str = ""
    rounds: int | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    protect: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def mission(self) -> str:
        return f"Do what {self.prompt} asks for; every gate passes." if self.prompt else ""

    def configured(self, document: dict[str, Any]) -> dict[str, Any]:
        """The `document` of init for the project, with the settings of the loop."""
        commands = dict(document["commands"])
        if self.gate:
            commands["verify"] = self.gate
        policy = dict(document.get("policy", {}))
        own = [*self.protect, f"/{self.name}", *([f"/{self.prompt}"] if self.prompt else [])]
        policy["protect"] = list(dict.fromkeys([*policy.get("protect", []), *own]))
        rounds = self.rounds or document["total_rounds"]
        limits = {**document["limits"], **self.limits}
        limits["max_consecutive_failures"] = min(limits["max_consecutive_failures"], rounds)
        return {
            **document,
            "total_rounds": rounds,
            "commands": commands,
            "policy": policy,
            "limits": limits,
        }

    def sentences(self, agent: str | None) -> Iterator[str]:
        """Tell a person which parts of the loop were taken over and which were not."""
        yield f"taken from {self.name}: " + ", ".join(self._taken())
        yield from (f"left out: {what}" for what in self.left_out)
        if not self.gate:
            yield "it has no gate that could be taken over: verify is what the project itself shows"
        if not agent:
            yield "left out: its agent, which is not a known one; name yours: --agent NAME --force"

    def _taken(self) -> Iterator[str]:
        if self.prompt:
            yield f"its prompt {self.prompt}"
        if self.agent:
            yield f"its agent {self.agent}"
        if self.gate:
            yield f"its gate `{self.gate}`"
        if self.rounds:
            yield counted(self.rounds, "round")
        if self.limits:
            yield ", ".join(self.limits)
        yield "the files it protects" if self.protect else "its own file, protected"


def protection(loop: ForeignLoop, flags: list[str]) -> Iterator[Finding]:
    """The finding whether the agent can edit the files that judge it. flags: options of its command
    that permit everything."""
    if flags:
        fix = "run it in a sandbox, and protect what decides: openloop help policy"
        yield warning(
            f"{loop.name}: the agent may do anything without asking: {', '.join(flags)}", fix
        )
    if loop.protect:
        yield ok(f"{loop.name}: the agent may not edit {', '.join(loop.protect)}")
        return
    own = ", ".join(filter(None, ("the tests", loop.prompt, loop.name)))
    fix = "take it over, with a policy that restores them: openloop init --from"
    yield problem(f"{loop.name}: the agent may edit what it is judged by: {own}", fix)
