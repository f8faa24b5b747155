"""What is shown of a run: plain lines, a live line, events, a CI job's log; never raw output."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import unittest
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from openloop.views.console import Screen
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

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
CLEAR = "\r\x1b[2K"  # before a live line is drawn again


def in_a_terminal(
    *words: str, program: Sequence[str] = (sys.executable, "-m", "openloop"), **env: str
) -> tuple[int, str]:
    """Run the program with its output on a real terminal: (exit code, all that was written)."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*program, *words],
            env=environment(**{"TERM": "xterm", **env}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b"".join(iter(lambda: read_some(ours), b""))
        return process.wait(PATIENCE), seen.decode()
    finally:
        os.close(ours)


def read_some(terminal: int) -> bytes:
    """What a terminal holds next; b"" once nobody holds its other end."""
    if not select.select([terminal], [], [], PATIENCE)[0]:
        raise AssertionError("nothing more came from the terminal")
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        return os.read(terminal, 4096)
    return b""


def left_standing(written: str) -> list[str]:
    """The lines that remain once every live line was cleared."""
    text = re.sub(r"[^\n]*" + re.escape(CLEAR), "", written.replace("\r\n", "\n"))
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


class ViewCase(Case):
    """A mission with something to be seen of every kind."""

    def mission(self, name: str = "w", **config: Any) -> Workspace:
        """One round that fails at play and one that passes."""
        commands = {"play": by_round("sleep 0.1; exit 3", "true"), "verify": "true"}
        return self.workspace(name, **{"mission": "Be seen.", "commands": commands, **config})


class Plain(ViewCase):
    """Not a terminal: a line a step, nothing redrawn, answers on stdout, progress on stderr."""

    def test_progress_and_verdict(self) -> None:
        place = self.mission()
        done = place.run()
        self.assertNotRegex(done.out + done.err, CONTROL)
        steps = [line.split()[:3] for line in done.err.splitlines() if line.startswith(" ")]
        self.assertEqual(
            steps,
            [
                ["1", "play", "failed"],
                ["1", "verify", "passed"],
                ["2", "play", "passed"],
                ["2", "verify", "passed"],
            ],
        )
        self.assertIn("logs/round-0001-play.log", done.err)
        self.assertEqual(done.out.splitlines()[0], "complete: every gate passed")
        for words in (
            place.heartbeat["event_head"],
            f"openloop audit {place.path} --head",
            place.file("artifacts/round-0002.json"),
        ):
            self.assertIn(words, done.out)

    def test_quiet_prints_only_the_verdict(self) -> None:
        done = self.mission().run("--quiet")
        self.assertEqual((done.out, done.err), ("complete: every gate passed\n", ""))

    def test_quiet_keeps_errors(self) -> None:
        place = self.workspace(commands={})
        done = place.run("--quiet", exitcode=2)
        self.assertIn("commands.verify", done.err)

    def test_json_is_the_events_as_they_are_recorded(self) -> None:
        place = self.mission()
        done = place.run("--json")
        self.assertEqual(done.out, place.read("events.jsonl"))
        self.assertEqual(done.err, "")
        before = place.read("events.jsonl")
        done = place.run("--json")
        self.assertEqual(before + done.out, place.read("events.jsonl"))

    def test_json_comes_as_it_happens(self) -> None:
        place = self.workspace(commands={"verify": "until test -e go; do sleep 0.02; done"})
        runner = self.started(place, "--json")
        assert runner.stdout
        kinds = [json.loads(runner.stdout.readline())["event"] for _ in range(3)]
        self.assertEqual(kinds, ["run_started", "round_started", "step_started"])
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(runner.wait(30), 0)

    def test_a_path_of_every_kind_stays_on_its_line(self) -> None:
        place = self.mission("a 'b\n::error::injected\x1b[31m\u2028ü")
        nowhere = f"{place.folder}/nowhere"
        for command, path in (
            *((command, place.path) for command in ("run", "status", "audit", "doctor")),
            *((command, nowhere) for command in ("run", "status", "audit", "doctor", "init")),
        ):
            with self.subTest(command, exists=path == place.path):
                done = run_openloop(command, path, exitcode=None)
                self.assertNotRegex(done.out + done.err, CONTROL)
                self.assertNotRegex(done.out + done.err, r"(?m)^\s*::error")


class Terminal(ViewCase):
    """A real terminal: one live line that is redrawn, and permanent lines above it."""

    def test_live_line_and_permanent_lines(self) -> None:
        code, written = in_a_terminal("run", self.mission().path)
        self.assertEqual(code, 0)
        self.assertRegex(written, r"round 1 \(1 of 3\) \| play [0-9.]+ s \| log 0 B \| ETA")
        self.assertRegex(written, r"round 2 \(2 of 3\) \| verify .* \| last play passed")
        self.assertIn(CLEAR, written)
        self.assertIn("\x1b[32m", written)
        lines = left_standing(written)
        self.assertEqual(
            [line.split()[:3] for line in lines if re.match(r" +\d ", line)],
            [
                ["1", "play", "failed"],
                ["1", "verify", "passed"],
                ["2", "play", "passed"],
                ["2", "verify", "passed"],
            ],
        )
        self.assertIn("complete: every gate passed", lines)
        self.assertFalse([line for line in lines if " | " in line], "a live line was left")

    def test_the_live_line_is_redrawn_about_once_a_second(self) -> None:
        place = self.workspace(commands={"verify": "printf 12345; sleep 1.3"})
        _, written = in_a_terminal("run", place.path)
        drawn = re.findall(r"verify ([0-9.]+) s \| log (\d+) B", written)
        self.assertIn(len(drawn), (2, 3, 4))
        self.assertEqual(drawn[-1][1], "5")
        self.assertGreaterEqual(float(drawn[-1][0]), 0.9)

    def test_no_color(self) -> None:
        _, written = in_a_terminal("run", self.mission().path, NO_COLOR="1")
        self.assertNotRegex(written, r"\x1b\[[0-9;]*m")
        self.assertIn(CLEAR, written)

    def test_a_dumb_terminal(self) -> None:
        code, written = in_a_terminal("run", self.mission().path, TERM="dumb")
        self.assertEqual(code, 0)
        self.assertNotRegex(written.replace("\r\n", "\n"), CONTROL)

    def test_hostile_output(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": agent("hostile")})
        code, written = in_a_terminal("run", place.path)
        self.assertEqual(code, 1)
        own = re.compile(r"\x1b\[(2K|[0-9]{1,2}m)|\r")
        self.assertNotRegex(own.sub("", written), CONTROL)
        self.assertIn("injected after a line separator", written)

    def test_ctrl_c(self) -> None:
        place = self.workspace(
            commands={"verify": "touch up; exec sleep 60"}, limits={"kill_grace_seconds": 0.2}
        )
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        runner = self.started(
            place,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm"),
            start_new_session=True,
            preexec_fn=lambda: take_terminal(theirs),
        )
        os.close(theirs)
        wait_until(lambda: os.path.exists(place.project_file("up")))
        os.write(ours, b"\x03")
        self.assertEqual(runner.wait(PATIENCE), 130)
        place.audit()

    def test_stopped_after_it_said_that_it_was_ready(self) -> None:
        """Ctrl-S in the moment before the write: the live line is lost, and nobody waits."""

        class Hasty(Screen):
            def _is_ready(self) -> bool:
                asked.append(True)
                return len(asked) < 3

        asked: list[bool] = []
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        with open(theirs, "w", encoding="utf-8") as terminal:
            with patch.dict(os.environ, TERM="xterm"):
                screen = Hasty(terminal)
            termios.tcflow(theirs, termios.TCOOFF)
            screen.line("written")
            screen.live("round 1")
            self.assertEqual(len(asked), 3)
            termios.tcflow(theirs, termios.TCOON)
            screen.live("round 2")
            self.assertEqual(read_some(ours), b"round 2")


def take_terminal(terminal: int) -> None:
    """Make it the controlling terminal, so that Ctrl-C typed there becomes SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


class GitHubActions(ViewCase):
    """In a CI job: a group a round, an annotation for what failed, a table in the summary."""

    def run_there(self, place: Workspace, exitcode: int) -> tuple[str, str]:
        """(all that was printed, the summary)."""
        summary = f"{self.folder}/summary"
        env = environment(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=summary)
        done = place.run(exitcode=exitcode, env=env)
        self.assertNotRegex(done.out + done.err, CONTROL)
        with open(summary, encoding="utf-8") as file:
            return done.err + done.out, file.read()

    def test_groups_annotations_and_summary(self) -> None:
        place = self.mission(total_rounds=1)
        stdout, summary = self.run_there(place, 1)
        lines = stdout.splitlines()
        begin, end = lines.index("::group::round 1"), lines.index("::endgroup::")
        self.assertTrue(any("play" in line and "failed" in line for line in lines[begin:end]))
        self.assertTrue(any(line.startswith("::error title=play failed::") for line in lines))
        self.assertIn("OpenLoop: exhausted", summary)
        self.assertRegex(summary, r"(?m)^\|---\|")
        self.assertRegex(summary, r"(?m)^\| 1 \| play \| failed \| [0-9.]+ s \| exit 3 \|$")
        self.assertRegex(summary, r"(?m)^\| 1 \| verify \| passed \|")

    def test_no_annotation_when_complete(self) -> None:
        stdout, summary = self.run_there(self.mission(), 0)
        self.assertNotIn("::error", stdout)
        self.assertEqual(stdout.count("::group::"), 2)
        self.assertEqual(stdout.count("::endgroup::"), 2)
        self.assertIn("OpenLoop: complete", summary)

    def test_hostile_output_injects_no_command(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": agent("hostile")})
        stdout, summary = self.run_there(place, 1)
        commands = [line for line in stdout.splitlines() if line.lstrip().startswith("::")]
        kinds = [re.match(r"\s*::([a-z]+)", line)[1] for line in commands]  # type: ignore[index]
        self.assertEqual(sorted(kinds), ["endgroup", "error", "group"])
        self.assertNotRegex(summary, CONTROL)

    def test_a_summary_that_cannot_be_written_changes_nothing(self) -> None:
        env = environment(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY="/nowhere/summary")
        self.mission().run(env=env)


class ClosedOutput(ViewCase):
    """Who reads may go away; the run goes on and ends as it would have."""

    def test_an_answer_that_cannot_be_written(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        for words in (("status",), ("audit", "--json"), ("doctor",)):
            with self.subTest(words), open("/dev/full", "w", encoding="utf-8") as full:
                asked = start_openloop(words[0], place.path, *words[1:], stdout=full)
                _, err = asked.communicate(timeout=60)
                self.assertEqual(1, asked.returncode)
                self.assertIn("standard output cannot be written", err)

    def test_an_argument_is_repeated_without_its_escapes(self) -> None:
        done = run_openloop("run", "w", "\x1b]0;hi\x07", exitcode=2)
        self.assertNotIn("\x1b", done.err)

    def test_head(self) -> None:
        for words in ((), ("--json",)):
            with self.subTest(words):
                place = self.mission(" ".join(words) or "plain", total_rounds=1)
                program = [sys.executable, "-m", "openloop", "run", place.path, *words]
                script = '{ "$@"; echo $? > code; } 2>&1 | head -1 > first'
                subprocess.run(
                    ["/bin/sh", "-c", script, "sh", *program],
                    cwd=self.folder,
                    env=environment(),
                    timeout=PATIENCE,
                    check=True,
                )
                with open(f"{self.folder}/code", encoding="utf-8") as file:
                    self.assertEqual(file.read(), "1\n")
                self.assertEqual(place.events[-1]["status"], "exhausted")

    def test_a_reader_gone_before_the_first_line(self) -> None:
        for words in ((), ("--json",), ("--quiet",)):
            with self.subTest(words):
                place = self.mission(" ".join(words) or "plain")
                runner = self.started(place, *words)
                for stream in (runner.stdout, runner.stderr):
                    assert stream
                    stream.close()
                self.assertEqual(runner.wait(PATIENCE), 0)
                place.audit()

    def test_status_and_audit(self) -> None:
        place = self.mission()
        place.run()
        for command in ("status", "audit", "doctor"):
            with self.subTest(command):
                words = f'"$0" -m openloop {command} "$1" 2>err | true'
                subprocess.run(
                    ["/bin/sh", "-c", words, sys.executable, place.path],
                    cwd=self.folder,
                    env=environment(),
                    timeout=PATIENCE,
                    check=True,
                )
                with open(f"{self.folder}/err", encoding="utf-8") as file:
                    self.assertEqual(file.read(), "")

    def test_a_full_device(self) -> None:
        place = self.mission()
        with open("/dev/full", "w", encoding="utf-8") as full:
            runner = self.started(place, stdout=full, stderr=full)
            self.assertEqual(runner.wait(PATIENCE), 0)


ASCII = {
    "LC_ALL": "C",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


class Ascii(ViewCase):
    """In a locale that knows only ASCII, other characters are printed as escapes."""

    def test_each_command(self) -> None:
        place = self.mission(
            "grün",
            mission="Schön",
            total_rounds=1,
            commands={"verify": "echo Übel; exit 1", "play": {"run": "echo é", "reject": "é"}},
        )
        env = environment(**ASCII)
        done = place.run(exitcode=1, env=env)
        self.assertTrue((done.out + done.err).isascii())
        self.assertIn("exhausted: ", done.out)
        self.assertIn(place.heartbeat["event_head"], done.out)
        self.assertRegex(done.err, r"(?m)^ +1 +verify +failed ")
        for command in ("status", "audit", "doctor"):
            with self.subTest(command):
                shown = run_openloop(command, place.path, env=env)
                self.assertTrue(shown.out.isascii())
                self.assertNotEqual(shown.out, "")
                document = run_openloop(command, place.path, "--json", env=env)
                self.assertIsInstance(document.json, dict)

    def test_run_as_events(self) -> None:
        place = self.mission("grün")
        done = place.run("--json", env=environment(**ASCII))
        self.assertEqual(done.out, place.read("events.jsonl"))

    def test_errors(self) -> None:
        nowhere = os.path.join(self.folder, "grün")
        done = run_openloop("run", nowhere, exitcode=2, env=environment(**ASCII))
        self.assertIn("error: workspace", done.err)


if __name__ == "__main__":
    unittest.main()
