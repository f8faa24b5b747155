import contextlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

SLOW = True  # left out by scripts/run_tests.sh --quick

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECT = EXAMPLES / "demo_project"
TIMEOUT = 60.0  # seconds


def configuration(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return config


def sources(project: Path) -> dict[str, bytes]:
    """Every file of a project but the byte code, by its path."""
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


class DemoCase(unittest.TestCase):
    """A copy of the demo project in a folder of its own, and the commands of its loop."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name).resolve()
        self.project = self.place / "project"
        shutil.copytree(PROJECT, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        self.config = configuration("openloop.demo.json")

    def run_(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=self.project,
            env=os.environ | {"PATH": path, "PYTHONIOENCODING": "utf-8"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )

    def step(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = self.config["commands"][name]
        line = command if isinstance(command, str) else command["run"]
        return self.run_("/bin/sh", "-c", line, **environment)

    def score(self) -> float:
        baseline = self.config["baseline"]
        done = self.run_("/bin/sh", "-c", baseline["command"])
        self.assertEqual(done.returncode, 0, done.stdout)
        found = re.findall(baseline["regex"], done.stdout)
        self.assertEqual(len(found), 1, done.stdout)
        return float(found[0])

    def break_it(self) -> subprocess.CompletedProcess[str]:
        tool = EXAMPLES / "demo_broken" / "break_it.py"
        return self.run_(sys.executable, str(tool), str(self.project))


class HealthyDemoTest(DemoCase):
    def test_every_command_passes(self) -> None:
        for name, command in self.config["commands"].items():
            with self.subTest(step=name):
                done = self.step(name)
                self.assertEqual(done.returncode, 0, done.stdout)
                if isinstance(command, dict):
                    self.assertRegex(done.stdout, command["expect"])

    def test_the_score_is_above_the_baseline_and_below_perfection(self) -> None:
        score = self.score()
        self.assertGreaterEqual(score, self.config["baseline"]["value"])
        self.assertLess(score, 1.0, "a score that cannot rise measures no improvement")

    def test_the_game_is_the_same_under_every_hash_seed(self) -> None:
        games = {self.step("play", PYTHONHASHSEED=seed).stdout for seed in ("0", "1", "2")}
        self.assertEqual(len(games), 1)

    def test_an_ascii_terminal_gets_an_ascii_picture(self) -> None:
        done = self.step("play", PYTHONIOENCODING="ascii")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(done.stdout.isascii())

    def test_nothing_is_written(self) -> None:
        def everything() -> list[str]:
            return sorted(str(path) for path in self.place.rglob("*"))

        before = everything()
        for name in self.config["commands"]:
            self.step(name, PYTHONDONTWRITEBYTECODE="1")
        self.run_(sys.executable, "-B", "benchmark.py")
        self.assertEqual(everything(), before)
        self.assertEqual(sources(self.project), sources(PROJECT))

    def test_playing_by_hand_wants_a_terminal(self) -> None:
        done = self.run_(sys.executable, "app.py")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--bot", done.stdout)

    def test_playing_by_hand(self) -> None:
        terminal, program = pty.openpty()
        self.addCleanup(os.close, terminal)
        command = [sys.executable, "app.py", "--cave", "16"]
        game = subprocess.Popen(command, cwd=self.project, stdin=program, stdout=program)
        self.addCleanup(game.wait)
        self.addCleanup(game.kill)
        os.close(program)
        self.assertIn("gems 0/3", read_until(terminal, "@"))
        os.write(terminal, b"wd\x1b[Cq")  # into the rock, two steps east, away
        self.assertIn("given up after 2 moves", read_until(terminal, "0 of 3 gems."))
        self.assertEqual(game.wait(TIMEOUT), 1)


class BrokenDemoTest(DemoCase):
    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(self.break_it().returncode, 0)

    def test_it_breaks_one_module(self) -> None:
        before, after = sources(PROJECT), sources(self.project)
        self.assertEqual([name for name in before if before[name] != after[name]], ["bot.py"])

    def test_it_breaks_only_what_is_whole(self) -> None:
        done = self.break_it()
        self.assertEqual(done.returncode, 1)
        self.assertIn("exactly once", done.stdout)

    def test_play_fails(self) -> None:
        done = self.step("play")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertNotRegex(done.stdout, self.config["commands"]["play"]["expect"])
        self.assertIn("LOST: the lantern went out at the closed door", done.stdout)

    def test_verify_fails(self) -> None:
        done = self.step("verify")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("test_the_closed_door_is_left_alone", done.stdout)

    def test_the_baseline_is_missed(self) -> None:
        self.assertLess(self.score(), self.config["baseline"]["value"])


class RepairAgentTest(DemoCase):
    def setUp(self) -> None:
        super().setUp()
        self.break_it()
        self.workspace = self.place / "workspace"
        self.prompt = self.place / "prompt.md"

    def call(self, number: int, prompt: str) -> subprocess.CompletedProcess[str]:
        self.prompt.write_text(prompt, encoding="utf-8")
        agent = EXAMPLES / "agents" / "repair_agent.py"
        return self.run_(
            sys.executable,
            str(agent),
            str(self.prompt),
            OPENLOOP_WORKSPACE=str(self.workspace),
            OPENLOOP_PROJECT_ROOT=str(self.project),
            OPENLOOP_ROUND=str(number),
        )

    def test_it_claims_first_and_repairs_then(self) -> None:
        broken = sources(self.project)
        claim = self.call(1, f"play failed:\n{self.step('play').stdout}")
        self.assertEqual(claim.returncode, 0)
        self.assertIn("Every test passes", claim.stdout)
        self.assertEqual(sources(self.project), broken)

        repair = self.call(2, f"verify failed:\n{self.step('verify').stdout}")
        self.assertEqual(repair.returncode, 0, repair.stdout)
        self.assertEqual(sources(self.project), sources(PROJECT))
        for name in ("play", "verify"):
            self.assertEqual(self.step(name).returncode, 0)

        diary = (self.workspace / "knowledge" / "repair-agent.md").read_text(encoding="utf-8")
        self.assertRegex(diary, r"^- round 1: .* changed nothing\.\n- round 2: bot\.py, line \d+")

    def test_it_finds_the_place_without_help_from_the_prompt(self) -> None:
        self.call(1, "")
        self.call(2, "Something in cave.py, app.py or game.py is wrong.")
        self.assertEqual(sources(self.project), sources(PROJECT))

    def test_it_does_not_touch_what_it_cannot_mend(self) -> None:
        shutil.copy(PROJECT / "bot.py", self.project)
        for name in ("app.py", "benchmark.py", "cave.py", "game.py"):
            (self.project / name).unlink()
        before = sources(self.project)
        self.call(1, "")
        done = self.call(2, "")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(sources(self.project), before)


class DemoConfigurationTest(unittest.TestCase):
    def test_both_demos_measure_the_same(self) -> None:
        healthy = configuration("openloop.demo.json")
        broken = configuration("openloop.broken.json")
        gates = {k: v for k, v in broken["commands"].items() if k != "fix"}
        self.assertEqual(gates, healthy["commands"])
        self.assertEqual(broken["baseline"], healthy["baseline"])


def read_until(terminal: int, text: str) -> str:
    """What a program writes to its terminal, up to and with `text`."""
    seen = b""
    while text.encode() not in seen:
        chunk = b""
        if select.select([terminal], [], [], TIMEOUT)[0]:
            # Reading fails on Linux once nobody holds the terminal's other end any more.
            with contextlib.suppress(OSError):
                chunk = os.read(terminal, 4096)
        if not chunk:
            raise AssertionError(f"{text!r} never came:\n{seen.decode(errors='replace')}")
        seen += chunk
    return seen.decode(errors="replace")


if __name__ == "__main__":
    unittest.main()
