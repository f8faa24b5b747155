"""Ignore rules as they were when a run began, asked of real repositories."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
import unittest
from collections.abc import Callable, Iterable

from config.test_globs import line_of, random_paths, random_patterns
from openloop.config.globs import check
from openloop.core.errors import RecordError, TamperError
from openloop.fs.ignore_rules import reader
from openloop.fs.ignore_rules.reader import LISTED, LISTED_BESIDE
from openloop.fs.ignore_rules.rules import IgnoreRules
from support import Case, need


class Project(Case):
    """A project with a folder for the rules in a workspace of its own."""

    def setUp(self) -> None:
        super().setUp()
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_"))]:
            del os.environ[name]
        os.environ["HOME"] = self.made("person")
        os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
        self.project = self.made("project")
        self.home = os.path.join(self.made("project/.openloop/demo"), "ignored")

    def made(self, path: str) -> str:
        """A folder below the test's own."""
        path = os.path.join(self.folder, path)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, path: str, *lines: str) -> None:
        """A file below the project root, or at an absolute path."""
        path = os.path.join(self.project, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.writelines(os.fsencode(line) + b"\n" for line in lines)

    def git(self, *words: str, cwd: str | None = None, asked: bytes = b"") -> bytes:
        need(shutil.which("git"), "git")
        own = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        allowed = ("-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main")
        done = subprocess.run(
            ["git", *own, *allowed, *words],
            cwd=cwd or self.project,
            input=asked,
            capture_output=True,
            check=False,
        )
        if done.returncode > 1:
            raise AssertionError(f"git {words}: {done.stderr!r}")
        return done.stdout

    def ignored_by_git(self, paths: Iterable[bytes]) -> set[bytes]:
        """What git itself calls ignored in the project, there and then."""
        asked = b"".join(b"./" + path + b"\0" for path in paths)
        answer = self.git("check-ignore", "--no-index", "--stdin", "-z", asked=asked)
        return {path[2:] for path in answer.split(b"\0")[:-1]}

    def frozen(self, root: str = "") -> IgnoreRules:
        rules = reader.read(os.path.join(self.project, root), self.home)
        rules.save(self.home)
        return rules

    def assert_ignored(self, rules: IgnoreRules, ignored: str, others: str = "") -> None:
        """Of the paths in both texts, those in the first are ignored."""
        wanted = set(map(os.fsencode, ignored.split()))
        asked = wanted | set(map(os.fsencode, others.split()))
        self.assertEqual(wanted, rules.ignored(asked))


class Frozen(Project):
    """The rules of a repository are git's own."""

    def setUp(self) -> None:
        super().setUp()
        self.git("init", "-q")

    def with_rules_everywhere(self) -> None:
        self.write(".gitignore", "*.log", "build/", "!kept.log", "/top")
        self.write("src/.gitignore", "gen/*", "!gen/kept", "!b.log")
        self.write(".git/info/exclude", "excluded", "*.tmp", "!x.global")
        self.write(f"{self.folder}/person/.config/git/ignore", "*.global")

    def test_rules_of_every_level(self) -> None:
        self.with_rules_everywhere()
        rules = self.frozen()
        self.assert_ignored(
            rules,
            "a.log build/a src/build/a/b top src/gen/a src/gen/a/b excluded src/excluded/a a.tmp"
            " a.global src/a.global",
            "kept.log b/top build src/b.log src/gen/kept src/gen x.global main.py",
        )
        self.assertEqual("", rules.note)

    def test_global_file_of_another_name(self) -> None:
        self.write(f"{self.folder}/person/.gitconfig", "[core]", "excludesFile = ~/my rules")
        self.write(f"{self.folder}/person/rules", "*.mine")
        os.symlink("rules", f"{self.folder}/person/my rules")
        self.assert_ignored(self.frozen(), "a.mine", "a.global")

    def test_settings_folder_of_another_name(self) -> None:
        os.environ["XDG_CONFIG_HOME"] = self.made("settings")
        self.write(f"{self.folder}/settings/git/ignore", "*.mine")
        self.assert_ignored(self.frozen(), "a.mine", "a")

    def test_case_as_the_repository_has_it(self) -> None:
        self.write(".gitignore", "*.LOG")
        self.assert_ignored(self.frozen(), "", "a.log")
        self.git("config", "core.ignoreCase", "true")
        self.assert_ignored(self.frozen(), "a.log a.LOG")

    def test_later_rules_hide_nothing(self) -> None:
        self.write("src/main.py")
        self.with_rules_everywhere()
        rules = self.frozen()
        everything = ("*",)
        self.write(".gitignore", *everything)
        self.write("src/.gitignore", *everything)
        self.write("lib/.gitignore", *everything)
        self.write(".git/info/exclude", *everything)
        self.write("lib/new/.git/info/exclude", *everything)
        self.git("init", "-q", "lib/new")
        self.write(f"{self.folder}/person/.config/git/ignore", *everything)
        self.write(f"{self.folder}/person/other", *everything)
        os.environ["XDG_CONFIG_HOME"] = self.made("settings")
        self.write(f"{self.folder}/settings/git/ignore", *everything)
        self.git("config", "--global", "core.excludesFile", "~/other")
        self.git("config", "core.excludesFile", "~/other")
        os.environ.update(
            GIT_DIR=os.path.join(self.project, ".git"),
            GIT_WORK_TREE=self.project,
            GIT_INDEX_FILE=os.path.join(self.project, ".git/index"),
            GIT_CONFIG_COUNT="1",
            GIT_CONFIG_KEY_0="core.excludesFile",
            GIT_CONFIG_VALUE_0=f"{self.folder}/person/other",
            GIT_LITERAL_PATHSPECS="1",
        )
        for answering in (rules, IgnoreRules.load(self.project, self.home, rules.digest)):
            self.assert_ignored(answering, "a.log", "src/main.py lib/a lib/new/a other a.py")

    def test_rules_that_are_removed_stay(self) -> None:
        self.with_rules_everywhere()
        rules = self.frozen()
        shutil.rmtree(f"{self.project}/.git")
        shutil.rmtree(f"{self.project}/src")
        shutil.rmtree(f"{self.folder}/person")
        os.remove(f"{self.project}/.gitignore")
        self.assert_ignored(rules, "a.log src/gen/a excluded a.global", "src/gen/kept a.py")

    def test_tracked_files_are_never_ignored(self) -> None:
        self.write(".gitignore", "*.log", "build/")
        self.write("a.log")
        self.write("build/kept")
        self.write("build/\udcff\n")
        self.git("add", "--force", "a.log", "build")
        rules = self.frozen()
        self.git("rm", "-q", "-r", "--cached", "a.log", "build")
        self.assert_ignored(rules, "b.log build/other", "a.log build/kept")
        self.assertEqual(set(), rules.ignored([b"build/\xff\n"]))

    def test_root_below_the_top(self) -> None:
        self.write(".gitignore", "*.log", "/parts/one/top", "/top")
        self.write("parts/.gitignore", "*.part", "/one/mine")
        self.write("parts/one/.gitignore", "*.one")
        self.write("parts/one/tracked.one")
        self.write("parts/two/.gitignore", "*")
        self.git("add", "--force", "parts/one/tracked.one")
        self.assert_ignored(
            self.frozen("parts/one"),
            "a.log b/a.part top mine b/a.one",
            "parts/one/top b/mine b/top tracked.one two/a",
        )

    def test_root_through_a_symlink(self) -> None:
        self.write("parts/.gitignore", "*.part")
        os.symlink(f"{self.project}/parts", f"{self.folder}/elsewhere")
        rules = reader.read(f"{self.folder}/elsewhere", self.home)
        self.assertEqual("", rules.note)
        self.assert_ignored(rules, "a.part", "a")

    def test_symlink_in_a_path(self) -> None:
        self.write(".gitignore", "*.log", "link/")
        self.write("real/.gitignore", "*")
        os.symlink("real", f"{self.project}/link")
        self.assert_ignored(self.frozen(), "link/a real/a", "link a")

    def test_ignored_folders_have_no_say(self) -> None:
        self.write(".gitignore", "build/", "gen/*", "!gen/kept/")
        self.write("build/.gitignore", "!*")
        self.write("gen/kept/.gitignore", "*.o")
        self.write(".venv/.gitignore", "*")
        rules = self.frozen()
        self.assert_ignored(rules, "build/a gen/a gen/kept/a.o .venv/a .venv/lib/b", "gen/kept/a")

    def test_file_where_an_ignored_folder_was(self) -> None:
        self.write(".gitignore", "build/")
        self.write("build/deep/.gitignore", "a")
        self.assert_ignored(self.frozen(), "build/deep", "build")

    def test_names_of_any_bytes(self) -> None:
        self.write(".gitignore", "*.log")
        names = [
            b"\xff",
            b"a\nb",
            b":",
            b":(top)",
            b":!",
            b"-z",
            b"!",
            b" ",
            b'"',
            b"\xc3\xa9",
            b"#",
        ]
        names += [b"\r", b"\\", b"a\x01", b"\xff\n/\xfe", b"a" * 250]
        ignored = {name + b".log" for name in names} | {b"x.log/" + name for name in names}
        self.assertEqual(ignored, self.frozen().ignored([*names, *ignored]))

    def test_nothing_asked(self) -> None:
        self.assertEqual(set(), self.frozen().ignored([]))

    def test_files_that_are_no_rules(self) -> None:
        os.mkfifo(f"{self.project}/.gitignore")
        self.write("rules", "*")
        self.write("a/b")
        os.symlink("../rules", f"{self.project}/a/.gitignore")
        self.write("b/.gitignore/c")
        os.remove(f"{self.project}/.git/info/exclude")
        os.mkfifo(f"{self.project}/.git/info/exclude")
        self.assert_ignored(self.frozen(), "", "a/b b/c c")

    def test_lines_that_are_odd(self) -> None:
        lines = (
            *(
                "\ufeff*.bom",
                "a.cr\r",
                "a.space   ",
                "b.space\\ ",
                "c.space\\\\ ",
                "\t",
                "  ",
                "",
                "!",
            ),
            *("~", "~x/y", "d**e/f", "/", "//", "a//b", "x/./y", "../z", "[", "[a"),
            *("\\#hash", "#comment", "\\!bang", "end\\", "[[:word:]]x", "\udcff?", "tab\t"),
        )
        self.write(".gitignore", *lines)
        names = "a.bom a.cr a.space c.space\\ # #hash #comment !bang ~ ~x/y de/f dxe/f d/e/f [ [a"
        names += " a/b x/y z end end\\ xx \udcffa \udcff b.cr d**e/f [[:word:]]x comment hash"
        paths = [*map(os.fsencode, names.split()), b"b.space ", b"b.space", b"tab\t", b"\t", b"  "]
        ignored = self.ignored_by_git(paths)
        self.assertEqual(ignored, self.frozen().ignored(paths))
        self.assertGreater(len(ignored), 10)

    def test_folders_that_are_ignored_whole(self) -> None:
        self.write(".gitignore", "build/", "gen/*", "*.d/", "out/", "kept/")
        self.write("out/deep/tracked")
        self.git("init", "-q", self.made("project/kept/submodule"))
        self.git("add", "--force", "out/deep/tracked")
        self.write("kept/submodule/file")
        self.git("add", ".", cwd=f"{self.project}/kept/submodule")
        self.git("commit", "-qm", "x", cwd=f"{self.project}/kept/submodule")
        self.git("add", "--force", "kept/submodule")
        rules = self.frozen()
        whole = [b"build", b"build/deep", b"a.d", b"a/b.d", b"gen/a", b"out/other", b"kept/other"]
        others = [b"gen", b"out", b"out/deep", b"a", b"builder", b"kept", b"kept/submodule"]
        self.assertEqual(whole, [path for path in whole + others if rules.ignores_all_in(path)])

    def test_random_rules_say_what_git_says(self) -> None:
        chance = random.Random(5)
        folders = ["", "a/", "b/", "a/b/", "ab/", "a/ab/", "c/", "c/b/a/"]
        for folder in folders:
            self.write(f"{folder}.gitignore", *map(line_of, random_patterns(chance)))
        self.write(".git/info/exclude", *map(line_of, random_patterns(chance)))
        self.write(f"{self.folder}/person/.config/git/ignore", "abc", "!c")
        paths = [os.fsencode(p.rstrip("/")) for _ in range(100) for p in random_paths(chance)]
        paths = [
            path
            for path in paths
            if not os.path.lexists(os.path.join(os.fsencode(self.project), path))
        ]
        ignored = self.ignored_by_git(paths)
        self.assertEqual(ignored, self.frozen().ignored(paths))
        self.assertTrue(0 < len(ignored) < len(set(paths)))


class Repositories(Project):
    """Repositories inside the project have rules of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.git("init", "-q")

    def library(self) -> str:
        """A repository with rules and a tracked file that they name."""
        library = self.made("library")
        self.git("init", "-q", cwd=library)
        self.write(f"{library}/.gitignore", "*.lib")
        self.write(f"{library}/tracked.lib")
        self.git("add", "--force", ".", cwd=library)
        self.git("commit", "-q", "-m", "A library", cwd=library)
        return library

    def test_nested(self) -> None:
        self.write(".gitignore", "*.log")
        shutil.copytree(self.library(), f"{self.project}/parts/nested")
        self.write("parts/nested/.git/info/exclude", "*.mine")
        shutil.copytree(f"{self.folder}/library", f"{self.project}/parts/nested/inner")
        rules = self.frozen()
        self.assertEqual("", rules.note)
        self.assert_ignored(
            rules,
            "a.log parts/a.log parts/nested/a.lib parts/nested/a.mine parts/nested/inner/b/a.lib",
            "parts/nested/a.log parts/nested/tracked.lib parts/nested/inner/a.mine a.lib"
            " parts/nested/inner/tracked.lib parts/nested",
        )
        again = IgnoreRules.load(self.project, self.home)
        self.assert_ignored(again, "parts/nested/a.lib", "parts/nested/tracked.lib parts/a.lib")

    def test_submodule(self) -> None:
        self.git("submodule", "--quiet", "add", self.library(), "third/one")
        self.assert_ignored(self.frozen(), "third/one/a.lib", "third/one/tracked.lib third/a.lib")

    def test_submodule_in_an_ignored_folder(self) -> None:
        self.write(".gitignore", "third/")
        self.git("submodule", "--quiet", "add", "--force", self.library(), "third/one")
        self.assert_ignored(
            self.frozen(), "third/one/a.lib third/a", "third/one/a third/one/tracked.lib"
        )

    def test_nested_in_an_ignored_folder(self) -> None:
        self.write(".gitignore", "vendor/")
        shutil.copytree(self.library(), f"{self.project}/vendor/one")
        self.assert_ignored(self.frozen(), "vendor/one/a vendor/one/tracked.lib")

    def test_something_called_git_that_is_no_repository(self) -> None:
        self.write(".gitignore", "*.log")
        os.makedirs(f"{self.project}/fixture/.git")
        self.write("fixture/.gitignore", "*.fix")
        rules = self.frozen()
        self.assertEqual("", rules.note)
        self.assert_ignored(rules, "fixture/a.log fixture/a.fix", "fixture/a")

    def test_broken_one(self) -> None:
        self.write(".gitignore", "*.log")
        self.write("nested/.git", "gitdir: nowhere")
        rules = self.frozen()
        self.assertIn("nested/", rules.note)
        self.assert_ignored(rules, "a.log nested/__pycache__/a", "nested/a.log __pycache__/a")

    def test_linked_worktree(self) -> None:
        library = self.library()
        self.write(f"{library}/.git/info/exclude", "*.mine")
        self.git("worktree", "add", "-q", f"{self.project}/tree", cwd=library)
        self.assert_ignored(self.frozen("tree"), "a.lib a.mine", "tracked.lib")
        self.assert_ignored(self.frozen(), "tree/a.lib tree/a.mine", "tree/tracked.lib a.lib")


class Untouched(Project):
    """The project's repository is only read."""

    def test_not_a_byte_and_not_a_date(self) -> None:
        self.git("init", "-q")
        self.write(".gitignore", "*.log")
        for number in range(20):
            self.write(f"src/{number}.py", "text")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Start")
        for number in range(20):  # git status would now refresh the index
            os.utime(f"{self.project}/src/{number}.py", (1, 1))
        before = self.everything()
        rules = self.frozen()
        self.assert_ignored(rules, "a.log", "src/1.py")
        IgnoreRules.load(self.project, self.home)
        self.assertEqual(before, self.everything())
        self.git("status")
        self.assertNotEqual(before, self.everything())

    def everything(self) -> dict[str, tuple[int, int, int]]:
        """(inode, size, date of change) of everything but the workspace."""
        found = {}
        for where, _, names in os.walk(self.project):
            for path in (where, *(os.path.join(where, name) for name in names)):
                about = os.lstat(path)
                if "/.openloop" not in path:
                    found[path] = (about.st_ino, about.st_size, about.st_mtime_ns)
        return found


class Kept(Project):
    """What is kept on disk serves a later process, or says that it cannot."""

    def setUp(self) -> None:
        super().setUp()
        self.git("init", "-q")
        self.write(".gitignore", "*.log")
        self.write("src/.gitignore", "*.tmp")
        self.write("tracked.log")
        self.git("add", "--force", "tracked.log")
        self.rules = self.frozen()

    def kept(self, name: str) -> str:
        return os.path.join(self.home, name)

    def test_a_later_process_answers_the_same(self) -> None:
        self.write(".gitignore", "*")
        rules = IgnoreRules.load(self.project, self.home, self.rules.digest)
        self.assertEqual(self.rules.digest, rules.digest)
        self.assert_ignored(rules, "a.log src/a.tmp", "tracked.log a src/a")

    def test_a_new_run_reads_the_rules_again(self) -> None:
        self.write(".gitignore", "*.new")
        rules = self.frozen()
        self.assertNotEqual(self.rules.digest, rules.digest)
        self.assert_ignored(rules, "a.new", "a.log")
        self.assertFalse(os.path.exists(self.home + ".new"))

    def test_workspace_of_any_name(self) -> None:
        self.home = os.path.join(self.made("~w 'x\"\n=%\udcff"), "ignored")
        self.assert_ignored(self.frozen(), "a.log", "a")

    def test_relative_path_of_the_workspace(self) -> None:
        home = os.path.relpath(self.home)
        self.assert_ignored(IgnoreRules.load(self.project, home), "a.log", "a")

    def test_what_a_crash_left_is_no_hindrance(self) -> None:
        os.makedirs(f"{self.home}.new/repository-0/tree")
        shutil.rmtree(self.home)
        os.symlink(self.folder, self.home)
        self.assert_ignored(self.frozen(), "a.log", "a")
        self.assertTrue(os.path.exists(f"{self.folder}/project"))

    def test_every_damage_is_noticed(self) -> None:
        rules = self.kept("rules.json")

        def replace(make: Callable[[str], object]) -> None:
            os.rename(rules, f"{self.folder}/moved")
            make(rules)

        damages: dict[str, Callable[[], object]] = {
            "a rule edited": lambda: self.write(rules, '{"version": 2, "note": "", "zones": []}'),
            "a FIFO": lambda: replace(os.mkfifo),
            "a folder": lambda: replace(os.mkdir),
            "a symlink": lambda: replace(lambda name: os.symlink(f"{self.folder}/moved", name)),
            "a terabyte": lambda: os.truncate(rules, 1 << 40),
            "cut": lambda: os.truncate(rules, 20),
            "removed": lambda: os.remove(rules),
            "no home": lambda: shutil.rmtree(self.home),
            "a file for a home": lambda: (shutil.rmtree(self.home), self.write(self.home)),
        }
        for what, damage in damages.items():
            with self.subTest(what):
                kept = self.frozen()
                damage()
                with self.assertRaisesRegex(TamperError, "cannot be used"):
                    IgnoreRules.load(self.project, self.home, kept.digest)
                self.assert_ignored(kept, "a.log src/a.tmp", "tracked.log a")
                shutil.rmtree(f"{self.folder}/moved", ignore_errors=True)
                if os.path.lexists(self.home) and not os.path.isdir(self.home):
                    os.remove(self.home)

    def test_rules_of_an_earlier_version(self) -> None:
        """A run that an earlier version began is refused in words, not followed by halves."""
        zone = {"prefix": "", "shadow": "repository-0", "inside": "", "patterns": []}
        self.write(self.kept("rules.json"), json.dumps({"note": "", "zones": [zone]}))
        self.write(self.kept("repository-0/tree/.gitignore"), "*")
        with self.assertRaisesRegex(TamperError, "another version of OpenLoop"):
            IgnoreRules.load(self.project, self.home)
        self.frozen()
        self.assertEqual(["rules.json"], os.listdir(self.home))

    def test_garbage_without_a_digest(self) -> None:
        start = '{"version": 2, "note": "", "zones": '
        for garbage in (
            *("", "{", "[]", "null", "{}", "\udcff", "[" * 100_000, '{"version": 2, "note": ""}'),
            *(start + zones + "}" for zones in ("7", "[]", "[{}]", "[7]", '[{"prefix": 1}]')),
            start + '[{"prefix": "", "inside": "", "sources": [7], "ignore_case": false}]}',
        ):
            with self.subTest(ascii(garbage[:60])):
                self.write(self.kept("rules.json"), garbage)
                with self.assertRaises(TamperError):
                    IgnoreRules.load(self.project, self.home)

    def test_git_gone_later(self) -> None:
        os.environ["PATH"] = self.made("empty")
        self.assert_ignored(self.rules, "a.log src/a.tmp", "tracked.log a")

    def test_files_of_rules_that_changed_are_named(self) -> None:
        before = IgnoreRules.load(self.project, self.home)
        self.assertEqual((), self.frozen().changed_since(before))
        self.write(".git/info/exclude", "secret/")
        self.write(f"{self.folder}/person/.config/git/ignore", "*.mine")
        self.write("src/.gitignore", "*.tmp", "*.new")
        self.write("lib/.gitignore", "*.lib")
        after = self.frozen()
        self.assertEqual(
            (
                ".git/info/exclude",
                f"{self.folder}/person/.config/git/ignore",
                "lib/.gitignore",
                "src/.gitignore",
            ),
            after.changed_since(before),
        )
        paths = [b"secret/a", b"a.mine", b"lib/a.lib", b"src/a.new", b"a.log", b"a"]
        self.assertEqual(set(paths[:4]), after.ignored(paths) - before.ignored(paths))

    def test_repository_that_came_later(self) -> None:
        shutil.rmtree(f"{self.project}/.git")
        before = self.frozen()
        self.git("init", "-q")
        after = self.frozen()
        self.assertIn("the built-in list", after.changed_since(before))
        self.assertIn(".gitignore", after.changed_since(before))

    def test_home_that_cannot_be_written(self) -> None:
        with self.assertRaisesRegex(RecordError, "cannot keep the ignore rules"):
            reader.read(self.project, self.home).save(f"{self.project}/tracked.log/ignored")


class Listed(Project):
    """Where git does not decide, a list does."""

    def test_outside_a_repository(self) -> None:
        for mark in LISTED_BESIDE:
            self.write(f"parts/{mark.lower()}/{mark}")
        self.write("a [b]*\udcff/Cargo.toml")
        rules = self.frozen()
        self.assertEqual("", rules.note)
        self.assert_ignored(
            rules,
            "__pycache__/a a/__pycache__/b.pyc .venv/a node_modules/a/b x/node_modules/c .DS_Store"
            " a.egg-info/PKG-INFO .coverage .coverage.host.1 venv/bin/python .cache/a"
            " parts/cargo.toml/target/debug/a parts/setup.py/build/a parts/setup.py/dist/a"
            " parts/package.json/dist/a parts/cmakelists.txt/build/a parts/pom.xml/target/a",
            "a.pyc src/venv/a.py target/a src/target/a build/a dist/a parts/cargo.toml/a"
            " parts/cargo.toml/src/target/a .env .github/a coveragerc .coveragerc lib/a"
            " parts/setup.py/build .gitignore",
        )
        self.assertEqual(
            {b"a [b]*\xff/target/a"}, rules.ignored([b"a [b]*\xff/target/a", b"a b/target/a"])
        )

    def test_marks_count_as_they_stood_at_the_start(self) -> None:
        self.write("src/a.rs")
        rules = self.frozen()
        self.write("Cargo.toml")
        self.write("src/setup.py")
        again = IgnoreRules.load(self.project, self.home, rules.digest)
        self.assert_ignored(again, "", "target/a src/build/a")

    def test_the_list_is_sound(self) -> None:
        for pattern in (*LISTED, *(out for outs in LISTED_BESIDE.values() for out in outs)):
            self.assertEqual("", check(pattern), pattern)

    def assert_listed(self, rules: IgnoreRules, reason: str) -> None:
        self.assertIn(reason, rules.note)
        self.assert_ignored(rules, "a/__pycache__/b", "a.log tracked.log")

    def repository(self) -> None:
        self.git("init", "-q")
        self.write(".gitignore", "*.log")

    def test_without_git(self) -> None:
        os.makedirs(f"{self.project}/.git")
        os.environ["PATH"] = self.made("empty")
        self.assert_listed(self.frozen(), "git is not installed")

    def test_without_git_and_without_a_repository(self) -> None:
        os.environ["PATH"] = self.made("empty")
        self.assertEqual("", self.frozen().note)

    def test_repository_of_somebody_else(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give a folder away")
        self.repository()
        os.chown(f"{self.project}/.git", 54321, 54321)
        os.chown(self.project, 54321, 54321)
        self.assert_listed(self.frozen(), "dubious ownership")
        os.environ.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory")
        os.environ["GIT_CONFIG_VALUE_0"] = "*"
        self.assert_ignored(self.frozen(), "a.log", "__pycache__/a")

    def test_broken_repository(self) -> None:
        self.repository()
        os.remove(f"{self.project}/.git/HEAD")
        self.assert_listed(self.frozen(), "not a git repository")

    def test_broken_index(self) -> None:
        self.repository()
        self.write(".git/index", "garbage")
        self.assert_listed(self.frozen(), "git refuses")

    def test_root_that_its_repository_ignores(self) -> None:
        self.repository()
        self.write(".gitignore", "scratch/")
        self.made("project/scratch/one")
        self.assert_listed(self.frozen("scratch/one"), "ignores the project root")

    def test_bare_repository(self) -> None:
        self.git("init", "-q", "--bare", f"{self.project}/.git")
        self.assert_listed(self.frozen(), "not among its files")


class Large(Project):
    """Large and deep projects stay cheap."""

    def test_ten_thousand_files(self) -> None:
        self.git("init", "-q")
        self.write(".gitignore", "*.log", "build/")
        for number in range(100):
            self.write(f"src/{number}/.gitignore", "*.tmp")
        lines = b"".join(
            b"100644 e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\tsrc/%d/%d.log\0" % (n % 100, n)
            for n in range(10_000)
        )
        self.git("update-index", "-z", "--index-info", asked=lines)
        began = time.monotonic()
        rules = self.frozen()
        frozen = time.monotonic() - began
        paths = [
            b"src/%d/%d.%s" % (n % 100, n, end) for n in range(5000) for end in (b"log", b"py")
        ]
        paths += [b"src/%d/%d.tmp" % (n % 100, n) for n in range(100)]
        self.assertEqual(set(paths[-100:]), rules.ignored(paths))
        self.assertEqual(10_000, len(rules.ignored(b"build/%d" % n for n in range(10_000))))
        self.assertLess(frozen, 10)
        self.assertLess(time.monotonic() - began - frozen, 10)

    def test_deep(self) -> None:
        self.git("init", "-q")
        self.write(".gitignore", "*.log")
        deep = "a/" * 200
        self.write(f"{deep}.gitignore", "*.deep")
        rules = self.frozen()
        self.assert_ignored(rules, f"{deep}a.log {deep}a.deep {deep}b/a.deep", f"{deep}a a/a.deep")
        beyond = b"a/" * 3000  # longer than a path can be
        self.assertEqual({beyond + b"a.log"}, rules.ignored([beyond + b"a.log", beyond + b"a"]))

    def test_folders_deeper_than_a_path_is_long(self) -> None:
        self.git("init", "-q")
        for size in (150, 199):
            name = chr(ord("a") + size % 26) * size
            here = os.open(self.project, os.O_RDONLY)
            for _ in range(30):
                os.mkdir(name, dir_fd=here)
                there = os.open(name, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = there
                rules = os.open(".gitignore", os.O_WRONLY | os.O_CREAT, dir_fd=here)
                os.write(rules, b"*.log\n?[!x]*/**\n!*/\n")
                os.close(rules)
            os.close(here)
            with self.subTest(size=size):
                self.assert_ignored(self.frozen(), f"{name}/a.log", f"{name}/a")


if __name__ == "__main__":
    unittest.main()
