"""Looks at processes and signals to them: which one is meant, which one lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest

from openloop import process, tree
from support import Case, agent, environment, lives, wait_until

MARK = 1 << 50 | 4711
MARKED = f"""
import subprocess
from openloop import tree
tree.set_mark({MARK})
child = subprocess.Popen(["sleep", "60"])
print(child.pid, *tree.marked({MARK}))
child.kill()
"""


class Processes(Case):
    def child(self, *words: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def test_another_process_that_got_the_pid_is_not_signalled(self) -> None:
        child = self.child("sleep", "60")
        start = tree.start_time(child.pid)
        assert start is not None
        tree.send(child.pid, start - 1, signal.SIGKILL)
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(0.2)
        tree.send(child.pid, start, signal.SIGKILL)
        self.assertEqual(-signal.SIGKILL, child.wait(30))

    def test_a_process_that_carries_the_mark_does_not_find_itself(self) -> None:
        """An agent may have killed its runner and started the next one."""
        words = [sys.executable, "-c", MARKED]
        out = subprocess.run(words, env=environment(), capture_output=True, check=True).stdout
        child, *found = map(int, out.split())
        self.assertEqual([child], found)

    def test_a_zombie_does_not_live(self) -> None:
        """Where nobody reaps, as under the PID 1 of many a container, they stay for ever."""
        sign = tree.sign(MARK)
        child = subprocess.Popen(["true"], env={**os.environ, sign: "1"})
        self.addCleanup(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(tree.start_time(child.pid))
        self.assertNotIn(child.pid, tree.descendants(os.getpid()))
        self.assertEqual({}, process.end_leftovers(MARK, 0.0))

    def test_threads_live_on_when_their_leader_is_dead(self) -> None:
        pid_file = f"{self.folder}/pid"
        child = self.child("/bin/sh", "-c", f"exec {agent('loses_leader', pid_file)}")
        wait_until(lambda: not lives(child.pid), "the leader to be dead")
        self.assertIn(child.pid, tree.descendants(os.getpid()))


if __name__ == "__main__":
    unittest.main()
