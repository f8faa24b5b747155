"""`openloop init`: what it writes, and what it says of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from openloop.config.globs import Globs
from support import Case, need, run_openloop

PYTHON = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "src/x/__init__.py": "",
    "tests/test_x.py": "def test_it(): pass\n",
}


class Project(Case):
    def project(self, files: dict[str, str]) -> str:
        root = os.path.join(self.folder, "project")
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return root

    def init(self, files: dict[str, str], *words: str) -> tuple[str, dict[str, Any]]:
        """(output, openloop.json) of a workspace inside a project with these files."""
        root = self.project(files)
        done = run_openloop("init", ".openloop/main", *words, cwd=root, exitcode=0)
        with open(os.path.join(root, ".openloop/main/openloop.json"), encoding="utf-8") as file:
            return done.out, json.load(file)


class Init(Project):
    def test_it_shows_all_that_it_wrote_the_policy_first(self) -> None:
        output, document = self.init(PYTHON)
        rows = [line.split()[0] for line in output.splitlines()[1:6]]
        self.assertEqual(["protect", "allow", "verify", "rounds", "blocked"], rows)
        for glob in (*document["policy"]["protect"], *document["policy"]["allow"]):
            self.assertIn(glob, output)
        self.assertIn(document["commands"]["verify"], output)

    def test_a_project_that_nobody_named_is_explained(self) -> None:
        place = os.path.join(self.folder, "w")
        said = f"the project is {os.path.realpath(self.folder)}, because the workspace lies in it"
        self.assertIn(said, run_openloop("init", place).out)
        named = run_openloop("init", "--force", "--project-root", self.folder, place)
        self.assertNotIn("the project is", named.out)
        inside = run_openloop("init", os.path.join(self.folder, ".openloop", "w"))
        self.assertNotIn("the project is", inside.out)

    def test_without_a_policy_it_says_why_and_shows_an_example(self) -> None:
        output, document = self.init({"README.md": ""})
        self.assertNotIn("policy", document)
        self.assertIn("no policy, because no test command was found", output)
        self.assertIn('"protect": ["tests/**"]', output)

    def test_without_an_agent_it_says_that_a_run_only_measures(self) -> None:
        words = "no fix, because no agent was named: a run only measures"
        output, document = self.init(PYTHON)
        self.assertNotIn("fix", document["commands"])
        self.assertIn(words, output)
        self.assertNotIn(words, self.init(PYTHON, "--force", "--agent", "claude")[0])
        place = os.path.join(self.folder, "template", ".openloop", "main")
        os.makedirs(os.path.dirname(place))
        made = run_openloop("init", place, "--template", "repair-test")
        self.assertNotIn(words, made.out)

    def test_the_command_of_an_agent_is_shown_once(self) -> None:
        output, document = self.init(PYTHON, "--agent", "codex")
        self.assertEqual(document["commands"]["fix"], document["commands"]["improve"])
        self.assertEqual(1, output.count(document["commands"]["fix"]["run"]))
        self.assertIn("\n  improve  as fix\n", output)

    def test_a_folder_of_a_project_is_noticed(self) -> None:
        root = self.project({**PYTHON, ".git/HEAD": ""})
        inside = os.path.join(root, "src", "x")
        words = f"{root} holds pyproject.toml: is that the project? Then run init there."
        done = run_openloop("init", ".openloop/main", cwd=inside)
        self.assertIn(words, done.out)
        self.assertNotIn("is that the project", self.init(PYTHON)[0])

    def test_hints_name_the_test_command_of_the_project(self) -> None:
        for files, agent, hint in (
            (
                {"package.json": '{"scripts": {"test": "node --test"}}'},
                "claude",
                "'Bash(npm test *)'",
            ),
            ({"package.json": '{"scripts": {"test": "node --test"}}'}, "copilot", "'shell(npm:*)'"),
            ({"package.json": "{}"}, "claude", "'Bash(npm test *)'"),
            ({"Cargo.toml": "[package]\n"}, "claude", "'Bash(cargo test *)'"),
            (PYTHON, "claude", "'Bash(python3 -m pytest *)'"),
            ({"README.md": ""}, "claude", "'Bash(TEST_COMMAND *)'"),
        ):
            with self.subTest(hint):
                output, _ = self.init(files, "--agent", agent)
                self.assertIn(hint, output)
            shutil.rmtree(self.project({}))

    def test_force_keeps_the_configuration_that_was_there(self) -> None:
        self.init(PYTHON)
        place = os.path.join(self.folder, "project/.openloop/main")
        with open(os.path.join(place, "openloop.json"), "w", encoding="utf-8") as file:
            file.write("my own")
        output, _ = self.init({}, "--force")
        self.assertIn("is kept as openloop.json.replaced-1", output)
        with open(os.path.join(place, "openloop.json.replaced-1"), encoding="utf-8") as file:
            self.assertEqual("my own", file.read())
        self.assertNotIn("replaced", self.init({}, "--force")[0])

    def test_a_run_writes_the_documents_again_unless_a_person_took_them_over(self) -> None:
        _, document = self.init(PYTHON)
        place = os.path.join(self.folder, "project/.openloop/main")

        def text(name: str) -> str:
            with open(os.path.join(place, name), encoding="utf-8") as file:
                return file.read()

        document["commands"] = {"verify": "test -e pyproject.toml"}
        with open(os.path.join(place, "openloop.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)
        own = text("eval_criteria.md").partition("<!--")[0]
        with open(os.path.join(place, "eval_criteria.md"), "w", encoding="utf-8") as file:
            file.write(own)
        run_openloop("run", place, exitcode=0)
        self.assertIn("| `test -e pyproject.toml` |", text("loop_contract.md"))
        self.assertEqual(own, text("eval_criteria.md"))

    def test_the_schema_lies_beside_the_configuration(self) -> None:
        _, document = self.init(PYTHON)
        self.assertEqual("./openloop.schema.json", document["$schema"])
        path = os.path.join(self.folder, "project/.openloop/main/openloop.schema.json")
        with open(path, encoding="utf-8") as file:
            self.assertIn("properties", json.load(file))

    def test_the_agent_has_more_than_two_tries(self) -> None:
        _, document = self.init({"x": ""}, "--agent", "claude")
        document["commands"] |= {"verify": "false", "fix": "true"}
        path = os.path.join(self.folder, "project/.openloop/main/openloop.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        run_openloop("run", os.path.dirname(path), exitcode=3)
        logs = os.listdir(os.path.join(os.path.dirname(path), "logs"))
        self.assertGreater(sum("fix" in name for name in logs), 2)

    def test_dependencies_that_gates_run_from_are_protected(self) -> None:
        bins = {f"node_modules/{name}": "" for name in (".bin/mocha", "mocha/index.js")}
        package = {"package.json": json.dumps({"scripts": {"test": "mocha"}}), "index.js": ""}
        _, document = self.init({**package, **bins})
        kept = Globs(document["policy"]["protect"])
        for path, is_kept in (
            ("node_modules/mocha/lib/x.js", True),
            ("node_modules/.bin/mocha", True),
            ("node_modules/.cache/a/b.json", False),
            ("node_modules/.vite/vitest/results.json", False),
        ):
            self.assertEqual(is_kept, kept.matches(path.encode()), path)

    def test_dependencies_are_protected_before_they_are_installed(self) -> None:
        package = {"scripts": {"test": "mocha"}, "devDependencies": {"mocha": "*"}}
        files = {"package.json": json.dumps(package), "packages/a/package.json": "{}"}
        output, document = self.init({**files, "packages/a/src/x.js": "", "src/y.js": ""})
        self.assertIn("install the dependencies before the first run", output)
        kept = Globs(document["policy"]["protect"])
        for path, is_kept in (
            ("node_modules/mocha/bin/mocha.js", True),
            ("node_modules/yargs/index.js", True),
            ("packages/a/node_modules/.bin/mocha", True),
            ("packages/node_modules/yargs/index.js", True),
            ("src/node_modules/chai/index.js", True),
            ("src/deep/node_modules/chai/index.js", True),
            ("node_modules/.cache/x.json", False),
            ("packages/a/node_modules/.vite/x.json", False),
            ("src/y.js", False),
        ):
            self.assertEqual(is_kept, kept.matches(path.encode()), path)

    def test_dependencies_of_other_package_managers(self) -> None:
        self.project({"phpunit.xml": "", "tests/XTest.php": ""})
        _, document = self.init(
            {"composer.json": '{"scripts": {"test": "phpunit"}}', "src/X.php": ""}
        )
        self.assertIn("vendor/*", document["policy"]["protect"])

    def test_a_loader_that_yarn_writes_later_is_protected(self) -> None:
        self.project({"package.json": '{"scripts": {"test": "mocha"}}', "yarn.lock": ""})
        subprocess.run(["git", "init", "-q", os.path.join(self.folder, "project")], check=True)
        _, document = self.init({".gitignore": ".pnp.*\n.yarn/*\n", "src/x.js": ""})
        kept = Globs(document["policy"]["protect"])
        for path in (".pnp.cjs", ".pnp.loader.mjs", ".yarn/unplugged/x/index.js"):
            self.assertTrue(kept.matches(path.encode()), path)

    def test_what_tests_leave_is_allowed_unless_git_ignores_it(self) -> None:
        crate = {"Cargo.toml": "[package]\n", "src/lib.rs": "#[test]\nfn works() {}\n"}
        _, document = self.init({**crate, ".gitignore": "target/\n"})
        self.assertIn("/Cargo.lock", document["policy"]["allow"])
        self.assertNotIn("/target/", document["policy"]["allow"])


class Git(Project):
    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            check=False,
            cwd=os.path.join(self.folder, "project"),
            capture_output=True,
            text=True,
        )
        need(done.returncode == 0, f"git {words[0]}")
        return done.stdout

    def test_git_leaves_the_workspace_alone(self) -> None:
        self.project(PYTHON)
        self.git("init", "-q")
        output, _ = self.init({})
        self.assertIn("git add -f .openloop/main", output)
        self.assertNotIn(".openloop", self.git("status", "--short"))
        self.git("clean", "-fdq")
        self.assertTrue(os.path.exists(os.path.join(self.folder, "project/.openloop/main")))

    def test_a_large_repository_is_seen_whole_and_runs_nothing(self) -> None:
        heap = {f"src/{number:04}.txt": "" for number in range(600)}
        self.project({**PYTHON, **heap, "src/z/a.py": "", "made/b.py": "", ".gitignore": "/made/"})
        self.git("init", "-q")
        hook = os.path.join(self.folder, "hook")
        with open(hook, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {self.folder}/ran\n")
        os.chmod(hook, 0o755)
        self.git("config", "core.fsmonitor", hook)
        output, document = self.init({"packages/late/index.js": ""})
        self.assertNotIn("files were looked at", output)
        self.assertIn("packages/**", document["policy"]["allow"])
        self.assertNotIn("made/**", document["policy"]["allow"])
        self.assertFalse(os.path.exists(os.path.join(self.folder, "ran")))

    def test_an_ignore_file_of_a_person_stays(self) -> None:
        root = self.project({".openloop/.gitignore": "*.log\n"})
        self.init({})
        with open(os.path.join(root, ".openloop/.gitignore"), encoding="utf-8") as file:
            self.assertEqual("*.log\n", file.read())
