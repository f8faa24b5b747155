"""FLEET is checked in full before anything starts: every mistake at once, each with its place."""

from __future__ import annotations

import json
import os
import re
import unittest
from typing import Any

from openloop.config import schema
from openloop.core.errors import ConfigError, UsageError
from openloop.fleet import checks, fleet_file
from openloop.fleet.launchers import launcher
from repository.markdown import blocks, code, rows, section
from support import Case, run_openloop

MANUAL = "src/openloop/manual/fleet.md"
CONFIG = {"version": 1, "commands": {"verify": "true"}}


class Documents(Case):
    def setUp(self) -> None:
        super().setUp()
        self.write("openloop.json", json.dumps(CONFIG))

    def write(self, name: str, text: str) -> str:
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def load(self, **fleet: Any) -> fleet_file.Fleet:
        return fleet_file.load(self.write("fleet.json", json.dumps({"version": 1, **fleet})))

    def problems(self, **fleet: Any) -> list[str]:
        with self.assertRaises(ConfigError) as caught:
            self.load(**fleet)
        return [f"{one.where.removeprefix(self.folder + '/')}: {one.what}; {one.fix}"
                for one in caught.exception.problems]  # fmt: skip

    def assert_problems(self, found: list[str], *patterns: str) -> None:
        self.assertEqual(len(patterns), len(found), found)
        for pattern, words in zip(patterns, found, strict=True):
            self.assertRegex(words, pattern)

    def test_defaults(self) -> None:
        fleet = self.load(tasks=[{"name": "a"}])
        self.assertEqual(
            (4, "none", "local"), (fleet.max_parallel, fleet.isolation, fleet.launcher.name)
        )
        self.assertEqual(os.path.join(self.folder, "fleet.fleet"), fleet.folder)
        (task,) = fleet.tasks
        self.assertEqual(self.folder, task.project_root)
        self.assertEqual(f"{self.folder}/fleet.fleet/tasks/a/workspace", task.workspace)

    def test_inside_openloop_the_project_is_beside_it(self) -> None:
        os.mkdir(os.path.join(self.folder, ".openloop"))
        self.write(".openloop/openloop.json", json.dumps(CONFIG))
        path = self.write(".openloop/f.json", json.dumps({"version": 1, "tasks": [{"name": "a"}]}))
        self.assertEqual(self.folder, fleet_file.load(path).tasks[0].project_root)

    def test_every_mistake_at_once(self) -> None:
        self.write(
            "tasks.jsonl", '# a note\n\n{"name": "fine"}\n{"name": "fine"}\n{"nmae": "x"}\n{"na'
        )
        found = self.problems(
            max_paralel=2,
            launcher="slrum",
            isolation="worktree",
            tasks=[
                {"name": "../up"},
                {"name": "x.lock", "group": "none"},
                {"name": "a", "workspace": "w", "set": {}},
                {"name": "A"},
                {"name": "b", "mission": 3},
                {"name": "c", "mission": "", "set": {"mission": "", "project_root": "/"}},
            ],
            tasks_file="tasks.jsonl",
        )
        self.assert_problems(
            found,
            "max_paralel is not a known key; .*max_parallel",
            'launcher must be one of "local", "ssh", "slurm"',
            r"tasks\[0\].name cannot name a folder and a branch",
            r"tasks\[1\].name cannot name",
            r"tasks\[4\].mission must be a string",
            "tasks.jsonl, line 5: nmae is not a known key; the nearest known key is name",
            "tasks.jsonl, line 5: name is required",
            "tasks.jsonl, line 6, column .*: the line is not valid JSON",
            r"tasks\[1\].group is not one of groups",
            r"tasks\[2\].set does not go with workspace",
            r"tasks\[2\].workspace cannot be given a worktree",
            r"tasks\[3\].name stands twice",
            r"tasks\[5\].set.project_root is overruled by the task's own key",
            r"tasks\[5\].set.mission is overruled",
            "tasks.jsonl, line 4: name stands twice: 'fine', as in tasks.jsonl, line 3",
            r"tasks\[2\].workspace is no workspace: w; create it: openloop init w",
            r"tasks\[3\].project_root cannot have worktrees: .* is in no git repository.*git init",
        )

    def test_files_and_folders_that_are_not_there(self) -> None:
        """Beside whatever else is wrong."""
        found = self.problems(
            isolatoin="none",
            config="none.json",
            tasks_file="none.jsonl",
            tasks=[{"name": "a", "project_root": "gone"}, {"name": "b", "project_root": "gone"},
                   {"name": "c", "project_root": "openloop.json"}],
        )  # fmt: skip
        self.assert_problems(
            found,
            "isolatoin is not a known key; .*isolation",
            "tasks_file cannot be read: none.jsonl: No such file or directory; write it",
            f"config cannot be read: {self.folder}/none.json: No such file",
            rf"tasks\[0\].project_root is no folder: gone; create it, or .* from {self.folder}",
            r"tasks\[2\].project_root is no folder: openloop.json",
        )
        self.write("openloop.json", "[]")
        self.assert_problems(
            self.problems(tasks=[{"name": "a"}]), "openloop.json: config must hold an object"
        )

    def test_what_a_task_would_run_with(self) -> None:
        found = self.problems(
            tasks=[
                {"name": "a", "set": {"commands.verfy": "true"}},
                {"name": "b", "set": {"total_rounds": 0}},
                {"name": "c", "workspace": "none"},
            ]
        )
        self.assert_problems(
            found,
            r"as task a has it .*commands.verfy is not a known key.*verify",
            r"as task b has it .*total_rounds must be",
            r"tasks\[2\].workspace is no workspace: none; create it",
        )

    def test_a_launcher_of_ones_own(self) -> None:
        found = self.problems(
            tasks=[{"name": "a"}],
            launcher={"submit": "x {lunch}", "poll": "", "id": "(", "grace_seconds": -1},
        )
        self.assert_problems(
            found,
            r"launcher.submit holds \{lunch\}, which is no variable; the nearest is \{launch\}",
            "launcher.poll must not be blank",
            "launcher.id must be a regular expression",
            "launcher.grace_seconds must be a number of 0 or more",
            "launcher.cancel is required",
        )

    def test_hosts(self) -> None:
        tasks = [{"name": "a"}]
        self.assert_problems(self.problems(launcher="ssh", tasks=tasks), "hosts is required")
        self.assert_problems(self.problems(hosts=["one"], tasks=tasks), "hosts are for ssh")
        self.assert_problems(
            self.problems(launcher="ssh", hosts=["-oProxyCommand=x"], tasks=tasks),
            "is no name of a host",
        )

    def test_shared_ground_is_a_warning(self) -> None:
        os.mkdir(os.path.join(self.folder, "w"))
        self.write("w/openloop.json", json.dumps(CONFIG))
        tasks = [{"name": "a", "workspace": "w"}, {"name": "b", "workspace": "w"}]
        fleet = self.load(tasks=[*tasks, {"name": "c"}, {"name": "d"}])
        workspaces, roots = fleet.warnings
        self.assertIn("2 tasks share the workspace", workspaces)
        self.assertIn("4 tasks share the project root", roots)
        self.assertEqual([f"{self.folder}/w"] * 2 + [""] * 2, [t.lane for t in fleet.tasks])
        for name in "xy":
            os.mkdir(os.path.join(self.folder, name))
        alone = self.load(tasks=[{"name": name, "project_root": name} for name in "xy"])
        self.assertEqual((), alone.warnings)

    def test_workspaces_that_are_there_are_checked(self) -> None:
        for name, more in (("v", {"total_rounds": 0}), ("w", {"project_root": "gone"})):
            os.mkdir(os.path.join(self.folder, name))
            self.write(f"{name}/openloop.json", json.dumps({**CONFIG, **more}))
        self.assert_problems(
            self.problems(tasks=[{"name": name, "workspace": name} for name in "vw"]),
            "v/openloop.json: total_rounds must be",
            "project_root is 'gone': project root .*/gone does not exist",
        )

    def test_no_tasks_and_no_file(self) -> None:
        self.assert_problems(self.problems(), "tasks is required; add tasks, or name a tasks_file")
        self.assert_problems(self.problems(tasks=[]), "tasks holds no task; add tasks")
        self.write("none.jsonl", "# a note\n")
        self.assert_problems(self.problems(tasks_file="none.jsonl"), "tasks_file holds no task")
        with self.assertRaisesRegex(UsageError, "cannot be read"):
            fleet_file.load(os.path.join(self.folder, "nothing.json"))

    def test_a_folder_is_no_fleet(self) -> None:
        self.load(tasks=[{"name": "a"}])
        os.mkdir(os.path.join(self.folder, "fleet.fleet"))
        for folder in (self.folder, os.path.join(self.folder, "fleet.fleet")):
            with self.assertRaises(UsageError) as caught:
                fleet_file.load(folder)
            self.assertIn("it is a folder", caught.exception.what)
            self.assertIn(f"{self.folder}/fleet.json", caught.exception.fix)

    def test_status_names_what_is_wrong(self) -> None:
        for text in ("[]", '{"version": 1, "tasks": 3}', '{"version": 1, "tasks": [{"name": 1}]}',
                     '{"version": 1, "tasks": [{"name": "a"}, {"name": "a"}]}',
                     '{"version": 1, "tasks_file": 1}', '{"version": 1, "tasks": []}'):  # fmt: skip
            with self.subTest(text), self.assertRaises(ConfigError):
                fleet_file.workspaces(self.write("fleet.json", text))

    def test_the_program_says_so(self) -> None:
        path = self.write("fleet.json", '{"version": 1, "task": []}')
        done = run_openloop("fleet", "run", path, exitcode=2)
        self.assertRegex(done.err, r"(?s)error: task is not a known key.*fix: .*tasks")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "fleet.fleet")))
        done = run_openloop("fleet", "status", path, exitcode=1)
        self.assertRegex(done.err, r"error: task is not a known key")
        self.write("fleet.json", '{"version": 1, "tasks": [{"name": "a"}]}')
        self.write("fleet.fleet", "in the way")
        done = run_openloop("fleet", "status", path, exitcode=1)
        self.assertRegex(done.err, r"record cannot be read: Not a directory\n.*\n  fix: move ")
        done = run_openloop("fleet", "status", exitcode=2)
        self.assertIn("required: FLEET\n", done.err)


