"""What `doctor` found at one place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. fix: how to mend it, "" when nothing is wrong."""

    level: Level
    what: str
    fix: str = ""

    def to_json(self) -> dict[str, str]:
        return {"level": self.level, "what": self.what, "fix": self.fix}


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, fix: str) -> Finding:
    return Finding(Level.WARNING, what, fix)


def problem(what: str, fix: str) -> Finding:
    return Finding(Level.PROBLEM, what, fix)
