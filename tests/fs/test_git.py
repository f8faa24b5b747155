"""Git is asked about a repository and runs nothing that the repository names."""

from __future__ import annotations

import os
import shutil
import subprocess

from openloop.fs import git
from openloop.fs.ignore_rules import reader
from support import Case, need


class NothingRuns(Case):
    """Each way to make git start a program works with plain git, and not when OpenLoop asks."""

    def setUp(self) -> None:
        super().setUp()
        need(shutil.which("git"), "git")
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            del os.environ[name]
        os.environ.update(HOME=self.folder, GIT_CONFIG_NOSYSTEM="1")
        self.root = os.path.join(self.folder, "project")
        self.ran = os.path.join(self.folder, "ran")
        self.program = os.path.join(self.folder, "program")
        self.write(self.program, f"#!/bin/sh\necho ran >> '{self.ran}'\nexit 1\n")
        os.chmod(self.program, 0o755)
        self.git("init", "-q", self.root, cwd=self.folder)
        self.write("a.txt", "one\n")
        self.write(".gitignore", "*.log\n")
        self.git("add", ".")
        self.git("commit", "-qm", "x")

    def write(self, path: str, text: str) -> None:
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
            file.write(text)

    def git(self, *words: str, cwd: str = "") -> str:
        """The answer of plain git, as a person runs it; it may fail."""
        own = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
        return subprocess.run(
            ["git", *own, *words],
            cwd=cwd or self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
            text=True,
        ).stdout

    def check(self, *words: str) -> None:
        """Plain git runs the program when it is called so; OpenLoop's questions do not."""
        self.git(*words)
        self.assertTrue(os.path.exists(self.ran), f"git {words} should have run the program")
        os.remove(self.ran)
        folder = os.fsencode(self.root)
        asked = git.Git(self.root)
        asked.place(folder)
        asked.exclude_file(folder)
        asked.global_file(folder)
        asked.ignores_case(folder)
        try:
            list(asked.tracked(folder))
        except git.GitRefused as refusal:
            self.assertIn("git refuses", str(refusal))
        reader.read(self.root, os.path.join(self.folder, "rules"))
        self.assertFalse(os.path.exists(self.ran), "OpenLoop's git ran the program")

    def test_lazy_fetch_from_an_external_helper(self) -> None:
        """Listing a sparse index needs a tree that a partial clone does not have."""
        for folder in ("inside", "aside"):
            os.mkdir(os.path.join(self.root, folder))
            self.write(f"{folder}/file", folder)
        self.git("add", ".")
        self.git("commit", "-qm", "y")
        self.git("sparse-checkout", "set", "--cone", "--sparse-index", "inside")
        name = self.git("rev-parse", "HEAD:aside").strip()
        os.unlink(os.path.join(self.root, ".git/objects", name[:2], name[2:]))
        self.git("config", "core.repositoryFormatVersion", "1")
        self.git("config", "extensions.partialClone", "origin")
        self.git("config", "remote.origin.promisor", "true")
        self.git("config", "protocol.ext.allow", "always")
        self.git("config", "remote.origin.url", f"ext::{self.program}")
        self.check("ls-files", "--stage")

    def test_file_system_monitor(self) -> None:
        self.git("config", "core.fsmonitor", self.program)
        self.check("status")

    def test_hooks(self) -> None:
        os.makedirs(os.path.join(self.root, ".git/hooks"), exist_ok=True)
        shutil.copy(self.program, os.path.join(self.root, ".git/hooks/post-index-change"))
        os.utime(os.path.join(self.root, "a.txt"), (1, 1))
        self.check("update-index", "--refresh")

    def test_filters(self) -> None:
        self.write(".gitattributes", "*.txt filter=own\n")
        self.git("config", "filter.own.clean", self.program)
        self.write("a.txt", "two\n")
        self.check("status")

    def test_text_conversion_and_external_diff(self) -> None:
        self.write(".gitattributes", "*.txt diff=own\n")
        self.write("a.txt", "two\n")
        for key in ("diff.own.textconv", "diff.external"):
            with self.subTest(key):
                self.git("config", key, self.program)
                self.check("diff")
                self.git("config", "--unset", key)

    def test_aliases(self) -> None:
        self.git("config", "alias.asked", f"!{self.program}")
        for name in ("rev-parse", "ls-files", "config"):
            self.git("config", f"alias.{name}", f"!{self.program}")
        self.check("asked")

    def test_remote_helpers_and_ssh(self) -> None:
        self.git("config", "core.sshCommand", self.program)
        self.git("config", "remote.origin.url", "ssh://example.invalid/x")
        self.check("ls-remote", "origin")

    def test_a_git_that_lies_in_the_project(self) -> None:
        os.mkdir(os.path.join(self.root, "bin"))
        os.symlink(self.program, os.path.join(self.root, "bin/git"))
        os.environ["PATH"] = f"{self.root}/bin:{os.environ['PATH']}"
        self.check("status")

    def test_only_questions_are_asked(self) -> None:
        with self.assertRaises(AssertionError):
            git.Git(self.root).ask(os.fsencode(self.root), "status")