class Launchers(unittest.TestCase):
    """The data that ships."""

    def test_they_keep_the_schema(self) -> None:
        for name in launcher.SHIPPED:
            rules = schema.load("fleet/fleet")["$defs"]["launcher"]["properties"]
            self.assertLessEqual(set(launcher.shipped(name)), set(rules))

    def test_submissions_are_read(self) -> None:
        defaults = {"id": "", "listed": r"^\s*(?P<launch>\S+)(?:\s+(?P<id>\S+))?", "per_host": 0,
                    "stop_seconds": 1, "poll_seconds": 1, "grace_seconds": 1}  # fmt: skip
        slurm = launcher.make("slurm", launcher.shipped("slurm"), defaults)
        self.assertEqual("42", slurm.job_in("42\n"))
        self.assertEqual("42", slurm.job_in("42;cluster\n"))
        self.assertEqual({"f.a.1": "42"}, slurm.launches_in("f.a.1 42 RUNNING\n\n"))
        self.assertTrue(slurm.could_not_ask(1, "sbatch: error: Unable to contact slurm controller"))
        self.assertTrue(slurm.could_not_ask(1, "Socket timed out on send/recv operation"))
        self.assertFalse(slurm.could_not_ask(1, "sbatch: error: invalid partition specified: x"))
        ssh = launcher.make("ssh", launcher.shipped("ssh"), defaults)
        self.assertTrue(ssh.could_not_ask(255, ""))
        self.assertFalse(ssh.could_not_ask(1, ""))


