"""The marks by which the next run knows what a killed one left."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import sys
import unittest

from openloop.process import run_marks, tree
from support import (
    Case,
    agent,
    environment,
    lives,
    need,
    ordinary,
    read_pid,
    run_openloop,
    wait_until,
)

MARK = 1 << 51 | secrets.randbits(50)
LOCKS = 10  # RLIMIT_LOCKS
CARRIED = f"""
import subprocess
from openloop.process import run_marks as marks
marks.seal({MARK})
child = subprocess.Popen(["sleep", "60"])
print(child.pid, *marks.carriers({MARK}))
child.kill()
"""
NESTED = f"""
from openloop.process import run_marks as marks
marks.seal({MARK})
inner = marks.draw()
marks.seal(inner)
print(inner < {MARK}, marks.own() == inner)
"""
STRAYS = f"""
import os, resource, time
from openloop.process import run_marks as marks; from openloop.process import tree

def fork(body):
    if (pid := os.fork()) == 0:
        body()
        os._exit(0)
    return pid

def keeper():
    marks.announce({MARK})
    fork(guard)
    time.sleep(60)

def guard():
    marks.seal({MARK})
    os.setsid()
    resource.setrlimit({LOCKS}, (4711, 4711))
    try:
        resource.setrlimit({LOCKS}, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        os.write(ready[1], b"%d\\n" % os.getpid())
    os.execve("/bin/sleep", ["sleep", "60"], {{}})

tree.become_subreaper()
resource.setrlimit({LOCKS}, (1000, resource.RLIM_INFINITY))  # as a person may, who keeps nothing
ready = os.pipe()
above = fork(keeper)
left = int(os.read(ready[0], 100))
kept = left not in marks.strays()
os.kill(above, 9)
os.waitpid(above, 0)
# What an agent can do to init, too, when that is of its user.
resource.prlimit(os.getpid(), {LOCKS}, ({MARK}, resource.RLIM_INFINITY))
found = marks.strays()
ended = not tree.start_time(left)  # by another run on this machine
print("kept" if kept else "taken", "found" if left in found or ended else "missed", len(found))
if tree.start_time(left):
    os.kill(left, 9)
"""
LIMITED = f"""
import os, resource
from openloop.process import run_marks as marks

def fork(body):
    if (pid := os.fork()) == 0:
        body()
        os.write(told[1], b"x")
        os.execvp("sleep", ["sleep", "60"])
    return pid

def person():
    resource.setrlimit({LOCKS}, (1000, 1000))

def guard_of_a_limited_runner():
    person()
    marks.announce({MARK})
    marks.seal({MARK})

told = os.pipe()
children = [fork(person), fork(guard_of_a_limited_runner)]
for child in children:
    os.read(told[0], 1)
print(len(marks.strays().keys() & set(children)))
for child in children:
    os.kill(child, 9)
"""
LOST = f"""
import os, signal, sys, time
from openloop.process import run_marks as marks
marks.announce({MARK})
if (pid := os.fork()) == 0:
    signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1], "w").close())
    marks.seal({MARK})  # from now on another run on this machine may end it
    os.dup2(2, 1)  # whoever reads the number waits for the end of the file
    while True:
        time.sleep(0.02)
