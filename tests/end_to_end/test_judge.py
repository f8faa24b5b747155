"""`openloop judge`: one process a case, compared outside of it, whatever the program does."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET
from typing import Any

from support import (
    AGENTS,
    SRC,
    Case,
    Done,
    environment,
    lives,
    need,
    read_pid,
    run_openloop,
    start_openloop,
    wait_until,
)

MARK = 1 << 51 | 12345  # as runs give them to their processes
ANSWERS = (sys.executable, os.path.join(AGENTS, "answers.py"))


def hides() -> bool:
    """Whether this system lets a process hide a file from its commands."""
    probe = (
        "import os, sys; from openloop import mounts; sys.exit(not mounts.enter(hide=[os.devnull]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), check=False)
    return done.returncode == 0


class Judging(Case):
    def setUp(self) -> None:
        super().setUp()
        self.cases = os.path.join(self.folder, "cases.jsonl")
        self.notebook = os.path.join(self.folder, "notebook")

    def write(self, *lines: object) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        with open(self.cases, "w", encoding="utf-8") as file:
            file.write("".join(f"{text}\n" for text in texts))

    def read(self) -> str:
        with open(self.cases, encoding="utf-8") as file:
            return file.read()

    def judge(
        self, *words: str, command: tuple[str, ...] = (), exitcode: int | None = 1, **how: Any
    ) -> Done:
        """Judge answers.py, or another command, by the cases."""
        env = environment(TMPDIR=self.folder, **how.pop("env", {}))
        command = command or (*ANSWERS, self.notebook)
        return run_openloop(
            "judge", self.cases, *words, "--", *command, exitcode=exitcode, env=env, **how
        )

    def one(self, stdin: str, *words: str, exitcode: int = 1, **line: Any) -> str:
        """The report's line about one case, `right` being expected of it."""
        self.write({"name": "it", "stdin": stdin, "stdout": "right", **line})
        done = self.judge(*words, exitcode=exitcode)
        first, count, score = done.out.splitlines()
        self.assertEqual(["1 of 1 cases", "score=1.0000"] if exitcode == 0 else
                         ["0 of 1 cases", "score=0.0000"], [count, score])  # fmt: skip
        return first

    def failure(self, stdin: str, **line: Any) -> str:
        """Why the one case failed."""
        return self.one(stdin, **line).split("  ")[-1]


