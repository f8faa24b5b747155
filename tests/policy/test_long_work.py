"""Work on a project of any size can be ended, and holes cost nothing."""

from __future__ import annotations

import io
import json
import os
import time
import unittest
from collections.abc import Callable

from openloop.core.errors import TamperError
from openloop.core.vocabulary import Step
from openloop.fs import files, git
from openloop.fs.content import Tick, no_tick
from openloop.fs.ignore_rules import reader
from openloop.policy import withheld_archive
from openloop.policy.bubblewrap import Sandbox
from openloop.policy.covered_paths import PROJECT, WORKSPACE, CoveredPaths
from openloop.record.mission import load
from policy.test_policy import Project, repair
from policy.test_policy import git as run_git
from support import Case, set_environment

SLOW = True  # left out by scripts/run_tests.sh --quick
TERABYTE = 1 << 40


def sparse(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(TERABYTE)


class Ended(Case):
    """Whoever gives a tick is asked between the pieces, and may end the work."""

    def setUp(self) -> None:
        super().setUp()
        self.root = os.path.join(self.folder, "project")
        for number in range(20):
            os.makedirs(f"{self.root}/d{number}")
            with open(f"{self.root}/d{number}/f", "wb") as file:
                file.write(os.urandom(4 << 20) if number == 0 else b"")
        os.mkdir(f"{self.folder}/workspace")
        self.roots = {PROJECT: self.root, WORKSPACE: f"{self.folder}/workspace"}
        self.items = [(PROJECT, f"d{number}/f".encode()) for number in range(20)]

    def ends(self, work: Callable[[Tick], object], ticks: int = 4) -> None:
        """Assert that the work has that many ticks, and that it ends when one of them raises."""
        count = 0

        def tick(seen: int) -> None:
            nonlocal count
            count += 1
            if count == ticks:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            work(tick)

    def packed(self) -> io.BufferedRandom:
        file = open(f"{self.folder}/packed.tar", "w+b")  # noqa: SIM115
        self.addCleanup(file.close)
        withheld_archive.pack(self.items, self.roots, file, no_tick)
        return file

    def test_the_walk_for_ignore_rules(self) -> None:
        self.ends(lambda tick: reader.read(self.root, self.folder, tick))
        run_git(self.root, "init", "-q")
        self.ends(lambda tick: reader.read(self.root, self.folder, tick))

    def test_a_git_that_does_not_answer(self) -> None:
        program = f"{self.folder}/bin/git"
        os.mkdir(os.path.dirname(program))
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho $$ > {self.folder}/pid\nexec sleep 60\n")
        os.chmod(program, 0o755)
        set_environment(self, PATH=f"{self.folder}/bin:{os.environ['PATH']}")
        began = time.monotonic()
        self.ends(lambda tick: git.Git(self.root, tick).place(os.fsencode(self.root)))
        self.assertLess(time.monotonic() - began, 20)
        with open(f"{self.folder}/pid", encoding="utf-8") as file:
            self.assert_gone(int(file.read()))

    def test_the_walk_for_withheld_files(self) -> None:
        skip = lambda path: False  # noqa: E731
        self.ends(lambda tick: list(CoveredPaths(["x"], tick).walk(self.root, skip=skip)))

    def test_the_walk_leaves_out_folders_that_no_pattern_reaches(self) -> None:
        ticks: list[int] = []
        walk = CoveredPaths(["/x", "d3/f", "d4/**"], ticks.append).walk
        found = list(walk(self.root, skip=lambda path: False))
        self.assertEqual([(b"d3/f", False), (b"d4", True)], found)
        self.assertEqual(2, len(ticks), "the root and d3")

    def test_the_walk_for_the_protected_paths_of_a_sandbox(self) -> None:
        config = {
            "version": 1,
            "project_root": "project",
            "commands": {"fix": "true", "verify": "true"},
            "policy": {"protect": ["x"]},
        }
        with open(f"{self.folder}/workspace/openloop.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        found = load(f"{self.folder}/workspace")
        box = Sandbox("/usr/bin/bwrap", changes=True, gates=False)

        def wrap(tick: Tick) -> object:
            return box.wrapper(found, Step.FIX, command="true", env={}, hidden=(), tick=tick)

        self.ends(wrap)

    def test_packing_and_unpacking(self) -> None:
        packed = self.packed()
        pack = lambda tick: withheld_archive.pack(self.items, self.roots, io.BytesIO(), tick)  # noqa: E731
        self.ends(pack, ticks=100)
        home = files.open_folder(self.folder)
        self.addCleanup(os.close, home)
        self.ends(lambda tick: withheld_archive.write("a.tar.gz", packed, home, tick))
        digest = withheld_archive.write("a.tar.gz", packed, home, no_tick)
        with open(f"{self.folder}/a.tar.gz", "rb") as file:
            self.ends(lambda tick: withheld_archive.read(file, self.folder, digest, tick))
        self.ends(lambda tick: withheld_archive.Archive(packed, self.roots, tick))
        self.ends(lambda tick: withheld_archive.Archive(packed, self.roots, tick).restore(), 20)

    def test_too_much_to_pack(self) -> None:
        sparse(f"{self.root}/d3/f")
        with self.assertRaisesRegex(TamperError, "larger than 4 GiB: project/d3/f"):
            self.packed()


class Holes(Project):
    def test_a_terabyte_of_nothing(self) -> None:
        place = self.place(f"truncate -s {TERABYTE} src/more; truncate -s 9T tests/large", repair())
        sparse(place.project_file("src/large"))
        sparse(place.project_file("tests/large"))
        began = time.monotonic()
        place.run()
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual("policy", self.outcome(place, 2))
        self.assertEqual(TERABYTE, os.path.getsize(place.project_file("tests/large")))

    def test_a_terabyte_to_withhold_blocks(self) -> None:
        place = self.place("true", policy={"withhold": ["tests/large"]})
        sparse(place.project_file("tests/large"))
        ended = place.run(exitcode=3)
        self.assertIn("withheld files are larger than 4 GiB: project/tests/large", ended.err)
        self.assertEqual("blocked", place.heartbeat["status"])
        self.assertEqual(TERABYTE, os.path.getsize(place.project_file("tests/large")))

    def test_other_files_of_the_project_are_not_archived_with_withheld_ones(self) -> None:
        size = 'wc -c < "$OPENLOOP_WORKSPACE/withheld/away.tar.gz" > src/size'
        place = self.place(size, policy={"withhold": ["tests/data/**"], "allow": ["src/**"]})
        with open(place.project_file("src/large"), "wb") as file:
            file.write(os.urandom(8 << 20))
        place.run(exitcode=1)
        with open(place.project_file("src/size"), encoding="utf-8") as found:
            self.assertLess(int(found.read()), 1 << 20)


if __name__ == "__main__":
    unittest.main()
