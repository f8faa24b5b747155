"""`openloop logs`: the latest log, an older one, one that is being written."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import unittest

from openloop.views import logs
from support import (
    PATIENCE,
    Case,
    Workspace,
    agent,
    by_round,
    environment,
    run_openloop,
    start_openloop,
    wait_until,
)
from views.test_views import CONTROL, in_a_terminal, read_some, take_terminal

FAST = {"kill_grace_seconds": 0.2}


class Chosen(Case):
    """Which log is shown."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace(
            commands={
                "play": by_round("echo p1", "echo p2; sleep 0", "echo p3"),
                "fix": "echo fixed in $OPENLOOP_ROUND",
                "verify": by_round("echo v1; exit 1", "echo v2"),
            }
        )
        self.place.run()

    def logs(self, *words: str, exitcode: int = 0) -> tuple[str, str]:
        done = run_openloop("logs", self.place.path, *words, exitcode=exitcode)
        return done.out, done.err

    def test_the_latest_of_what_is_asked_for(self) -> None:
        for words, out, name in (
            ((), "p2\n", "round-0002-play-2.log"),
            (("--step", "verify"), "v2\n", "round-0002-verify.log"),
            (("--round", "1"), "v1\n", "round-0001-verify.log"),
            (("--round", "1", "--step", "play"), "p1\n", "round-0001-play.log"),
            (("--step", "fix"), "fixed in 2\n", "round-0002-fix.log"),
            (("--follow",), "p2\n", "round-0002-play-2.log"),
        ):
            with self.subTest(words):
                self.assertEqual(self.logs(*words), (out, f"==> logs/{name}\n"))

    def test_a_log_that_is_not_there(self) -> None:
        for words in (("--round", "9"), ("--step", "scan"), ("--round", "9", "--follow")):
            with self.subTest(words):
                out, err = self.logs(*words, exitcode=2)
                self.assertEqual(out, "")
                self.assertIn(f"ls {self.place.file('logs')}", err)
        self.assertIn("--step", self.logs("--step", "lunch", exitcode=2)[1])
        os.unlink(self.place.file("logs/round-0002-play-2.log"))
        self.assertIn("cannot be read", self.logs(exitcode=2)[1])

    def test_before_the_first_run(self) -> None:
        place = self.workspace("new", commands={"verify": "true"})
        for words in ((), ("--follow",)):
            err = run_openloop("logs", place.path, *words, exitcode=2).err
            self.assertIn("nothing has run", err)

    def test_a_broken_record_and_configuration(self) -> None:
        """To look at a log nothing has to be proven."""
        with open(self.place.file("events.jsonl"), "ab") as file:
            file.write(b'{"garbage"\n{"seq": 1, "event": "step_started"}\n{"torn')
        self.place.configure({"commands": {}})
        self.assertEqual(self.logs()[0], "p2\n")

    def test_a_record_that_leads_elsewhere(self) -> None:
        line = self.place.read("events.jsonl").splitlines()[-1]
        started = next(
            event for event in self.place.read("events.jsonl").splitlines() if "step_start" in event
        )
        led = re.sub(r'"logs/[^"]+"', '"../openloop.json"', started)
        with open(self.place.file("events.jsonl"), "a", encoding="utf-8") as file:
            file.write(f"{led}\n{line}\n")
        out, err = self.logs(exitcode=2)
        self.assertEqual(out, "")
        self.assertIn("logs/openloop.json", err)


class Long(Case):
    """A record of many blocks is searched from its end."""

    def test_lines_across_blocks(self) -> None:
        place = self.workspace(commands={"verify": "echo one"})
        place.run()
        whole = place.read("events.jsonl")
        note = '{"seq": 9, "time": "", "event": "note", "run": 1, "round": 1, "text": "%s"}\n'
        for length in (1, 1000, logs._BLOCK - 70, logs._BLOCK, 3 * logs._BLOCK):
            with self.subTest(length):
                with open(place.file("events.jsonl"), "w", encoding="utf-8") as file:
                    file.write(whole + note % ("x" * length) * 3)
                done = run_openloop("logs", place.path, "--step", "verify")
                self.assertEqual(done.out, "one\n")


