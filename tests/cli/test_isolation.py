"""OpenLoop's own interpreter loads nothing that a project or a variable puts in its way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unittest
import zipapp

from support import ROOT, SRC, Case, Workspace, environment, run_openloop

PLANTED = "import os; open({!r}, 'a').write({!r})\n"
ENTRY = "#!{}\nimport sys\nfrom openloop.__main__ import main\nsys.exit(main())\n"


class Planted(Case):
    """Modules in `src` of a project, which PYTHONPATH names, leave a sign when they are loaded."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace(commands={"verify": "true"})
        self.sign = os.path.join(self.folder, "loaded")
        self.plant(self.place.project_file("src"), "selectors", "subprocess", "argparse")

    def plant(self, folder: str, *names: str) -> None:
        os.makedirs(folder, exist_ok=True)
        for name in names:
            with open(os.path.join(folder, f"{name}.py"), "w", encoding="utf-8") as file:
                file.write(PLANTED.format(self.sign, name))

    def loaded(self) -> str:
        if not os.path.exists(self.sign):
            return ""
        with open(self.sign, encoding="utf-8") as file:
            return file.read()

    def env(self, **extra: str) -> dict[str, str]:
        return environment(PYTHONPATH=f"{self.place.project_file('src')}:{SRC}", **extra)


class EveryStart(Planted):
    def starts(self) -> dict[str, list[str]]:
        """The ways to start it, by their names."""
        script = os.path.join(self.folder, "openloop")
        with open(script, "w", encoding="utf-8") as file:
            file.write(ENTRY.format(sys.executable))
        os.chmod(script, 0o755)
        archive = os.path.join(self.folder, "openloop.pyz")
        package = os.path.join(self.folder, "archive")
        shutil.copytree(
            os.path.join(SRC, "openloop"),
            os.path.join(package, "openloop"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        zipapp.create_archive(package, archive, main="openloop.__main__:main")
        return {
            "module": [sys.executable, "-m", "openloop"],
            "script": [script],
            "archive": [sys.executable, archive],
        }

    def test_a_run_in_the_folder_of_the_modules(self) -> None:
        for name, words in self.starts().items():
            with self.subTest(name):
                done = subprocess.run(
                    [*words, "run", self.place.path],
                    cwd=self.place.project_file("src"),
                    env=self.env(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual((0, ""), (done.returncode, self.loaded()), done.stderr)

    def test_the_modules_are_loaded_without_the_protection(self) -> None:
        words = [sys.executable, "-c", "import openloop.process.supervisor"]
        subprocess.run(words, env=self.env(), check=True)
        self.assertIn("selectors", self.loaded())

    def test_a_user_site(self) -> None:
        base = os.path.join(self.folder, "base")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.plant(f"{base}/lib/{version}/site-packages", "selectors", "subprocess")
        environ = environment(PYTHONUSERBASE=base)
        run_openloop("run", self.place.path, env=environ)
        self.assertEqual("", self.loaded())

    def test_it_is_compiled_once_whatever_a_variable_says(self) -> None:
        """Or each start would cost a quarter of a second more."""
        package = os.path.join(self.folder, "copy")
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(os.path.join(SRC, "openloop"), f"{package}/openloop", ignore=skip)
        env = environment(PYTHONPATH=package, PYTHONDONTWRITEBYTECODE="1")
        words = [sys.executable, "-m", "openloop", "run", self.place.path]
        subprocess.run(words, env=env, capture_output=True, check=True)
        self.assertTrue(os.path.isdir(f"{package}/openloop/runner/__pycache__"))

    def test_an_interpreter_that_cannot_be_executed_is_an_error(self) -> None:
        program = (
            "import sys; sys._base_executable = '/dev/null'; sys.argv[1:] = ['status', 'x']\n"
            "from openloop.__main__ import main; sys.exit(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=self.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(2, done.returncode)
        self.assertIn("error: /dev/null cannot be started: Permission denied", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_commands_get_every_variable(self) -> None:
        look = 'test "$PYTHONPATH" = "$WANTED" && test "$PYTHONHASHSEED" = 7 && test "$X" = y'
        place = self.workspace("other", commands={"verify": look})
        env = self.env(PYTHONHASHSEED="7", X="y")
        run_openloop("run", place.path, env={**env, "WANTED": env["PYTHONPATH"]})


class JudgeInAGate(Planted):
    def gate(self, command: str, **env: str) -> Workspace:
        """A workspace whose one gate judges a wrong program."""
        with open(os.path.join(self.folder, "cases.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"stdout": "right"}\n')
        run = f"{command} judge {self.folder}/cases.jsonl -- echo wrong"
        return self.workspace(
            "judged",
            total_rounds=1,
            commands={"verify": {"run": run, "env": env}},
        )

    def test_neither_modules_nor_a_sitecustomize_of_the_project_run_in_it(self) -> None:
        place = self.gate("openloop", PYTHONPATH="src")
        os.makedirs(place.project_file("src"))
        with open(place.project_file("src/sitecustomize.py"), "w", encoding="utf-8") as file:
            file.write(PLANTED.format(self.sign, "sitecustomize") + "os._exit(0)\n")
        place.run(exitcode=1)
        self.assertIn("0 of 1 cases", place.read("logs/round-0001-verify.log"))
        self.assertEqual("", self.loaded())

    def test_a_program_of_its_name_in_the_project_does_not_replace_it(self) -> None:
        place = self.gate("openloop")
        folder = place.project_file(".venv/bin")
        os.makedirs(folder)
        with open(f"{folder}/openloop", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 0\n")
        os.chmod(f"{folder}/openloop", 0o755)
        place.run(exitcode=1, env=environment(PATH=f"{folder}:{os.environ['PATH']}"))
        self.assertIn("0 of 1 cases", place.read("logs/round-0001-verify.log"))

    def test_the_launcher_says_what_it_is_for(self) -> None:
        words = [os.path.join(ROOT, "src", "openloop", "bin", "openloop"), "--version"]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        self.assertIn("only commands of a run find this program", done.stderr)


class Doctor(Planted):
    def doctor(self, place: Workspace, **env: str) -> str:
        return run_openloop("doctor", place.path, env=environment(**env)).out

    def test_it_warns_of_an_openloop_in_the_project(self) -> None:
        words = "OpenLoop itself lies in the project"
        self.assertNotIn(words, self.doctor(self.place))
        document = {"project_root": ROOT, "commands": {"verify": "true"}}
        self.assertIn(words, self.doctor(self.workspace("own", **document)))
        path = f"{self.place.project_file('bin')}/openloop"
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)
        found = self.doctor(self.place, PATH=f"{os.path.dirname(path)}:{os.environ['PATH']}")
        self.assertIn(f"{words}: {path}", found)

    def test_it_warns_of_a_sandbox_in_which_openloop_can_be_written(self) -> None:
        policy = {"sandbox": "auto", "writable": [SRC]}
        commands = {"fix": "true", "verify": "true"}
        place = self.workspace("open", commands=commands, policy=policy)
        self.assertIn("policy.writable holds OpenLoop itself", self.doctor(place))


if __name__ == "__main__":
    unittest.main()
