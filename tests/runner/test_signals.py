"""Signals to a runner: the tree is gone, the record is whole, the exit code says which one."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
import time
import unittest
from functools import partial

import support
from openloop.core import interpreter
from support import Case, Workspace, agent, lives, read_pid, recomputed_head, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
LONG = 30.0  # seconds of a grace period that must not be waited for


def ignoring(*signums: signal.Signals) -> dict[str, object]:
    """How to start a program as `&` and nohup do: with signals ignored."""
    return {"preexec_fn": lambda: [signal.signal(number, signal.SIG_IGN) for number in signums]}


class SignalCase(Case):
    """Runners that are signalled while agents run."""

    def waiting(self, *commands: str, name: str = "w", grace: float = 0.2) -> Workspace:
        """A workspace whose scan starts the commands, the first time only, and waits for them."""
        script = f"test -e ran && exit 0; touch ran; {' & '.join(commands)} & wait"
        return self.workspace(
            name,
            commands={"scan": script, "verify": "true"},
            limits={"kill_grace_seconds": grace},
        )

    def running(self, place: Workspace, *pid_files: str, **how: object) -> subprocess.Popen[str]:
        """The runner, once every agent is up and the heartbeat tells of the step."""
        runner = self.started(place, **how)
        self.pids = [wait_until(partial(read_pid, path), path) for path in pid_files]
        wait_until(lambda: place.exists("heartbeat.json") and place.heartbeat["pid"])
        return runner

    def ends(self, runner: subprocess.Popen[str], code: int) -> str:
        out, err = runner.communicate(timeout=LONG / 2)
        self.assertEqual(runner.returncode, code, err)
        self.assertNotIn("Traceback", err)
        self.assertEqual([pid for pid in self.pids if lives(pid)], [])
        return out

    def assert_resumes(self, place: Workspace) -> None:
        self.assertEqual(place.heartbeat["event_head"], recomputed_head(place))
        place.run()
        started = place.events_of("run_started")
        self.assertEqual([(e["run"], e["resumed"]) for e in started], [(1, False), (1, True)])
        rounds = [e["round"] for e in place.events_of("round_started")]
        self.assertEqual(rounds, list(range(1, len(rounds) + 1)))
        place.audit()


class AtARunningStep(SignalCase):
    """The step's tree is ended, its round is closed, and the next run goes on."""

    def test_each_signal(self) -> None:
        for signum, code in CODES.items():
            with self.subTest(signum.name):
                self.interrupt(signum, code)

    def interrupt(self, signum: signal.Signals, code: int) -> None:
        plain, rude = (f"{self.folder}/{signum.name}-{kind}" for kind in ("plain", "rude"))
        agents = agent("daemonizes", plain, "stay"), agent("ignores_term", rude)
        place = self.waiting(*agents, name=signum.name)
        runner = self.running(place, plain, rude)
        runner.send_signal(signum)
        out = self.ends(runner, code)

        beat = place.heartbeat
        self.assertEqual(beat["status"], "interrupted")
        self.assertIn(signum.name, beat["reason"])
        self.assertIn(signum.name, out)
        self.assertEqual((beat["pid"], beat["runner_pid"]), (None, None))
        self.assertEqual(beat["normality"], "interrupted")
        self.assertEqual(place.steps()[-1], (1, "scan", "interrupted"))
        artifact = place.artifact(1)
        self.assertEqual((artifact["outcome"], artifact["decision"]), ("interrupted", "continue"))
        self.assertEqual(artifact["consecutive_failures"], 0)
        self.assertEqual(place.events[-1]["event"], "run_finished")
        self.assertEqual(place.events[-1]["status"], "interrupted")
        self.assert_resumes(place)

    def test_in_a_change_nothing_is_outstanding_afterwards(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            commands={
                "play": f"test -e {pid_file}",
                "fix": agent("sleeps", pid_file),
                "verify": "true",
            },
            limits={"kill_grace_seconds": 0.2},
        )
        runner = self.running(place, pid_file)
        runner.send_signal(signal.SIGTERM)
        self.ends(runner, 143)
        self.assert_resumes(place)
        steps = [step for number, step, _ in place.steps() if number == 2]
        self.assertEqual(steps, ["play", "verify"])

    def test_a_step_that_ends_well_on_term_is_interrupted_all_the_same(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            commands={
                "verify": "test -e ran && exit 0; touch ran; trap 'exit 0' TERM; "
                f"echo $$ > {pid_file}; while :; do sleep 0.02; done"
            }
        )
        runner = self.running(place, pid_file)
        runner.send_signal(signal.SIGTERM)
        self.ends(runner, 143)
        self.assertEqual(place.steps(), [(1, "verify", "interrupted")])
        self.assert_resumes(place)


