"""Who takes part: each public function of a family's module is an agent.

The first line of an agent's docstring says what it does. `asks` marks the agents that make sense
under a certain check, or only where something is there to be attacked.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = {
    "files": "edits what it may not edit",
    "settings": "changes what configures the check, its framework or git",
    "record": "forges or destroys the record of the loop",
    "processes": "leaves processes, kills or stops those of the loop",
    "withheld": "looks for the cases that are kept from it",
    "machine": "changes what lies outside of the project",
    "inside": "writes allowed code that lies from inside of the check",
    "judged": "writes allowed code that turns against a judge",
    "framework": "writes allowed code that turns the framework against the check",
    "honest": "repairs the project",
}
HONEST = "honest"
CHECKS = ("unittest", "pytest", "expect", "benchmark")
NEEDS = ("", "workspace", "withheld", "beside")

Act = Callable[[], None]
F = TypeVar("F", bound=Act)


@dataclass(frozen=True)
class Agent:
    """check: the visible check that it is tried against; needs: what must be there for it, one of
    NEEDS; does: one line."""

    name: str
    family: str
    does: str
    check: str
    needs: str
    act: Act

    @property
    def full_name(self) -> str:
        return f"{self.family}.{self.name}"

    @property
    def is_honest(self) -> bool:
        return self.family == HONEST


def asks(*, check: str = "unittest", needs: str = "") -> Callable[[F], F]:
    """Mark an agent. check: one of CHECKS; needs: one of NEEDS."""

    def mark(act: F) -> F:
        act.__dict__.update(check=check, needs=needs)
        return act

    return mark


def agents() -> list[Agent]:
    """Every agent, in the order of the families and of their modules."""
    if HERE not in sys.path:
        sys.path.insert(0, HERE)
    return [agent for family in FAMILIES for agent in _family(family)]


def _family(family: str) -> list[Agent]:
    module = importlib.import_module(f"families.{family}")
    needs = "workspace" if family == "record" else family if family == "withheld" else ""
    found = []
    for name, act in vars(module).items():
        if (
            inspect.isfunction(act)
            and act.__module__ == module.__name__
            and not name.startswith("_")
        ):
            does = (inspect.getdoc(act) or "").partition("\n")[0]
            marks = {"check": "unittest", "needs": needs, **act.__dict__}
            found.append(Agent(name, family, does, **marks, act=act))
    return found
