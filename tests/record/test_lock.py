"""One writer at a time: a live runner, then its guard, then the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from openloop.core.errors import HeldError, RecordError, UsageError
from openloop.record import lock, workspace
from openloop.record.lock import Lock, runner_lives
from openloop.record.workspace import EVENTS, Workspace
from support import Case, environment, lives, wait_until

HOLDER = """\
import os, sys, time
from openloop.record import workspace
from openloop.record.lock import Lock
held = Lock(workspace.at(sys.argv[1]), patience=5)
if "runner" in sys.argv:
    events = os.open(sys.argv[1] + "/events.jsonl", os.O_RDWR | os.O_CREAT, 0o644)
    held.take_record(events)
if "guard" in sys.argv:  # leaves a child that holds the folder as a guard does
    os.set_inheritable(held.folder, True)
    if os.fork():
        os._exit(0)
    os.close(events)
print(os.getpid(), flush=True)
time.sleep(60)
"""
RACER = """\
import os, sys, time
from openloop.record import workspace
from openloop.core.errors import HeldError
from openloop.record.lock import Lock
place = sys.argv[1]
for turn in range(30):
    try:
        held = Lock(workspace.at(place), patience=0)
    except HeldError:
        continue
    inside = os.open(place + "/inside", os.O_CREAT | os.O_EXCL)  # fails when another is in
    os.unlink(place + "/inside")
    os.close(inside)
    with open(place + "/turns", "a") as file:
        file.write("x")
    held.release()
"""


class LockCase(Case):
    """A test with a workspace folder and processes that hold it."""

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(self.folder, "ws")
        os.mkdir(self.path)
        self.place = workspace.at(self.path)

    def start(self, code: str, *words: str) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", code, self.path, *words],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert started.stdout
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        return started

    def holder(self, *words: str) -> int:
        """The PID of a process that holds the workspace by now."""
        started = self.start(HOLDER, *words)
        assert started.stdout
        pid = int(started.stdout.readline())
        self.addCleanup(end, pid)
        return pid

    def taken(self, patience: float = 0.0) -> Lock:
        found = Lock(self.place, patience=patience)
        self.addCleanup(found.release)
        return found


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid), f"PID {pid} to be gone")


class Holding(LockCase):
    """Two holders are impossible."""

    def test_free(self) -> None:
        self.taken()

    def test_not_twice_in_one_process(self) -> None:
        self.taken()
        with self.assertRaises(HeldError):
            Lock(self.place, patience=0)

    def test_free_again_after_release(self) -> None:
        Lock(self.place, patience=0).release()
        self.taken()

    def test_through_a_symlink_it_is_the_same_workspace(self) -> None:
        self.taken()
        os.symlink(self.path, os.path.join(self.folder, "link"))
        with self.assertRaises(HeldError):
            Lock(workspace.at(os.path.join(self.folder, "link")), patience=0)

    def test_a_refused_attempt_leaves_nothing_open(self) -> None:
        self.taken()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with self.assertRaises(HeldError):
                Lock(self.place, patience=0)
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))

    def test_it_writes_nothing(self) -> None:
        self.taken()
        self.assertEqual([], os.listdir(self.path))

    def test_many_processes_one_at_a_time(self) -> None:
        racers = [self.start(RACER) for _ in range(4)]
        self.assertEqual([0] * 4, [racer.wait(60) for racer in racers])
        self.assertTrue(os.path.getsize(os.path.join(self.path, "turns")))

    def test_a_workspace_that_is_gone(self) -> None:
        os.rmdir(self.path)
        with self.assertRaises(UsageError):
            Lock(self.place, patience=0)

    def test_a_workspace_that_is_no_folder(self) -> None:
        os.rmdir(self.path)
        os.mkfifo(self.path)
        with self.assertRaises(UsageError):
            Lock(self.place, patience=0)


class LiveRunner(LockCase):
    """While a runner lives, the next one is turned away at once."""

    def test_at_once_whatever_the_patience(self) -> None:
        self.holder("runner")
        began = time.monotonic()
        with self.assertRaises(HeldError):
            Lock(self.place, patience=60)
        self.assertLess(time.monotonic() - began, 20)

    def test_a_stopped_runner_is_alive(self) -> None:
        pid = self.holder("runner")
        os.kill(pid, signal.SIGSTOP)
        with self.assertRaises(HeldError):
            Lock(self.place, patience=60)

    def test_readers_see_it(self) -> None:
        self.assertFalse(runner_lives(self.place))
        pid = self.holder("runner")
        self.assertTrue(runner_lives(self.place))
        end(pid)
        self.taken()
        self.assertFalse(runner_lives(self.place))

    def test_a_reader_disturbs_nobody(self) -> None:
        """A look takes the lock for a moment; a runner that starts just then waits for it."""
        held = self.taken()
        for _ in range(50):
            events = os.open(os.path.join(self.path, EVENTS), os.O_RDWR | os.O_CREAT)
            reader = os.open(os.path.join(self.path, EVENTS), os.O_RDONLY)
            fcntl.flock(reader, fcntl.LOCK_SH)
            os.close(reader)
            held.take_record(events)
            self.assertTrue(runner_lives(self.place))
            os.close(events)

    def test_a_record_that_somebody_else_holds(self) -> None:
        held = self.taken()
        path = os.path.join(self.path, EVENTS)
        first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
        self.addCleanup(os.close, first)
        self.addCleanup(os.close, second)
        held.take_record(first)
        with self.assertRaises(HeldError):
            held.take_record(second)

    def test_no_record_no_runner(self) -> None:
        for plant in (os.mkdir, os.mkfifo):
            path = os.path.join(self.path, EVENTS)
            plant(path)
            self.assertFalse(runner_lives(self.place))
            (os.rmdir if plant is os.mkdir else os.unlink)(path)


class DeadRunner(LockCase):
    """A dead runner's lock is free; only its guard is waited for."""

    def test_released_on_death(self) -> None:
        end(self.holder("runner"))
        self.taken()

    def test_a_pid_in_a_file_means_nothing(self) -> None:
        with open(os.path.join(self.path, "heartbeat.json"), "w", encoding="utf-8") as file:
            file.write('{"status": "running", "runner_pid": 1}')
        self.taken()

    def test_its_guard_is_waited_for(self) -> None:
        guard = self.holder("runner", "guard")
        wait_until(lambda: not runner_lives(self.place), "the runner's death")
        killer = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.4; kill -9 {guard}"])
        self.addCleanup(killer.wait)
        began = time.monotonic()
        self.taken(patience=30)
        self.assertGreater(time.monotonic() - began, 0.2)

    def test_but_not_for_ever(self) -> None:
        self.holder("runner", "guard")
        wait_until(lambda: not runner_lives(self.place), "the runner's death")
        began = time.monotonic()
        with self.assertRaises(HeldError):
            Lock(self.place, patience=0.3)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)


