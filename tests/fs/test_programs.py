"""Programs that OpenLoop runs on its own account never come from the project."""

from __future__ import annotations

import os
import unittest

from openloop.fs import programs
from support import Case


class Outside(Case):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.environ.__setitem__, "PATH", os.environ["PATH"])

    def program(self, folder: str) -> str:
        os.makedirs(os.path.join(self.folder, folder))
        path = os.path.join(self.folder, folder, "tool")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)
        return path

    def found(self, *folders: str) -> str:
        path = ":".join(os.path.join(self.folder, folder) for folder in folders)
        os.environ["PATH"] = path
        return programs.find_outside(f"{self.folder}/project", "tool")

    def test_the_first_one_outside(self) -> None:
        self.program("project/bin")
        outside = self.program("bin")
        self.program("project-too")
        self.assertEqual(self.found("project/bin", "missing", "bin", "project-too"), outside)
        self.assertEqual(self.found("project/bin"), "")

    def test_symlinks_in_both_directions(self) -> None:
        inside, outside = self.program("project/bin"), self.program("bin")
        for target, folder in ((inside, "links"), (outside, "project/links")):
            os.makedirs(f"{self.folder}/{folder}")
            os.symlink(target, f"{self.folder}/{folder}/tool")
        self.assertEqual(self.found("links", "project/links"), "")

    def test_a_relative_folder_is_resolved(self) -> None:
        self.program("project/bin")
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(f"{self.folder}/project")
        os.environ["PATH"] = "bin:"
        self.assertEqual(programs.find_outside(".", "tool"), "")


if __name__ == "__main__":
    unittest.main()
