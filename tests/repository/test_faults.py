"""The fault script in its quick mode: every family provokes something, nothing is violated."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import unittest

from support import ROOT, Done, run_script

SLOW = True  # left out by scripts/run_tests.sh --quick

FEWEST = {  # tries of the quick mode, by the start of a fault's name
    "kill -9 at every durable call": 8,
    "kill -9 at a random moment": 3,
    "kill -9 of runner and guard": 2,
    "tree": 4,
    "events.jsonl cut": 300,
    "events.jsonl flipped": 300,
    "garbage": 4,
    "signals": 3,
    "SIGSTOP": 1,
    "wall clock": 1,
    "second runner": 1,
    "planted": 4,
    "disk full or I/O error": 6,
    "no more descriptors": 3,
    "argument list": 3,
    "flood": 2,
    "escapes": 10,
    "logs with and without": 30,
    "templates": 100,
    "configurations, mutated": 500,
    "leaks": 100,
    "fleet: kill -9 of the coordinator at every durable call": 2,
    "fleet: kill -9 of the coordinator at a random moment": 1,
    "fleet: twins": 10,
    "fleet: cancel": 2,
}


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    return run_script("faults.py", *words)


class Quick(unittest.TestCase):
    """Under a minute on two idle cores."""

    def test_every_fault_is_survived(self) -> None:
        done = faults("--quick", "--json")
        self.assertIn(done.returncode, (0, 1), done.stderr)
        document = json.loads(done.stdout)
        violated = [
            f"{row['fault']}: {each}" for row in document["rows"] for each in row["violations"]
        ]
        self.assertEqual([], violated)
        self.assertEqual(0, done.returncode)
        self.assertEqual("quick", document["mode"])
        for start, fewest in FEWEST.items():
            rows = [row for row in document["rows"] if row["fault"].startswith(start)]
            self.assertTrue(rows, start)
            for row in rows:
                self.assertGreaterEqual(row["tries"], fewest, row["fault"])
        for row in document["rows"]:
            self.assertTrue(row["tries"] or row["figures"].startswith("left out"), row["fault"])
        unlisted = {_named(row["fault"]) for row in document["rows"]} - _listed()
        self.assertEqual(set(), unlisted, "not in reliability.md")


def _named(fault: str) -> str:
    """The name of a fault without its family and its numbers, which are others in the full mode."""
    return re.sub(r"\d+", "N", fault.removeprefix("fleet: "))


def _listed() -> set[str]:
    """The faults in the tables of the manual."""
    path = os.path.join(ROOT, "src/openloop/manual/reliability.md")
    with open(path, encoding="utf-8") as file:
        return set(map(_named, re.findall(r"^\| (.+?) \| [\d,]+ \| 0 \|", file.read(), re.M)))


class Words(unittest.TestCase):
    """What is printed for a person."""

    def test_the_table(self) -> None:
        done = faults("--only", "oom", "--seed", "7")
        self.assertEqual((0, ""), (done.returncode, "".join(_unexpected(done.stderr))), done.stdout)
        head, row, total = done.stdout.splitlines()
        self.assertEqual(["fault", "tries", "violations", "worst", "figures"], head.split())
        self.assertIn("precision 1.00, recall 1.00", row)
        self.assertRegex(total, r"^\d+ tries, 0 violations, \d+ s$")

    def test_an_unknown_family(self) -> None:
        done = faults("--only", "nothing")
        self.assertEqual(2, done.returncode)
        self.assertIn("invalid choice", done.stderr)


class EarlySignals(unittest.TestCase):
    """How a signal may end the program before it opens a run, and how it may not."""

    SENTENCE = "error: interrupted by {} while OpenLoop was looking at the project\n"
    OURS = (
        "Traceback (most recent call last):\n"
        '  File "/src/openloop/cli/dispatch.py", line 20, in dispatch\n'
        "KeyboardInterrupt\n"
    )
    PYTHONS = (
        "Traceback (most recent call last):\n"
        '  File "/src/openloop/__main__.py", line 12, in <module>\n'
        "KeyboardInterrupt\n"
    )
    BROKEN_START = f"Could not import runpy module\n{PYTHONS}"

    def test_what_is_accepted(self) -> None:
        scripts = os.path.join(ROOT, "scripts")
        if scripts not in sys.path:
            sys.path.append(scripts)
        before_a_run = importlib.import_module("faults.signals").before_a_run
        ctrl_c, term, hangup = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
        cases = [
            ({ctrl_c}, -2, "", True),
            ({ctrl_c}, -2, self.PYTHONS, True),
            ({ctrl_c}, -2, self.OURS, False),
            ({ctrl_c}, -9, "", False),
            ({ctrl_c}, -11, "", False),
            ({ctrl_c}, 0, "", False),
            ({ctrl_c}, 1, self.BROKEN_START, True),
            ({ctrl_c}, 1, "", False),
            ({ctrl_c}, 130, "", True),
            ({ctrl_c}, 130, self.SENTENCE.format("SIGINT"), True),
            ({ctrl_c}, 130, self.SENTENCE.format("SIGINT") + self.OURS, False),
            ({ctrl_c}, 130, self.OURS, False),
            ({term}, -15, "", True),
            ({term}, -15, "Segmentation fault", False),
            ({term}, -2, "", False),
            ({term}, 1, self.BROKEN_START, False),
            ({term}, 143, self.SENTENCE.format("SIGTERM"), True),
            ({term}, 143, "", False),
            ({term}, 129, self.SENTENCE.format("SIGHUP"), False),
            ({hangup, term}, 129, self.SENTENCE.format("SIGHUP"), True),
        ]
        for sent, code, err, accepted in cases:
            with self.subTest(sent=sent, code=code, err=err):
                self.assertEqual(accepted, before_a_run(sent, Done(code, "", err)))


def _unexpected(stderr: str) -> list[str]:
    """Lines of stderr that are no progress."""
    return [line for line in stderr.splitlines() if not line.endswith("violated")]


if __name__ == "__main__":
    unittest.main()
