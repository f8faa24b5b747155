"""Ways to break a project on purpose that a good check notices: the built-in canaries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from openloop.config.globs import Globs
from openloop.fs import snapshot
from openloop.fs.ignore_rules.reader import LISTED
from openloop.fs.manifest import FILE, Manifest, to_text
from openloop.record.mission import Mission
from openloop.setup.detection import detect
from openloop.setup.detection.project_listing import ProjectListing

SOURCES = 10  # files that are modified in each way
TESTS = 3  # tests that are removed
_SCRIPTS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
_EXITS = {  # by ending: a file that ends the process which loads it, as if all were well
    ".py": "import os\nos._exit(0)\n",
    ".sh": "exit 0\n",
    **dict.fromkeys(_SCRIPTS, "process.exit(0)\n"),
}
_INTERPRETERS = (("python", ".py"), ("node", ".js"), ("sh", ".sh"))  # of a first line, in order


class Effect(StrEnum):
    """The kind of a modification, as the end of a sentence about the file."""

    EMPTIED = "emptied"
    EXITS = "made to exit with 0"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One file modified in one way. path: relative to the root. text: its new content."""

    effect: Effect
    path: str
    text: str = ""

    @property
    def command(self) -> str:
        """For a shell in the project root, with the variables of `environment`."""
        if self.effect is Effect.REMOVED:
            return 'rm -- "$CANARY_FILE"'
        return 'printf %s "$CANARY_TEXT" > "$CANARY_FILE"'

    @property
    def environment(self) -> dict[str, str]:
        return {"CANARY_FILE": f"./{self.path}", "CANARY_TEXT": self.text}


@dataclass(frozen=True, slots=True)
class MutationPlan:
    """The mutations to try, and how many sources and tests are left out."""

    mutations: Sequence[Mutation]
    sources_left: int
    tests_left: int

    @property
    def has_sources(self) -> bool:
        return any(one.effect is not Effect.REMOVED for one in self.mutations)


def plan(mission: Mission) -> MutationPlan:
    """The built-in canaries of a mission: the largest of its sources, and of its tests."""
    root, policy = mission.root, mission.config.policy
    found = detect.detect(root)
    allow = found.allow if policy is None or policy.allow is None else policy.allow
    protect = found.protect if policy is None or not policy.protect else policy.protect
    skip = snapshot.outside_project(root, mission.workspace.path)
    tree = snapshot.scan(root, skip=skip, wanted=lambda path: False)
    listing, kept, ignored = (
        ProjectListing.without_files(root),
        Globs(tuple(protect)),
        Globs(LISTED),
    )
    files = [path for path in _largest(tree) if not ignored.matches(path)]
    sources = [path for path in _matching(files, allow) if not kept.matches(path)]
    endings = {to_text(path): _ending(listing, to_text(path)) for path in sources}
    code = [path for path, ending in endings.items() if ending]
    tests = [to_text(path) for path in files if kept.matches(path) and _is_test(path)]
    mutations = [
        *(_mutated(listing, path, endings[path], effect)
          for effect in (Effect.EMPTIED, Effect.EXITS) for path in code[:SOURCES]),
        *(Mutation(Effect.REMOVED, path) for path in tests[:TESTS]),
    ]  # fmt: skip
    return MutationPlan(mutations, max(0, len(code) - SOURCES), max(0, len(tests) - TESTS))


def _largest(tree: Manifest) -> list[bytes]:
    """The non-empty files, the largest first, because few files hold most of the code."""
    files = [path for path, entry in tree.items() if entry.kind == FILE and entry.size]
    return sorted(files, key=lambda path: (-tree[path].size, path))


def _matching(paths: Iterable[bytes], patterns: Iterable[str]) -> Iterator[bytes]:
    globs = Globs(tuple(patterns))
    return (path for path in paths if globs.matches(path))


def _is_test(path: bytes) -> bool:
    """Whether a protected file looks like one with tests in it, not like data or settings."""
    stem, ending = os.path.splitext(os.path.basename(path).lower())
    return ending.decode(errors="replace") in _EXITS and (b"test" in stem or b"spec" in stem)


def _ending(listing: ProjectListing, path: str) -> str:
    """The file name ending of a known language, "" for any other."""
    ending = os.path.splitext(path)[1]
    if ending in _EXITS:
        return ending
    first = listing.text(path).partition("\n")[0] if not ending else ""
    if not first.startswith("#!"):
        return ""
    return next((ours for word, ours in _INTERPRETERS if word in first), "")


def _mutated(listing: ProjectListing, path: str, ending: str, effect: Effect) -> Mutation:
    if effect is Effect.EMPTIED:
        return Mutation(effect, path)
    first = listing.text(path).partition("\n")[0]
    shebang = f"{first}\n" if first.startswith("#!") else ""
    return Mutation(effect, path, shebang + _EXITS[ending])
