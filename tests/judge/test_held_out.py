"""The example with withheld checks runs as its README shows."""

from __future__ import annotations

import os
import re
import subprocess
import unittest

from support import ROOT, Case, environment

SLOW = True  # left out by scripts/run_tests.sh --quick

EXAMPLE = os.path.join(ROOT, "examples", "held_out")
_CHANGING = re.compile(r" *\b\d+\.\d (?:s|min)\b|\b[0-9a-f]{64}\b")


def constant(text: str) -> list[str]:
    """The lines without times and hashes."""
    return [" ".join(_CHANGING.sub("", line).split()) for line in text.splitlines()]


class HeldOut(Case):
    def test_the_agent_overfits_sees_a_count_and_solves_it(self) -> None:
        place = os.path.join(self.folder, "place")
        done = subprocess.run(
            [os.path.join(EXAMPLE, "run.sh"), place],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        with open(os.path.join(EXAMPLE, "README.md"), encoding="utf-8") as file:
            shown = re.findall(r"^```text\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
        shown = [block for block in shown if not block.startswith("ok:")]  # of doctor, later
        self.assertEqual(2, len(shown))
        came = "\n".join(constant(done.stdout))
        for block in shown:
            self.assertIn("\n".join(constant(block)), came)
        with open(os.path.join(place, "project", "change.py"), encoding="utf-8") as file:
            self.assertNotIn("EXAMPLES", file.read())

    def test_the_cases_of_the_example_hold_no_answers(self) -> None:
        with open(os.path.join(EXAMPLE, "cases.jsonl"), encoding="utf-8") as file:
            self.assertNotIn("stdout", file.read())


if __name__ == "__main__":
    unittest.main()
