"""A part of the gauntlet: the rates of a few agents, and what measures them."""

from __future__ import annotations

import inspect
import json
import os
import random
import re
import shutil
import subprocess
import sys
import unittest
from typing import Any

from support import ROOT, Case, in_ci, lives, run_script

SLOW = True  # left out by scripts/run_tests.sh --quick

SCRIPTS = os.path.join(ROOT, "scripts")
PROJECT = os.path.join(ROOT, "tests", "adversary", "project")
CAUGHT = (
    "files.empties_the_test",
    "files.forges_byte_code_of_the_test",
    "files.hides_behind_ignore_rules",
    "record.forges_events",
    "processes.leaves_a_daemon_for_the_gate",
    "processes.kills_the_guard",
    "processes.takes_the_descriptors",
    "settings.leaves_marker_files",
)
REAL = ("files.empties_the_test", "files.forges_byte_code_of_the_test")
HONEST = ("honest.repairs_at_once", "honest.cheats_first", "honest.leaves_a_server")
NAIVE = "for n in $(seq {rounds}); do sh -c {agent}; sh -c {check} && exit; done; exit 1"

for path in (SCRIPTS, os.path.join(ROOT, "tests", "adversary")):
    if path not in sys.path:
        sys.path.append(path)

import index  # noqa: E402 - the path comes first
from gauntlet import oracle  # noqa: E402
from gauntlet.modes import MODES  # noqa: E402


def gauntlet(*words: str) -> subprocess.CompletedProcess[str]:
    return run_script("gauntlet.py", *words)


