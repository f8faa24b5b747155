"""examples/web_game: played in the real browser, claimed to be fine, then repaired."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

from browser.pages import program
from support import ROOT, Case, Workspace, environment, run_openloop

SLOW = True  # left out by scripts/run_tests.sh --quick


class WebGame(Case):
    def test_it_is_played_to_its_end_in_the_third_round(self) -> None:
        program()
        folder = os.path.join(self.folder, "game")
        script = os.path.join(ROOT, "examples", "web_game", "run.sh")
        done = subprocess.run(
            [script, folder],
            env=environment(PYTHON=sys.executable),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("\nOK\n", done.stdout.replace("\r", ""))
        self.assertIn("seen: it is covered by div#curtain", done.stdout)
        self.assertIn("uncaught exception: TypeError", done.stdout)
        place = Workspace.__new__(Workspace)
        place.folder, place.path = folder, os.path.join(folder, ".openloop", "game")
        played = [each for each in place.steps() if each[1] == "play"]
        self.assertEqual([outcome for _, _, outcome in played][-1], "passed")
        self.assertEqual(played[-1][0], 3)
        names = os.listdir(place.file("artifacts/round-0003-play-2"))
        self.assertIn("won.png", names)
        page = run_openloop("report", place.path).out
        self.assertGreaterEqual(page.count("data:image/png;base64,"), 4)


if __name__ == "__main__":
    unittest.main()
