"""A record of the first format, as an earlier version left it, stays readable."""

from __future__ import annotations

import os
import shutil
import unittest

from support import HERE, Case

OLD = os.path.join(HERE, "corpus", "records", "first-format")


class OldRecords(Case):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace()
        shutil.copytree(OLD, self.place.path, dirs_exist_ok=True)

    def test_it_is_intact_and_shown(self) -> None:
        self.assertIn("intact", self.place.audit().out)
        self.assertEqual(self.place.status()["status"], "complete")
        events = self.place.events
        self.assertNotIn("usage", events[1]["state"])  # or the corpus was written again

    def test_a_new_run_goes_on_from_it(self) -> None:
        os.makedirs(self.place.project_file("tests"))
        with open(self.place.project_file("done"), "w", encoding="utf-8"):
            pass
        self.place.run()
        self.assertEqual(self.place.heartbeat["run"], 2)
        self.assertIn("intact", self.place.audit().out)


if __name__ == "__main__":
    unittest.main()
