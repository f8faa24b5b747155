"""The fault script in its quick mode: every family provokes something, nothing is violated."""

from __future__ import annotations

import json
import subprocess
import unittest

from support import run_script

SLOW = True  # left out by scripts/run_tests.sh --quick

FEWEST = {  # tries of the quick mode, by the start of a fault's name
    "kill -9 at every durable call": 12,
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
    "escapes": 20,
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


def _unexpected(stderr: str) -> list[str]:
    """Lines of stderr that are no progress."""
    return [line for line in stderr.splitlines() if not line.endswith("violated")]


if __name__ == "__main__":
    unittest.main()
