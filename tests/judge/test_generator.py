"""`openloop judge --fresh`: cases that a trusted command makes from a seed."""

from __future__ import annotations

import json
import os
import signal
import unittest
from typing import Any

from judge.test_judge import need_enclosure
from support import Case, Done, environment, run_openloop, start_openloop, wait_until

MAKE = """
import json, os, random
draw = random.Random(os.environ["OPENLOOP_SEED"])
for _ in range(5):
    a, b = draw.randrange(1000), draw.randrange(1000)
    print(json.dumps({"stdin": f"{a} {b}", "stdout": str(a + b)}))
"""
ADD = 'read a b; echo $((a + b)); echo "$a $b" >> inputs'
LINE = {"generate": "python3 make.py"}


class Fresh(Case):
    def setUp(self) -> None:
        super().setUp()
        self.holdout = os.path.join(self.folder, "holdout")
        self.project = os.path.join(self.folder, "project")
        for folder in (self.holdout, self.project):
            os.mkdir(folder)
        self.write(LINE)
        self.make(MAKE)

    def write(self, *lines: Any) -> None:
        with open(f"{self.holdout}/cases.jsonl", "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)

    def make(self, program: str) -> None:
        with open(f"{self.holdout}/make.py", "w", encoding="utf-8") as file:
            file.write(program)

    def words(self, script: str, *words: str) -> list[str]:
        return ["judge", f"{self.holdout}/cases.jsonl", *words, "--", "/bin/sh", "-c", script]

    def judge(self, *words: str, script: str = ADD, exitcode: int = 0, **env: str) -> Done:
        how = {"exitcode": exitcode, "env": environment(**env), "cwd": self.project}
        return run_openloop(*self.words(script, *words), **how)

    def inputs(self) -> list[str]:
        path = f"{self.project}/inputs"
        with open(path, encoding="utf-8") as file:
            found = sorted(file)
        os.unlink(path)
        return found

    def test_the_seed_decides(self) -> None:
        self.assertIn("5 of 5 cases", self.judge("--fresh", "--seed", "7").out)
        first = self.inputs()
        self.judge("--fresh", OPENLOOP_ROUND="7")
        self.assertEqual(first, self.inputs())
        self.judge("--fresh", "--seed", "8", OPENLOOP_ROUND="7")
        self.assertNotEqual(first, self.inputs())
        done = self.judge("--fresh")
        self.assertIn("cases are made from seed ", done.err)

    def test_a_program_that_answers_recorded_inputs_alone_fails_in_the_next_round(self) -> None:
        self.judge("--fresh", OPENLOOP_ROUND="1")
        recorded = {line.strip(): sum(map(int, line.split())) for line in self.inputs()}
        answers = "".join(f"'{given}') echo {answer} ;; " for given, answer in recorded.items())
        script = f"read line; case $line in {answers} *) echo 0 ;; esac"
        self.judge("--fresh", script=script, OPENLOOP_ROUND="1")
        done = self.judge("--fresh", script=script, exitcode=1, OPENLOOP_ROUND="2")
        self.assertIn("0 of 5 cases", done.out)

    def test_beside_fixed_cases_in_order(self) -> None:
        self.write({"name": "zero", "stdin": "0 0", "stdout": "0"}, LINE, {"stdout": "0"})
        names = [line[10:].split("  ")[0] for line in self.judge("--fresh").out.splitlines()[:-2]]
        self.assertEqual(["zero", *(f"case 2.{n}" for n in range(1, 6)), "case 3"], names)

    def test_the_generator_is_not_to_be_seen(self) -> None:
        need_enclosure()
        look = f'{ADD}; ls -A "{self.holdout}" >&2'
        self.make(MAKE.replace("str(a + b)", 'str(a + b), "stderr": ""'))
        self.judge("--fresh", script=look)

    def test_what_it_leaves_behind_is_ended(self) -> None:
        self.make(f"{MAKE}\nimport os\nif os.fork() == 0:\n    os.setsid()\n    os.close(1)\n"
                  "    import time; time.sleep(600)\n")  # fmt: skip
        self.judge("--fresh")
        self.assertEqual([], self.making())

    def making(self) -> list[str]:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.path.samefile(f"/proc/{pid}/cwd", self.holdout):
                    found.append(pid)
            except OSError:
                continue
        return found

    def test_failures(self) -> None:
        for program, words in (
            ("import sys; sys.exit('no luck')", "the generator ended with 1: no luck"),
            ("", "printed no cases"),
            ("print(1)", "output of "),
            ('print(\'{"generate": "x"}\')', "printed no cases"),
            ('print(\'{"name": "a", "stdout": "0"}\\n\' * 2)', "stands in line 1 too"),
            ("import time; time.sleep(60)", "ran longer than 1 s"),
        ):
            with self.subTest(program):
                self.write({**LINE, "timeout_seconds": 1})
                self.make(program)
                done = run_openloop(*self.words(ADD, "--fresh"), exitcode=None, cwd=self.project)
                self.assertIn(words, done.err)
                self.assertIn(done.code, (1, 2))
                self.assertNotIn("score", done.out)

    def test_options_that_do_not_go_together(self) -> None:
        for words, error in (
            ((), "add --fresh"),
            (("--seed", "1"), "add --fresh"),
            (("--fresh", "--record"), "exclude each other"),
        ):
            self.assertIn(error, self.judge(*words, exitcode=2).err)
        self.write({"stdout": "0"})
        self.assertIn("CASES makes no cases", self.judge("--fresh", exitcode=2).err)
        self.assertIn("without --fresh", self.judge("--seed", "1", exitcode=2).err)
        self.write({"generate": "true", "stdout": "0", "timeout_seconds": -1})
        err = self.judge("--fresh", exitcode=2).err
        self.assertIn("stdout", err)
        self.assertIn("timeout_seconds", err)

    def test_a_signal_ends_it(self) -> None:
        self.make("import time; time.sleep(600)")
        self.write({**LINE, "timeout_seconds": 600})
        words = self.words(ADD, "--fresh")
        process = start_openloop(*words, cwd=self.project)
        self.addCleanup(process.communicate)
        wait_until(self.making)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(143, process.wait(30))
        self.assertEqual([], self.making())


if __name__ == "__main__":
    unittest.main()
