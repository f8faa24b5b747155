"""Folders of dependencies: gates run from them and git ignores them, so that `policy.protect` alone
guards them. Every file counts: any package that a test program loads can end it with success."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from openloop.setup.detection.project_listing import ProjectListing, top_name
from openloop.setup.detection.source_layout import PROSE_FOLDER, PolicyGlobs


class Dependencies(NamedTuple):
    """A folder of dependencies.

    markers: files at the root of projects whose dependencies are installed there, often after
    `init`; none where another folder would do as well. caches: what programs write there
    themselves. is_nested: whether programs look for dependencies in folders of this name at any
    depth.
    """

    name: str
    markers: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    is_nested: bool = False

    def is_of(self, project: ProjectListing) -> bool:
        is_other_env = self.name == "env" and not project.has("env/pyvenv.cfg")
        is_there = project.has(self.name) and not is_other_env
        return is_there or bool(project.first(*self.markers))

    def globs(self, parents: Iterable[str] = ()) -> list[str]:
        """Globs for all of it but the caches. parents: folders for nested ones."""
        places = [self.name, *(f"{parent}/**/{self.name}" for parent in parents)]
        caches = f"**/{self.name}" if self.is_nested else self.name
        # Not `/**`: that covers each folder below, and no exception could take one back.
        return [f"{place}/*" for place in places] + [f"!{caches}/{name}" for name in self.caches]


DEPENDENCIES = (
    Dependencies(
        "node_modules",
        ("package.json",),
        (".cache", ".vite", ".vite-temp", ".vitest", ".tmp", ".astro", ".pnpm-workspace-state*"),
        is_nested=True,
    ),
    Dependencies(".yarn", ("yarn.lock",)),
    Dependencies(".venv", ("pyproject.toml", "setup.py", "requirements.txt", "Pipfile")),
    *map(Dependencies, ("venv", "env")),
    Dependencies("vendor", ("composer.json",)),
)


def dependency_globs(project: ProjectListing, found: PolicyGlobs) -> list[str]:
    """What `policy.protect` needs for the dependencies, installed or not, beside what it has.

    Node looks for packages in each folder above the file that needs them, the nearest first."""
    parents = dict.fromkeys(_folders_of_packages(project, found.allow))
    return [
        glob
        for folder in DEPENDENCIES
        if folder.is_of(project) and f"{folder.name}/**" not in found.protect
        for glob in folder.globs(parents if folder.is_nested else ())
        if glob.partition("/")[0] + "/**" not in found.protect
    ]


def dependency_folder(path: str) -> Dependencies | None:
    """The folder of dependencies at the root that a path lies in."""
    top = top_name(path)
    return next((folder for folder in DEPENDENCIES if folder.name == top), None)


def names_dependencies(glob: str) -> bool:
    """Whether a glob is for a whole folder of dependencies, which may be installed later."""
    folder, _, rest = glob.rpartition("/")
    names = {dependencies.name for dependencies in DEPENDENCIES}
    return rest in ("*", "**") and folder.rpartition("/")[2] in names


def _folders_of_packages(project: ProjectListing, allow: Iterable[str]) -> Iterator[str]:
    """The folders at the root that have packages or sources of JavaScript in them."""
    for path in (*project.named("package.json"), *allow):
        top, _, rest = path.removeprefix("/").partition("/")
        if rest and re.fullmatch(r"[^*?\[\\]+", top) and not PROSE_FOLDER.fullmatch(top):
            yield top
