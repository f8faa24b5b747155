"""Copies of private files stay private, and nobody else's folder is written through."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import unittest

from policy.test_policy import TEST, Project, repair
from support import Workspace, need, run_openloop, snapshot


class Private(Project):
    def test_copies_of_a_private_file_are_for_its_owner_alone(self) -> None:
        place = self.place(repair())
        os.chmod(place.project_file("tests/test_calc.py"), 0o600)
        os.mkdir(place.file("checkpoints"), 0o755)  # as earlier versions made it
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        place.run()
        home = place.file("checkpoints")
        self.assertEqual(0o700, stat.S_IMODE(os.stat(home).st_mode))
        copies = [os.path.join(d, n) for d, _, names in os.walk(f"{home}/objects") for n in names]
        self.assertTrue(copies)
        for path in copies:
            self.assertEqual(0, stat.S_IMODE(os.stat(path).st_mode) & 0o077, path)

    def test_a_symlink_at_the_store_is_refused(self) -> None:
        place = self.place(repair())
        elsewhere = os.path.join(self.folder, "elsewhere")
        os.mkdir(elsewhere)
        os.symlink(elsewhere, place.file("checkpoints"))
        ended = place.run(exitcode=2)
        self.assertIn("checkpoints is not a folder", ended.err)
        self.assertIn("fix: remove it", ended.err)
        self.assertEqual([], os.listdir(elsewhere))
        self.assertIn(
            "checkpoints is not a folder", run_openloop("doctor", place.path, exitcode=1).out
        )


class Owner(Project):
    def test_a_workspace_of_somebody_else_is_noted(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give a folder away")
        place = self.place(repair())
        os.chown(place.path, 12345, 12345)
        doctor = run_openloop("doctor", place.path, exitcode=None)
        self.assertIn("belongs to another user (uid 12345)", doctor.out)
        self.assertIn("note: the workspace belongs to user 12345", place.run().err)
        os.chown(place.path, 0, 0)
        self.assertNotIn("belongs to", run_openloop("doctor", place.path, exitcode=None).out)


class Mounts(Project):
    def mounting(self, script: str) -> Workspace:
        if os.geteuid() != 0:
            self.skipTest("only root can mount")
        need(shutil.which("unshare"), "unshare")
        alone = ["unshare", "-m", "true"]
        need(subprocess.run(alone, check=False).returncode == 0, "a mount namespace")
        place = self.place(f"{script}; {repair()}")
        os.mkdir(place.project_file("src/inner place"))
        return place

    def test_a_mount_that_a_change_made_is_noticed(self) -> None:
        for script, where in (
            ("mount --bind src tests", "tests"),
            ("mount -t tmpfs none 'src/inner place'", "src/inner place"),
        ):
            with self.subTest(where):
                shutil.rmtree(os.path.join(self.folder, "w"), ignore_errors=True)
                place = self.mounting(script)
                place.run(exitcode=3, before=["unshare", "-m"])
                self.assertIn(f"is mounted on {place.project}/{where}", place.heartbeat["reason"])
                found = place.events_of("policy_violated")[0]
                self.assertIn(f"mounted something on {where}", found["text"])
                self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])

    def test_one_that_was_there_before_is_not(self) -> None:
        place = self.mounting("true")
        inner = place.project_file("src/inner place")
        command = f"mount -t tmpfs none '{inner}' && exec \"$@\""
        place.run(before=["unshare", "-m", "sh", "-c", command, "sh"])


if __name__ == "__main__":
    unittest.main()
