"""`openloop doctor`: it says sound only when a run could prove something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from typing import Any

from openloop.config.shell_commands import pitfalls, simple_commands
from openloop.setup.findings import REPLACE_ME
from openloop.setup.probe import _bound
from support import Case, Workspace, run_openloop

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# A command, and what of a sentence on it.
CANNOT_FAIL = (
    ('sh -c "exit 1" &> test.log', "&>"),
    ("make &>> log", "&>"),
    ("if [[ $(cat result) != ok ]]; then exit 1; fi", "[["),
    ("pytest 2>&1 | tee out.txt", "`tee`"),
    ("pytest | tail -5 && echo ok", "`tail`"),
    ("pytest || true", "|| true"),
    ("a && b || :", "|| :"),
    ("pytest || exit 0", "|| exit 0"),
    ("pytest; echo done", "exit code of `echo`"),
    ("pytest\necho done\n", "exit code of `echo`"),
    ("pytest &", "background"),
    ("bash -c 'pytest || true'", "|| true"),
    ("sh -c 'pytest; echo done' ", "exit code of `echo`"),
    ("echo ok", "is all it runs"),
)
CAN_FAIL = (
    "pytest > log 2>&1; code=$?; cat log; exit $code",
    "set -e; pytest; echo done",
    "pytest || exit 1; echo done",
    "pytest && echo done",
    "rm -f old || true; pytest",
    "bash -o pipefail -c 'pytest | tee log'",
    "bash -c '[[ -e x ]]'",
    "grep -c ok log | grep -q 12",
    "server & pid=$!; pytest; code=$?; kill $pid; exit $code",
    "test \"$(./run | tail -1)\" = 'a || true'",
    "(cd sub && make test)",
    "echo 'a & b' | ./check",
    "for f in *.t; do ./run $f || exit 1; done",
)


class Pitfalls(unittest.TestCase):
    def test_what_hides_a_failure_is_named(self) -> None:
        for command, part in CANNOT_FAIL:
            with self.subTest(command):
                found = list(pitfalls(command))
                self.assertTrue(any(part in what for what, _ in found), found)
                self.assertTrue(all(fix for _, fix in found))

    def test_nothing_is_reported_of_what_can_fail(self) -> None:
        for command in CAN_FAIL:
            with self.subTest(command):
                self.assertEqual([], list(pitfalls(command)))

    def test_no_false_alarm_on_commands_of_real_projects(self) -> None:
        with open(os.path.join(HERE, "corpus", "commands.json"), encoding="utf-8") as file:
            corpus = json.load(file)
        self.assertGreater(len(corpus["can fail"]), 200)
        for command in corpus["can fail"]:
            with self.subTest(command):
                self.assertEqual([], list(pitfalls(command)))
        for command in corpus["hides a failure"]:
            with self.subTest(command):
                self.assertTrue(list(pitfalls(command)))

    def test_a_text_that_cannot_be_followed_is_left_alone(self) -> None:
        for text in ("echo 'open", "cat <<EOF\nx\nEOF", "", "\0", "((((", ";;;", "`"):
            with self.subTest(text):
                self.assertEqual([], list(pitfalls(text)))
        self.assertEqual([], simple_commands("a" * 10 + "'"))


class Place(Case):
    def place(self, verify: Any, files: dict[str, str] | None = None, **config: Any) -> Workspace:
        place = self.workspace(commands={"verify": verify, "fix": "true"}, **config)
        for name, text in (files or {}).items():
            path = place.project_file(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o755)
        return place

    def of(self, place: Workspace, part: str, exitcode: int = 0) -> tuple[str, str]:
        """(level, fix) of the one finding that says `part`."""
        found = run_openloop("doctor", place.path, "--json", exitcode=exitcode).json["findings"]
        (one,) = [finding for finding in found if part in finding["what"]]
        return one["level"], one["fix"]

    def silent(self, place: Workspace, part: str) -> None:
        self.assertNotIn(part, run_openloop("doctor", place.path).out)


class Doctor(Place):
    def test_the_placeholder(self) -> None:
        place = self.place(REPLACE_ME)
        self.assertEqual("problem", self.of(place, "placeholder", 1)[0])
        with open(place.project_file("Cargo.toml"), "w", encoding="utf-8") as file:
            file.write("[package]\n")
        done = run_openloop("doctor", place.path, exitcode=1)
        self.assertIn("this project works, such as `cargo test`", done.out)

    def test_the_key_of_a_project_root_that_is_gone(self) -> None:
        place = self.place("true", project_root="gone")
        self.assertEqual("problem", self.of(place, "project_root is 'gone'", 1)[0])

    def test_the_second_program(self) -> None:
        place = self.place("true && no-such-program --x")
        self.assertEqual("problem", self.of(place, "no-such-program is neither", 1)[0])
        self.silent(self.place("command -v no-such || true; test -e x || no-such x"), "is neither")

    def test_a_module_that_the_interpreter_does_not_have(self) -> None:
        place = self.place("python3 -m no_such_module")
        self.assertEqual("problem", self.of(place, "has no module no_such_module", 1)[0])
        for files in ({"no_such_module.py": ""}, {"no_such_module/__init__.py": ""}):
            self.silent(self.place("python3 -m no_such_module", files), "has no module")
        below = self.place("PYTHONPATH=src python3 -m no_such", {"src/no_such.py": ""})
        self.silent(below, "has no module")
        self.silent(self.place("python3 -m unittest"), "has no module")

    def test_a_missing_module_does_not_belong_into_our_environment(self) -> None:
        python = os.path.join(self.folder, "ours", "bin", "python3")
        os.makedirs(os.path.dirname(python))
        os.symlink(sys.executable, python)
        with open(os.path.join(self.folder, "ours", "bin", "openloop"), "w", encoding="utf-8"):
            pass
        for files, fix in (
            ({}, "that is OpenLoop's own environment; make one for the project: "),
            ({".venv/bin/python": ""}, "name the project's interpreter: .venv/bin/python"),
        ):
            place = self.place(f"{python} -m no_such_module", files)
            found = self.of(place, "has no module no_such_module", 1)
            self.assertTrue(found[1].startswith(fix), found)

    def test_an_interpreter_of_the_project_is_not_run(self) -> None:
        files = {".venv/bin/python": "#!/bin/sh\ntouch ran\n"}
        place = self.place(".venv/bin/python -m pytest", files)
        self.assertEqual("problem", self.of(place, "has no module pytest", 1)[0])
        self.assertFalse(os.path.exists(place.project_file("ran")))
        files[".venv/lib/python3.11/site-packages/pytest/__init__.py"] = ""
        self.silent(self.place(".venv/bin/python -m pytest", files), "has no module")

    def test_packages_that_are_not_installed(self) -> None:
        package = {"package.json": '{"scripts": {"test": "x"}, "devDependencies": {"x": "1"}}'}
        place = self.place("npm test", package)
        self.assertIn("npm install", self.of(place, "node_modules is missing", 1)[1])
        self.silent(self.place("npm test", {**package, "node_modules/x": ""}), "is missing")

    def test_a_change_that_may_rewrite_itself(self) -> None:
        place = self.workspace(
            commands={"fix": "sh agent.sh", "verify": "true"}, policy={"allow": ["*.sh", "*.py"]}
        )
        with open(place.project_file("agent.sh"), "w", encoding="utf-8"):
            pass
        output = run_openloop("doctor", place.path).out
        self.assertIn("commands.fix runs agent.sh, which it may rewrite", output)
        place.configure(
            {
                "commands": {"fix": "sh agent.sh", "verify": "true"},
                "policy": {"allow": ["*.py"], "protect": ["/agent.sh"]},
            }
        )
        self.assertNotIn("rewrite", run_openloop("doctor", place.path).out)

    def test_what_a_gate_runs_and_a_change_may_write(self) -> None:
        policy = {"protect": ["tests/**"], "allow": ["src/**"]}
        files = {"package.json": '{"scripts": {"test": "mocha"}}', "node_modules/.bin/mocha": ""}
        place = self.place("npm test", {**files, "tests/x": "", "src/x": ""}, policy=policy)
        level, fix = self.of(place, "runs node_modules/.bin/mocha")
        self.assertEqual("warning", level)
        self.assertIn('"node_modules/*", "!**/node_modules/.cache"', fix)
        policy["protect"] += ["node_modules/*", "!**/node_modules/.cache"]
        place = self.place("npm test", {**files, "tests/x": "", "src/x": ""}, policy=policy)
        self.silent(place, "which a change may write")

    def test_an_environment_that_a_tool_runs_from(self) -> None:
        policy: dict[str, Any] = {"protect": ["tests/**"], "allow": ["src/**"]}
        files = {"src/x": "", "tests/x": "", ".venv/bin/python": "", ".tox/x": "", "bin/tox": ""}
        files["bin/uv"] = "#!/bin/sh\n"
        commands = {"bin/uv run pytest": "runs .venv/bin/python", "bin/tox": "trusts what it finds"}
        for command, said in commands.items():
            self.of(self.place(command, files, policy=policy), said)
        policy["protect"] += [".venv/*", ".tox/*"]
        for command, said in commands.items():
            self.silent(self.place(command, files, policy=policy), said)

    def test_dependencies_that_are_protected_before_they_are_installed(self) -> None:
        policy = {"protect": ["node_modules/*", "tests/**"], "allow": ["src/**"]}
        place = self.place("grep -r x src", {"src/x": "", "tests/x": ""}, policy=policy)
        self.silent(place, "matches no file")
        policy["protect"] = ["node_modules/mohca/*", "tests/**"]
        place = self.place("grep -r x src", {"src/x": "", "tests/x": ""}, policy=policy)
        self.of(place, "policy.protect 'node_modules/mohca/*' matches no file")

    def test_protected_folders_that_are_links_out_of_the_project(self) -> None:
        policy = {"protect": ["node_modules/*"], "allow": ["src/**"]}
        files = {"src/x": "", "packages/y": ""}
        place = self.place("grep -r x src", files, policy=policy)
        link = place.project_file("node_modules")
        os.symlink("packages", link)
        self.silent(place, "is a link to a folder outside")
        os.remove(link)
        os.symlink("/usr", link)
        self.of(place, "node_modules is protected, but is a link to a folder outside")
        place = self.place("grep -r x src", files, policy={**policy, "sandbox": "auto"})
        self.silent(place, "is a link to a folder outside")

    def test_a_check_outside_of_protect(self) -> None:
        place = self.place("sh check.sh", {"check.sh": ""}, policy={"protect": ["x"]})
        self.assertIn('"/check.sh"', self.of(place, "runs check.sh, which a change")[1])

    def test_programs_in_holdout_may_print_and_data_may_not(self) -> None:
        for run, is_warned in (
            ("python3 {workspace}/holdout/lint.py src", False),
            ("openloop browse {workspace}/holdout/play.json", False),
            ("openloop judge {workspace}/holdout/cases.jsonl -- cat", True),
            ("true", False),
        ):
            with self.subTest(run):
                place = self.place(run)
                os.makedirs(place.file("holdout"), exist_ok=True)
                output = run_openloop("doctor", place.path, exitcode=0).out
                self.assertEqual("can be read by the agent" in output, is_warned)

    def test_allow_alone_keeps_a_change_from_the_checks(self) -> None:
        place = self.place("true", {"src/x": ""}, policy={"allow": ["src/**"]})
        self.silent(place, "nothing keeps a change")

    def test_the_programs_of_a_loop_are_looked_for(self) -> None:
        self.silent(self.place("for n in 1 2; do N=$n true || exit 1; done"), "cannot judge")
        place = self.place("for n in 1 2; do no-such-program $n || exit 1; done")
        self.assertEqual("problem", self.of(place, "no-such-program is neither", 1)[0])

    def test_the_patterns_of_case_are_no_programs(self) -> None:
        place = self.place(
            "case $OPENLOOP_ROUND in\n1) false ;;\n2) exit 1 ;;\n*) grep a b ;;\nesac"
        )
        self.silent(place, "neither a program")

    def test_build_output_that_is_trusted(self) -> None:
        policy = {"protect": ["Cargo.toml"]}
        files = {"bin/cargo": "", "Cargo.toml": "", "target/x": ""}
        self.of(
            self.place("bin/cargo test", files, policy=policy), "trusts what it finds in target/"
        )
        clean = self.place("rm -rf target && bin/cargo test", files, policy=policy)
        self.silent(clean, "trusts what it finds")

    def test_what_init_proposes_is_not_warned_of(self) -> None:
        case = "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n"
        package = '{"scripts": {"test": "node --test"}}'
        packages = {f"packages/{name}/package.json": "{}" for name in "abc"}
        projects = (
            {"src/x/__init__.py": case, "tests/test_x.py": case},
            {"package.json": package, "packages/a/src/x.js": "", **packages},
            {"package.json": package, "src/x.js": "", ".gitignore": ".npmrc\nnode_modules/\n"},
        )
        for number, files in enumerate(projects):
            root = os.path.join(self.folder, f"project{number}")
            for name, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(text)
            subprocess.run(["git", "init", "-q", root], check=True)
            for agent in (["--agent", "aider"], []):
                workspace = os.path.join(root, ".openloop", f"m{len(agent)}")
                run_openloop("init", *agent, workspace, exitcode=0)
                output = run_openloop("doctor", workspace, exitcode=None).out
                self.assertIn("gates verify", output)
                self.assertNotIn("matches no file", output)
                self.assertNotIn("git ignores", output)

    def test_an_exception_that_takes_nothing_back(self) -> None:
        files = {"tests/out/x": "", "src/x": ""}
        for exception in ("!tests/out/", "!tests/out/**"):
            policy = {"protect": ["tests/**", exception], "allow": ["src/**"]}
            said = f"policy.protect '{exception}' takes nothing back"
            self.of(self.place("grep -r x src", files, policy=policy), said)
        policy = {"protect": ["tests/**", "!**/tests/out/"], "allow": ["src/**"]}
        self.of(self.place("grep -r x src", files, policy=policy), "takes nothing back")
        for pair in (["tests/*", "!tests/out/"], ["tests/**", "!tests/out/x"]):
            policy = {"protect": pair, "allow": ["src/**"]}
            self.silent(self.place("grep -r x src", files, policy=policy), "takes nothing back")

    def test_settings_that_git_ignores_and_a_change_could_create(self) -> None:
        files = {"src/x.py": "", ".gitignore": "pytest.ini\n"}
        policy = {"protect": ["tests/**"], "allow": ["src/**"]}
        place = self.place("pytest", files, policy=policy)
        subprocess.run(["git", "init", "-q", place.project], check=True)
        self.of(place, "git ignores pytest.ini, which gates read")
        kept = self.place("pytest", files, policy={**policy, "protect": ["/pytest.ini"]})
        subprocess.run(["git", "init", "-q", kept.project], check=True)
        self.silent(kept, "git ignores")

    def test_submodules_that_are_empty(self) -> None:
        modules = "".join(
            f'[submodule "{name}"]\n\tpath = {name}\n\turl = x\n' for name in ("lib/a", "lib/b")
        )
        place = self.place("pytest", {".gitmodules": modules, "lib/b/x": ""})
        os.mkdir(place.project_file("lib/a"))
        level, fix = self.of(place, "submodules are empty: lib/a")
        self.assertEqual("warning", level)
        self.assertIn("git submodule update --init", fix)
        self.silent(place, "lib/b")

    def test_what_a_check_left_in_a_protected_folder(self) -> None:
        policy = {"protect": ["tests/**", ".venv/*", "/pytest.ini"], "allow": ["src/**"]}
        kept = (".venv/bin/pytest", "tests/__pycache__/x.pyc", "pytest.ini", "src/out.txt")
        ignored = "out*\n.venv/\n__pycache__/\npytest.ini\n"
        files = {"src/x.py": "", "tests/x": "", ".gitignore": ignored, **dict.fromkeys(kept, "")}
        place = self.place("pytest", files, policy=policy)
        subprocess.run(["git", "init", "-q", place.project], check=True)
        self.silent(place, "keeps gates from changing")
        for number in range(4):
            with open(place.project_file(f"tests/out{number}"), "w", encoding="utf-8") as file:
                file.write("1")
        said = "git ignores tests/out0, tests/out1, tests/out2 and 1 more, and policy.protect"
        self.assertEqual("warning", self.of(place, said)[0])

    def test_extension_modules_that_git_ignores_and_python_loads_from_the_root(self) -> None:
        policy = {"protect": ["tests/**"], "allow": ["src/**"]}
        files = {"src/x.py": "", "tests/x": "", ".gitignore": "*.so\n"}
        place = self.place("python3 -m unittest", files, policy=policy)
        subprocess.run(["git", "init", "-q", place.project], check=True)
        _, fix = self.of(place, "git ignores *.so, */__init__*.so, which gates read")
        self.assertIn('"/*.so", "*/__init__*.so"', fix)
        # A project that compiles such modules may build them there.
        compiled = self.place("python3 -m unittest", {**files, "src/x.pyx": ""}, policy=policy)
        subprocess.run(["git", "init", "-q", compiled.project], check=True)
        self.silent(compiled, "git ignores")

    def test_a_project_is_no_workspace(self) -> None:
        os.makedirs(os.path.join(self.folder, "project"))
        done = run_openloop("doctor", "project", cwd=self.folder, exitcode=2)
        self.assertIn("openloop init project/.openloop/main", done.err)
        run_openloop("init", "project/.openloop/main", cwd=self.folder)
        done = run_openloop("doctor", "project", cwd=self.folder, exitcode=2)
        self.assertIn("name the one in it: project/.openloop/main", done.err)

    def test_the_browser_of_a_play(self) -> None:
        browser = os.path.join(self.folder, "chromium")
        os.symlink("/bin/true", browser)
        play = f"openloop browse play.json --browser {browser}"
        place = self.workspace(commands={"verify": "test -d .", "play": play})
        self.assertEqual("ok", self.of(place, f"commands.play: the browser is {browser}")[0])
        os.unlink(browser)
        level, fix = self.of(place, f"commands.play: the browser {browser} is not a program", 1)
        self.assertEqual("problem", level)
        self.assertIn("apt install chromium", fix)

    def test_a_mission_that_no_command_could_be_started_with(self) -> None:
        place = self.place("true", mission="x" * 200_000)
        self.assertEqual("warning", self.of(place, "the mission is too long")[0])


class Probe(Place):
    def probe(self, place: Workspace, times: int, exitcode: int) -> str:
        return run_openloop("doctor", place.path, "--probe", str(times), exitcode=exitcode).out

    def test_every_gate_is_run_on_a_broken_project_too(self) -> None:
        place = self.workspace(
            commands={"verify": "false", "scan": "test -e x", "play": f"{sys.executable} -c pass"}
        )
        output = self.probe(place, 3, 0)
        self.assertIn("verify fails now, 3 of 3 times", output)
        self.assertIn("scan fails now", output)
        self.assertIn("play passes now", output)

    def test_the_bound_means_something(self) -> None:
        output = self.probe(self.place("test -d ."), 3, 0)
        self.assertIn("up to 63% of runs (95 % sure); 20 runs would bound it at 14%", output)
        self.assertAlmostEqual(0.95, 1 - (1 - _bound(7)) ** 7)


if __name__ == "__main__":
    unittest.main()