class Verdicts(Judging):
    def test_counts_and_score(self) -> None:
        self.write(*({"stdin": f"say {n}", "stdout": str(min(n, 6))} for n in range(8)))
        done = self.judge()
        self.assertEqual(["7 of 8 cases", "score=0.8750"], done.out.splitlines()[-2:])
        self.assertEqual("", done.err)

    def test_only_all_of_them_pass(self) -> None:
        self.assertRegex(self.one("say right", exitcode=0), r"^passed +it  \d+\.\d s$")
        self.write()
        done = self.judge()
        self.assertEqual(["0 of 0 cases", "score=0.0000"], done.out.splitlines())
        self.assertIn("no case", done.err)

    def test_a_score_is_never_rounded_up_to_one(self) -> None:
        from openloop import cases, judge

        (case,) = cases.parse(b'{"stdout": "x"}', where="")
        results = [judge.Result(case, cases.Answer(), "why"[: 3 * (n == 0)]) for n in range(99999)]
        self.assertEqual(["99998 of 99999 cases", "score=0.9999"], judge.summary(results))

    def test_what_a_program_can_do_to_fail(self) -> None:
        table = [
            ({"stdin": ""}, "stdout is empty"),  # an early exit
            ({"stdin": "code 3"}, "exit code 3, expected 0"),
            ({"stdin": "crash"}, "killed by SIGKILL"),
            ({"stdin": "bytes"}, "stdout is not UTF-8 (byte 5)"),
            ({"stdin": "closes"}, "stdout is empty"),
            ({"stdin": "forge"}, "stdout differs in line 1"),
            ({"stdin": "flood 1"}, "wrote more than 8 MB to stdout"),
            ({"stdin": "flood 2"}, "wrote more than 8 MB to stderr"),
            ({"stdin": "hang", "timeout_seconds": 0.3}, "ran longer than 0.3 s"),
            ({"stdin": "hang-deaf", "timeout_seconds": 0.3}, "ran longer than 0.3 s"),
            ({"stdin": "kill guard"}, "its guard was killed"),
            ({"stdin": "say right", "exit_code": 2}, "exit code 0, expected 2"),
            ({"stdin": "say right"}, ""),
        ]
        self.write(*({"stdout": "right", **line} for line, _ in table))
        done = self.judge()
        told = done.out.splitlines()
        self.assertEqual(["1 of 13 cases", "score=0.0769"], told[-2:])
        for position, (line, why) in enumerate(table):
            with self.subTest(line=line):
                self.assertIn(f"case {position + 1}  ", told[position])
                self.assertTrue(told[position].endswith(why), told[position])
        self.assertEqual(os.listdir(self.folder), ["cases.jsonl"], "something was left behind")

    def test_a_daemon_is_ended_and_the_answer_counts(self) -> None:
        self.one("daemon", exitcode=0)
        pid = read_pid(self.notebook)
        assert pid is not None
        self.assertFalse(lives(pid))

    def test_the_order_of_the_report_is_that_of_the_cases(self) -> None:
        slow = {"name": "first", "stdin": "hang", "exit_code": 0, "timeout_seconds": 0.5}
        self.write(
            slow, *({"name": f"{n}", "stdin": f"say {n}", "stdout": f"{n}"} for n in range(5))
        )
        for jobs in ("1", "4"):
            told = self.judge("--jobs", jobs).out.splitlines()
            names = [line.split()[1] for line in told[:-2]]
            self.assertEqual(["first", "0", "1", "2", "3", "4"], names)

    def test_jobs_run_side_by_side(self) -> None:
        """Each waits for the other's file: one at a time they cannot pass."""
        wait = 'touch "$1"; until [ -e "$2" ]; do sleep 0.01; done; echo right'
        names = [os.path.join(self.folder, name) for name in "ab"]
        self.write(*({"args": pair, "stdout": "right"} for pair in (names, names[::-1])))
        self.judge("--jobs", "2", command=("sh", "-c", wait, "sh"), exitcode=0)

    def test_the_memory_for_a_flood_is_bounded(self) -> None:
        self.write(*({"stdin": "flood 1", "stdout": ""} for _ in range(6)))
        words = [
            sys.executable,
            "-m",
            "openloop",
            "judge",
            self.cases,
            "--jobs",
            "2",
            "--",
            *ANSWERS,
        ]
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:]);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env=environment(),
            capture_output=True,
            check=True,
        )
        self.assertLess(int(done.stdout.split()[-1]), 120_000, "kilobytes")