print(pid)
"""
ROOT = ["unshare", "--user", "--map-root-user"]  # every capability, as far as /proc says
UNLIMITED = (
    "import os, sys; from openloop.process import run_marks; run_marks.lift(); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
END = "from openloop.process.supervisor import end_leftovers; print(end_leftovers({}, {}))"


class Marks(Case):
    def told(self, program: str, *before: str) -> list[str]:
        words = [*before, sys.executable, "-c", program]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        self.assertEqual("", done.stderr)
        return done.stdout.split("\n")[:-1]

    def test_a_process_that_carries_the_mark_does_not_find_itself(self) -> None:
        """An agent may have killed its runner and started the next one."""
        self.keep()
        child, *found = self.told(CARRIED)[0].split()
        self.assertEqual([child], found)

    def test_a_run_within_a_run_carries_a_mark_of_its_own(self) -> None:
        self.keep()
        self.assertEqual(["True True"], self.told(NESTED))

    def test_what_has_lost_every_sign_is_found_by_its_seal_when_its_keeper_is_dead(self) -> None:
        need(resource.getrlimit(LOCKS)[1] == resource.RLIM_INFINITY, "an unlimited parent")
        unlimited = [sys.executable, "-c", UNLIMITED]
        said = self.told(STRAYS, *unlimited, *ordinary())[0].split()
        self.assertEqual(["kept", "found"], said[:2])

    def test_a_limit_that_a_person_has_set_makes_no_stray(self) -> None:
        """By `ulimit -x` in one shell, whose runs live, while another one has no limit."""
        need(resource.getrlimit(LOCKS)[1] == resource.RLIM_INFINITY, "an unlimited parent")
        unlimited = [sys.executable, "-c", UNLIMITED]
        self.assertEqual(["0"], self.told(LIMITED, *unlimited, *ordinary()))

    def test_doctor_tells_of_such_a_limit(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        words = "file locks are limited"
        self.assertNotIn(words, run_openloop("doctor", place.path).out)
        limited = "import os, resource, sys; resource.setrlimit({}, (1000, 1000));"
        limited += "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        before = [sys.executable, "-c", limited.format(LOCKS)]
        self.assertIn(words, run_openloop("doctor", place.path, before=before).out)

    def test_a_copy_of_the_workspace_of_a_live_run_ends_nothing_of_that_run(self) -> None:
        need(resource.getrlimit(LOCKS)[1] == resource.RLIM_INFINITY, "an unlimited parent")
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("sleeps", pid_file)})
        runner = self.started(place)
        command = wait_until(lambda: read_pid(pid_file))
        [opened] = place.events_of("run_started")
        self.assertEqual(["{}"], self.told(END.format(opened["mark"], 0.0), *ordinary()))
        self.assertTrue(lives(command))
        self.assertIsNone(runner.poll())

    def test_a_guard_whose_runner_died_just_now_is_given_the_time_to_end(self) -> None:
        """Another run may begin in that very moment, and the record is not put back yet."""
        runner, guard, command = self.guarded()
        os.kill(guard, signal.SIGSTOP)
        runner.kill()
        runner.wait()
        self.assert_waits(self.ending(0.0), guard, command)

    def test_so_is_one_whose_runner_dies_while_other_things_are_ended(self) -> None:
        runner, guard, command = self.guarded()
        asked = f"{self.folder}/asked"
        words = [*ordinary(), sys.executable, "-c", LOST, asked]
        lost = int(subprocess.check_output(words, env=environment(), stderr=subprocess.DEVNULL))
        other = self.ending(1.0)
        wait_until(lambda: os.path.exists(asked))
        os.kill(guard, signal.SIGSTOP)
        runner.kill()
        runner.wait()
        wait_until(lambda: not lives(lost))
        self.assert_waits(other, guard, command)

    def guarded(self) -> tuple[subprocess.Popen[str], int, int]:
        """The runner of a live run, its guard, and the command that this one guards."""
        need(resource.getrlimit(LOCKS)[1] == resource.RLIM_INFINITY, "an unlimited parent")
        run_marks.lift()  # whoever adopts the guard, as these tests may, is not its keeper
        pid_file = f"{self.folder}/pid"
        place = self.workspace(commands={"verify": agent("sleeps", pid_file)})
        runner = self.started(place)
        command = wait_until(lambda: read_pid(pid_file))
        [(guard, start)] = [(pid, s) for pid, above, s in tree.alive() if above == runner.pid]
        self.addCleanup(tree.send, guard, start, signal.SIGCONT)
        return runner, guard, command

    def ending(self, grace: float) -> subprocess.Popen[str]:
        """The part of another run's start that ends what is left. grace: seconds."""
        words = [*ordinary(), sys.executable, "-c", END.format(None, grace)]
        return subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)

    def assert_waits(self, other: subprocess.Popen[str], guard: int, command: int) -> None:
        with self.assertRaises(subprocess.TimeoutExpired):
            other.communicate(timeout=0.5)
        self.assertTrue(lives(command))
        os.kill(guard, signal.SIGCONT)
        self.assertEqual("{}\n", other.communicate(timeout=30)[0])
        self.assert_gone(command)

    def test_nobody_is_taken_for_a_stray_by_one_who_may_lift_limits(self) -> None:
        """A service whose limit its administrator has set is not a process of a run."""
        works = subprocess.run([*ROOT, "true"], capture_output=True, check=False).returncode == 0
        need(works, "a user namespace")
        unlimited = [sys.executable, "-c", UNLIMITED]
        said = self.told(STRAYS, *unlimited, *ROOT)[0].split()
        self.assertEqual(["kept", "0"], [said[0], said[2]])


if __name__ == "__main__":
    unittest.main()
