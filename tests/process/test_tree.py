"""Looks at processes and signals to them: which one is meant, which one lives."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import unittest
from collections.abc import Iterable

from openloop.process import run_marks, supervisor, tree
from support import Case, agent, lives, wait_until

MARK = 1 << 51 | secrets.randbits(50)


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

    def test_a_zombie_does_not_live(self) -> None:
        """Where nobody reaps, as under the PID 1 of many a container, they stay for ever."""
        sign = run_marks.mark_variable(MARK)
        child = subprocess.Popen(["true"], env={**os.environ, sign: "1"})
        self.addCleanup(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(tree.start_time(child.pid))
        self.assertNotIn(child.pid, tree.descendants(os.getpid()))
        self.assertEqual({}, supervisor.end_leftovers(MARK, 0.0))

    def test_threads_live_on_when_their_leader_is_dead(self) -> None:
        pid_file = f"{self.folder}/pid"
        child = self.child("/bin/sh", "-c", f"exec {agent('loses_leader', pid_file)}")
        wait_until(lambda: not lives(child.pid), "the leader to be dead")
        self.assertIn(child.pid, tree.descendants(os.getpid()))

    def test_all_are_stopped_before_the_first_is_killed(self) -> None:
        """Whoever runs on while others are killed could start something in their place."""
        children = [self.child("sleep", "60") for _ in range(2)]
        looks = []

        def find() -> tree.Processes:
            """The first one alone at the first look: the other one is new at the second."""
            if len(looks) == 2:  # what was sent has come through
                wait_until(lambda: set(states(children)) <= set("TZ"))
            shown = children[: len(looks) + 1]
            found = {child.pid: tree.start_time(child.pid) for child in shown}
            looks.append(states(children))
            return {pid: start for pid, start in found.items() if start is not None}

        self.assertEqual({}, tree.end(find, grace=0, pause=tree.sleep))
        self.assertEqual(("TT", "ZZ"), (looks[2], looks[-1]))


def states(children: Iterable[subprocess.Popen[bytes]]) -> str:
    found = ""
    for child in children:
        with open(f"/proc/{child.pid}/stat", encoding="utf-8") as file:
            found += file.read().rpartition(")")[2].split()[0]
    return found


if __name__ == "__main__":
    unittest.main()
