"""Every template that ships: its honest agent is accepted, its lying one is not, and its gates
notice what is broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from collections.abc import Iterator
from typing import Any

from openloop.browser import chromium
from openloop.config.globs import Globs
from openloop.setup.missions import templates
from support import Case, Done, need, run_openloop

SLOW = True  # left out by scripts/run_tests.sh --quick


def files(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".openloop", "__pycache__")]
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in names)


class Place(Case):
    """A folder for workspaces."""

    def run_program(self, *words: str, exitcode: int | None = 0) -> Done:
        return run_openloop(*words, exitcode=exitcode, cwd=self.folder)

    def path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def read(self, *names: str) -> str:
        with open(self.path(*names), encoding="utf-8") as file:
            return file.read()

    def write(self, text: str, *names: str) -> None:
        os.makedirs(os.path.dirname(self.path(*names)), exist_ok=True)
        with open(self.path(*names), "w", encoding="utf-8") as file:
            file.write(text)

    def config(self, *names: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(*names, "openloop.json"))
        return found


class Missions(Place):
    """Each runs as it is, wherever it is written to."""

    def try_template(self, name: str) -> None:
        honest, lying = "honest project/.openloop/m", "lying/.openloop/m"
        self.run_program("init", "--template", name, honest)
        counts = json.loads(self.run_program("doctor", honest, "--json").out)["counts"]
        self.assertEqual((counts["warning"], counts["problem"]), (0, 0))
        self.run_program("run", honest)
        self.assert_canaries_are_caught(honest)

        self.run_program("init", "--template", name, lying)
        text = self.read(lying, "openloop.json")
        self.assertIn("honest.py", text)
        self.write(text.replace("honest.py", "lying.py"), lying, "openloop.json")
        protected = self.protected(lying)
        self.run_program("run", lying, "--max-rounds", "2", exitcode=1)  # measured, then lied
        self.assertEqual(self.protected(lying), protected)

    def protected(self, workspace: str) -> dict[str, str]:
        """The files that the policy keeps, with what they hold."""
        globs = Globs(tuple(self.config(workspace)["policy"].get("protect", ())))
        root = self.path(workspace, "..", "..")
        kept = [path for path in files(root) if globs.matches(os.fsencode(path))]
        return {path: self.read(root, path) for path in kept}

    def assert_canaries_are_caught(self, workspace: str) -> None:
        config = self.config(workspace)
        gates = {n: c for n, c in config["commands"].items() if n not in ("fix", "improve")}
        if "baseline" in config:
            gates["baseline"] = config["baseline"]["command"]
        output = self.run_program("doctor", workspace, "--probe", "1").out
        for gate, command in gates.items():
            self.assertIn("canary", command, gate)
            self.assertRegex(output, rf"(?m)^ok: +{gate} fails after its canary")

    def test_repair_test(self) -> None:
        self.try_template("repair-test")

    def test_raise_coverage(self) -> None:
        self.try_template("raise-coverage")

    def test_make_faster(self) -> None:
        self.try_template("make-faster")

    def test_no_constant_passes_the_benchmark_of_make_faster(self) -> None:
        """An answer that is right for one list by chance is wrong for another."""
        self.run_program("init", "--template", "make-faster", "p/.openloop/m")
        code = self.read("p", "pairs.py")
        self.write(
            code.replace("    return count", "    print(count)\n    return count"), "p", "pairs.py"
        )
        benchmark = self.path("p/.openloop/m/holdout/benchmark.py")
        words = [sys.executable, "-B", benchmark]
        done = subprocess.run(words, cwd=self.path("p"), capture_output=True, text=True, check=True)
        answers = done.stdout.split()[:-1]
        self.assertEqual(len(answers), 10)
        self.assertGreater(len(set(answers)), 1)
        canary = self.config("p/.openloop/m")["baseline"]["command"]["canary"]
        self.assertIn("return -1", canary)  # which is never the answer

    def test_clear_findings(self) -> None:
        self.try_template("clear-findings")

    def test_mend_flaky(self) -> None:
        self.try_template("mend-flaky")

    def test_upgrade_dependency(self) -> None:
        self.try_template("upgrade-dependency")

    def test_documents(self) -> None:
        self.try_template("documents")

    def test_web_page(self) -> None:
        need(chromium.is_installed(), "Chromium")
        self.try_template("web-page")

    def test_none_is_forgotten(self) -> None:
        tried = {name[5:].replace("_", "-") for name in dir(self) if name.startswith("test_")}
        self.assertLessEqual(set(templates.names()), tried)


class Writing(Place):
    """What `init --template` and `templates` write and say."""

    def test_a_project_that_is_there_gets_the_mission_alone(self) -> None:
        self.write("print(1)\n", "mine", "app.py")
        for template in ("make-faster", "mend-flaky", "web-page"):  # a baseline, a gate, holdout/
            with self.subTest(template):
                place = f"mine/.openloop/{template}"
                output = self.run_program("init", "--template", template, place).out
                self.assertIn("is not empty", output)
                self.assertIn("--agent NAME", output)
                text = self.read(place, "openloop.json")
                for word in ("canary", "honest.py", "agents/"):
                    self.assertNotIn(word, text)
                self.assertEqual(list(files(self.path("mine"))), ["app.py"])
                self.run_program("init", "--template", template, place, exitcode=2)

    def test_an_agent_takes_the_place_of_the_scripted_one(self) -> None:
        place = "new/.openloop/m"
        self.run_program("init", "--template", "make-faster", place, "--agent", "codex")
        config = self.config(place)
        self.assertEqual(config["commands"]["improve"]["agent"], "codex")
        self.assertNotIn("fix", config["commands"])
        self.assertIn("pairs.py", files(self.path("new")))

    def test_own_words_and_files_stay(self) -> None:
        self.write("my own\n", "new/.openloop/m/holdout/coverage.py")
        words = ("--mission", "More tests.", "--template", "raise-coverage")
        self.run_program("init", *words, "new/.openloop/m")
        self.assertEqual(self.config("new/.openloop/m")["mission"], "More tests.")
        self.assertEqual(self.read("new/.openloop/m/holdout/coverage.py"), "my own\n")

    def test_a_name_that_is_none(self) -> None:
        for words in (
            ("init", "--template", "repair-tests", "ws"),
            ("init", "--template", "../repair-test", "ws"),
            ("init", "--template", "", "ws"),
            ("templates", "nothing"),
        ):
            with self.subTest(words):
                output = self.run_program(*words, exitcode=2).err
                self.assertIn("openloop templates", output)
                self.assertEqual(os.listdir(self.folder), [])

    def test_the_list(self) -> None:
        every = json.loads(self.run_program("templates", "--json").out)["templates"]
        self.assertEqual([one["name"] for one in every], templates.names())
        listed = self.run_program("templates").out
        for one in every:
            self.assertIn(f"\n{one['name']} ", f"\n{listed}")
            self.assertTrue(one["mission"] and one["gates"] and one["title"] and one["text"])
        shown = self.run_program("templates", "web-page").out
        self.assertIn("Chromium", shown)
        self.assertIn("init --template web-page", shown)


if __name__ == "__main__":
    unittest.main()
