"""The findings of doctor: sentences with a level and a fix, and the report of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from openloop.core.text import counted, printable

# What init writes as verify where it found no command that proves the project.
REPLACE_ME = "echo 'replace me: write the command that proves this project works' >&2; exit 1"


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One finding. fix: how to correct it, "" when nothing is wrong."""

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


class DoctorReport(NamedTuple):
    """All findings. runnable: whether configuration and project exist, so that gates can run."""

    findings: tuple[Finding, ...]
    runnable: bool = False

    def of(self, level: Level) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level is level)

    def with_findings(self, findings: Iterable[Finding]) -> DoctorReport:
        return DoctorReport((*self.findings, *findings), self.runnable)

    @property
    def sound(self) -> bool:
        return not self.of(Level.PROBLEM)

    def to_json(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "counts": {level: len(self.of(level)) for level in Level},
            "findings": [finding.to_json() for finding in self.findings],
        }


def lines(report: DoctorReport) -> list[str]:
    """The report for a person, with the worst findings last."""
    shown = []
    for level in Level:
        for finding in report.of(level):
            shown.append(f"{level + ':':<9} {printable(finding.what)}")
            if finding.fix:
                shown.append(f"{'':<9} how to fix: {printable(finding.fix)}")
    problems, warnings = len(report.of(Level.PROBLEM)), len(report.of(Level.WARNING))
    verdict = "sound" if report.sound else "not sound"
    shown.append(f"{verdict}: {counted(problems, 'problem')}, {counted(warnings, 'warning')}")
    return shown