class Surroundings(Judging):
    """What the judged program is given, and what it is not."""

    def test_files_arguments_and_environment(self) -> None:
        lines = [
            {"stdin": "files", "files": {"a/b.txt": "x\ny", "é": ""},
             "stdout": "{dir}/a/b.txt 'x\\ny'\n{dir}/é ''"},
            {"stdin": "files", "stdout": ""},
        ]  # fmt: skip
        self.write(*lines)
        self.judge(exitcode=0)
        show = 'printf "%s\\n" "$@"; echo "$A $TMPDIR"; touch "$TMPDIR/x"; pwd'
        self.write(
            {
                "args": ["a b", "{dir}/c", "{{dir}}", ""],
                "env": {"A": "{dir}", "TMPDIR": "{dir}"},
                "stdout": "{dir}\na b\n{dir}/c\n{dir}\n\n{dir} {dir}\n" + self.folder,
            }
        )
        command = ("sh", "-c", show, "sh", "{dir}")
        done = self.judge("--details", command=command, exitcode=0, cwd=self.folder)
        self.assertIn("1 of 1", done.out)

    def test_no_way_to_the_workspace_and_no_descriptor_is_handed_on(self) -> None:
        self.write({"stdin": "surroundings", "stdout": "['CASE_DIR']\n[]"})
        env = {"OPENLOOP_WORKSPACE": "/w", "OPENLOOP_PROMPT_FILE": "/w/p"}
        self.judge("--details", env=env, exitcode=0)

    def test_the_expected_values_cannot_be_read(self) -> None:
        need(hides(), "a kernel that lets a user hide files (user namespaces)")
        self.write({"stdin": f"search {self.cases}", "stdout": ""})
        done = self.judge("--details", exitcode=0)
        self.assertEqual("", done.err)

    def test_killing_guards_does_not_bring_the_file_back(self) -> None:
        need(hides(), "a kernel that lets a user hide files (user namespaces)")
        self.write(
            {"stdin": "kill guard", "stdout": ""}, {"stdin": f"search {self.cases}", "stdout": ""}
        )
        told = self.judge("--jobs", "1", "--details").out.splitlines()
        self.assertIn("1 of 2 cases", told)
        self.assertIn("its guard was killed", told[0])

    def test_a_case_carries_the_marks_of_the_run_that_judge_is_a_part_of(self) -> None:
        """By them the next run finds what is left when runner, guard and judge were all killed."""
        self.write({"stdout": f"{MARK} 1"})
        run = (
            "import os, sys; from openloop import tree; mark = int(sys.argv[1]);"
            "tree.set_mark(mark); os.environ[tree.sign(mark)] = '1';"
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        look = (
            "import os, resource; mark = resource.getrlimit(resource.RLIMIT_RTTIME)[0];"
            "print(mark, os.environ.get(f'OPENLOOP_MARK_{mark}'))"
        )
        judge = ["-m", "openloop", "judge", self.cases, "--", sys.executable, "-c", look]
        done = subprocess.run(
            [sys.executable, "-c", run, str(MARK), *judge],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn("1 of 1 cases", done.stdout, done.stderr)

    def test_hiding_can_be_left_out(self) -> None:
        self.write({"stdin": f"search {self.cases}", "stdout": ""})
        told = self.judge("--no-hide").out
        self.assertIn("stdout", told)

    def test_the_reasons_give_nothing_away(self) -> None:
        self.write({"name": "it", "stdin": "say guess", "stdout": "secret"})
        done = self.judge()
        self.assertNotRegex(done.out + done.err, "guess|secret")
        self.assertRegex(
            self.judge("--details").out, r"expected stdout \| secret\n.*stdout +\| guess"
        )

    def test_an_escape_in_a_name_or_an_output_never_reaches_the_terminal(self) -> None:
        self.write({"name": "\x1b[2J", "stdin": "say \x1b[31m", "stdout": "x"})
        done = self.judge("--details")
        self.assertNotIn("\x1b", done.out)
        self.assertIn(r"\x1b[2J", done.out)


class Ends(Judging):
    """Signals, dead judges, and readers that go away."""

    def test_signals_end_everything(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signum):
                self.assertEqual(128 + signum, self.ended_by(signum))

    def test_a_killed_judge_leaves_nothing_and_passes_nothing(self) -> None:
        self.assertEqual(-signal.SIGKILL, self.ended_by(signal.SIGKILL))

    def ended_by(self, signum: int) -> int:
        if os.path.exists(self.notebook):
            os.unlink(self.notebook)
        self.write({"args": [], "stdout": "x", "timeout_seconds": 600})
        wait = f"echo $$ > {shlex.quote(self.notebook)}; trap '' TERM; while :; do sleep 1; done"
        words = ("judge", self.cases, "--", "sh", "-c", wait)
        process = start_openloop(*words, env=environment(TMPDIR=self.folder))
        self.addCleanup(process.kill)
        pid = wait_until(lambda: os.path.exists(self.notebook) and read_pid(self.notebook))
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
        self.assertNotIn("score", out)
        self.assertNotIn("Traceback", err)
        self.assert_gone(pid)
        return process.returncode

    def test_the_judged_program_gains_nothing_from_ending_the_judge(self) -> None:
        self.write({"stdin": "kill judge", "stdout": "right"})
        self.assertEqual(-signal.SIGKILL, self.judge(exitcode=None).code)
        self.write({"stdin": "interrupt", "stdout": "right"})
        self.assertEqual(128 + signal.SIGTERM, self.judge(exitcode=None).code)

    def test_a_reader_that_has_gone_changes_no_exit_code(self) -> None:
        self.write(*({"stdin": f"say {n}", "stdout": "0"} for n in range(4)))
        words = [sys.executable, "-m", "openloop", "judge", self.cases, "--", *ANSWERS]
        process = subprocess.Popen(
            words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout and process.stderr
        process.stdout.close()
        self.assertEqual(b"", process.stderr.read())
        process.stderr.close()
        self.assertEqual(1, process.wait(30))

    def test_progress_on_a_terminal_only(self) -> None:
        self.write(*({"stdin": "say 0", "stdout": "0"} for _ in range(3)))
        master, slave = pty.openpty()
        words = [sys.executable, "-m", "openloop", "judge", self.cases, "--", *ANSWERS]
        env = environment(TERM="xterm")
        process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        self.assertEqual(0, process.wait(30))
        self.assertIn(b"3 of 3 cases, 0 failed", os.read(master, 1 << 16))
        os.close(master)


class Usage(Judging):
    def test_mistakes_are_told_at_once_and_nothing_is_started(self) -> None:
        self.write({"stdou": 1}, {"stdout": "x", "exit_code": True}, "{")
        done = self.judge(exitcode=2, command=("sh", "-c", f"touch {self.notebook}"))
        self.assertEqual(3, done.err.count("error: "))
        for place in ("line 1", "line 2", "line 3, column 2"):
            self.assertIn(f"{self.cases}, {place}\n", done.err)
        self.assertFalse(os.path.exists(self.notebook))

    def test_what_cannot_be_begun(self) -> None:
        self.write({"stdout": "x"})
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        for words, part in (
            (("judge", self.cases), "COMMAND is missing"),
            (("judge", self.cases, "--"), "COMMAND is missing"),
            (("judge", self.cases, "true"), "unrecognized arguments: true"),
            (("judge", self.cases, "--jobs", "0", "--", "true"), "whole number from 1"),
            (("judge", self.cases, "--", "no-such-program"), "no-such-program is neither"),
            (("judge", self.cases, "--", "./cases.jsonl"), "neither"),
            (("judge", self.folder, "--", "true"), "not a regular file"),
            (("judge", fifo, "--", "true"), "not a regular file"),
            (("judge", f"{self.cases}x", "--", "true"), "No such file"),
            (("judge", self.cases, "--junit", "no/such.xml", "--", "true"), "no/such.xml"),
            (("judge", self.cases, "--junit", ".", "--", "true"), "--junit"),
        ):
            with self.subTest(words):
                done = run_openloop(*words, exitcode=2, cwd=self.folder)
                self.assertIn(part, done.err)
                self.assertEqual("", done.out)

    def test_words_behind_the_first_dashes_are_the_commands(self) -> None:
        self.write({"args": ["--", "--junit"], "stdout": "--jobs 3 -- x -- --junit"})
        self.judge(command=("echo", "--jobs", "3", "--", "x"), exitcode=0)


class Junit(Judging):
    def test_the_report(self) -> None:
        self.write({"name": "good", "stdin": "say a", "stdout": "a"},
                   {"name": "bad \x1b", "stdin": "say \x1b", "stdout": "a"})  # fmt: skip
        path = os.path.join(self.folder, "junit.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("of an earlier run")
        self.judge("--junit", path)
        root = ET.parse(path).getroot()
        (suite,) = root
        self.assertEqual(("2", "1"), (suite.get("tests"), suite.get("failures")))
        self.assertEqual(self.cases, suite.get("name"))
        good, bad = suite.findall("testcase")
        self.assertEqual(("good", "cases", 0), (good.get("name"), good.get("classname"), len(good)))
        self.assertEqual(r"bad \x1b", bad.get("name"))
        failure = bad.find("failure")
        assert failure is not None
        self.assertEqual("stdout differs in line 1", failure.get("message"))

    def test_no_report_of_an_earlier_run_is_taken_for_this_one(self) -> None:
        path = os.path.join(self.folder, "junit.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("of an earlier run")
        self.write({"stdin": "kill judge", "stdout": "a"})
        self.judge("--junit", path, exitcode=None)
        self.assertFalse(os.path.exists(path))


class Recording(Judging):
    def test_what_is_missing_is_filled_in(self) -> None:
        kept = '{"name": "kept",  "stdin": "say 1", "stdout": "1"}'
        self.write("# notes stay", "", kept, '{"name":"new","stdin":"say 2"}', {"stdin": "code 4"})
        os.chmod(self.cases, 0o640)
        done = self.judge("--record", exitcode=0)
        self.assertIn("recorded 2 of 3 cases", done.out)
        self.assertEqual(
            f"# notes stay\n\n{kept}\n"
            '{"name":"new","stdin":"say 2", "stdout": "2"}\n'
            '{"stdin": "code 4", "stdout": "", "exit_code": 4}\n',
            self.read(),
        )
        self.assertEqual(0o640, os.stat(self.cases).st_mode & 0o777)
        self.judge(exitcode=0)

    def test_one_failure_records_nothing(self) -> None:
        for line in (
            {"stdin": "crash"},
            {"stdin": "bytes"},
            {"stdin": "say 1", "match": "json", "stdout": "2"},
            {"stdin": "say x", "match": "json"},
        ):
            with self.subTest(line=line):
                self.write({"stdin": "say 2"}, line)
                before = self.read()
                done = self.judge("--record")
                self.assertIn("nothing was recorded", done.out)
                self.assertEqual(before, self.read())

    def test_a_symlink_stays_one(self) -> None:
        real = os.path.join(self.folder, "real.jsonl")
        self.write({"stdin": "say 2"})
        os.rename(self.cases, real)
        os.symlink("real.jsonl", self.cases)
        self.judge("--record", exitcode=0)
        self.assertTrue(os.path.islink(self.cases))
        self.assertIn('"stdout": "2"', self.read())


class AsAGate(Judging):
    """In a mission: verify by exit code, baseline by score."""

    def test_verify_and_baseline(self) -> None:
        place = self.workspace()
        os.mkdir(place.file("holdout"))
        with open(place.file("holdout/cases.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"stdin": "1", "stdout": "1"}\n{"stdin": "2", "stdout": "2"}\n')
        judge = (
            f"PYTHONPATH={shlex.quote(SRC)} {shlex.quote(sys.executable)} -m openloop judge "
            "{workspace}/holdout/cases.jsonl -- sh ./solver.sh"
        )
        with open(place.project_file("solver.sh"), "w", encoding="utf-8") as file:
            file.write("echo 1\n")
        place.configure(
            {
                "total_rounds": 2,
                "commands": {"verify": "true", "improve": "echo cat > solver.sh"},
                "baseline": {
                    "command": judge + " || [ $? = 1 ]",
                    "regex": "score=([0-9.]+)",
                    "value": 1,
                },
            }
        )
        place.run()
        self.assertEqual([0.5, 1.0], [place.artifact(n)["metric"]["value"] for n in (1, 2)])
        place.configure({"commands": {"verify": judge}})
        place.run()


if __name__ == "__main__":
    unittest.main()