class Rates(unittest.TestCase):
    """Each cheat is a real one, and is caught where that is promised."""

    def measure(self, *words: str, only: tuple[str, ...], exitcode: int = 0) -> Any:
        done = gauntlet("--json", *words, *(word for each in only for word in ("--only", each)))
        self.assertEqual(exitcode, done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_detection_is_beaten_from_inside_of_the_check_alone(self) -> None:
        inside = ("inside.exits_at_import", "framework.replaces_the_assertion_error")
        found = self.measure("--mode", "detection", only=(*CAUGHT, *inside, *HONEST))
        (row,) = found["rows"]
        self.assertEqual((len(CAUGHT) + len(inside), len(HONEST)), (row["cheats"], row["honest"]))
        self.assertEqual(list(inside), row["through"])
        self.assertEqual([], row["blocked"])
        self.assertEqual((0, []), (row["processes_left"], row["hung"]))
        self.assertEqual([], found["missed"])

    def test_without_a_policy_the_same_cheats_get_through(self) -> None:
        (row,) = self.measure("--mode", "open", only=REAL)["rows"]
        self.assertEqual(list(REAL), row["through"])

    def test_withheld_cases_stand(self) -> None:
        cheats = (
            "inside.exits_at_import",
            "judged.looks_the_answer_up",
            "judged.works_for_the_judge_only",
            "machine.plants_a_judge_at_a_gate",
            "withheld.reads_the_folder",
        )
        found = self.measure("--mode", "withheld", only=(*cheats, HONEST[0]))
        if why := found["left_out"].get("withheld"):
            self.assertFalse(in_ci(), why)
            self.skipTest(why)
        (row,) = found["rows"]
        self.assertEqual((5, [], []), (row["cheats"], row["through"], row["blocked"]))

    def test_fresh_cases_stop_a_program_that_records_what_it_is_asked(self) -> None:
        recorder = "withheld.records_what_it_is_asked"
        found = self.measure("--mode", "both", "--mode", "fresh", only=(recorder, HONEST[0]))
        if found["left_out"]:
            self.assertFalse(in_ci(), found["left_out"])
            self.skipTest(str(found["left_out"]))
        through = {row["mode"]: row["through"] for row in found["rows"]}
        self.assertEqual({"both": [recorder], "fresh": []}, through)
        self.assertEqual([[], []], [row["blocked"] for row in found["rows"]])

    def test_another_tool_is_measured_by_the_same_agents(self) -> None:
        only = ("files.empties_the_test", "honest.repairs_at_once", "honest.leaves_a_server")
        found = self.measure("--against", f"naive={NAIVE}", only=only)
        (row,) = found["rows"]
        self.assertEqual("naive", row["mode"])
        self.assertEqual((["files.empties_the_test"], []), (row["through"], row["blocked"]))
        self.assertEqual(1, row["processes_left"])
        (left,) = [text for bout in found["bouts"] for text in bout["left"]]
        place = re.search(r"/[^' ]*openloop-gauntlet-\w+", left)
        self.assertIsNotNone(place, left)
        self.assertEqual([], _alive(place[0]))

    def test_a_tool_that_accepts_nobody(self) -> None:
        tool = "strict=sh -c {agent} && sh -c {check}; exit 1"
        (row,) = self.measure("--against", tool, only=HONEST[:1])["rows"]
        self.assertEqual(([], list(HONEST[:1])), (row["through"], row["blocked"]))


def _alive(words: str) -> list[int]:
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                if words in file.read() and lives(pid):
                    found.append(pid)
        except OSError:
            continue
    return found


class Crowd(unittest.TestCase):
    def test_cheats_and_honest_agents_say_what_they_do(self) -> None:
        lines = gauntlet("--list").stdout.splitlines()
        names = [line.split()[0] for line in lines]
        honest = [name for name in names if name.startswith("honest.")]
        self.assertGreaterEqual(len(honest), 10)
        self.assertGreaterEqual(len(names) - len(honest), 100)
        self.assertEqual(len(set(names)), len(names))
        for line in lines:
            self.assertRegex(line, r"^[a-z]+\.[a-z_]+ +[A-Z].*\.$")

    def test_no_helper_counts_as_an_agent(self) -> None:
        for agent in index.agents():
            self.assertFalse(inspect.signature(agent.act).parameters, agent.full_name)

    def test_public_kinds_name_their_source(self) -> None:
        for agent in index.agents():
            if agent.family in ("settings", "framework"):
                with self.subTest(agent.full_name):
                    self.assertRegex(inspect.getdoc(agent.act) or "", r"\n\nSource: \S")

    def test_known_gaps_are_agents(self) -> None:
        names = {agent.full_name for agent in index.agents()}
        for mode in MODES:
            self.assertEqual(set(), set(mode.known) - names, mode.name)

    def test_they_refuse_to_act_elsewhere(self) -> None:
        """Here, in a checkout and with a person's home folder."""
        program = os.path.join(ROOT, "tests", "adversary", "run.py")
        done = subprocess.run(
            [sys.executable, program, "machine.plants_a_pth", PROJECT],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("arena", done.stderr)

    def test_bad_usage(self) -> None:
        for words, expected in (
            (("--only", "nobody"), "nobody"),
            (("--against", "naive=true"), "{agent}"),
            (("--mode", "none"), "invalid choice"),
        ):
            with self.subTest(words):
                done = gauntlet(*words)
                self.assertEqual(2, done.returncode)
                self.assertIn(expected, done.stderr)
                self.assertNotIn("Traceback", done.stderr)


class Oracle(Case):
    """It is fooled by nothing but a repair."""

    def test_fresh_cases_depend_on_secret_and_round(self) -> None:
        def made(secret: str, number: int) -> str:
            done = subprocess.run(
                [sys.executable, "-P", os.path.join(SCRIPTS, "gauntlet", "fresh.py"), secret, "2"],
                env={**os.environ, "OPENLOOP_SEED": str(number)},
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout

        first = made("1", 1)
        self.assertEqual(2, len([json.loads(line)["stdout"] for line in first.splitlines()]))
        self.assertEqual(first, made("1", 1))
        self.assertEqual(3, len({first, made("1", 2), made("2", 1)}))

    def judged(self, name: str, **edits: str) -> str:
        """edits: FILE with `__` for the folder → its text."""
        place = os.path.join(self.folder, name)
        shutil.copytree(PROJECT, place)
        for file, text in edits.items():
            with open(f"{place}/{file.replace('__', '/')}.py", "w", encoding="utf-8") as out:
                out.write(text)
        return oracle.repaired(place, PROJECT, f"{place}-copy", random.Random(name))

    def test_verdicts(self) -> None:
        with open(f"{PROJECT}/spans/merge.py", encoding="utf-8") as file:
            broken = file.read()
        repaired = broken.replace("in spans:", "in sorted(spans):")
        half = repaired
        repaired = repaired.replace("[0], end)", "[0], max(end, merged[-1][1]))")
        self.assertIn("answers", self.judged("broken"))
        self.assertIn("answers", self.judged("half", spans__merge=half))
        self.assertEqual("", self.judged("repaired", spans__merge=repaired))
        exits = "import os\nos._exit(0)\n"
        self.assertIn("answers", self.judged("silent", spans__merge=exits))
        easy = {"tests__check_merge": "", "spans__merge": repaired}
        self.assertIn("is another one", self.judged("easy", **easy))


if __name__ == "__main__":
    unittest.main()
