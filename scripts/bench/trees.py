"""What a policy costs on large trees: the start, a round's looks at the project, and memory."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench.lab import Goal, Lab, Place, Row, Stream, endless, in_turn, medians
from bench.resources import memory_of_run

POLICY = {"protect": ["tests/**"], "allow": ["src/**"]}
_A_FOLDER = 50  # files in one
_ROUNDS = 8  # timed in one run
_SETTLED = 0.1  # seconds until no file is so young that it has to be read again


class Tree(NamedTuple):
    """files: of the project; ignored: files besides, in a folder that git ignores."""

    files: int
    ignored: int = 0

    @property
    def words(self) -> str:
        ignored = f" and {self.ignored:,} ignored" if self.ignored else ""
        return f"{self.files:,} files{ignored}"


def trees(lab: Lab) -> Iterator[Row]:
    """A policy's cost against `git status` and `tar` of the same tree, where both are at hand."""
    if not (shutil.which("git") and shutil.which("tar")):
        return
    sizes = [Tree(1_000), Tree(500, 25_500)]
    if lab.full:
        sizes += [Tree(10_000), Tree(100_000)]
    for tree in sizes:
        place = lab.place("tree", **endless("fix", policy=POLICY))
        _plant(lab, place, tree)
        yield from _rows(lab, place, tree)
        place.discard()


def _rows(lab: Lab, place: Place, tree: Tree) -> Iterator[Row]:
    project = os.path.join(place.folder, "project")
    packed = os.path.join(place.folder, "tree.tar")
    bare = lab.place("bare", **endless("fix"))
    samples = {
        "status": lambda: lab.seconds("git", "--no-optional-locks", "status", cwd=project),
        "tar": lambda: lab.seconds("tar", "cf", packed, "--exclude=.git", ".", cwd=project),
        "round": lambda: _round(place) - _round(bare),
        "first": lambda: _first_start(lab, project),
        "start": place.until_first_step,
    }
    found = {name: figure * 1e3 for name, figure in medians(in_turn(lab, 3, samples)).items()}
    goal: Goal | None = Goal(3 if tree.ignored else 2 if tree.files >= 100_000 else 4)
    words = f"a policy's cost of a round on {tree.words}, against git status"
    yield Row("trees", words, found["status"], found["round"], "ms", goal)
    goal = Goal(6) if tree.files >= 10_000 else None  # below, a start without files is most of it
    words = f"run's first start with a policy on {tree.words}, against tar"
    yield Row("trees", words, found["tar"], found["first"], "ms", goal)
    words = f"a later start with a policy on {tree.words}, against tar"
    yield Row("trees", words, found["tar"], found["start"], "ms", goal)
    words = f"runner and guard with a policy on {tree.words}"
    yield Row("trees", words, None, memory_of_run(place), "MB", Goal(120, "MB"))


def _round(place: Place) -> float:
    """Seconds of one round; the start, which takes far longer, is in none of them."""
    with Stream(place, "--max-rounds", str(_ROUNDS + 1)) as stream:
        ends = [stream.until("round_finished")[1] for _ in range(_ROUNDS + 1)]
    return statistics.median(map(int.__sub__, ends[1:], ends)) / 1e9


def _first_start(lab: Lab, project: str) -> float:
    """Seconds until the first command in a new workspace, which has to copy the project."""
    place = lab.place("first", **endless("fix", policy=POLICY), project_root=project)
    seconds = place.until_first_step()
    place.discard()
    return seconds


def _plant(lab: Lab, place: Place, tree: Tree) -> None:
    project = os.path.join(place.folder, "project")
    _write(os.path.join(project, "src"), tree.files)
    _write(os.path.join(project, "tests"), 20)
    _write(os.path.join(project, "node_modules"), tree.ignored)
    with open(os.path.join(project, ".gitignore"), "w", encoding="utf-8") as file:
        file.write("node_modules/\n")
    lab.output("git", "init", "-q", project)
    lab.output("git", "-C", project, "add", ".")
    time.sleep(_SETTLED)


def _write(folder: str, files: int) -> None:
    for number in range(files):
        inner = os.path.join(folder, f"package_{number // _A_FOLDER}")
        if number % _A_FOLDER == 0:
            os.makedirs(inner)
        with open(os.path.join(inner, f"module_{number}.py"), "w", encoding="utf-8") as file:
            file.write(f"value = {number}\n" * (1 + number % 60))
