"""Processes: how a command is dressed, and that nothing of its tree outlives its step."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from typing import Any

from support import (
    Case,
    Nobody,
    Workspace,
    agent,
    by_round,
    environment,
    lives,
    read_pid,
    wait_until,
)

SLOW = True  # left out by scripts/run_tests.sh --quick

PROMPT = 2.0  # seconds that count as at once, on a busy machine too
LIBRARY_SIGNALS = 1 << 31 | 1 << 32  # SIGCANCEL and SIGSETXID, which glibc keeps for itself
STANDSTILL = 6.0  # seconds, more than the watchdog takes for an ordinary delay
LATE = 20.0  # seconds of a grace period that must not be waited for


class Dress(Case):
    """`/bin/sh -c` in the project root, its own session, no stdin, the log itself as output."""

    def describe(self, command: str = "", **config: Any) -> tuple[Workspace, dict[str, Any]]:
        about = f"{self.folder}/about"
        place = self.workspace(commands={"verify": command or agent("describes", about)}, **config)
        place.run(cwd=self.folder)
        with open(about, encoding="utf-8") as file:
            return place, json.load(file)

    def test_session_streams_and_folder(self) -> None:
        place, about = self.describe()
        (step,) = place.artifact(1)["steps"]
        self.assertEqual(about["session"], step["pid"])
        self.assertEqual(about["group"], step["pid"])
        self.assertEqual(about["cwd"], place.project)
        self.assertEqual(about["environment"]["PWD"], place.project)
        self.assertEqual(about["stdin"], "/dev/null")
        log = place.file("logs/round-0001-verify.log")
        self.assertEqual((about["stdout"], about["stderr"]), (log, log))
        self.assertEqual(about["descriptors"], [0, 1, 2])

    def test_no_signal_is_ignored_or_blocked(self) -> None:
        place = self.workspace(commands={"verify": "grep ^Sig /proc/self/status"})
        place.run()
        masks = dict(line.split(":\t") for line in self.log(place).splitlines())
        self.assertEqual(int(masks["SigIgn"], 16) & ~LIBRARY_SIGNALS, 0)
        self.assertEqual(int(masks["SigBlk"], 16), 0)

    def log(self, place: Workspace) -> str:
        return place.read("logs/round-0001-verify.log")

    def test_the_shell_is_bin_sh(self) -> None:
        script = 'readlink /proc/$$/exe; tr "\\0" "\\n" < /proc/$$/cmdline; printf "%s" "$0$*"'
        place = self.workspace(commands={"verify": script})
        place.run()
        sh = os.path.realpath("/bin/sh")
        self.assertEqual(self.log(place), f"{sh}\n/bin/sh\n-c\n{script}\n/bin/sh")

    def test_both_streams_in_order_in_the_log(self) -> None:
        place = self.workspace(commands={"verify": "echo 1; echo 2 >&2; echo 3; cat; echo 4 >&2"})
        place.run()
        self.assertEqual(self.log(place), "1\n2\n3\n4\n")

    def test_output_is_there_while_the_command_runs(self) -> None:
        place = self.workspace(
            commands={"verify": "printf early; until test -e go; do sleep 0.01; done"}
        )
        runner = self.started(place)
        path = place.file("logs/round-0001-verify.log")
        wait_until(lambda: os.path.exists(path) and self.log(place) == "early")
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(runner.wait(30), 0)

    def test_bytes_stay_as_they_are(self) -> None:
        script = (
            "import os; os.write(1, b'\\x00\\xff\\xfe\\x1b[31m no newline ' + bytes(range(256)));"
            "[os.write(1, b'x' * 1000000) for _ in range(8)]"
        )
        place = self.workspace(commands={"verify": f"{agent('run', script)}"})
        place.run()
        expected = b"\x00\xff\xfe\x1b[31m no newline " + bytes(range(256)) + b"x" * 8_000_000
        with open(place.file("logs/round-0001-verify.log"), "rb") as file:
            self.assertTrue(file.read() == expected, "other bytes")
        (step,) = place.artifact(1)["steps"]
        self.assertEqual(step["log_bytes"], len(expected))
        self.assertEqual(step["log_sha256"], hashlib.sha256(expected).hexdigest())

    def test_one_watchdog_and_one_guard_for_the_whole_run(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"verify": by_round("true; false", "until test -e go; do sleep 0.01; done")},
        )
        runner = self.started(place)
        wait_until(lambda: place.running_step("verify") and place.heartbeat["round"] == 2)
        self.assertEqual(len(os.listdir(f"/proc/{runner.pid}/task")), 2)
        (guard,) = children(runner.pid)
        self.assertEqual(children(guard), [place.heartbeat["pid"]])
        self.assertEqual(os.getsid(guard), guard)
        self.assertEqual(command_line(guard), b"openloop-guard")
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(runner.wait(30), 0)
        self.assertFalse(lives(guard))


class GuardsMemory(unittest.TestCase):
    HEAVY = frozenset({"dataclasses", "hashlib", "random", "secrets", "shutil", "subprocess"})

    def test_what_it_does_not_need_is_not_loaded(self) -> None:
        """A judge's guards have interpreters of their own; each takes up to two megabytes."""
        look = "import sys; import openloop.process.guard; "
        look += f"print(*({self.HEAVY} & sys.modules.keys()))"
        words = [sys.executable, "-S", "-c", look]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
        self.assertEqual("", done.stdout.strip())


