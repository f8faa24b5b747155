"""Detects the commands that fit a project from its files alone; nothing is run.

A proposal for a person to look over, so every choice comes with a sentence that says what was
seen. Where nothing proves the project, verify is a command that fails: a gate that passes
without having measured anything would be worse than none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from openloop.core.vocabulary import Step
from openloop.setup.detection import (
    dependencies,
    ecosystems,
    ignored_settings,
    javascript_project,
    python_project,
    source_layout,
    web_page,
)
from openloop.setup.detection.ecosystems import LANGUAGES, MARKERS, RUNNERS, ProjectCommands
from openloop.setup.detection.project_listing import ProjectListing
from openloop.setup.detection.source_layout import PolicyGlobs
from openloop.setup.detection.web_page import WebPage
from openloop.setup.findings import REPLACE_ME

# In the order in which one is made verify.
_KINDS: tuple[Callable[[ProjectListing], ProjectCommands | None], ...] = (
    python_project.detect_commands,
    javascript_project.detect_commands,
    *(ecosystem.detect_commands for ecosystem in LANGUAGES),
    ecosystems.bats,
    ecosystems.make,
    *(ecosystem.detect_commands for ecosystem in RUNNERS),
)
_MARKERS = ("pyproject.toml", "package.json", *sorted(MARKERS))
_LITTER = {
    "Rust": ("target/", "Cargo.lock"),
    "Gradle": ("build/", ".gradle/"),
    "Maven": ("target/",),
}


@dataclass(frozen=True, slots=True)
class Detection:
    """The proposal for `init`, and why.

    commands: by step; verify is always there. remarks: sentences on what was seen. protect, allow:
    globs for the policy; both empty where no command was found or no source was seen. play: the
    document of a play; None where the commands have none. example: what verify is, or often is in
    such a project; "" for nothing.
    """

    commands: dict[Step, str]
    remarks: list[str]
    protect: list[str]
    allow: list[str]
    play: dict[str, Any] | None = None
    example: str = ""


def detect(root: str, *, has_browser: bool = True) -> Detection:
    """Look at the project below `root`, bounded in entries and bytes. has_browser: whether a web
    page can be played here.

    Never raises for what it finds there, or does not: then verify is REPLACE_ME.
    """
    project = ProjectListing.below(root)
    candidates = [one for kind in _KINDS if (one := kind(project))]
    # The sort is stable: _KINDS decides the rest.
    candidates.sort(key=lambda one: (not one.verify, one.doubtful))
    verify = next((one.verify for one in candidates if one.verify), "")
    scan = next((one.scan for one in candidates if one.scan and one.verify == verify), "")
    policy = _policy(project, candidates)
    page = web_page.detect(project)
    play = page.play if page and has_browser else None
    commands = {
        Step.PLAY: web_page.COMMAND if play else "",
        Step.SCAN: scan,
        Step.VERIFY: verify or REPLACE_ME,
    }
    return Detection(
        commands={step: command for step, command in commands.items() if command},
        remarks=[
            *_on_candidates(candidates),
            *_on_scan(scan),
            *_on_page(page, play is not None),
            *_on_proposal(project, candidates),
        ],
        protect=list(policy.protect),
        allow=list(policy.allow),
        play=play,
        example=verify or next((one.example for one in candidates if one.example), ""),
    )


def marker_in(folder: str) -> str:
    """The name by which a folder is seen to be a project: `.git`, or a file of its tools; "" for
    none."""
    there = (name for name in (*_MARKERS, ".git") if os.path.lexists(os.path.join(folder, name)))
    return next(there, "")


def _on_page(page: WebPage | None, is_played: bool) -> Iterator[str]:
    if page and is_played:
        yield f"{page.why}: play opens it in Chromium, see {web_page.FILE}: add what a user does."
    elif page:
        yield f"{page.why}: `openloop browse` could play it, if there were a Chromium."


def _policy(project: ProjectListing, candidates: list[ProjectCommands]) -> PolicyGlobs:
    """The globs of a policy; none where verify is not known."""
    if not any(one.verify for one in candidates):
        return PolicyGlobs((), ())
    first = candidates[0]
    unseen = ignored_settings.ignored_settings(project, f"{first.verify}\n{first.scan}")
    found = source_layout.policy_globs(project, (*first.protect, *unseen), first.protect_anywhere)
    installed = dependencies.dependency_globs(project, found)
    # What the tests leave behind and git does not ignore is no violation.
    known = project.text(".gitignore")
    litter = (f"/{name}" for name in _LITTER.get(first.name, ()) if name.strip("/*") not in known)
    left = tuple(glob for glob in litter if not project.has(glob.strip("/")))
    return PolicyGlobs((*found.protect, *installed), (*found.allow, *left) if found.allow else ())


def _on_candidates(candidates: list[ProjectCommands]) -> Iterator[str]:
    """A sentence for each ecosystem: the first is used, the others are named."""
    for index, one in enumerate(candidates):
        if not one.verify and candidates[0].verify:
            continue
        if not one.verify:
            example = f"; verify is often `{one.example}` there" if one.example else ""
            yield f"{one.name}: {one.why}{example}."
        elif index == 0:
            yield f"{one.name}: {one.why}: verify is `{one.verify}`."
        else:
            yield f"{one.name}: {one.why}: not used, but could be: `{one.verify}`."


def _on_scan(scan: str) -> Iterator[str]:
    if scan:
        yield f"scan is `{scan}`: it has to pass on the project as it is, or remove it."


def _on_proposal(project: ProjectListing, candidates: list[ProjectCommands]) -> Iterator[str]:
    """Remarks on what the proposal lacks or does not know."""
    if not any(one.verify for one in candidates):
        yield "No test command was found: verify fails until you replace it."
        for path in _markers_below(project):
            yield f"{path} was seen below the root: is that the project?"
    if not project.whole:
        yield f"Only {len(project.files)} files were looked at: the project has more."
    verify = candidates[0].verify if candidates else ""
    program = next((word for word in verify.split() if "=" not in word), "")
    if program in ("npm", "pnpm", "yarn", "npx") and javascript_project.lacks_dependencies(project):
        yield (
            "node_modules is missing: install the dependencies before the first run. From then on "
            "they are protected, and what an agent installs is undone."
        )
    if hidden := _tests_in_sources(project, verify):
        yield f"Tests lie inside sources ({hidden}), where a change may edit them."


def _tests_in_sources(project: ProjectListing, verify: str) -> str:
    """A source file with tests in it, which no pattern can tell from the source; "" for none."""
    tests = {"cargo": ("*.rs", r"#\[cfg\(test\)\]"), "make": ("*.c", r"^#if(def)? \w*TEST_MAIN")}
    name, text = tests.get(verify.partition(" ")[0], ("", ""))
    sources = (path for path in project.named(name) if "test" not in path.lower())
    return next(iter(project.with_text(sources, text)), "") if name else ""


def _markers_below(project: ProjectListing) -> list[str]:
    """Files two folders down at most that projects are known by."""
    marked = project.named(*_MARKERS)
    return [path for path in marked if 0 < path.count("/") <= 2][:3]
