"""A signal in the middle of each scan that can take long ends it, and the next run goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from typing import Any

from openloop.policy import bubblewrap
from support import (
    AGENTS,
    Case,
    Done,
    Workspace,
    environment,
    need,
    read_pid,
    recomputed_head,
    run_openloop,
    snapshot,
    wait_until,
)
from views.test_views import in_a_terminal, left_standing

SLOW = True  # left out by scripts/run_tests.sh --quick

LIMITS = {"command_timeout_seconds": 0.5}
FILES = 6  # in each folder of the project
SECONDS = 0.3  # that each piece of a scan takes: longer than a scan may go on after a signal
LONG = 8  # pieces that take longer than a scan may without a live line
SOON = 3.0  # seconds in which openloop ends, several pieces and its own start included
REWRITE = 'for f in {}/*; do echo spoiled > "$f"; done'
COMMANDS = {
    "fix": f"{REWRITE.format('tests')}; {REWRITE.format('src')}; touch done",
    "verify": "for n in a b c d e f; do echo $n > $n; done; test -e done",
}
OF_THE_FIRST_SCAN = {
    "ignore rules": "ignore_rules/reader:_Reader.read",
    "hashing": "content:_digest_blocks",
    "packing": "checkpoints:Checkpoints.keep",
    "the unlinked copy": "checkpoints:UnlinkedCopy._fill",
}
OF_A_CHANGE = {
    "packing before it": "project_policy:ProjectPolicy.before_change",
    "withheld files": "withheld_archive:pack",
    "compressing them": "withheld_archive:write",
    "hashing": "project_policy:ProjectPolicy.violations",
    "keeping what is replaced": "replaced_files:ReplacedFiles._copy",
    "restoring": "project_policy:ProjectPolicy.restore",
    "the diff": "change_diff:describe",
}


def slowly(scan: str, **plan: Any) -> list[str]:
    """Words before those of openloop. scan: `module:function`, whose pieces take SECONDS each."""
    text = json.dumps({"in": scan, "seconds": SECONDS, **plan})
    return [sys.executable, "-P", os.path.join(AGENTS, "interrupted.py"), text]


class Interrupted(Case):
    def place(self, name: str = "w", **config: Any) -> Workspace:
        """A project with a few files of each kind; the change of round 2 spoils all it can."""
        place = self.workspace(
            name,
            **{
                "total_rounds": 4,
                "commands": COMMANDS,
                "policy": {"protect": ["tests/**"], "withhold": ["secret/**"]},
                **config,
            },
        )
        for folder in ("src", "tests", "secret"):
            for number in range(FILES):
                path = place.project_file(f"{folder}/{number}")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"{folder} {number}\n")
        return place

    def during(self, place: Workspace, scan: str, *words: str, exitcode: int, **plan: Any) -> Done:
        """Run openloop, with that happening in the scan."""
        asked = subprocess.run(
            [*slowly(scan, **plan), *(words or ("run",)), place.path],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(exitcode, asked.returncode, f"{scan}: {asked.stdout}{asked.stderr}")
        self.assertNotIn("Traceback", asked.stderr)
        return Done(asked.returncode, asked.stdout, asked.stderr)

    def interrupt(self, place: Workspace, scan: str, signum: signal.Signals) -> None:
        """The signal ends the run in that scan, and the record says so."""
        ended = self.during(place, scan, exitcode=128 + signum, signal=signum.name)
        words = f"interrupted by {signum.name} while OpenLoop was looking at the project"
        self.assertIn(words, ended.err)
        self.assertEqual("interrupted", place.heartbeat["status"])
        if place.events:
            self.assertEqual(place.heartbeat["event_head"], recomputed_head(place))
            place.audit()

    def untouched(self, place: Workspace) -> dict[str, object]:
        """The protected and withheld files, and those for the gates alone."""
        folders = map(place.project_file, ("tests", "secret", "../ws/holdout"))
        return {folder: snapshot(folder) for folder in folders}


class OfARun(Interrupted):
    def test_the_first_scan(self) -> None:
        for name, scan in OF_THE_FIRST_SCAN.items():
            with self.subTest(name):
                place = self.place(name)
                with open(place.project_file("src/giant"), "wb") as file:
                    file.truncate(1 << 40)
                    for number in range(FILES):
                        os.pwrite(file.fileno(), b"data", number << 36)
                before = self.untouched(place)
                self.interrupt(place, scan, signal.SIGINT)
                self.assertEqual([], place.steps())
                self.assertEqual(before, self.untouched(place))
                place.run()
                self.assertEqual(before, self.untouched(place))

    def test_a_git_that_does_not_answer(self) -> None:
        program = os.path.join(self.folder, "bin", "git")
        os.mkdir(os.path.dirname(program))
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho $$ > {self.folder}/pid\nexec sleep 60\n")
        os.chmod(program, 0o755)
        place = self.place()
        os.makedirs(place.project_file(".git"))
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        runner = self.started(place, env=environment(PATH=path))
        pid = wait_until(lambda: read_pid(f"{self.folder}/pid"), "git to be asked")
        began = time.monotonic()
        runner.send_signal(signal.SIGHUP)
        _, err = runner.communicate(timeout=60)
        self.assertLess(time.monotonic() - began, SOON)
        self.assertEqual(129, runner.returncode, err)
        self.assert_gone(pid)

    def test_the_scans_around_a_change(self) -> None:
        for name, scan in OF_A_CHANGE.items():
            with self.subTest(name):
                place = self.place(name)
                before = self.untouched(place)
                self.interrupt(place, scan, signal.SIGTERM)
                finished = [step for step in place.steps() if step[1] == "fix"]
                self.assertEqual([], finished)
                place.run(exitcode=None)
                self.assertEqual(before, self.untouched(place))
                resumed = [event["resumed"] for event in place.events_of("run_started")]
                self.assertEqual([False, True], resumed)
                self.assertEqual("complete", place.heartbeat["status"])
                place.audit()

    def test_the_walk_for_a_sandbox(self) -> None:
        need(not bubblewrap.trouble("/nowhere"), "a working bubblewrap")
        place = self.place(policy={"protect": ["*.lock"], "sandbox": "bwrap"})
        self.interrupt(place, "bubblewrap:_protected", signal.SIGINT)
        place.run()

    def held_out(self, name: str) -> Workspace:
        """A gate spoils the files that only gates may read."""
        spoil = REWRITE.format('"$OPENLOOP_WORKSPACE"/holdout')
        place = self.place(name, commands={"verify": spoil}, policy={}, total_rounds=1)
        shutil.copytree(place.project_file("secret"), place.file("holdout"))
        return place

    def test_copying_what_a_gate_must_not_change(self) -> None:
        place = self.held_out("w")
        before = self.untouched(place)
        self.interrupt(place, "holdout:Holdout.copy_contents", signal.SIGINT)
        self.assertEqual(before, self.untouched(place))
        place.run(exitcode=1)
        self.assertEqual(before, self.untouched(place))

    def test_it_is_compared_and_restored_first(self) -> None:
        for name in ("changes", "restore"):
            with self.subTest(name):
                place = self.held_out(name)
                before = snapshot(place.file("holdout"))
                scan = f"holdout:Holdout.{name}"
                self.during(place, scan, exitcode=130, signal="SIGINT", ends=False)
                self.assertEqual(before, snapshot(place.file("holdout")))
                self.assertFalse(place.exists("withheld/holdout"))
                place.audit()

    def test_a_copy_outlives_a_killed_runner(self) -> None:
        """Nobody goes on with what the gate left, and nobody loses what was there before."""
        for name in ("changes", "restore"):
            with self.subTest(name):
                place = self.held_out(name)
                before = snapshot(place.file("holdout"))
                scan = f"holdout:Holdout.{name}"
                self.during(place, scan, exitcode=-signal.SIGKILL, signal="SIGKILL")
                blocked = place.run(exitcode=3).out
                self.assertIn("a copy as it was then is in withheld/holdout/", blocked)
                self.assertIn("restore that by hand", blocked)
                shutil.rmtree(place.file("holdout"))
                copy = place.file("withheld/holdout")
                shutil.copytree(copy, place.file("holdout"), symlinks=True)
                self.assertEqual(before, snapshot(place.file("holdout")))
                self.assertNotIn("holdout/ is not", place.run(exitcode=3).err)  # it spoils again
                self.assertEqual((2, "verify", "policy"), place.steps()[-1])
                self.assertFalse(place.exists("withheld/holdout"))

    def test_withheld_files_come_back_first(self) -> None:
        place = self.place()
        secret = place.project_file("secret")
        before = snapshot(secret)
        scan = "withheld_archive:Archive.restore"
        self.during(place, scan, exitcode=130, signal="SIGINT", ends=False)
        self.assertEqual(before, snapshot(secret))
        self.assertEqual("interrupted", place.heartbeat["status"])
        place.run()
        place.audit()

    def test_the_next_start_too(self) -> None:
        for scan in ("withheld_archive:read", "project_policy:ProjectPolicy.load_reference"):
            with self.subTest(scan):
                fix = "touch done; test $OPENLOOP_ROUND != 2 || exec sleep 60"
                place = self.place(scan, commands={**COMMANDS, "fix": fix})
                before = self.untouched(place)
                runner = self.started(place)
                wait_until(lambda place=place: place.running_step("fix"), "the change")
                runner.kill()
                runner.wait()
                self.interrupt(place, scan, signal.SIGINT)
                place.run()
                self.assertEqual(before, self.untouched(place))


class OfAccept(Interrupted):
    """A person who accepts a large project sees what goes on, and can end it."""

    SCAN = "project_policy:ProjectPolicy.differences"

    def changed(self, **config: Any) -> Workspace:
        """A run has ended, and a person has edited protected files since."""
        place = self.place(**config)
        place.run()
        for number in range(FILES):
            with open(place.project_file(f"tests/{number}"), "w", encoding="utf-8") as file:
                file.write("edited\n")
        return place

    def test_the_live_line(self) -> None:
        place = self.changed()
        program = slowly(self.SCAN, pieces=LONG)
        code, seen = in_a_terminal("accept", place.path, program=program, NO_COLOR="1")
        self.assertEqual(0, code, seen)
        self.assertRegex(seen, r"looking at the project(: \d+ files)?\r\x1b\[2K")
        self.assertIn("changed protected tests/0", left_standing(seen)[1])
        self.assertNotIn("looking", "".join(left_standing(seen)))

    def test_no_live_line_where_there_is_no_terminal(self) -> None:
        ended = self.during(self.changed(), self.SCAN, "accept", exitcode=0, pieces=LONG)
        self.assertEqual("", ended.err)

    def test_a_limit(self) -> None:
        place = self.changed()
        place.configure({**json.loads(place.read("openloop.json")), "limits": LIMITS})
        events, heartbeat = place.events, place.heartbeat["status"]
        ended = self.during(place, self.SCAN, "accept", exitcode=2)
        words = "nothing was accepted: looking at the project took longer than 0.5 s"
        self.assertIn(words, ended.err)
        self.assertIn("raise the limit in openloop.json", ended.err)
        self.assertEqual(events, place.events)
        self.assertEqual(heartbeat, place.heartbeat["status"])

    def test_a_signal(self) -> None:
        place = self.changed()
        events = place.events
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
            ended = self.during(place, self.SCAN, "accept", exitcode=code, signal=signum.name)
            self.assertEqual(("", ""), (ended.out, ended.err))
            self.assertEqual(events, place.events)
        place.audit()
        run_openloop("accept", place.path)
        self.assertEqual("accepted", place.events[-1]["note"])


if __name__ == "__main__":
    unittest.main()
