"""What a newcomer types wrong: each error says what is wrong and what to type instead."""

from __future__ import annotations

import os
import unittest

from support import Case, run_openloop


class Commands(unittest.TestCase):
    def test_a_misspelt_command_or_option_is_answered_with_the_nearest(self) -> None:
        for words, part in (
            (("rnu", "x"), "there is no command 'rnu'; did you mean run?"),
            (("xyzzy",), "there is no command 'xyzzy'; openloop --help lists the commands"),
            ((), "no command was given; openloop --help lists them"),
            (("run", "x", "--rounds", "3"), "--rounds 3; did you mean --max-rounds?"),
            (("run", "x", "--max-round=3"), "--max-round=3; did you mean --max-rounds?"),
            (("report", "x", "--ouput", "f"), "did you mean --output?"),
            (("help", "polcy"), "argument TOPIC: 'polcy' is not known; did you mean policy?"),
            (("report", "x", "--format", "htm"), "'htm' is not known; did you mean html?"),
            (("fleet", "xyzzy", "x"), "'xyzzy' is not known; choose from run, status, "),
            (("run", "x", "y"), "unrecognized arguments: y\n"),
        ):
            with self.subTest(words):
                done = run_openloop(*words, exitcode=2)
                self.assertEqual("", done.out)
                self.assertIn(part, done.err)


class Folders(Case):
    """A folder that is no workspace is mostly the project."""

    COMMANDS = ("run", "doctor", "status", "logs", "diff", "report", "audit", "accept")

    def setUp(self) -> None:
        super().setUp()
        self.root = os.path.join(self.folder, "mein Projekt é")
        os.makedirs(os.path.join(self.root, "src"))

    def refused(self, command: str, path: str) -> str:
        """The fix that a command proposes for a path."""
        code = 1 if command == "status" else 2
        done = run_openloop(command, path, cwd=self.root, exitcode=code)
        self.assertEqual("", done.out)
        self.assertIn(f"{path} is not a workspace: it has no openloop.json\n", done.err)
        return done.err.partition("fix: ")[2].strip()

    def test_the_workspace_in_it_is_named_or_how_to_create_one(self) -> None:
        for command in self.COMMANDS:
            with self.subTest(command):
                self.assertEqual(
                    "create one: openloop init .openloop/main", self.refused(command, ".")
                )
        run_openloop("init", ".openloop/a b", cwd=self.root)
        for command in self.COMMANDS:
            with self.subTest(command):
                for path in (".", ".openloop"):
                    fix = self.refused(command, path)
                    self.assertEqual("name the one in it: '.openloop/a b'", fix)
        os.mkdir(os.path.join(self.root, ".openloop", "new"))
        fix = self.refused("run", ".openloop/new")
        self.assertEqual("create one: openloop init .openloop/new", fix)

    def test_a_workspace_that_does_not_exist_here(self) -> None:
        run_openloop("init", ".openloop/main", cwd=self.root)
        inside = os.path.join(self.root, "src")
        for path, cwd, fix in (
            (".openloop/main", inside, "did you mean ../.openloop/main?"),
            (".openloop/mian", self.root, "did you mean .openloop/main?"),
            (f"{self.root}/.openloop/man/", "/", f"did you mean '{self.root}/.openloop/main'?"),
            (".openloop/other", self.root, "create it: openloop init .openloop/other"),
            ("nowhere/at/all", "/", "create it: openloop init nowhere/at/all"),
        ):
            with self.subTest(path):
                done = run_openloop("run", path, cwd=cwd, exitcode=2)
                self.assertIn(f"workspace {path} does not exist\n  fix: {fix}\n", done.err)

    def test_a_configuration_that_was_removed_is_written_again_by_force(self) -> None:
        place = os.path.join(self.root, ".openloop", "main")
        run_openloop("init", place)
        os.unlink(os.path.join(place, "openloop.json"))
        self.assertIn(f"openloop init --force '{place}'", self.refused("run", place))
        run_openloop("audit", place)  # the record is still there

    def test_a_record_of_which_only_rounds_are_left_is_broken_and_no_project(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        for name in ("openloop.json", "events.jsonl", "heartbeat.json", "progress.md"):
            os.unlink(place.file(name))
        self.assertIn("no event is left", place.audit(exitcode=1).out)

    def test_init_puts_no_workspace_among_the_files_of_a_project(self) -> None:
        with open(os.path.join(self.root, "package.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        for path, inner in ((".", ".openloop/main"), (self.root, f"'{self.root}/.openloop/main'")):
            done = run_openloop("init", path, cwd=self.root, exitcode=2)
            self.assertIn(f"{path} is a project (it holds package.json)", done.err)
            self.assertIn(f"openloop init {inner}\n", done.err)
        self.assertEqual({"package.json", "src"}, set(os.listdir(self.root)))
        run_openloop("init", ".", "--project-root", ".", cwd=self.root)  # somebody wants it so
        run_openloop("init", ".", "--force", cwd=self.root)