class Manual(unittest.TestCase):
    """The tables of the page, against the schema."""

    def test_keys_and_defaults(self) -> None:
        rules = schema.load("fleet/fleet")
        for heading, part in (
            ("## The file", {**rules["properties"], **rules["$defs"]["task"]["properties"]}),
            ("## A launcher of your own", rules["$defs"]["launcher"]["properties"]),
        ):
            table = {code(row[0])[0]: row[1] for row in rows(section(MANUAL, heading))}
            self.assertEqual(set(part), set(table))
            for name, rule in part.items():
                if "default" in rule and name not in ("id", "listed"):
                    self.assertEqual(f"`{json.dumps(rule['default'])}`", table[name], name)

    def test_examples_hold(self) -> None:
        shown = [block.text for block in blocks(MANUAL, "text") if '"version"' in block.text]
        self.assertEqual(2, len(shown))
        for text in shown:
            found = list(checks.checker().problems(json.loads(text)))
            self.assertEqual([], found)
        own = next(b.text for b in blocks(MANUAL, "text") if '"submit"' in b.text)
        problems = list(checks.checker().problems({"version": 1, "launcher": json.loads(own)}))
        self.assertEqual([], problems)
        self.assertTrue(re.search("was not\nrun", section(MANUAL, "## A launcher of your own")))

    def test_launches_are_ended_by_name(self) -> None:
        """Engines use the ids of jobs that they forgot again."""
        own = next(b.text for b in blocks(MANUAL, "text") if '"submit"' in b.text)
        for one in (json.loads(own), *map(launcher.shipped, launcher.SHIPPED)):
            for verb in ("cancel", "kill"):
                self.assertNotIn("{job}", one.get(verb, ""))


if __name__ == "__main__":
    unittest.main()