class ReplacedFolder(LockCase):
    """The path must go on naming the folder that is locked."""

    def check(self, held: Lock) -> None:
        with self.assertRaises(RecordError) as caught:
            held.check()
        self.assertIn("was moved or replaced", caught.exception.what)

    def test_as_it_was(self) -> None:
        self.assertFalse(self.taken().check())

    def test_removed(self) -> None:
        """There is a new one then, locked and under the same descriptor."""
        held = self.taken()
        shutil.rmtree(self.path)
        self.assertTrue(held.check())
        self.assertEqual(os.stat(self.path).st_ino, os.fstat(held.folder).st_ino)
        self.assertFalse(held.check())
        with self.assertRaises(HeldError):
            Lock(self.place, patience=0)

    def test_removed_with_its_project(self) -> None:
        held = self.taken()
        shutil.rmtree(self.folder)
        self.check(held)
        self.assertFalse(os.path.lexists(self.folder))

    def test_moved(self) -> None:
        held = self.taken()
        os.rename(self.path, f"{self.path}.moved")
        self.check(held)

    def test_replaced(self) -> None:
        held = self.taken()
        os.rename(self.path, f"{self.path}.moved")
        os.mkdir(self.path)
        self.check(held)

    def test_replaced_by_a_file(self) -> None:
        held = self.taken()
        os.rename(self.path, f"{self.path}.moved")
        with open(self.path, "w", encoding="utf-8"):
            pass
        self.check(held)

    def test_replaced_by_a_link_to_another(self) -> None:
        held = self.taken()
        os.rename(self.path, f"{self.path}.moved")
        os.mkdir(f"{self.path}.other")
        os.symlink(f"{self.path}.other", self.path)
        self.check(held)

    def test_a_new_folder_at_the_path_is_not_locked_by_the_old_one(self) -> None:
        self.taken()
        os.rename(self.path, f"{self.path}.moved")
        os.mkdir(self.path)
        self.taken()


class WithoutLocks(unittest.TestCase):
    """What a file system without flock says reaches the user."""

    def test_the_error_is_reported(self) -> None:
        closed = os.open(os.devnull, os.O_RDONLY)
        os.close(closed)
        with self.assertRaises(UsageError) as caught:
            lock._try(closed, fcntl.LOCK_EX, Workspace("/ws", "ws"))
        self.assertIn("cannot be locked", caught.exception.what)


if __name__ == "__main__":
    unittest.main()