def command_line(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0")


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


class Leftovers(Case):
    """What a command leaves behind when it ends is gone before its step is."""

    def leave(self, *agents: str, grace: float = 0.2, wait: bool = True) -> Workspace:
        """Run a verify that starts agents in the background, each writing its PID, and passes."""
        self.pid_files = [f"{self.folder}/pid{number}" for number in range(len(agents))]
        started = [
            f"{agent(name, path)} &" for name, path in zip(agents, self.pid_files, strict=True)
        ]
        waits = [f"until test -s {path}; do sleep 0.01; done;" for path in self.pid_files]
        place = self.workspace(
            commands={"verify": " ".join([*started, *waits])},
            limits={"kill_grace_seconds": grace},
        )
        began = time.monotonic()
        place.run()
        self.seconds = time.monotonic() - began
        return place

    def assert_nothing_left(self) -> None:
        for path in self.pid_files:
            pid = read_pid(path)
            assert pid is not None
            self.assertFalse(lives(pid), f"{path} is left")

    def test_siblings_of_every_kind(self) -> None:
        self.leave("sleeps", "ignores_term", "stops", "daemonizes", "closes_output")
        self.assert_nothing_left()

    def test_a_polite_one_is_not_given_the_whole_grace(self) -> None:
        self.leave("sleeps", "stops", "daemonizes", "closes_output", grace=LATE)
        self.assert_nothing_left()
        self.assertLess(self.seconds, LATE / 2)

    def test_one_that_holds_the_log_open_does_not_hold_the_step(self) -> None:
        place = self.leave("ignores_term", grace=0.3)
        self.assert_nothing_left()
        finished, started = place.events_of("step_finished")[0], place.events_of("step_started")[0]
        self.assertLess(finished["elapsed"] - started["elapsed"], 0.3 + PROMPT)

    def test_a_whole_brood_out_of_the_session(self) -> None:
        pid_file = f"{self.folder}/pids"
        place = self.workspace(commands={"verify": agent("breeds", pid_file, 100)})
        place.run()
        with open(pid_file, encoding="utf-8") as file:
            pids = [int(line) for line in file]
        self.assertEqual(len(pids), 100)
        self.assertEqual([pid for pid in pids if lives(pid)], [])

    def test_threads_whose_leader_has_ended(self) -> None:
        self.leave("loses_leader")
        pid = read_pid(*self.pid_files)
        self.assertFalse(os.path.exists(f"/proc/{pid}"), "its threads are left")

    def test_the_time_of_orphans_is_counted(self) -> None:
        busy = agent("run", "import time\nwhile time.process_time() < 0.3: pass")
        place = self.workspace(
            commands={
                "verify": f"({busy} && touch done &); until test -e done; do sleep 0.02; done"
            }
        )
        place.run()
        self.assertGreater(place.artifact(1)["steps"][0]["cpu_seconds"], 0.3)

    def test_a_gate_is_not_measured_beside_what_a_change_left(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            commands={
                "play": f"test -e {pid_file}",
                "fix": agent("daemonizes", pid_file),
                "verify": agent("is_gone", pid_file),
            }
        )
        place.run()
        self.assertEqual(place.steps()[2], (1, "verify", "passed"))


class Limits(Case):
    """A command whose time is up: TERM, the grace period, KILL, for the whole tree."""

    def limited(self, command: str, **limits: float) -> dict[str, Any]:
        """The step of a verify that a limit ended."""
        place = self.workspace(
            commands={"verify": command},
            total_rounds=1,
            limits={"kill_grace_seconds": 0.2, **limits},
        )
        place.run(exitcode=1)
        (step,) = place.artifact(1)["steps"]
        started, finished = place.events_of("step_started"), place.events_of("step_finished")
        self.seconds = finished[0]["elapsed"] - started[0]["elapsed"]
        return step

    def test_timeout_of_a_tree(self) -> None:
        one, two = f"{self.folder}/one", f"{self.folder}/two"
        command = f"{agent('daemonizes', one)}; {agent('ignores_term', two)} & wait"
        step = self.limited(command, command_timeout_seconds=1)
        self.assertEqual(step["outcome"], "timeout")
        self.assertGreaterEqual(self.seconds, 1)
        for path in (one, two):
            pid = read_pid(path)
            assert pid is not None
            self.assertFalse(lives(pid))

    def test_one_that_ignores_term_is_killed_after_the_grace(self) -> None:
        step = self.limited(
            "trap '' TERM; while :; do sleep 0.02; done",
            command_timeout_seconds=0.4,
            kill_grace_seconds=0.4,
        )
        self.assertEqual((step["outcome"], step["signal"]), ("timeout", "SIGKILL"))
        self.assertGreaterEqual(self.seconds, 0.8)
        self.assertLess(self.seconds, 0.8 + PROMPT)

    def test_one_that_is_stopped(self) -> None:
        step = self.limited(
            f"exec {agent('stops', f'{self.folder}/pid')}",
            stall_timeout_seconds=0.4,
            kill_grace_seconds=LATE,
        )
        self.assertEqual((step["outcome"], step["signal"]), ("stalled", "SIGTERM"))

    def test_one_that_closed_its_output_but_runs_on_has_stalled(self) -> None:
        pid_file = f"{self.folder}/pid"
        step = self.limited(f"exec {agent('closes_output', pid_file)}", stall_timeout_seconds=1)
        self.assertEqual(step["outcome"], "stalled")
        pid = read_pid(pid_file)
        assert pid is not None
        self.assertFalse(lives(pid))

    def test_term_comes_first_and_leaves_time_to_tidy_up(self) -> None:
        tidy = "trap 'sleep 0.2; touch tidied; exit 0' TERM; while :; do sleep 0.02; done"
        step = self.limited(tidy, command_timeout_seconds=0.5, kill_grace_seconds=LATE)
        self.assertEqual((step["outcome"], step["exit_code"]), ("timeout", 0))
        self.assertTrue(os.path.exists(f"{self.folder}/w/project/tidied"))
        self.assertLess(self.seconds, LATE / 2)

    def test_no_grace_kills_at_once(self) -> None:
        step = self.limited(
            "trap 'touch termed' TERM; while :; do sleep 0.02; done",
            command_timeout_seconds=0.4,
            kill_grace_seconds=0,
        )
        self.assertEqual((step["outcome"], step["signal"]), ("timeout", "SIGKILL"))
        self.assertFalse(os.path.exists(f"{self.folder}/w/project/termed"))

    def test_a_limit_that_falls_due_while_the_rest_is_ended_comes_too_late(self) -> None:
        place = self.workspace(
            commands={"verify": "trap '' TERM; sleep 60 &"},
            limits={"command_timeout_seconds": 0.5, "kill_grace_seconds": 0.8},
        )
        place.run()
        self.assertEqual(place.steps(), [(1, "verify", "passed")])
        began, ended = place.events_of("step_started")[0], place.events_of("step_finished")[0]
        self.assertGreater(ended["elapsed"] - began["elapsed"], 0.8)

    def test_limits_of_a_single_command(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={
                "play": {"run": "sleep 60", "timeout_seconds": 0.2},
                "scan": {"run": "sleep 60", "stall_timeout_seconds": 0.2},
                "verify": "sleep 0.3",
            },
        )
        place.run(exitcode=1)
        outcomes = [outcome for _, _, outcome in place.steps()]
        self.assertEqual(outcomes, ["timeout", "stalled", "passed"])


class StuckGuard(Case):
    """A command may stop its guard; limits and signals are answered all the same."""

    GRACE = 0.5  # seconds
    SOON = 2.0  # seconds from a limit or a signal to the first SIGTERM

    def stuck(self, how: str, **limits: float) -> tuple[Workspace, str]:
        pid_file = f"{self.folder}/{how}.pid"
        place = self.workspace(
            how,
            total_rounds=1,
            commands={"verify": f"{agent('traces', how, pid_file)}; :"},
            limits={"kill_grace_seconds": self.GRACE, **limits},
        )
        return place, pid_file

    def test_a_limit_is_enforced(self) -> None:
        for how in ("traces", "stops"):
            with self.subTest(how):
                if how == "traces" and os.geteuid() != 0:
                    continue  # it is refused, see the test below
                place, pid_file = self.stuck(how, command_timeout_seconds=1)
                place.run(exitcode=1, timeout=30)
                step, began = place.events_of("step_finished"), place.events_of("step_started")
                self.assertEqual("timeout", step[0]["outcome"])
                seconds = step[0]["elapsed"] - began[0]["elapsed"]
                self.assertLess(seconds, 1 + self.GRACE + self.SOON)
                pid = read_pid(pid_file)
                assert pid is not None
                self.assertFalse(lives(pid))

    def test_signals_are_heeded(self) -> None:
        place, pid_file = self.stuck("traces" if os.geteuid() == 0 else "stops")
        runner = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        began = time.monotonic()
        runner.send_signal(signal.SIGINT)
        self.assertEqual(130, runner.wait(30))
        self.assertLess(time.monotonic() - began, self.GRACE + self.SOON)
        self.assertFalse(lives(pid))

    def test_a_second_signal_skips_the_grace(self) -> None:
        place, pid_file = self.stuck("stops", kill_grace_seconds=60)
        runner = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        runner.send_signal(signal.SIGINT)
        wait_until(lambda: pid in children(runner.pid), "the shell to be ended")
        runner.send_signal(signal.SIGTERM)
        self.assertEqual(130, runner.wait(10))
        self.assertFalse(lives(pid))


class ClosedMemory(Case):
    """What an ordinary user cannot do to runner and guard, though they are his own."""

    LOOK = """
import ctypes, os
def parent(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
guard = parent(os.getppid())
for pid in (guard, parent(guard)):
    for path, flags in ((f"/proc/{pid}/mem", os.O_RDWR), (f"/proc/{pid}/fd/2", os.O_WRONLY)):
        try:
            os.close(os.open(path, flags))
            print("opened", path)
        except OSError as error:
            print(error.strerror)
    print("traced" if ctypes.CDLL(None).ptrace(0x4206, pid, None, None) == 0 else "not traced")
"""

    def test_they_can_neither_be_read_nor_written_nor_traced(self) -> None:
        nobody = Nobody(self)
        place = self.workspace(commands={"verify": f"{nobody.python} {self.folder}/look.py; :"})
        with open(f"{self.folder}/look.py", "w", encoding="utf-8") as file:
            file.write(self.LOOK)
        nobody.run(place)
        refused = ["Permission denied", "Permission denied", "not traced"]
        log = place.read("logs/round-0001-verify.log").splitlines()
        self.assertEqual([*refused, *refused], log)


class StoppedRunner(Case):
    """Seconds in which the runner stands still count for no limit."""

    case: Case
    place: Workspace
    runner: subprocess.Popen[str]
    stopped: float

    def test_limits_are_moved_along(self) -> None:
        time.sleep(max(0, self.stopped + STANDSTILL - time.monotonic()))
        before = self.place.heartbeat["updated_at"]
        self.runner.send_signal(signal.SIGCONT)
        wait_until(lambda: self.place.heartbeat["updated_at"] > before, "a beat")
        with open(self.place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(self.runner.wait(30), 0)
        self.assertEqual(self.place.steps(), [(1, "verify", "passed")])
        self.assertIn("time limits were extended by that", self.place.events_of("note")[0]["text"])


def setUpModule() -> None:
    """Stop a runner: the seconds that it must stand still pass while others are tested."""
    case = StoppedRunner.case = Case()
    case.setUp()
    place = case.workspace(
        commands={"verify": "until test -e go; do sleep 0.1; done"},
        limits={"stall_timeout_seconds": STANDSTILL - 0.5},
    )
    runner = case.started(place)
    case.addCleanup(runner.send_signal, signal.SIGCONT)
    wait_until(lambda: place.running_step("verify"))
    runner.send_signal(signal.SIGSTOP)
    StoppedRunner.place, StoppedRunner.runner = place, runner
    StoppedRunner.stopped = time.monotonic()


def tearDownModule() -> None:
    StoppedRunner.case.doCleanups()


if __name__ == "__main__":
    unittest.main()
