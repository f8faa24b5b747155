"""Looks at a project with a large file: a signal and a limit end them, and a person sees them."""

from __future__ import annotations

import signal
import subprocess
import time
import unittest
from typing import Any

from openloop.config import config
from openloop.core.errors import Interrupted, TamperError
from openloop.process.signals import Interrupts
from openloop.runner.snapshot_watch import SnapshotWatch
from support import Case, Workspace, lives, recomputed_head, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

SOON = 2.0  # seconds in which a signal must end a look, whatever the size of the file
LARGE = "yes openloop | head -c 1000M > large"
LIMITS = config.parse(
    b'{"version": 1, "mission": "m", "total_rounds": 1, "commands": {"verify": "true"}}', where="c"
).limits


class LargeFile(Case):
    """Its bytes are all there: nothing of it is a hole that is passed over."""

    def policy(self, **more: Any) -> Workspace:
        return self.workspace(
            commands={"scan": "true", "fix": LARGE, "verify": "test -e done"},
            policy={"protect": ["tests/**"]},
            **more,
        )

    def at_the_look(self, place: Workspace) -> Any:
        """The runner, once the change has ended and is being looked at."""
        runner = self.started(place)
        pid = wait_until(lambda: place.running_step("fix"), "the change")
        wait_until(lambda: not lives(pid), "its end")
        return runner

    def test_a_signal_ends_the_look_and_the_next_run_undoes_the_change(self) -> None:
        place = self.policy()
        runner = self.at_the_look(place)
        began = time.monotonic()
        runner.send_signal(signal.SIGTERM)
        _, err = runner.communicate(timeout=60)
        self.assertLess(time.monotonic() - began, SOON + 1)  # the machine may be busy
        self.assertEqual(143, runner.returncode, err)
        self.assertIn("interrupted by SIGTERM while OpenLoop was looking at the project", err)
        self.assertEqual([], [step for step in place.steps() if step[1] == "fix"])
        self.assertEqual("interrupted", place.heartbeat["status"])
        self.assertEqual("signal", place.events[-1]["note"])
        self.assertEqual(place.heartbeat["event_head"], recomputed_head(place))
        place.audit()
        for name in ("done", "large"):
            with open(place.project_file(name), "w", encoding="utf-8"):
                pass
        place.run()
        self.assertEqual([False, True], [e["resumed"] for e in place.events_of("run_started")])
        place.audit()

    def test_a_signal_ends_the_very_first_look(self) -> None:
        place = self.policy()
        subprocess.run(["sh", "-c", LARGE], cwd=place.project, check=True)
        runner = self.started(place)
        wait_until(lambda: place.exists("checkpoints"), "the look")
        began = time.monotonic()
        runner.send_signal(signal.SIGINT)
        _, err = runner.communicate(timeout=60)
        self.assertLess(time.monotonic() - began, SOON + 1)
        self.assertEqual(130, runner.returncode, err)
        self.assertIn("interrupted by SIGINT while OpenLoop was looking at the project", err)
        self.assertEqual("interrupted", place.heartbeat["status"])
        self.assertEqual([], place.events_of("run_started"))

    def test_a_limit_ends_the_look_and_blocks(self) -> None:
        place = self.policy(limits={"max_runtime_seconds": 0.05})
        with open(place.project_file("large"), "wb") as file:
            for _ in range(200):
                file.write(b"openloop" * (1 << 17))
        done = place.run(exitcode=3)
        self.assertIn("looking at the project took longer than 0.05 s", done.err)
        self.assertEqual([], place.steps())
        self.assertEqual("blocked", place.heartbeat["status"])
        self.assertIn("took longer than 0.05 s", place.heartbeat["reason"])


class Watched(Case):
    """What a tick does, without a file."""

    def test_shown_after_a_second(self) -> None:
        shown: list[str] = []
        with Interrupts() as interrupts:
            watch = SnapshotWatch(interrupts.received, LIMITS, shown.append)
            watch.tick(0)
            watch.tick(12_000)
            self.assertEqual([], shown)
            wait_until(lambda: watch.tick(0) or shown)
            self.assertEqual(["looking at the project: 12,000 files"], shown)
            watch.begin()
            wait_until(lambda: watch.tick(0) or shown[1:])
            self.assertEqual("looking at the project", shown[1])

    def test_ends(self) -> None:
        with Interrupts() as interrupts:
            watch = SnapshotWatch(
                interrupts.received, LIMITS._replace(command_timeout=0.05), lambda words: None
            )
            with self.assertRaisesRegex(TamperError, "longer than 0.05 s"):
                wait_until(lambda: watch.tick(0))
            watch = SnapshotWatch(interrupts.received, LIMITS, lambda words: None)
            signal.raise_signal(signal.SIGINT)
            watch.tick(0)  # a short look is finished
            with self.assertRaises(Interrupted) as caught:
                wait_until(lambda: watch.tick(0))
            self.assertEqual(signal.SIGINT, caught.exception.signum)


if __name__ == "__main__":
    unittest.main()
