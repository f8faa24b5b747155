"""What of a tree a policy looks at."""

from __future__ import annotations

import os
import shutil
import subprocess

from openloop.config.config import Policy
from openloop.core.vocabulary import OnViolation
from openloop.fs import snapshot
from openloop.fs.ignore_rules import reader
from openloop.fs.manifest import Manifest
from openloop.policy.path_rules import PathRules, ProjectBoundary
from support import Case, need


class IgnoredFolders(Case):
    """One that is ignored whole is passed over, unless something in it may be protected."""

    def setUp(self) -> None:
        super().setUp()
        need(shutil.which("git"), "git")
        self.root = os.path.join(self.folder, "project")
        for path in ("src/a", "node_modules/x/index.js", "build/out.o", "build/kept.h", "gen/a.c"):
            os.makedirs(os.path.join(self.root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(self.root, path), "wb"):
                pass
        with open(os.path.join(self.root, ".gitignore"), "w", encoding="utf-8") as file:
            file.write("node_modules/\nbuild/\n__pycache__/\ngen/*\n")
        for words in (("init", "-q"), ("add", "--force", "build/kept.h")):
            subprocess.run(["git", "-C", self.root, *words], check=True)

    def seen(self, *protect: str) -> Manifest:
        rules = PathRules(Policy(protect, None, None, None, OnViolation.RESTORE))
        boundary = ProjectBoundary(self.root, self.folder, rules)
        boundary.ignored = reader.read(self.root, self.folder)
        return snapshot.scan(self.root, skip=boundary)

    def test_passed_over(self) -> None:
        found = self.seen("tests/**", "/src/a")
        self.assertNotIn(b"node_modules", found)
        for path in (b"src/a", b"build/kept.h", b"build/out.o", b"gen/a.c"):  # build/ is in use
            self.assertIn(path, found)

    def test_looked_into_where_something_may_be_protected(self) -> None:
        for pattern in ("node_modules/x/**", "node_modules/*/index.js", "*.js", "/node_modules"):
            self.assertIn(b"node_modules/x/index.js", self.seen(pattern), pattern)

    def test_byte_code_is_never_passed_over(self) -> None:
        os.mkdir(os.path.join(self.root, "src/__pycache__"))
        self.assertIn(b"src/__pycache__", self.seen("tests/**"))
