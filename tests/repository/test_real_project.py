import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest
from typing import Any

from support import ROOT, Case, Done, environment, need

SLOW = True  # left out by scripts/run_tests.sh --quick

EXAMPLE = os.path.join(ROOT, "examples", "real_project")
LIMIT = 240.0  # seconds; it takes about twenty on an idle machine
UNREACHABLE = 69

# One step or one round of a run, as the console shows it.
STEP = re.compile(r"^ +(\d+)  (\w+(?: again)?) +(\w+) +[\d.]+ s\b", re.MULTILINE)
ROUND = re.compile(r"^round \d+ \w+.*$", re.MULTILINE)


def run_script(*words: str, cwd: str, env: dict[str, str]) -> Done:
    """The example's script in a process group of its own, ended whole when time is up."""
    script = subprocess.Popen(
        [os.path.join(EXAMPLE, "run.sh"), *words],
        cwd=cwd,
        env={**env, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = script.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(script.pid, signal.SIGTERM)
        out, err = script.communicate()
        raise AssertionError(f"not done after {LIMIT:g} s\n{out}\n{err}") from None
    return Done(script.returncode, out, err)


class RealProjectTest(Case):
    """A published package, broken by a patch and brought back by the loop."""

    def setUp(self) -> None:
        super().setUp()
        for tool in ("tar", "patch"):
            need(shutil.which(tool), tool)
        need(importlib.util.find_spec("pip"), "pip")

    def test_the_loop_brings_it_back(self) -> None:
        done = run_script("place", cwd=self.folder, env=environment())
        need(done.code != UNREACHABLE, "the package registry that pip is set up with")
        self.assertEqual(done.code, 0, f"{done.out}\n{done.err}")
        workspace = os.path.join(self.folder, "place", ".openloop", "real")
        rounds = [self.artifact(workspace, number) for number in (1, 2, 3)]
        outcomes = [artifact["outcome"] for artifact in rounds]
        self.assertEqual(outcomes, ["unhealthy", "unhealthy", "repaired"])
        self.assertEqual(rounds[-1]["decision"], "complete")
        figures = [artifact["metric"]["value"] for artifact in rounds]
        self.assertEqual((figures[0], figures[-1]), (7501, 21))
        self.assertIn("byte for byte", done.out)
        self.assert_in_the_readme(done.err)

    def artifact(self, workspace: str, number: int) -> dict[str, Any]:
        with open(os.path.join(workspace, "artifacts", f"round-{number:04d}.json")) as file:
            return json.load(file)

    def assert_in_the_readme(self, course: str) -> None:
        """What the README shows is what happens, but for the seconds."""
        with open(os.path.join(EXAMPLE, "README.md"), encoding="utf-8") as file:
            shown = file.read()
        for pattern in (STEP, ROUND):
            self.assertEqual(pattern.findall(shown), pattern.findall(course))

    def test_a_registry_that_cannot_be_reached_is_named(self) -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            env = {name: value for name, value in environment().items() if name[:4] != "PIP_"}
            env |= {
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}/simple",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "TMPDIR": self.folder,
            }
            done = run_script(cwd=self.folder, env=env)
        self.assertEqual(done.code, UNREACHABLE, f"{done.out}\n{done.err}")
        self.assertRegex(done.err, r"error: the package registry .* cachetools \d\S+\n  fix: ")
        self.assertEqual(os.listdir(self.folder), [], "the temporary folder was left behind")


if __name__ == "__main__":
    unittest.main()
