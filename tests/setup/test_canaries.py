"""`doctor --probe`: a gate that cannot fail is named before anything is spent on it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import unittest
from typing import Any

from support import Case, Done, Workspace, environment, need, run_openloop, snapshot

SLOW = True  # left out by scripts/run_tests.sh --quick

PYTHON = shlex.quote(sys.executable)
TESTS = f"{PYTHON} -B -m unittest discover -s tests -t ."
# Reads what the tests say: a process that ends early says nothing.
COUNTED = {"run": TESTS, "expect": "^Ran 1 test"}
PROJECT = {
    "src/add.py": "def add(a, b):\n    return a + b\n",
    "src/unused.py": "x = 1\n",
    "tests/__init__.py": "",
    "tests/test_add.py": "import unittest\n\nfrom src.add import add\n\n\n"
    "class T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(3, add(1, 2))\n",
}
# Runs openloop where user namespaces are used up: nothing can be hidden or overlaid.
WITHOUT = """
import os, sys
from openloop.process import namespaces as mounts
if not mounts.enter():
    sys.exit(99)
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
os.execv(sys.executable, [sys.executable, "-m", "openloop", *sys.argv[1:]])
"""


class Canaries(Case):
    def place(
        self, verify: object, files: dict[str, str] | None = None, **config: Any
    ) -> Workspace:
        place = self.workspace(
            commands={"verify": verify, **config.pop("commands", {})},
            policy={"protect": ["tests/**"], "allow": ["src/**"]},
            **config,
        )
        for name, text in (PROJECT if files is None else files).items():
            path = place.project_file(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return place

    def probe(self, place: Workspace, exitcode: int = 0) -> list[tuple[str, str]]:
        """(level, what) of each finding; the project stays as it is, and nothing is left."""
        before = snapshot(place.project)
        temporary = os.path.join(self.folder, "tmp")
        os.makedirs(temporary, exist_ok=True)
        done = run_openloop(
            "doctor", place.path, "--probe", "1", "--json",
            exitcode=exitcode, env=environment(TMPDIR=temporary),
        )  # fmt: skip
        self.assertEqual(before, snapshot(place.project))
        self.assertEqual([], os.listdir(temporary))
        self.assertEqual([], place.events)
        return self.found(done)

    def found(self, done: Done) -> list[tuple[str, str]]:
        findings = done.json["findings"]
        self.assertTrue(all(one["fix"] for one in findings if one["level"] != "ok"))
        return [(one["level"], one["what"]) for one in findings]

    def of(self, findings: list[tuple[str, str]], part: str) -> tuple[str, str]:
        (one,) = [finding for finding in findings if part in finding[1]]
        return one


class BuiltIn(Canaries):
    def test_an_untested_file_is_a_warning_and_an_early_exit_too(self) -> None:
        found = self.probe(self.place(TESTS))
        self.assertEqual(("warning", "verify passes with src/unused.py emptied"),
                         self.of(found, "emptied"))  # fmt: skip
        self.assertEqual(
            ("warning", "verify passes with src/add.py, src/unused.py made to exit with 0"),
            self.of(found, "made to exit"),
        )
        self.assertIn("left out: nothing", self.of(found, "canaries tried")[1])

    def test_what_is_noticed_is_reported(self) -> None:
        files = {name: text for name, text in PROJECT.items() if "unused" not in name}
        found = self.probe(self.place(COUNTED, files))
        for way in ("emptied", "made to exit with 0", "removed"):
            self.assertEqual(("ok", f"verify notices each of 1 files {way}"), self.of(found, way))

    def test_a_verify_that_cannot_fail_is_a_problem(self) -> None:
        found = self.probe(self.place("true"), exitcode=1)
        level, what = self.of(found, "verify cannot fail")
        self.assertEqual("problem", level)
        self.assertIn("src/add.py, src/unused.py", what)
        self.assertEqual(
            ("ok", "verify passes with tests/test_add.py removed; policy.protect restores it"),
            self.of(found, "tests/test_add.py removed"),
        )

    def test_shell_scripts_with_an_ending_and_without(self) -> None:
        files = {"src/go.sh": "echo right\n", "src/run": "#!/bin/sh\necho right\n"}
        checks = 'test "$(sh src/go.sh)$(sh src/run)" = rightright'
        found = self.probe(self.place(checks, files))
        self.assertEqual(
            ("ok", "verify notices each of 2 files emptied"), self.of(found, "emptied")
        )
        self.assertEqual("ok", self.of(found, "made to exit")[0])

    def test_javascript(self) -> None:
        grep = "grep -q process.exit src/a.mjs && exit 1; test -s src/a.mjs"
        found = self.probe(self.place(grep, {"src/a.mjs": "export const a = 1\n"}))
        self.assertEqual("ok", self.of(found, "made to exit")[0])
        self.assertEqual("ok", self.of(found, "emptied")[0])

    def test_a_verify_that_fails_anyway_says_nothing(self) -> None:
        found = self.probe(self.place("false"))
        level, what = self.of(found, "canaries were not tried")
        self.assertEqual("warning", level)
        self.assertIn("exit 1", what)

    def test_the_largest_sources_are_tried_and_the_rest_is_counted(self) -> None:
        files = {f"src/m{n:02}.py": "x = 1\n" * (n + 1) for n in range(13)}
        found = self.probe(self.place("test -s src/m12.py", files))
        self.assertIn("left out: 3 smaller sources", self.of(found, "canaries tried")[1])
        self.assertIn("and 4 more emptied", self.of(found, "emptied")[1])

    def test_typescript(self) -> None:
        verify = "grep -q process.exit src/a.ts && exit 1; test -s src/a.ts"
        found = self.probe(self.place(verify, {"src/a.ts": "export const a: number = 1\n"}))
        self.assertEqual("ok", self.of(found, "made to exit")[0])
        self.assertEqual("ok", self.of(found, "emptied")[0])

    def test_a_language_without_canaries(self) -> None:
        files = {"src/a.c": "int main(void) { return 1; }\n"}
        found = self.probe(self.place("true", files))
        level, what = self.of(found, "whether verify can fail is unknown")
        self.assertEqual("warning", level)
        self.assertIn("Python, JavaScript, TypeScript, shell", what)
        verify = {"run": "grep -q main src/a.c", "canary": "echo > src/a.c"}
        found = self.probe(self.place(verify, files))
        self.assertFalse([what for _, what in found if "is unknown" in what])

    def test_nothing_is_tried_without_being_asked(self) -> None:
        place = self.place({"run": "touch ../ran", "canary": "touch ../ran"})
        run_openloop("doctor", place.path)
        self.assertFalse(os.path.exists(os.path.join(place.folder, "ran")))


class Own(Canaries):
    def gate(self, gate: object, exitcode: int = 0) -> list[tuple[str, str]]:
        return self.probe(
            self.place("true", {"src/a.txt": "1\n"}, commands={"play": gate}), exitcode
        )

    def test_a_gate_that_notices(self) -> None:
        gate = {"run": "grep -q 1 src/a.txt", "canary": "echo 2 > {project_root}/src/a.txt"}
        self.assertEqual("ok", self.of(self.gate(gate), "play fails after its canary")[0])

    def test_a_gate_that_does_not(self) -> None:
        found = self.gate({"run": "test -e src", "canary": 'rm "$OPENLOOP_PROJECT_ROOT"/src/*'}, 1)
        level, _ = self.of(found, "play passes although its canary broke the project")
        self.assertEqual("problem", level)

    def test_a_canary_that_does_nothing_is_a_mistake(self) -> None:
        found = self.gate({"run": "test -e src", "canary": "rm no-such-file"}, 1)
        self.assertIn("exit 1", self.of(found, "canary of play did not do its work")[1])

    def test_a_gate_that_fails_anyway(self) -> None:
        found = self.gate({"run": "false", "canary": "rm -r src"})
        self.assertEqual("warning", self.of(found, "canary was not tried: play")[0])

    def test_a_baseline_is_a_gate_too(self) -> None:
        baseline = {"regex": "score=(.*)", "value": 1}
        for canary, exitcode, level in (("echo 0 > src/a.txt", 0, "ok"), ("true", 1, "problem")):
            command = {"run": "echo score=$(cat src/a.txt)", "canary": canary}
            place = self.place(
                "true", {"src/a.txt": "1\n"}, baseline={**baseline, "command": command}
            )
            found = self.probe(place, exitcode)
            self.assertEqual(level, self.of(found, " its canary")[0])

    def test_a_canary_is_looked_at_like_any_command(self) -> None:
        place = self.place({"run": "true", "canary": "no-such-program"})
        done = run_openloop("doctor", place.path, exitcode=1)
        self.assertIn("commands.verify.canary: no-such-program is neither", done.out)


class Copies(Canaries):
    """How the copy is made, with overlays and without."""

    def test_every_path_leads_to_the_copy(self) -> None:
        """An installed package that points to the project is the copy as well."""
        place = self.place("true")
        root = shlex.quote(place.project)
        look = f"grep -q add {root}/src/add.py && cd {root} && grep -q add src/add.py"
        place.configure(
            {
                "commands": {"verify": {"run": look, "canary": "echo > src/add.py"}},
                "policy": {"allow": ["src/**"]},
            }
        )
        need(self.overlays(), "a kernel with overlays for users")
        self.assertEqual("ok", self.of(self.probe(place), "verify fails after its canary")[0])

    def overlays(self) -> bool:
        for name in ("root", "lower", "upper", "work"):
            os.mkdir(os.path.join(self.folder, name))
        probe = (
            "import os, sys; from openloop.process import namespaces as mounts\n"
            "sys.exit(not mounts.enter(overlay=[os.path.abspath('root'), os.getcwd()]))"
        )
        words = [sys.executable, "-c", probe]
        return not subprocess.run(words, cwd=self.folder, env=environment(), check=False).returncode

    def without(self, *words: str, exitcode: int) -> Done:
        """The program on a system without user namespaces."""
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, *words],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        need(done.returncode != 99, "a kernel with user namespaces, to be without them")
        self.assertEqual(exitcode, done.returncode, done.stdout + done.stderr)
        return Done(done.returncode, done.stdout, done.stderr)

    def test_without_overlays_the_project_is_copied(self) -> None:
        verify = {**COUNTED, "canary": "rm {project_root}/src/add.py"}
        place = self.place(verify)
        os.mkfifo(place.project_file("fifo"))
        os.symlink("src/add.py", place.project_file("link"))
        subprocess.run(["git", "init", "-q"], cwd=place.project, check=True)
        before = snapshot(place.project)
        words = ("doctor", place.path, "--probe", "1", "--json")
        found = self.found(self.without(*words, exitcode=0))
        self.assertEqual("ok", self.of(found, "verify fails after its canary")[0])
        self.assertEqual("warning", self.of(found, "src/unused.py emptied")[0])
        self.assertEqual(before, snapshot(place.project))

    def test_without_namespaces_the_judge_says_that_it_cannot_hide_its_cases(self) -> None:
        cases = os.path.join(self.folder, "cases.jsonl")
        with open(cases, "w", encoding="utf-8") as file:
            file.write(json.dumps({"stdout": "right"}) + "\n")
        done = self.without("judge", cases, "--", "echo", "right", exitcode=0)
        self.assertIn("note: this system cannot hide CASES", done.err)
        self.assertIn("1 of 1 cases", done.out)


if __name__ == "__main__":
    unittest.main()