class Twice(SignalCase):
    """A second signal skips the grace; the first one decides the exit code."""

    def test_the_second_signal_skips_the_grace(self) -> None:
        for second in (signal.SIGINT, signal.SIGTERM):
            pid_file, termed = f"{self.folder}/pid", f"{self.folder}/termed"
            with self.subTest(second.name):
                place = self.workspace(
                    second.name,
                    commands={"verify": f"exec {agent('shrugs', pid_file, termed)}"},
                    limits={"kill_grace_seconds": LONG},
                )
                runner = self.running(place, pid_file)
                runner.send_signal(signal.SIGINT)
                wait_until(partial(os.path.exists, termed), "the first signal to be heeded")
                self.assertIsNone(runner.poll())
                runner.send_signal(second)
                self.ends(runner, 130)  # the first one decides
                place.audit()
                self.assertEqual(place.artifact(1)["steps"][0]["signal"], "SIGKILL")
            for path in (pid_file, termed):
                os.unlink(path)

    def test_two_signals_at_once_leave_no_grace(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.waiting(agent("ignores_term", pid_file), grace=LONG)
        runner = self.running(place, pid_file)
        runner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)  # or it could take the first
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            runner.send_signal(signum)
        self.ends(runner, 130)  # the lower number is delivered first
        self.assertEqual(place.steps(), [(1, "scan", "interrupted")])

    def test_a_signal_while_a_timed_out_step_is_ended(self) -> None:
        wait = "until test -e go; do sleep 0.02; done"
        place = self.workspace(
            commands={"verify": f"trap 'touch termed; {wait}; exit 0' TERM; {wait}"},
            limits={"kill_grace_seconds": LONG, "command_timeout_seconds": 0.4},
        )
        runner = self.running(place)
        wait_until(lambda: os.path.exists(place.project_file("termed")), "the timeout")
        runner.send_signal(signal.SIGTERM)
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.ends(runner, 143)
        self.assertEqual(place.steps(), [(1, "verify", "timeout")])
        self.assertEqual(place.heartbeat["status"], "interrupted")
        place.audit()


