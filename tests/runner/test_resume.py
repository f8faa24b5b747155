"""Killed runners and guards, second runners: what is left is ended, and the run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import unittest
from functools import partial
from typing import Any

from openloop.record.lock import runner_lives
from openloop.record.workspace import existing
from support import (
    BEATING,
    Case,
    Workspace,
    agent,
    by_round,
    lives,
    read_pid,
    recomputed_head,
    run_openloop,
    snapshot,
    wait_until,
)

SLOW = True  # left out by scripts/run_tests.sh --quick

PATIENT = {"max_consecutive_failures": 100_000}


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def guard_of(runner: int) -> int:
    """The PID of a runner's guard."""
    for pid in children(runner):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"openloop-guard" in file.read():
                return pid
    raise AssertionError("no guard")


def of_workspace(place: Workspace) -> list[int]:
    """Living processes in whose environment the workspace is named."""
    wanted = f"OPENLOOP_WORKSPACE={place.path}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0") and lives(int(name)):
                    found.append(int(name))
        except OSError:
            continue
    return found


class KilledAtAnyMoment(Case):
    """kill -9 of the runner, again and again over one workspace."""

    KILLS = 20

    def test_nothing_is_lost_repeated_or_half_recorded(self) -> None:
        chance = random.Random(20)
        place = self.workspace(
            total_rounds=100_000,
            commands={
                "play": "echo $$ >> pids; sleep 0.02",
                "scan": f"{agent('daemonizes', f'{self.folder}/daemon')}; false",
                "fix": "echo $$ >> pids; sleep 0.02 & sleep 0.01",
                "verify": "sleep 0.02; false",
            },
            limits=PATIENT,
        )
        for number in range(self.KILLS):
            runs = self.count_runs(place)
            runner = self.started(place)
            if number % 4:  # every fourth is killed wherever it is, before its run is open too
                wait_until(lambda runs=runs: self.count_runs(place) > runs, "the run to be open")
            time.sleep(chance.random() * 0.2)
            runner.kill()
            runner.wait()
            self.assert_tree_gone(place)
        place.run("--max-rounds", "2", exitcode=1)
        place.audit()
        self.assertEqual(recomputed_head(place), place.heartbeat["event_head"])
        self.check_rounds(place)
        self.check_changes(place.events)

    def count_runs(self, place: Workspace) -> int:
        return (
            place.read("events.jsonl").count("run_started") if place.exists("events.jsonl") else 0
        )

    def assert_tree_gone(self, place: Workspace) -> None:
        killed = time.monotonic()
        wait_until(lambda: not of_workspace(place), "the command's tree to be gone", 5)
        if daemon := read_pid(f"{self.folder}/daemon"):
            wait_until(lambda: not lives(daemon), "the daemon to be gone", 5)
        if os.getloadavg()[0] < 2:
            self.assertLess(time.monotonic() - killed, 1.0)

    def check_rounds(self, place: Workspace) -> None:
        started = [e["round"] for e in place.events_of("round_started")]
        finished = [e["round"] for e in place.events_of("round_finished")]
        self.assertEqual(started, list(range(1, len(started) + 1)))
        self.assertEqual(finished, started)
        self.assertGreater(len(finished), 5)
        names = {name for name in os.listdir(place.file("artifacts")) if not name.startswith(".")}
        self.assertEqual(
            {name for name in names if name.endswith(".json")},
            {f"round-{number:04d}.json" for number in finished},
        )
        fixed = {e["round"] for e in place.events_of("step_started") if e["step"] == "fix"}
        self.assertLessEqual({f"round-{number:04d}-fix-prompt.md" for number in fixed}, names)
        for number in finished:
            recorded = [(n, step) for n, step, _ in place.steps() if n == number]
            kept = [(number, step["step"]) for step in place.artifact(number)["steps"]]
            self.assertEqual(kept, recorded)
        runs = place.events_of("run_started")
        self.assertEqual({event["run"] for event in place.events}, {1})
        self.assertEqual([event["resumed"] for event in runs], [False] + [True] * (len(runs) - 1))
        self.assertGreater(len(runs), self.KILLS * 3 // 4)

    def check_changes(self, events: list[dict[str, Any]]) -> None:
        """No change ran without a failure that was measured after the change before."""
        failure = False
        for event in events:
            if event["event"] == "step_started" and event["step"] == "fix":
                self.assertTrue(failure, f"fix in round {event['round']} answers nothing")
                failure = False
            elif event["event"] == "step_finished" and event["step"] != "fix":
                failure = failure or event["outcome"] != "passed"


class KilledGuards(Case):
    """The guard dies too, or alone."""

    def waiting(self, *agents: str, limits: dict[str, Any] | None = None) -> Workspace:
        """A workspace whose verify starts agents the first time, and passes once they are dead."""
        self.pid_files = [f"{self.folder}/pid{number}" for number in range(len(agents))]
        pairs = list(zip(agents, self.pid_files, strict=True))
        started = " & ".join(agent(name, path, "stay") for name, path in pairs)
        gone = " && ".join(agent("is_gone", path) for path in self.pid_files)
        return self.workspace(
            commands={
                "verify": f"if test -e ran; then {gone}; else touch ran; {started} & wait; fi"
            },
            total_rounds=2,
            limits={"kill_grace_seconds": 0.2, **(limits or {})},
        )

    def running(self, place: Workspace) -> subprocess.Popen[str]:
        runner = self.started(place)
        self.pids = [wait_until(partial(read_pid, path), path) for path in self.pid_files]
        wait_until(lambda: place.running_step("verify"))
        self.addCleanup(self.kill_all)
        return runner

    def kill_all(self) -> None:
        for pid in filter(lives, self.pids):
            os.kill(pid, signal.SIGKILL)

    def test_the_next_run_sweeps_before_it_starts_anything(self) -> None:
        place = self.waiting("daemonizes", "daemonizes")
        runner = self.running(place)
        guard = guard_of(runner.pid)
        os.kill(guard, signal.SIGSTOP)
        runner.kill()
        runner.wait()
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: not lives(guard))
        place.run()  # if no other run on this machine was faster
        self.assertEqual([pid for pid in self.pids if lives(pid)], [])
        self.assertEqual(place.steps(), [(2, "verify", "passed")])
        started = place.events_of("run_started")
        self.assertEqual([(e["run"], e["resumed"]) for e in started], [(1, False), (1, True)])
        place.audit()

    def test_a_guard_killed_alone(self) -> None:
        place = self.waiting("daemonizes", "ignores_term", "sleeps")
        runner = self.running(place)
        guard = guard_of(runner.pid)
        os.kill(guard, signal.SIGKILL)
        _, err = runner.communicate(timeout=30)
        self.assertEqual(runner.returncode, 0, err)
        self.assertEqual(place.steps(), [(1, "verify", "error"), (2, "verify", "passed")])
        self.assertIn("guard", place.artifact(1)["steps"][0]["detail"])
        self.assertEqual(len(place.events_of("run_started")), 1)
        self.assertFalse(lives(guard))
        place.audit()

    def test_a_dead_runner_is_known_while_its_guard_lives(self) -> None:
        """The guard, a fork, keeps the lock on the workspace and not the one on the record."""
        place = self.waiting("daemonizes")
        runner = self.running(place)
        guard = guard_of(runner.pid)
        os.kill(guard, signal.SIGSTOP)
        try:
            self.assertTrue(runner_lives(existing(place.path)))
            runner.kill()
            runner.communicate(timeout=30)
            self.assertFalse(runner_lives(existing(place.path)))
        finally:
            os.kill(guard, signal.SIGCONT)
        wait_until(lambda: not lives(guard))

    def test_limits_hold_under_the_next_guard(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"verify": by_round("kill -9 $PPID; sleep 60", "sleep 60")},
            limits={"command_timeout_seconds": 1},
        )
        place.run(exitcode=1)
        self.assertEqual(place.steps(), [(1, "verify", "error"), (2, "verify", "timeout")])

    def test_a_guard_killed_by_the_command_itself(self) -> None:
        place = self.workspace(
            total_rounds=2, commands={"verify": by_round("kill -9 $PPID; sleep 60", "true")}
        )
        place.run()
        self.assertEqual(place.steps(), [(1, "verify", "error"), (2, "verify", "passed")])

    def test_a_guard_that_hangs_is_given_up(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            total_rounds=1,
            commands={"verify": f"{agent('daemonizes', pid_file)}; kill -STOP $PPID; sleep 60"},
            limits={"command_timeout_seconds": 1, "kill_grace_seconds": 0.2},
        )
        place.run(exitcode=1, timeout=30)
        self.assertEqual(place.steps(), [(1, "verify", "timeout")])
        self.assertGreater(place.artifact(1)["steps"][0]["duration_seconds"], 1)
        pid = read_pid(pid_file)
        assert pid is not None
        self.assertFalse(lives(pid))
        self.assertEqual([], of_workspace(place))

    def test_a_runner_killed_by_the_command_itself(self) -> None:
        place = self.workspace(
            commands={
                "verify": "test -e ran && exit 0; touch ran; "
                'kill -9 $(grep -o \'"runner_pid": [0-9]*\' "$OPENLOOP_WORKSPACE/heartbeat.json" '
                "| grep -o '[0-9]*'); sleep 60"
            }
        )
        runner = self.started(place)
        self.assertEqual(runner.wait(30), -signal.SIGKILL)
        wait_until(lambda: not of_workspace(place))
        place.run()
        self.assertEqual(place.artifact(1)["outcome"], "interrupted")
        place.audit()


