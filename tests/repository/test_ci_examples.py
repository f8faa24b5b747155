"""The jobs in examples/ci: their steps, taken from the files and run as the runner would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET

from support import ROOT, Case, environment, need

SLOW = True  # left out by scripts/run_tests.sh --quick

EXAMPLES = os.path.join(ROOT, "examples", "ci")
GITHUB = os.path.join(EXAMPLES, "github-actions.yml")
GITLAB = os.path.join(EXAMPLES, "gitlab-ci.yml")
WORKFLOWS = (GITHUB, os.path.join(ROOT, ".github", "workflows", "tests.yml"))
SETS_UP, RUNS = "Set up the demo", "Run the loop"
REPORTS, TAKES = "Report", "Take what was changed"
VENV = ".openloop/venv/bin/"


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def steps(text: str) -> dict[str, str]:
    """The shell of each named step of a workflow; a block loses its indent."""
    found = {}
    for match in re.finditer(r"^( *)- name: (.+)\n((?:\1  .*\n|\n)*)", text, re.MULTILINE):
        indent, name, rest = match.groups()
        inner = f"{indent}  "
        run = re.search(rf"^{inner}run: (?:\|\n((?:{inner}  .*\n|\n)*)|(.+)\n)", rest, re.MULTILINE)
        if run:
            lines = (run[1] or run[2] + "\n").splitlines(keepends=True)
            found[name] = "".join(line.removeprefix(f"{inner}  ") for line in lines)
    return found


def gitlab(key: str) -> list[str]:
    """The commands below a key of GitLab's job."""
    block = re.search(rf"^  {key}:\n((?:    .*\n)+)", read(GITLAB), re.MULTILINE)
    if block is None:
        raise AssertionError(f"no {key}")
    return re.findall(r"^    - (.+)$", block[1], re.MULTILINE)


class Job(Case):
    """A checkout with the program on PATH, and the files that a runner gives to a step."""

    def setUp(self) -> None:
        super().setUp()
        need(shutil.which("git"), "git")
        need(shutil.which("bash"), "bash")
        self.checkout = os.path.join(self.folder, "checkout")
        programs = os.path.join(self.folder, "bin")
        self.output = os.path.join(self.folder, "output")
        os.makedirs(programs)
        ignored = shutil.ignore_patterns("__pycache__", ".openloop")
        shutil.copytree(os.path.join(ROOT, "examples"), f"{self.checkout}/examples", ignore=ignored)
        python = shlex.quote(sys.executable)
        for name, text in (("python3", python), ("openloop", f"{python} -m openloop")):
            path = os.path.join(programs, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\nexec {text} "$@"\n')
            os.chmod(path, 0o755)
        self.env = environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            WORKSPACE=".openloop/demo",
            ROUNDS="3",
            GITHUB_OUTPUT=self.output,
            GIT_CONFIG_GLOBAL=os.devnull,
            PYTHONDONTWRITEBYTECODE="1",
        )
        with open(os.path.join(self.checkout, ".gitignore"), "w", encoding="utf-8") as file:
            file.write(".openloop/\n")
        self.shell("git init -q && git add -A && git -c user.name=t -c user.email=t@t commit -qm t")

    def shell(self, script: str, exitcode: int = 0) -> str:
        """Run a step as GitHub's runner does: bash, ended by the first failure."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, exitcode, f"{script}\n{done.stdout}")
        return done.stdout

    def changes(self) -> str:
        return read(os.path.join(self.checkout, "openloop-changes.patch"))

    def failures(self) -> int:
        """How many test cases of the JUnit report failed; there is a page beside it."""
        self.assertIn("<html", read(os.path.join(self.checkout, "openloop-report.html")))
        report = ET.fromstring(read(os.path.join(self.checkout, "openloop-junit.xml")))
        return len(list(report.iter("failure")))


class GitHubActions(Job):
    def test_a_job_that_is_complete(self) -> None:
        job = steps(read(GITHUB))
        self.shell(job[SETS_UP])
        self.shell("git add -A && git -c user.name=t -c user.email=t@t commit -qm broken")
        self.assertIn("complete: every gate passed", self.shell(job[RUNS]))
        self.assertEqual(read(self.output), "verdict=complete\n")
        self.shell(job[REPORTS])
        self.assertEqual(self.failures(), 3)
        self.shell(job[TAKES])
        changed = re.findall(r"^\+\+\+ b/(.+)$", self.changes(), re.MULTILINE)
        self.assertEqual(changed, ["project/bot.py"])

    def test_other_ends_fail_the_job_and_say_which_end_it_was(self) -> None:
        run = steps(read(GITHUB))[RUNS]
        self.shell(steps(read(GITHUB))[SETS_UP])
        self.env["ROUNDS"] = "1"
        self.shell(run, exitcode=1)
        self.env["ROUNDS"] = "none"
        self.shell(run, exitcode=2)
        self.assertEqual(read(self.output), "verdict=exhausted\nverdict=error\n")

    def test_the_demo_is_not_written_over_a_project(self) -> None:
        os.mkdir(os.path.join(self.checkout, "project"))
        message = self.shell(steps(read(GITHUB))[SETS_UP], exitcode=2)
        self.assertIn("project is there already", message)


class GitLab(Job):
    def test_the_same_commands_up_to_the_installation(self) -> None:
        """One script a list, as GitLab joins it; exit code 1 alone is a warning."""
        before = [line for line in gitlab("before_script") if "examples/ci" in line]
        self.env["ROUNDS"] = "1"
        self.shell("\n".join([*before, *gitlab("script")]), exitcode=1)
        self.shell("\n".join(line.removeprefix(VENV) for line in gitlab("after_script")))
        self.assertEqual(self.failures(), 2)
        self.assertIn("+++ b/project/bot.py", self.changes())
        allowed = re.search(r"allow_failure:\n +exit_codes:\n +- (\d+)", read(GITLAB))
        assert allowed is not None
        self.assertEqual(allowed[1], "1")


class Files(unittest.TestCase):
    def test_every_script_that_a_workflow_runs_is_there_and_can_be_run(self) -> None:
        for path in (*WORKFLOWS, GITLAB):
            named = re.findall(r"(?:run: |- )((?:scripts|examples)/[\w./]+)", read(path))
            self.assertTrue(named, path)
            for name in named:
                with self.subTest(path=path, name=name):
                    self.assertTrue(os.access(os.path.join(ROOT, name), os.X_OK))

    def test_each_step_is_shell(self) -> None:
        for path in WORKFLOWS:
            found = steps(read(path))
            self.assertGreater(len(found), 1)
            for name, script in found.items():
                with self.subTest(path=path, step=name):
                    done = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
                    self.assertEqual(done.returncode, 0)

    def test_the_tests_run_on_every_version_that_is_supported(self) -> None:
        versions = re.search(r"python: \[(.+)\]", read(WORKFLOWS[1]))
        assert versions is not None
        self.assertEqual(re.findall(r'"([\d.]+)"', versions[1]), ["3.11", "3.12", "3.13", "3.14"])


if __name__ == "__main__":
    unittest.main()