class Shown(Case):
    """Bytes into a pipe, visible text on a terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace(total_rounds=1, commands={"verify": agent("hostile")})
        self.place.run(exitcode=1)
        with open(self.place.file("logs/round-0001-verify.log"), "rb") as file:
            self.bytes = file.read()

    def test_a_pipe_gets_the_bytes(self) -> None:
        words = [sys.executable, "-m", "openloop", "logs", self.place.path]
        done = subprocess.run(words, env=environment(), capture_output=True, check=True)
        self.assertEqual(done.stdout, self.bytes)

    def test_a_terminal_gets_what_is_safe(self) -> None:
        code, written = in_a_terminal("logs", self.place.path)
        self.assertEqual(code, 0)
        self.assertNotRegex(written.replace("\r\n", "\n"), CONTROL)
        self.assertIn("\\x1b]0;owned\\x07\\x1b[2J\\x1b[31mred\\x1b[0m", written)
        self.assertIn("first\\rsecond\\x08", written)

    def test_text_is_the_same_however_it_is_cut(self) -> None:
        text = "Straße 猫\r\ntab\there\rback \x1b[0m"
        shown = "Straße 猫\ntab\there\\rback \\x1b[0m"
        self.assertEqual(logs.visible(text), shown)


class Pieces(unittest.TestCase):
    def test_whatever_the_blocks(self) -> None:
        data = "Straße 猫\r\nmore\r\n\rbar\r".encode() + b"\xe7\x8c"
        for size in (1, 2, 3, 100):
            code = (
                "import sys; from openloop.views.logs import TerminalSink; v = TerminalSink()\n"
                f"data = {data!r}\n"
                f"for i in range(0, len(data), {size}): v.write(data[i:i + {size}])\n"
                "v.end()"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=environment(PYTHONIOENCODING="utf-8"),
                capture_output=True,
                check=True,
            )
            self.assertEqual(done.stdout.decode(), "Straße 猫\nmore\n\\rbar\\r\ufffd\n")


class Followed(Case):
    """A live run, step after step, until it is over."""

    def waits(self, name: str) -> str:
        """A command that goes on once a file of that name is there."""
        return f"until test -e {name}; do sleep 0.02; done"

    def go(self, place: Workspace, name: str) -> None:
        with open(place.project_file(name), "w", encoding="utf-8"):
            pass

    def follow(self, place: Workspace, *words: str, **how: object) -> subprocess.Popen[str]:
        process = start_openloop("logs", place.path, "--follow", *words, **how)  # type: ignore[arg-type]
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for stream in filter(None, (process.stdout, process.stderr)):
            self.addCleanup(stream.close)
        return process

    def test_from_step_to_step_to_the_end(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={
                "play": f"echo playing; {self.waits('a')}; echo played",
                "scan": "echo scanned",
                "fix": "echo fixed",
                "verify": f"echo $OPENLOOP_ROUND; {self.waits('b')}; test $OPENLOOP_ROUND = 2",
            },
        )
        runner = self.started(place)
        wait_until(lambda: place.running_step("play"))
        follower = self.follow(place)
        assert follower.stdout and follower.stderr
        self.assertEqual(follower.stdout.readline(), "playing\n")
        self.go(place, "a")
        self.assertEqual(follower.stdout.readline(), "played\n")
        self.assertEqual(follower.stdout.readline(), "scanned\n")
        self.assertEqual(follower.stdout.readline(), "1\n")
        self.go(place, "b")
        out, err = follower.communicate(timeout=PATIENCE)
        self.assertEqual((runner.wait(PATIENCE), follower.returncode), (0, 0))
        names = [event["log_path"] for event in place.events_of("step_started")]
        self.assertEqual(out, "".join(place.read(name) for name in names[3:]))
        self.assertEqual(err.splitlines(), [f"==> {name}" for name in names])

    def test_one_step_and_one_round(self) -> None:
        place = self.workspace(
            total_rounds=3,
            commands={
                "play": f"echo $OPENLOOP_ROUND; {self.waits('go')}",
                "verify": "test $OPENLOOP_ROUND = 3",
            },
        )
        self.started(place)
        wait_until(lambda: place.running_step("play"))
        step = self.follow(place, "--step", "play")
        one = self.follow(place, "--step", "play", "--round", "2")
        assert step.stdout
        self.assertEqual(step.stdout.readline(), "1\n")
        self.go(place, "go")
        self.assertEqual(step.communicate(timeout=PATIENCE)[0], "2\n3\n")
        self.assertEqual(one.communicate(timeout=PATIENCE)[0], "2\n")

    def test_ctrl_c(self) -> None:
        place = self.workspace(commands={"verify": "echo up; exec sleep 60"}, limits=FAST)
        self.started(place)
        wait_until(lambda: place.running_step("verify"))
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        follower = self.follow(
            place,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: take_terminal(theirs),
        )
        os.close(theirs)
        seen = b""
        while b"up" not in seen:
            seen += read_some(ours)
        os.write(ours, b"\x03")
        self.assertEqual(follower.wait(PATIENCE), 130)
        rest = b"".join(iter(lambda: read_some(ours), b""))
        self.assertNotIn(b"Traceback", seen + rest)
        self.assertTrue(place.running_step("verify"), "the run went on")

    def test_a_killed_runner(self) -> None:
        place = self.workspace(commands={"verify": "echo up; exec sleep 60"}, limits=FAST)
        runner = self.started(place)
        wait_until(lambda: place.running_step("verify"))
        follower = self.follow(place)
        assert follower.stdout
        self.assertEqual(follower.stdout.readline(), "up\n")
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        self.assertEqual(follower.wait(PATIENCE), 0)

    def test_head_ends_it(self) -> None:
        """Also while nothing is written: nobody waits for a line that nobody reads."""
        place = self.workspace(commands={"verify": "echo up; exec sleep 60"}, limits=FAST)
        self.started(place)
        wait_until(lambda: place.running_step("verify"))
        script = '{ "$0" -m openloop logs --follow "$1"; echo $? > code; } 2>err | head -1 > out'
        subprocess.run(
            ["/bin/sh", "-c", script, sys.executable, place.path],
            cwd=self.folder,
            env=environment(),
            timeout=PATIENCE,
            check=True,
        )
        for name, text in (("code", "0\n"), ("out", "up\n")):
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                self.assertEqual(file.read(), text)


if __name__ == "__main__":
    unittest.main()
