"""`openloop status`: the latest heartbeat, `crashed` derived, for people and as JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import unittest
from typing import Any

from support import (
    BEATING,
    SRC,
    Case,
    Done,
    Workspace,
    agent,
    by_round,
    environment,
    lives,
    read_pid,
    run_openloop,
    snapshot,
    start_openloop,
    wait_until,
)


class StatusCase(Case):
    """`status` for a person and as JSON, side by side."""

    def status(self, place: Workspace, exitcode: int = 0) -> tuple[Done, dict[str, Any]]:
        """What status says to a person and as JSON, with the same exit code; nothing changes."""
        before = snapshot(place.folder, without=BEATING)
        shown = run_openloop("status", place.path, exitcode=exitcode)
        document = run_openloop("status", place.path, "--json", exitcode=exitcode).json
        self.assertEqual(snapshot(place.folder, without=BEATING), before)
        self.assertTrue(shown.out.startswith(f"{document['status']}: "), shown.out)
        self.assertEqual(document["valid"], exitcode == 0)
        self.assertNotRegex(shown.out, r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        return shown, document

    def waiting(self, **config: Any) -> tuple[Workspace, Any, int]:
        """(workspace, runner, PID of the step) while verify sleeps in round 2."""
        pid_file = f"{self.folder}/pid"
        command = by_round("echo was bad; false", f"exec {agent('sleeps', pid_file)}")
        place = self.workspace(commands={"verify": command}, **config)
        runner = self.started(place)
        wait_until(lambda: read_pid(pid_file) and place.running_step("verify"))
        return place, runner, place.heartbeat["pid"]


class Words(StatusCase):
    """Each status, and what a person reads beside it."""

    def test_ready(self) -> None:
        project = os.path.join(self.folder, "project")
        os.mkdir(project)
        path = os.path.join(self.folder, "ws")
        run_openloop("init", path, "--project-root", project, "--mission", "Be ready.")
        shown = run_openloop("status", path)
        self.assertTrue(shown.out.startswith("ready: nothing has run yet\n"), shown.out)
        self.assertIn("Be ready.", shown.out)
        document = run_openloop("status", path, "--json").json
        self.assertEqual((document["status"], document["run"]), ("ready", 0))

    def test_running(self) -> None:
        place, _, pid = self.waiting(mission="Run on.", total_rounds=3)
        shown, document = self.status(place)
        self.assertEqual((document["status"], document["pid"]), ("running", pid))
        for words in ("Run on.", "round 2", f"PID {pid}", "logs/round-0002-verify.log", "was bad"):
            self.assertIn(words, shown.out)

    def test_running_its_first_round(self) -> None:
        place = self.workspace(commands={"verify": "sleep 20"})
        self.started(place)
        wait_until(lambda: place.running_step("verify"))
        shown = run_openloop("status", place.path)
        self.assertTrue(shown.out.startswith("running: no round has ended yet\n"), shown.out)

    def test_crashed(self) -> None:
        place, runner, pid = self.waiting()
        runner.kill()
        runner.wait()
        wait_until(lambda: not lives(pid))
        shown, document = self.status(place)
        self.assertEqual(document["status"], "crashed")
        self.assertIn("runner is gone", shown.out)
        self.assertEqual(place.heartbeat["status"], "running")  # derived, not written

    def test_complete(self) -> None:
        place = self.workspace(
            commands={"verify": "true"},
            baseline={"command": "echo m=3", "regex": "m=(.)", "value": 2, "metric_name": "miles"},
        )
        place.run()
        shown, document = self.status(place)
        self.assertEqual(document["status"], "complete")
        self.assertEqual({**document, **place.heartbeat}, document)
        for words in ("every gate passed", "miles 3", document["event_head"]):
            self.assertIn(words, shown.out)

    def test_exhausted_and_blocked(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={"verify": "echo oh no; exit 3"},
            limits={"max_consecutive_failures": 2},
        )
        place.run(exitcode=1)
        shown, document = self.status(place)
        self.assertEqual(document["status"], "exhausted")
        self.assertIn("verify failed (exit 3): oh no", shown.out)
        place.run(exitcode=3)
        shown, document = self.status(place)
        self.assertEqual(document["status"], "blocked")
        self.assertIn("2 failed rounds in a row", shown.out)

    def test_interrupted(self) -> None:
        place, runner, _ = self.waiting(limits={"kill_grace_seconds": 0.2})
        runner.terminate()
        runner.wait()
        shown, document = self.status(place)
        self.assertEqual(document["status"], "interrupted")
        self.assertIn("SIGTERM", shown.out)

    def test_hostile_output_is_escaped(self) -> None:
        place = self.workspace(
            total_rounds=1, mission="\x1b[31mred\n::error::x", commands={"verify": agent("hostile")}
        )
        place.run(exitcode=1)
        self.status(place)


class NotValid(StatusCase):
    """Exit code 1: something cannot be read or does not hold."""

    def complete(self) -> Workspace:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        return place

    def write(self, place: Workspace, name: str, text: str) -> None:
        with open(place.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def test_configuration(self) -> None:
        place = self.complete()
        place.configure({"commands": {}, "total_rounds": 0})
        shown, document = self.status(place, 1)
        self.assertEqual(document["status"], "complete")
        self.assertEqual(len(document["problems"]), 2)
        for words in ("commands.verify", "total_rounds", "  fix: "):
            self.assertIn(words, shown.out)

    def test_record(self) -> None:
        place = self.complete()
        self.write(place, "events.jsonl", place.read("events.jsonl").replace("verify", "Verify"))
        shown, document = self.status(place, 1)
        self.assertEqual(document["status"], "unknown")
        self.assertIn("events.jsonl is not intact", shown.out)

    def test_heartbeat(self) -> None:
        place = self.complete()
        for text in ('{"status": 1}', "[" * 100_000):
            with self.subTest(text[:20]):
                self.write(place, "heartbeat.json", text)
                shown, document = self.status(place, 1)
                self.assertEqual(document["status"], "complete")  # as the record tells it
                self.assertIn("heartbeat.json", shown.out)

    def test_a_heartbeat_that_claims_other_than_the_record(self) -> None:
        place = self.workspace(commands={"verify": "false"}, limits={"max_consecutive_failures": 1})
        place.run(exitcode=3)
        for claim in ("complete", "exhausted", "ready"):
            with self.subTest(claim):
                claimed = {**place.heartbeat, "status": claim, "reason": "good"}
                self.write(place, "heartbeat.json", json.dumps(claimed))
                shown, document = self.status(place, 1)
                self.assertEqual(document["status"], "blocked")
                words = f"heartbeat.json says {claim}, and the record blocked"
                self.assertIn(words, shown.out)

    def test_a_log_that_was_changed_after_its_step(self) -> None:
        place = self.complete()
        self.write(place, "logs/round-0001-verify.log", "much\n" * 1000)
        shown, _ = self.status(place, 1)
        self.assertIn("round-0001-verify.log has 5000 bytes; the record says 0", shown.out)

    def test_heartbeat_with_fields_of_another_kind(self) -> None:
        place = self.complete()
        strange = {name: ["\x1b[31m"] for name in place.heartbeat} | {"status": "complete"}
        self.write(place, "heartbeat.json", json.dumps(strange))
        done = run_openloop("status", place.path, exitcode=None)
        self.assertLess(done.code, 2, done.err)
        self.assertNotIn("\x1b", done.out)

    def test_a_heartbeat_that_is_a_fifo_is_not_waited_for(self) -> None:
        place = self.complete()
        os.unlink(place.file("heartbeat.json"))
        os.mkfifo(place.file("heartbeat.json"))
        run_openloop("status", place.path, exitcode=1, timeout=20)


class Watch(StatusCase):
    """`--watch` follows a live run to its end."""

    def watching(self, place: Workspace) -> subprocess.Popen[str]:
        watch = start_openloop("status", place.path, "--watch")
        self.addCleanup(watch.communicate)
        self.addCleanup(watch.kill)
        return watch

    def first_line(self, watch: subprocess.Popen[str]) -> str:
        assert watch.stdout
        return watch.stdout.readline()

    def test_it_follows_to_the_end(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"verify": by_round("until test -e go; do sleep 0.02; done; false", "true")},
        )
        runner = self.started(place)
        wait_until(lambda: place.running_step("verify"))
        watch = self.watching(place)
        first = self.first_line(watch)
        self.assertIn("verify", first)
        self.assertIn(f"PID {place.heartbeat['pid']}", first)
        self.assertIsNone(watch.poll())
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        out, err = watch.communicate(timeout=30)
        self.assertEqual((watch.returncode, err), (0, ""))
        self.assertIn("complete: every gate passed", out)
        self.assertNotIn("\x1b", first + out)
        self.assertEqual(runner.wait(30), 0)

    def test_it_sees_a_crash(self) -> None:
        place, runner, _ = self.waiting()
        watch = self.watching(place)
        self.first_line(watch)
        runner.kill()
        out, _ = watch.communicate(timeout=30)
        self.assertIn("crashed: ", out)

    def test_it_waits_for_the_first_run(self) -> None:
        place = self.workspace(commands={"verify": "sleep 0.5"})
        watch = self.watching(place)
        assert watch.stderr
        self.assertIn("waiting 5 s for a run to start", watch.stderr.readline())
        place.run()
        out, _ = watch.communicate(timeout=30)
        self.assertIn("complete: every gate passed", out)

    def test_on_a_terminal_the_page_is_redrawn(self) -> None:
        place, runner, _ = self.waiting()
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        words = [sys.executable, "-m", "openloop", "status", place.path, "--watch"]
        env = environment(TERM="xterm")
        watch = subprocess.Popen(words, stdout=theirs, stderr=theirs, stdin=theirs, env=env)
        os.close(theirs)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        seen = b""
        while not re.search(rb"\x1b\[\d+A\r\x1b\[Jrunning: ", seen):
            seen += os.read(ours, 1 << 16)
        self.assertIn(b"\r\n  step ", seen)
        runner.kill()

    def test_where_nothing_runs_it_tells_the_state_and_ends(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        plain = run_openloop("status", place.path).out
        self.assertEqual(run_openloop("status", place.path, "--watch").out, plain)


class Startup(StatusCase):
    """What is asked for again and again starts quickly, because it imports little."""

    SLOW = ("dataclasses", "inspect", "shutil", "subprocess", "threading", "typing")
    OF_A_POLICY = ("dataclasses", "inspect", "tempfile", "openloop.fs.snapshot", "openloop.fs.git")
    CODE = (
        "import sys\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "names = sys.argv.pop(1).split(',')\n"
        "from openloop.cli import main\n"
        "code = main()\n"
        "print([name for name in names if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )

    def imported(self, *words: str, names: tuple[str, ...] = SLOW) -> str:
        """The slow modules that openloop has loaded at its end, without a site's own."""
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", self.CODE, SRC, ",".join(names), *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr.strip()

    def test_help(self) -> None:
        self.assertEqual("[]", self.imported("--help"))

    def test_status_after_a_run(self) -> None:
        place = self.workspace(commands={"verify": "test -f {workspace}/heartbeat.json"})
        place.run()
        self.assertEqual("[]", self.imported("status", place.path))
        self.assertEqual("[]", self.imported("status", place.path, "--json"))

    def test_a_run_without_a_policy(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        words = ("run", place.path, "--quiet")
        self.assertEqual("[]", self.imported(*words, names=self.OF_A_POLICY))


if __name__ == "__main__":
    unittest.main()
