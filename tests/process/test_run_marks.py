"""The mark by which the next run finds what a killed one left."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import unittest

from openloop.process import run_marks
from support import Case, agent, environment, lives, read_pid, wait_until

MARK = 1 << 51 | secrets.randbits(50)
CARRIED = f"""
import subprocess
from openloop.process import run_marks
child = subprocess.Popen(["sleep", "60"])
print(child.pid, *run_marks.marked_processes({MARK}))
child.kill()
"""
END = "from openloop.process.supervisor import end_leftovers; print(end_leftovers({}, 0.0))"


class Marks(Case):
    def output(self, program: str, **env: str) -> str:
        words = [sys.executable, "-c", program]
        done = subprocess.run(
            words, env=environment(**env), capture_output=True, text=True, check=False
        )
        self.assertEqual("", done.stderr)
        return done.stdout.strip()

    def test_a_process_that_carries_the_mark_does_not_find_itself(self) -> None:
        """An agent may have killed its runner and started the next one."""
        child, *found = self.output(CARRIED, **{run_marks.mark_variable(MARK): "1"}).split()
        self.assertEqual([child], found)

    def test_either_sign_is_enough(self) -> None:
        carry = (
            f"import os; from openloop.process import run_marks; run_marks.set_mark({MARK}, {{}});"
        )
        look = f"from openloop.process import run_marks; print(*run_marks.marked_processes({MARK}))"
        for sign, program, env in (
            ("limit", f"{carry} os.execve('/bin/sleep', ['sleep', '60'], {{}})", {}),
            ("variable", "import time; time.sleep(60)", {run_marks.mark_variable(MARK): "1"}),
        ):
            with self.subTest(sign):
                words = [sys.executable, "-c", program]
                child = subprocess.Popen(words, env=environment(**env))
                self.addCleanup(child.wait)
                self.addCleanup(child.kill)
                wait_until(lambda pid=child.pid: self.output(look) == str(pid))
                child.kill()
                child.wait()

    def test_a_run_within_a_run_gets_a_smaller_mark(self) -> None:
        carry = "from openloop.process import run_marks as m; outer = m.new_mark();"
        carry += " m.set_mark(outer, {});"
        self.assertEqual("True", self.output(f"{carry} print(m.new_mark() < outer)"))

    def test_a_run_within_a_run_hides_no_mark(self) -> None:
        """Its commands carry both: either run may have to find them."""
        place = self.workspace(commands={"verify": "env | grep -c ^OPENLOOP_MARK_ | grep -x 2"})
        place.run(env=environment(**{run_marks.mark_variable(MARK): "1"}))

    def test_a_copy_of_the_workspace_of_a_live_run_ends_nothing_of_that_run(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("sleeps", pid_file)})
        runner = self.started(place)
        command = wait_until(lambda: read_pid(pid_file))
        [opened] = place.events_of("run_started")
        self.assertIn(command, _carrying(opened["mark"]))
        self.assertEqual("{}", self.output(END.format(opened["mark"])))
        self.assertTrue(lives(command))
        self.assertIsNone(runner.poll())


def _carrying(mark: int) -> list[int]:
    """Every process in whose environment the mark stands."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if run_marks.mark_variable(mark).encode() in file.read():
                    found.append(int(name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    unittest.main()
