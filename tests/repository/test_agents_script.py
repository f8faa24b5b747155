"""The scripts that drive real agents: in CI two of them, from installation to the end."""

from __future__ import annotations

import json
import os
import shutil
import unittest

from support import in_ci, need, run_script

SLOW = True  # left out by scripts/run_tests.sh --quick


class RealAgents(unittest.TestCase):
    def need_agents(self) -> None:
        if not in_ci() and not os.environ.get("REAL_AGENTS"):
            raise unittest.SkipTest("installs programs: set REAL_AGENTS=1")
        need(shutil.which("npm"), "npm")

    def test_two_that_run_a_loop_over_mcp(self) -> None:
        self.need_agents()
        done = run_script("mcp_agents.py", timeout=400)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count(": right"), 2)

    def test_two_that_install_fast(self) -> None:
        self.need_agents()
        words = ["--only", "claude", "codex", "--modes", "edit", "credit", "--json"]
        done = run_script("agents.py", *words, timeout=400)
        rows = json.loads(done.stdout)
        self.assertEqual([row for row in rows if not row["right"]], [], done.stderr)
        self.assertEqual(len(rows), 4)
        for row in rows:
            if row["mode"] == "edit":
                self.assertEqual((row["status"], row["outcome"]), ("complete", "passed"))
                self.assertGreater(row["tokens"], 0)

    def test_an_unknown_agent(self) -> None:
        done = run_script("agents.py", "--only", "nobody")
        self.assertEqual(done.returncode, 2)
        self.assertIn("invalid choice", done.stderr)


if __name__ == "__main__":
    unittest.main()
