"""The benchmark runs and prints what it says it prints. Never a time: machines are busy."""

from __future__ import annotations

import json
import subprocess
import unittest

from support import run_script

SLOW = True  # left out by scripts/run_tests.sh --quick

ROW = {"row", "what", "name", "floor", "figure", "unit", "ratio", "goal", "held", "note"}
OTHER = "other=for n in $(seq {rounds}); do sh -c {command}; done"
TIMES = "\N{MULTIPLICATION SIGN}"


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return run_script("bench.py", *words)


class Rows(unittest.TestCase):
    """A few rows that take seconds."""

    def test_the_document(self) -> None:
        done = bench("--only", "version", "--only", "durable", "--only", "memory", "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual("quick", document["mode"])
        self.assertLessEqual({"cores", "system", "python", "load"}, set(document["machine"]))
        version, durable, memory = document["rows"]
        for row in document["rows"]:
            self.assertEqual(ROW, set(row))
            self.assertGreater(row["figure"], 0)
            self.assertIn(row["held"], (True, False))
        self.assertEqual(
            ("version", f"≤ 1.5 {TIMES}", "ms"), self.of(version, "row", "goal", "unit")
        )
        self.assertAlmostEqual(version["figure"] / version["floor"], version["ratio"], 2)
        # Not a time: so many fsyncs are promised, whatever the machine does, and no fewer.
        self.assertEqual(3, durable["figure"])
        self.assertEqual((None, "≤ 3", True), self.of(durable, "floor", "goal", "held"))
        self.assertEqual("MB", memory["unit"])

    def of(self, row: dict[str, object], *names: str) -> tuple[object, ...]:
        return tuple(row[name] for name in names)

    def test_the_table_with_another_tool(self) -> None:
        done = bench("--only", "gap", "--against", OTHER, "--seed", "7")
        self.assertEqual(0, done.returncode, done.stderr)
        head, ours, other, machine = done.stdout.splitlines()
        self.assertEqual(["what", "floor", "OpenLoop", "ratio", "goal", "held"], head.split())
        self.assertRegex(ours, rf"^from a 0\.3 s .* ms +\S+ {TIMES} +≤ 2\.2 {TIMES} +(yes|no)$")
        self.assertRegex(other, rf", other +\S+ ms +\S+ ms +\S+ {TIMES} +- +-$")
        self.assertRegex(machine, r"^\d+ cores \(.*\), Linux .*, Python 3\..*, load .* \d+ s$")
        self.assertRegex(done.stderr, r"^ +\d+\.\d s  gap\n$")


class Usage(unittest.TestCase):
    """Exit code 2, with words."""

    def test_an_unknown_row(self) -> None:
        done = bench("--only", "nothing")
        self.assertEqual(2, done.returncode)
        self.assertIn("invalid choice", done.stderr)

    def test_a_template_without_its_names(self) -> None:
        for text in ("other", "=x {rounds} {command}", "other=x {rounds}", "other=x {command}"):
            done = bench("--against", text)
            self.assertEqual(2, done.returncode, text)
            self.assertIn("must be NAME=TEMPLATE", done.stderr)


if __name__ == "__main__":
    unittest.main()
