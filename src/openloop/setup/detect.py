"""What commands fit a project, read from its files alone: nothing is ever run.

A proposal for a person to look over, so every choice comes with a sentence that says what was
seen. Where nothing proves the project, verify is a command that fails: a gate that passes
without having measured anything would be worse than none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from openloop.core.vocabulary import Step
from openloop.setup import javascript_project, python_project
from openloop.setup.benchmark_command import Benchmark, benchmark
from openloop.setup.ecosystems import ECOSYSTEMS, MARKERS
from openloop.setup.kit import Kit
from openloop.setup.play_command import play
from openloop.setup.project_listing import ENTRIES, FOLDER_ENTRIES, Listing

REPLACE_ME = "echo 'replace me: write the command that proves this project works' >&2; exit 1"

# In the order in which one is made verify.
_KINDS: tuple[Callable[[Listing], Kit | None], ...] = (
    python_project.kit,
    javascript_project.kit,
    *(ecosystem.kit for ecosystem in ECOSYSTEMS),
)


@dataclass(frozen=True, slots=True)
class Detection:
    """What `init` may write, and why.

    commands: by step; verify is always there. found: sentences. tests, sources: globs for
    `policy.protect` and `policy.allow`. baseline: a disabled block without its `value`, or None.
    """

    commands: dict[Step, str]
    found: list[str]
    tests: list[str]
    sources: list[str]
    baseline: dict[str, Any] | None = None


def detect(root: str) -> Detection:
    """Look at the project below `root`, bounded in entries and bytes.

    Never raises for what it finds there, or does not: then verify is REPLACE_ME.
    """
    project = Listing.below(root)
    kits = [kit for kind in _KINDS if (kit := kind(project))]
    kits.sort(key=lambda kit: not kit.verify)  # stable: the order of _KINDS stays
    use, on_play = play(project)
    measure = benchmark(project)
    commands = {
        Step.PLAY: use,
        Step.SCAN: next((kit.scan for kit in kits if kit.scan), ""),
        Step.VERIFY: next((kit.verify for kit in kits if kit.verify), REPLACE_ME),
    }
    return Detection(
        commands={step: command for step, command in commands.items() if command},
        found=[*_on_kits(kits), *_on_scan(kits), *_limits(project, kits), on_play, *_on(measure)],
        tests=_united([*(kit.tests for kit in kits), (measure.path,) if measure else ()]),
        sources=_united(kit.sources for kit in kits),
        baseline=measure.baseline() if measure else None,
    )


def _united(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain.from_iterable(groups)))


def _on_kits(kits: list[Kit]) -> list[str]:
    """A sentence for each ecosystem: the first is used, the others are named."""
    told = []
    for index, kit in enumerate(kits):
        if not kit.verify:
            end = "."
        elif index == 0:
            end = f": verify is `{kit.verify}`."
        else:
            end = f": not used, but could be; its tests run with `{kit.verify}`."
        told.append(f"{kit.name}: {kit.why}{end}")
    return told


def _on_scan(kits: list[Kit]) -> list[str]:
    return [f"scan is `{kit.scan}` ({kit.name})." for kit in kits if kit.scan][:1]


def _limits(project: Listing, kits: list[Kit]) -> list[str]:
    """What a person should know before trusting the proposal."""
    told = []
    if not any(kit.verify for kit in kits):
        told.append("No test command was found: verify fails until you replace it.")
        told += [
            f"{path} was seen below the root: is that the project?" for path in _deeper(project)
        ]
    if not project.whole:
        told.append(f"Only {ENTRIES} entries were looked at, and {FOLDER_ENTRIES} of one folder.")
    if environment := project.first(".venv", "venv"):
        told.append(f"{environment} is there: activate it before a run, or name its python3.")
    return told


def _deeper(project: Listing) -> list[str]:
    """Files two folders down at most that projects are known by."""
    marked = project.named("pyproject.toml", "package.json", *MARKERS)
    return [path for path in marked if 0 < path.count("/") <= 2][:3]


def _on(measure: Benchmark | None) -> list[str]:
    if measure is None:
        return []
    return [
        f"`{measure.command}` prints {measure.metric}=…: set the baseline's value, then enable it."
    ]
