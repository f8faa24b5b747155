"""`openloop judge`: one process a case, compared outside of it, whatever the program does."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import pty
import resource
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET
from typing import Any

from openloop.cli.dispatch import dispatch
from openloop.process import run_marks
from support import (
    AGENTS,
    SRC,
    Case,
    Done,
    environment,
    need,
    run_openloop,
    start_openloop,
    wait_until,
    with_devices,
)

SLOW = True  # left out by scripts/run_tests.sh --quick

MARK = 1 << 51 | secrets.randbits(50)  # as runs give them to their processes
ANSWERS = (sys.executable, "-I", "-S", os.path.join(AGENTS, "answers.py"))


def can(view: str) -> bool:
    """Whether this system gives a process such a view, arguments of `enter`."""
    probe = f"import os, sys; from openloop.process.namespaces import enter; print(enter({view}))"
    words = [sys.executable, "-c", probe]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    return done.stdout == "True\n"


def need_hiding() -> None:
    need(can("hide=[os.devnull]"), "a kernel that lets a user hide files (user namespaces)")


def need_enclosure() -> None:
    need(
        can("enclosure={'writable': [], 'closed': [], 'private': [], 'temporary': []}"),
        "a kernel that lets a user enclose commands (5.12, user namespaces, /proc all visible)",
    )


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
        env = environment(**{"TMPDIR": self.folder, **how.pop("env", {})})
        how.setdefault("cwd", self.folder)
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

    def running(self) -> list[str]:
        """The command lines of those that were given the notebook, but for judges."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                words = os.fsdecode(file.read())
                if self.notebook in words and "judge" not in words.split("\0"):
                    found.append(words)
        return found

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
        from openloop.judge import case_lines, cases, command

        (case,) = case_lines.parse(b'{"stdout": "x"}', where="")
        results = [
            cases.CaseResult(case, cases.Answer(), "why"[: 3 * (n == 0)]) for n in range(99999)
        ]
        self.assertEqual(["99998 of 99999 cases", "score=0.9999"], command.summary(results))

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
            ({"stdin": "say right", "exit_code": 2}, "exit code 0, expected 2"),
            ({"stdin": "say right"}, ""),
        ]
        self.write(*({"stdout": "right", **line} for line, _ in table))
        done = self.judge()
        lines = done.out.splitlines()
        self.assertEqual(["1 of 12 cases", "score=0.0833"], lines[-2:])
        for position, (line, why) in enumerate(table):
            with self.subTest(line=line):
                self.assertIn(f"case {position + 1}  ", lines[position])
                self.assertTrue(lines[position].endswith(why), lines[position])
        self.assertEqual(os.listdir(self.folder), ["cases.jsonl"], "something was left behind")

    def test_a_daemon_is_ended_and_the_answer_counts(self) -> None:
        for words in ((), ("--no-hide",)):
            with self.subTest(words):
                self.one("daemon", *words, exitcode=0)
                self.assertEqual([], self.running())
                os.unlink(self.notebook)

    def test_the_order_of_the_report_is_that_of_the_cases(self) -> None:
        slow = {"name": "first", "stdin": "hang", "exit_code": 0, "timeout_seconds": 0.5}
        self.write(
            slow, *({"name": f"{n}", "stdin": f"say {n}", "stdout": f"{n}"} for n in range(5))
        )
        lines = self.judge("--jobs", "4").out.splitlines()
        names = [line.split()[1] for line in lines[:-2]]
        self.assertEqual(["first", "0", "1", "2", "3", "4"], names)

    def test_jobs_run_side_by_side(self) -> None:
        """Each waits for the other's file: one at a time they cannot pass."""
        wait = 'touch "$1"; until [ -e "$2" ]; do sleep 0.01; done; echo right'
        names = [os.path.join(self.folder, name) for name in "ab"]
        self.write(*({"args": pair, "stdout": "right"} for pair in (names, names[::-1])))
        self.judge("--jobs", "2", command=("sh", "-c", wait, "sh"), exitcode=0)

    def test_more_jobs_than_files_may_be_open(self) -> None:
        self.write(*({"stdin": "0", "stdout": "0"} for _ in range(40)))

        def poor() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))

        words = ("judge", self.cases, "--jobs", "40", "--", "cat")
        process = start_openloop(*words, cwd=self.folder, preexec_fn=poor)
        out, err = process.communicate()
        self.assertEqual((0, ""), (process.returncode, err))
        self.assertIn("40 of 40 cases\n", out)

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
            {"stdin": "files", "files": {"z": ""}, "stdout": "{dir}/z ''"},
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
        need_enclosure()
        self.write({"stdin": "surroundings", "stdout": r"^\[\]\n\[\]\n", "match": "regex"})
        env = {"OPENLOOP_WORKSPACE": "/w", "OPENLOOP_PROMPT_FILE": "/w/p"}
        self.judge("--details", env=env, exitcode=0)

    def test_the_expected_values_cannot_be_read(self) -> None:
        need_enclosure()
        self.write({"stdin": f"search {self.cases}", "stdout": ""})
        done = self.judge("--details", exitcode=0)
        self.assertEqual("", done.err)

    def test_nor_in_the_workspace_of_a_gate_without_its_variables(self) -> None:
        """While a gate runs, the workspace has a copy of holdout/."""
        need_enclosure()
        for name in ("holdout", "withheld/holdout"):
            os.makedirs(os.path.join(self.folder, "ws", name))
        self.cases = os.path.join(self.folder, "ws/holdout/cases.jsonl")
        copy = os.path.join(self.folder, "ws/withheld/holdout/cases.jsonl")
        self.write({"stdin": f"search {copy}", "stdout": ""})
        shutil.copy(self.cases, copy)
        self.judge("--details", exitcode=0)

    def test_killing_guards_does_not_bring_the_file_back(self) -> None:
        """Where they can be killed: in a sandbox, whose /proc is half hidden."""
        need_hiding()
        need(shutil.which("bwrap"), "bubblewrap")
        self.write(
            {"stdin": "kill guard", "stdout": ""}, {"stdin": f"search {self.cases}", "stdout": ""}
        )
        sandbox = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
        sandbox += ["--tmpfs", "/proc/bus"] if os.geteuid() else []
        judge = [sys.executable, "-m", "openloop", "judge", self.cases, "--jobs", "1", "--details"]
        done = subprocess.run(
            [*sandbox, *judge, "--", *ANSWERS],
            env=environment(TMPDIR=self.folder),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn("this system only hides CASES", done.stderr)
        lines = done.stdout.splitlines()
        self.assertIn("1 of 2 cases", lines, done.stdout)
        self.assertIn("its guard was killed", lines[0])

    def test_a_case_carries_the_mark_of_the_run_that_judge_is_a_part_of(self) -> None:
        """By it the next run finds what is left when runner, guard and judge were all killed;
        in an enclosure everything ends with the judge, and no mark is carried."""
        self.write({"stdout": "1"})
        sign = run_marks.mark_variable(MARK)
        look = f"import os; print(os.environ.get({sign!r}))"
        words = ["judge", self.cases, "--no-hide", "--", sys.executable, "-c", look]
        self.assertIn("1 of 1 cases", run_openloop(*words, env=environment(**{sign: "1"})).out)

    def test_hiding_can_be_left_out(self) -> None:
        self.write({"stdin": f"search {self.cases}", "stdout": ""})
        output = self.judge("--no-hide").out
        self.assertIn("stdout", output)

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


class Enclosed(Judging):
    """Nothing but the project can be written for good, and of the judge nothing is to be seen."""

    def setUp(self) -> None:
        super().setUp()
        need_enclosure()
        self.project = os.path.join(self.folder, "pro,ject: '\n")
        self.temporary = os.path.join(self.folder, "tmp")
        for path in (f"{self.project}/.openloop/main", f"{self.project}/.git", self.temporary):
            os.makedirs(path)

    def enclosed(self, script: str, *words: str, exitcode: int = 0, **how: Any) -> Done:
        env = {"TMPDIR": self.temporary, "HOME": self.folder, **how.pop("env", {})}
        how = {"cwd": self.project, **how}
        command = ("sh", "-c", script, "sh", self.folder, self.notebook)
        words = ("--details", *words)
        return self.judge(*words, command=command, exitcode=exitcode, env=env, **how)

    WRITE = (
        'for place in . .git .openloop .openloop/main "$1" "$TMPDIR" /tmp /dev/shm "$PLACE"; do '
        'if { echo hello > "$place/$NAME"; } 2>/dev/null && grep -q hello "$place/$NAME"; '
        "then printf 1; else printf 0; fi; done"
    )

    def test_what_can_be_written_and_what_of_it_stays(self) -> None:
        name = f"{os.path.basename(self.folder)}-new"
        env = {"NAME": name, "PLACE": "{dir}"}
        self.write({"env": env, "stdout": "100011111"})
        self.enclosed(self.WRITE)
        self.assertEqual(["pro,ject: '\n/" + name], self.written(name))
        self.assertFalse(os.path.exists(f"/tmp/{name}") or os.path.exists(f"/dev/shm/{name}"))

    def written(self, name: str) -> list[str]:
        found = [os.path.join(where, name) for where, _, names in os.walk(self.folder)
                 if name in names]  # fmt: skip
        return [os.path.relpath(path, self.folder) for path in found]

    def test_without_hiding_all_of_it_stays(self) -> None:
        self.write({"env": {"NAME": "x", "PLACE": "."}, "stdout": "11111"})
        self.enclosed(self.WRITE.replace("/tmp /dev/shm", "").replace('"$TMPDIR"', ""),
                      "--no-hide", exitcode=1)  # fmt: skip
        self.assertEqual(5, len(self.written("x")))

    def test_the_system_is_read_only(self) -> None:
        look = (
            "import os; places = ('/', '/usr', '/etc', '/dev', '/sys', '/proc/sys');"
            "print([bool(os.statvfs(place).f_flag & os.ST_RDONLY) for place in places]);"
            "os.open('/dev/null', os.O_WRONLY); __import__('pty').openpty()"
        )
        self.write({"stdout": str([True] * 6)})
        self.judge("--details", command=(sys.executable, "-c", look), exitcode=0)

    def test_programs_of_later_gates_cannot_be_replaced(self) -> None:
        project = f"{self.folder}/plain"  # a colon would split PATH
        tools = f"{project}/tools/deep"
        for folder in (f"{project}/.venv/bin", f"{project}/node_modules/.bin", tools):
            os.makedirs(folder)
        plant = (
            "for place in .venv/bin node_modules/.bin tools/deep; do "
            'echo x > "$place/openloop"; mv "$place" aside; mv "${place%/*}" aside; '
            'mkdir -p "$place"; echo x > "$place/openloop"; done 2>/dev/null; '
            "touch node_modules/new tools/new; ls node_modules tools"
        )
        self.write({"stdout": "node_modules:\nnew\n\ntools:\ndeep\nnew"})
        self.enclosed(plant, env={"PATH": f"{tools}:{os.environ['PATH']}"}, cwd=project)
        self.assertEqual([], self.written("openloop"))

    def test_neither_disks_nor_the_terminals_of_a_person(self) -> None:
        look = (
            "import os, stat\n"
            "for name in sorted(os.listdir('/dev')):\n"
            "    print(name, stat.S_ISBLK(os.stat(f'/dev/{name}').st_mode))\n"
            "print(os.listdir('/dev/pts'), open('/dev/null').read() == '')\n"
        )
        self.write({"match": "regex", "stdout": r"\['ptmx'\] True"})
        self.judge("--details", command=(sys.executable, "-c", look), exitcode=0)
        self.write({"stdout": "0"})
        self.enclosed(
            f"{shlex.quote(sys.executable)} -c {shlex.quote(look)} | grep -c '^[a-z].* True$'; :"
        )

    def test_a_device_that_is_made_elsewhere_cannot_be_opened(self) -> None:
        need(os.geteuid() == 0, "root, who makes devices")
        device = f"{self.project}/disk"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero
        self.write({"stdout": "Permission denied"})
        self.enclosed("head -c 1 disk 2>&1 | sed 's/.*: //'")

    def test_a_second_mount_of_the_folder_of_cases(self) -> None:
        need(os.geteuid() == 0, "root, who mounts")
        script = 'mkdir "$1/again \\040"; mount --bind "$1" "$1/again \\040"; shift; exec "$@"'
        before = ["unshare", "-m", "/bin/sh", "-c", script, "sh", self.folder]
        self.write({"stdout": "0"})
        inside = f"{self.folder}/again \\040/cases.jsonl"
        words = ["judge", self.cases, "--details", "--", "/bin/sh", "-c", 'wc -c < "$0"', inside]
        done = run_openloop(*words, before=before, env=environment(TMPDIR=self.folder), exitcode=0)
        self.assertIn("1 of 1 cases", done.out)

    def test_devices_that_compute_are_there_and_disks_are_not(self) -> None:
        need(os.geteuid() == 0, "root, who mounts")
        devices = (
            "dri fd full null nvidia0 ptmx pts random shm stderr stdin stdout tty urandom zero"
        )
        self.write({"stdout": f"{devices} card0"})
        look = "echo $(ls /dev) $(ls /dev/dri)"
        words = ["judge", self.cases, "--details", "--", "sh", "-c", look]
        before = with_devices(self.folder)
        done = run_openloop(*words, before=before, env=environment(TMPDIR=self.folder))
        self.assertIn("1 of 1 cases", done.out)

    def test_no_root_undoes_it(self) -> None:
        undo = (
            'for place in "$PWD" "$1" "$TMPDIR" / "$2"; do umount "$place"; umount -l "$place"; '
            'mount -o remount,rw "$place"; mount -o remount,bind,rw "$place"; done 2>/dev/null; '
            'echo x > .openloop/x; test -e "$2" && test ! -s "$2" && echo hidden'
        )
        self.notebook = self.cases
        self.write({"stdout": "hidden"})
        self.enclosed(undo)
        self.assertEqual(["main"], os.listdir(f"{self.project}/.openloop"))

    def test_in_a_run_the_whole_project_can_be_written_and_no_workspace(self) -> None:
        inner, workspace = f"{self.project}/inner", f"{self.project}/space"
        for path in (inner, f"{workspace}/checkpoints/copies", f"{workspace}/withheld/copies"):
            os.makedirs(path)
        self.write({"stdout": "up"})
        env = {"OPENLOOP_PROJECT_ROOT": self.project, "OPENLOOP_WORKSPACE": workspace}
        script = "touch ../up ../space/no; ls ..| grep up; ls ../space/*/*"
        self.enclosed(script + " 2>/dev/null; :", cwd=inner, env=env)
        self.assertTrue(os.path.exists(f"{self.project}/up"))
        self.assertEqual({"checkpoints", "withheld"}, set(os.listdir(workspace)))

    def test_a_copy_is_another_folder_and_what_is_written_to_it_is_gone(self) -> None:
        words = f"{self.project}/words"
        with open(words, "w", encoding="utf-8") as file:
            file.write("here\n")
        self.cases = f"{self.project}/cases.jsonl"
        os.mkfifo(f"{self.project}/fifo")
        self.write(
            {"args": [words], "env": {"REAL": self.project}, "stdout": "here\nhere\n.git\nwords\n0"}
        )
        look = (
            'cat "$1" "$WORDS"; ls -A; ls "$REAL" | wc -l; [ "$PWD" != "$REAL" ] || echo the same; '
            'echo spoilt > words; { echo spoilt > "$REAL/words"; } 2>/dev/null; true'
        )
        env = environment(TMPDIR=self.temporary, WORDS=words)
        command = ("sh", "-c", look, "sh")
        self.judge("--copy", "--details", command=command, exitcode=0, cwd=self.project, env=env)
        with open(words, encoding="utf-8") as file:
            self.assertEqual("here\n", file.read())
        self.assertEqual([], os.listdir(self.temporary))
        env["TMPDIR"] = self.project
        done = self.judge("--copy", command=command, exitcode=2, cwd=self.project, env=env)
        self.assertIn("set TMPDIR to a folder outside of it", done.err)

    def test_shared_memory_does_not_outlive_it(self) -> None:
        key = 1 << 30 | secrets.randbits(29)
        make = f"import ctypes; print(ctypes.CDLL(None).shmget({key}, 10, 0o1600) >= 0)"
        self.write({"stdout": "True"})
        self.judge(command=(sys.executable, "-c", make), exitcode=0)
        self.assertEqual(-1, ctypes.CDLL(None).shmget(key, 10, 0))

    def test_what_a_program_could_know_the_judge_by(self) -> None:
        """Not by its environment, its processes or the names of its folders."""
        self.write({"stdin": "surroundings", "stdout": "[]\n[]\nTrue"})
        env = environment(**{run_marks.mark_variable(MARK): "1", "_": "1"})
        words = ["judge", self.cases, "--details", "--", *ANSWERS]
        self.assertIn("1 of 1 cases", run_openloop(*words, env=env).out)
        self.write({"env": {"PLACE": "{dir}"}, "stdout": "0"})
        names = '{ env; echo $0 $PLACE; ls -a /tmp "$TMPDIR"; cat /proc/*/cmdline; tty; ps ax; }'
        self.enclosed(f"{names} 2>/dev/null | grep -c 'openloop.judg[e]'; :")

    def test_it_cannot_end_the_judge(self) -> None:
        self.write({"stdin": "kill all", "stdout": "right"}, {"stdin": "say 1", "stdout": "1"})
        self.judge("--details", "--jobs", "1", exitcode=0)

    def test_an_honest_program_with_files_of_all_kinds(self) -> None:
        honest = (
            "import multiprocessing, subprocess, tempfile, os\n"
            "with tempfile.TemporaryDirectory() as place, open(f'{place}/x', 'w') as file:\n"
            "    file.write('a')\n"
            "multiprocessing.Lock()\n"
            "os.makedirs('build', exist_ok=True)\n"
            "open('build/out', 'w').write('b')\n"
            "os.rename('build/out', 'out')\n"
            "open(os.environ['CASE_DIR'] + '/in', 'a').write('c')\n"
            "print(subprocess.run(['sh', '-c', 'cat out $CASE_DIR/in; exit 3'],"
            " capture_output=True, text=True))\n"
        )
        self.write({"files": {"in": "i"}, "stdout": "returncode=3, stdout='bic'", "match": "regex"})
        self.judge("--details", command=(sys.executable, "-c", honest), exitcode=0)

    def test_services_can_be_reached(self) -> None:
        ask = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('in')"
        with socket.socket(socket.AF_UNIX) as service:
            service.bind(f"{self.temporary}/s")
            service.listen()
            self.write({"args": [sys.executable, "-c", ask, f"{self.temporary}/s"], "stdout": "in"})
            self.judge("--details", command=("env",), exitcode=0, env={"TMPDIR": self.temporary})

    def test_a_folder_in_which_something_is_mounted(self) -> None:
        """/proc cannot be the command's own, and one message says so."""
        home, layers = f"{self.folder}/home", f"{self.folder}/layers"
        for path in (f"{home}/mnt", *(f"{layers}/{name}" for name in ("lower", "upper", "work"))):
            os.makedirs(path)
        mount = f"overlay=[{home + '/mnt'!r}, {layers!r}]"
        need(can(mount), "a kernel with overlays for users")
        run = (
            f"import os, sys; from openloop.process.namespaces import enter; enter({mount});"
            f"os.chdir({self.project!r}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        )
        words = ["-m", "openloop", "judge", self.cases, "--jobs", "1"]
        self.write({"stdout": ""}, {"stdout": ""})
        done = subprocess.run(
            [sys.executable, "-c", run, *words, "--", "sh", "-c", 'true > "$HOME/new"; :'],
            env=environment(HOME=home, TMPDIR=self.temporary),
            capture_output=True,
            text=True,
            check=False,
        )
        effect = "stays" if os.path.exists(f"{home}/new") else "is refused"
        self.assertIn(f"what is written to {home} {effect}", done.stderr)
        self.assertEqual(1, done.stderr.count("note: "))
        self.assertIn("2 of 2 cases", done.stdout)

    def test_what_is_left_in_temporary_folders_does_not_pile_up_in_memory(self) -> None:
        leave = 'ls "$TMPDIR" | grep much; head -c 70000000 /dev/zero > "$TMPDIR/much"'
        self.write({"stdout": ""}, {"stdout": ""})
        self.enclosed(leave, "--jobs", "1")


class Ends(Judging):
    """Signals, dead judges, and readers that go away."""

    def test_signals_end_everything(self) -> None:
        self.assert_ended_by((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP,))
        self.assert_ended_by((signal.SIGINT, "--no-hide"), (signal.SIGKILL, "--no-hide"))

    def test_a_killed_judge_leaves_nothing_and_passes_nothing(self) -> None:
        self.assert_ended_by((signal.SIGKILL,))

    def test_the_next_judge_removes_the_files_that_a_killed_one_left(self) -> None:
        mine = [os.path.join(self.folder, name) for name in ("tmpabcdefgh", "tmpijklmnop", "tmp1")]
        for path in mine:
            os.mkdir(path, 0o700)
        os.chmod(mine[0], 0o1700)  # like that of a judge, but with something else in it
        os.mkdir(f"{mine[0]}/notes")
        before = set(os.listdir(self.folder))
        self.assert_ended_by((signal.SIGKILL,))
        left = set(os.listdir(self.folder)) - before - {"cases.jsonl"}
        self.assertEqual(1, len(left))
        self.write({"stdin": "say 1", "stdout": "1"})
        self.judge(exitcode=0)
        self.assertEqual(set(), left & set(os.listdir(self.folder)))
        self.assertTrue(all(map(os.path.isdir, [*mine, f"{mine[0]}/notes"])))

    def assert_ended_by(self, *ways: tuple[Any, ...]) -> None:
        """Start a judge for each (signal, option…), end all by their signals, and look for what
        is left."""
        self.write({"args": [], "stdout": "x", "timeout_seconds": 600})
        started = []
        for number, (signum, *options) in enumerate(ways):
            place = f"{self.notebook}-{number}"
            wait = f"trap '' TERM; : > {shlex.quote(place)}; while :; do sleep 1; done"
            words = ("judge", self.cases, *options, "--", "sh", "-c", wait)
            process = start_openloop(*words, cwd=self.folder, env=environment(TMPDIR=self.folder))
            self.addCleanup(process.kill)
            started.append((place, signum, process))
        for place, signum, process in started:
            wait_until(lambda place=place: os.path.exists(place))
            self.assertTrue(self.running())
            process.send_signal(signum)
        for place, signum, process in started:
            out, err = process.communicate(timeout=30)
            expected = -signum if signum == signal.SIGKILL else 128 + signum
            self.assertEqual(expected, process.returncode)
            self.assertNotIn("score", out)
            self.assertNotIn("Traceback", err)
            os.unlink(place)
        wait_until(lambda: not self.running(), patience=2.0)

    def test_the_judged_program_gains_nothing_from_ending_the_judge(self) -> None:
        self.write({"stdin": "kill judge", "stdout": "right"})
        self.assertEqual(-signal.SIGKILL, self.judge("--no-hide", exitcode=None).code)
        self.write({"stdin": "interrupt", "stdout": "right"})
        self.assertEqual(128 + signal.SIGTERM, self.judge("--no-hide", exitcode=None).code)
        self.write({"stdin": "kill guard", "stdout": "right"})
        self.assertIn("its guard was killed", self.judge("--no-hide").out)

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
    def test_mistakes_are_reported_at_once_and_nothing_is_started(self) -> None:
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
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        for words, part in (
            (("judge", self.cases), "COMMAND is missing"),
            (("judge", self.cases, "--"), "COMMAND is missing"),
            (("judge", self.cases, "true", "-x"), "arguments: true -x; write COMMAND behind --"),
            (("judge", self.cases, "--nope", "--", "true"), "arguments: --nope\n"),
            (("judge", self.cases, "--jobs", "0", "--", "true"), "whole number from 1"),
            (("judge", self.cases, "--", "no-such-program"), "no-such-program is neither"),
            (("judge", self.cases, "--", "./cases.jsonl"), "neither"),
            (("judge", self.folder, "--", "true"), "not a regular file"),
            (("judge", fifo, "--", "true"), "not a regular file"),
            (("judge", f"{self.cases}x", "--", "true"), "No such file"),
            (("judge", self.cases, "--junit", "no/such.xml", "--", "true"), "no/such.xml"),
            (("judge", self.cases, "--junit", ".", "--", "true"), "--junit"),
            (("judge", self.cases, "--junit", "", "--", "true"), "--junit names no file"),
        ):
            with self.subTest(words):
                out, err = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    self.assertEqual(2, dispatch(list(words)))
                self.assertIn(part, err.getvalue())
                self.assertRegex(err.getvalue(), r"  fix: |^usage: ")
                self.assertEqual("", out.getvalue())

    def test_words_behind_the_first_dashes_are_the_commands(self) -> None:
        self.write({"args": ["--", "--junit"], "stdout": "--jobs 3 -- x -- --junit"})
        self.judge(command=("echo", "--jobs", "3", "--", "x"), exitcode=0)


class Junit(Judging):
    def test_the_report_is_not_written_over_the_cases(self) -> None:
        self.write({"stdout": ""})
        os.symlink(self.cases, f"{self.cases}-link")
        before = self.read()
        for path in (self.cases, f"{self.cases}-link"):
            done = self.judge("--junit", path, command=("true",), exitcode=2)
            self.assertIn("is the file of cases", done.err)
            self.assertTrue(os.path.lexists(path))
        self.assertEqual(before, self.read())

    def test_the_report_takes_the_place_of_files_alone(self) -> None:
        """`--junit /dev/null` as root must leave the machine its /dev/null."""
        self.write({"stdout": ""})
        fifo, link = os.path.join(self.folder, "fifo"), os.path.join(self.folder, "link")
        os.mkfifo(fifo)
        os.symlink("/dev/null", link)
        for path in (fifo, link):
            before = os.lstat(path)
            done = self.judge("--junit", path, command=("true",), exitcode=2)
            self.assertIn(f"{path} is not a regular file", done.err)
            self.assertTrue(os.path.samestat(before, os.lstat(path)))

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
        self.judge("--junit", path, "--no-hide", exitcode=None)
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
        wrong = (
            {"stdin": "crash"},
            {"stdin": "bytes"},
            {"stdin": "say 1", "match": "json", "stdout": "2"},
            {"stdin": "say x", "match": "json"},
        )
        for lines in (wrong, wrong[:1]):
            self.write({"stdin": "say 2"}, *lines)
            before = self.read()
            done = self.judge("--record")
            self.assertEqual(len(lines), done.out.count("failed "))
            self.assertIn("nothing was recorded", done.out)
            self.assertEqual(before, self.read())

    def test_what_somebody_wrote_meanwhile_stays(self) -> None:
        self.write({"name": "new"})
        words = ("sh", "-c", f"echo '# a note' >> {shlex.quote(self.cases)}")
        done = self.judge("--record", "--no-hide", command=words)
        self.assertIn("nothing was recorded: the file was changed meanwhile", done.err)
        self.assertEqual('{"name": "new"}\n# a note\n', self.read())

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