class Inherited(SignalCase):
    """SIGINT ignored by a shell's `&` is handled all the same; SIGHUP under nohup stays ignored."""

    def test_started_in_the_background(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.waiting(agent("sleeps", pid_file))
        runner = self.running(place, pid_file, **ignoring(signal.SIGINT, signal.SIGQUIT))
        runner.send_signal(signal.SIGINT)
        self.ends(runner, 130)
        self.assert_resumes(place)

    def test_nohup(self) -> None:
        place = self.workspace(
            commands={"verify": "touch up; until test -e go; do sleep 0.01; done"}
        )
        runner = self.started(place, **ignoring(signal.SIGHUP))
        wait_until(lambda: os.path.exists(place.project_file("up")))
        for _ in range(3):
            runner.send_signal(signal.SIGHUP)
        beat = wait_until(lambda: place.running_step("verify") and place.heartbeat["updated_at"])
        wait_until(lambda: place.heartbeat["updated_at"] > beat, "a beat after the signals")
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(runner.wait(LONG), 0)
        self.assertEqual(place.events_of("note"), [])


class StuckReader(SignalCase):
    """Nobody takes what the runner prints: limits and signals work all the same."""

    def full_pipe(self) -> int:
        """The writable end of a pipe that is full, its reader asleep."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
        os.write(writer, b"x" * select.PIPE_BUF)
        return writer

    def test_a_signal_ends_a_run_whose_events_nobody_reads(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        runner = self.started(place, "--json", stdout=self.full_pipe())
        wait_until(lambda: place.exists("events.jsonl") and place.events, "an open run")
        self.assertIsNone(runner.poll())
        runner.send_signal(signal.SIGTERM)
        self.assertEqual(runner.wait(LONG), 143)
        self.assertEqual(place.heartbeat["status"], "interrupted")
        place.audit()

    def test_a_signal_after_the_end_leaves_the_verdict_as_it_is(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        runner = self.started(place, stdout=self.full_pipe())
        wait_until(
            lambda: place.exists("heartbeat.json") and place.heartbeat["runner_pid"] is None,
            "the end of the run",
        )
        self.assertIsNone(runner.poll())
        for signum in CODES:
            runner.send_signal(signum)
        self.assertEqual(runner.wait(LONG), 0)
        self.assertEqual(place.heartbeat["status"], "complete")

    def test_limits_hold_on_a_terminal_that_stands_still(self) -> None:
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        place = self.workspace(
            total_rounds=1,
            commands={"verify": "sleep 60"},
            limits={"command_timeout_seconds": 1.5, "kill_grace_seconds": 0.1},
        )
        runner = self.started(place, stderr=theirs, env=support.environment(TERM="xterm"))
        wait_until(lambda: place.running_step("verify"), "the step")
        termios.tcflow(theirs, termios.TCOOFF)  # Ctrl-S
        wait_until(place.steps, "the timeout")
        self.assertEqual(place.steps(), [(1, "verify", "timeout")])
        termios.tcflow(theirs, termios.TCOON)
        self.assertEqual(runner.wait(LONG), 1)


class AnyMoment(SignalCase):
    """Between steps and while a command is being started, too."""

    def test_at_random_moments(self) -> None:
        chance = random.Random(5)
        place = self.workspace(
            total_rounds=100_000,
            commands={"play": "true", "fix": "true", "verify": "echo $$ >> pids; false"},
            limits={"max_consecutive_failures": 100_000},
        )
        self.pids = []
        for count in range(1, 6):
            runner = self.started(place)
            wait_until(lambda: place.running_step("verify") or place.running_step("play"))
            time.sleep(chance.random() * 0.1)
            signum = chance.choice(list(CODES))
            runner.send_signal(signum)
            self.ends(runner, CODES[signum])
            self.assertEqual(place.heartbeat["status"], "interrupted")
            self.assertEqual(place.heartbeat["event_head"], recomputed_head(place))
            self.assertEqual(len(place.events_of("run_started")), count)
        place.audit()
        with open(place.project_file("pids"), encoding="utf-8") as file:
            self.assertEqual([pid for pid in map(int, file) if lives(pid)], [])

    def test_in_a_hook(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(
            total_rounds=2,
            commands={"verify": "false"},
            hooks={"round": f"test -e {pid_file} || exec {agent('sleeps', pid_file)}"},
        )
        runner = self.running(place, pid_file)
        runner.send_signal(signal.SIGTERM)
        self.ends(runner, 143)
        self.assertEqual(place.heartbeat["status"], "interrupted")
        self.assertEqual(place.artifact(1)["outcome"], "unhealthy")
        place.audit()


INTERRUPTED_LOADING = """\
import os, signal, sys, time
wanted = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
sys.meta_path.insert(0, Finder())
"""


class Loading(Case):
    """Ctrl-C while OpenLoop loads, from its own first line on: an exit code, and no traceback."""

    def interrupted(self, module: str, start: str, *flags: str) -> None:
        """The signal comes when that module is looked for. start: a program that is given SRC.
        flags: of the interpreter."""
        words = [*flags, "-c", INTERRUPTED_LOADING + start, module, support.SRC, "status", "w"]
        asked = subprocess.run(
            [sys.executable, *words], env=support.environment(), capture_output=True, check=False
        )
        self.assertEqual((130, b"", b""), (asked.returncode, asked.stdout, asked.stderr))

    def test_each_way_to_start_it(self) -> None:
        there = "sys.path.append(sys.argv.pop(1))\nfrom openloop.{} import main\nsys.exit(main())"
        entry = there.format("__main__")
        self.interrupted("openloop.core.interpreter", entry)
        self.interrupted("openloop.cli", entry, "-I", "-S")
        self.interrupted("openloop.cli.dispatch", there.format("cli"))
        *_, flags, program, _ = interpreter.own_command()
        self.assertEqual("-c", flags)
        self.interrupted("openloop.cli", program, "-I", "-S")


if __name__ == "__main__":
    unittest.main()