class SecondRunner(Case):
    """One live runner at a time; what a file says of a PID counts for nothing."""

    def test_it_ends_at_once_and_changes_not_a_byte(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("sleeps", pid_file)})
        self.started(place)
        wait_until(lambda: read_pid(pid_file) and place.running_step("verify"))
        before = snapshot(place.folder, without=BEATING)
        began = time.monotonic()
        done = place.run(exitcode=4)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(done.out, "")
        self.assertIn("a live runner holds", done.err)
        self.assertIn(f"openloop status {place.path} --watch", done.err)
        self.assertEqual(snapshot(place.folder, without=BEATING), before)
        self.assertEqual(place.heartbeat["status"], "running")

    def test_through_another_name_of_the_workspace(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("sleeps", pid_file)})
        os.symlink(place.path, f"{self.folder}/link")
        self.started(place)
        wait_until(lambda: read_pid(pid_file))
        run_openloop("run", f"{self.folder}/link", exitcode=4)

    def test_two_at_the_same_moment(self) -> None:
        place = self.workspace(commands={"verify": "until test -e go; do sleep 0.01; done"})
        runners = [self.started(place) for _ in range(3)]
        losers = wait_until(lambda: self.ended(runners, 2), "two of three to give up")
        self.assertEqual([runner.returncode for runner in losers], [4, 4])
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(sorted(runner.wait(30) for runner in runners), [0, 4, 4])
        self.assertEqual(len(place.events_of("run_started")), 1)
        place.audit()

    def ended(self, runners: list[subprocess.Popen[str]], count: int) -> Any:
        found = [runner for runner in runners if runner.poll() is not None]
        return found if len(found) == count else None

    def test_a_dead_runners_guard_is_waited_for(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            commands={"verify": f"test -e {pid_file} || exec {agent('ignores_term', pid_file)}"}
        )
        runner = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        runner.kill()
        runner.wait()
        place.run()
        self.assertFalse(lives(pid))
        self.assertEqual([e["resumed"] for e in place.events_of("run_started")], [False, True])

    def test_the_text_of_a_living_pid_holds_nobody_off(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        beat = place.read("heartbeat.json")
        beat = beat.replace('"runner_pid": null', f'"runner_pid": {os.getpid()}')
        beat = beat.replace('"status": "complete"', '"status": "running"')
        with open(place.file("heartbeat.json"), "w", encoding="utf-8") as file:
            file.write(beat)
        self.assertEqual(place.status()["status"], "crashed")
        place.run()
        self.assertEqual(place.heartbeat["run"], 2)


if __name__ == "__main__":
    unittest.main()
