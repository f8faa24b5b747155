"""`openloop fleet` with real loops on this machine: run, kill, adopt, cancel, retry, explain."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
import unittest

from fleet.fleets import LAUNCH, SAYS_SO, Engine, Place, eager, names, running
from openloop.fleet.launchers import launch
from support import Case, environment, lives, recomputed_head, run_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

QUICK = {"total_rounds": 1, "commands": {"verify": SAYS_SO}}
GATED = {  # says so and waits for a file of its name
    "total_rounds": 1,
    "limits": {"kill_grace_seconds": 0.2},
    "commands": {
        "verify": f'{SAYS_SO}; name=$(basename "$(dirname "$OPENLOOP_WORKSPACE")"); '
        'until [ -e "$PWD/go-$name" ] || [ -e "$PWD/go" ]; do sleep 0.05; done'
    },
}


COUNTS_OPENS = """
import os, sys
from openloop.cli import main
path, opened = sys.argv[1], []
def note(event, arguments):
    if event == "open" and arguments[0] == path:
        opened.append(path)
sys.addaudithook(note)
main(sys.argv[2:])
print(len(opened))
"""


class Runs(Case):
    def place(self, config: object = None, **fleet: object) -> Place:
        return Place(self.folder, QUICK if config is None else config, **fleet)  # type: ignore[arg-type]

    def test_from_the_first_look_to_the_reports(self) -> None:
        place = self.place(tasks=names("a", "b", "c"), max_parallel=2)
        self.assertEqual({"waiting": 3}, place.do("status", "--json").json["counts"])
        self.assertIn("not started", place.do("status").out)
        done = place.do("run", "--json")
        self.assertEqual(place.events, [json.loads(line) for line in done.out.splitlines()])
        self.assertEqual(["a", "b", "c"], sorted(place.ran()))
        self.assert_chained(place)
        again = place.do("run")  # nothing is left to do, and nothing is done
        self.assertIn("3 complete", again.out)
        self.assertEqual(3, len(place.ran()))
        document = place.do("report", "--format", "json").json
        self.assertEqual({"complete": 3}, document["counts"])
        task = document["tasks"][0]
        self.assertLessEqual({"name", "state", "workspace", "round", "reason", "usage"}, set(task))
        self.assertEqual(("complete", 1), (task["state"], task["round"]))
        self.assertEqual(document["tasks"], place.do("status", "--json").json["tasks"])
        run_openloop("audit", task["workspace"])  # an ordinary workspace
        self.assertIn("| a | complete |", place.do("report", "--format", "md").out)
        self.assertIn("<td>complete</td>", place.do("report").out)
        junit = place.do("report", "--format", "junit").out
        self.assertEqual(3, junit.count('<testcase name="verify"'))
        self.assertIn('<testsuite id="0" name="a"', junit)

    def test_the_record_is_read_once(self) -> None:
        place = self.place(tasks=names("a"))
        place.do("run")
        record = place.file("fleet.fleet/events.jsonl")
        done = subprocess.run(
            [sys.executable, "-c", COUNTS_OPENS, record, "fleet", "run", place.path],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual("1", done.stdout.splitlines()[-1], done.stdout)

    def test_a_wrong_file_leaves_no_folder(self) -> None:
        place = self.place(tasks=names("a"), max_parallel=0)
        place.do("run", exitcode=2)
        self.assertFalse(os.path.exists(place.state))

    def assert_chained(self, place: Place) -> None:
        class Record:
            def file(self, name: str) -> str:
                return os.path.join(place.state, name)

        recomputed_head(Record())  # type: ignore[arg-type]

    def test_not_all_complete_and_retry(self) -> None:
        place = self.place(
            tasks=[*names("a"), {"name": "b", "set": {"commands.verify": f"{SAYS_SO}; test -e ok"}}]
        )
        done = place.do("run", exitcode=1)
        self.assertIn("person    exhausted b", done.out)
        self.assertEqual({"a": "complete", "b": "exhausted"}, place.states())
        explained = place.do("explain", "b").out
        self.assertIn("b: exhausted", explained)
        self.assertIn("openloop fleet retry", explained)
        place.write("ok", "")
        place.do("retry")
        self.assertEqual({"a": "complete", "b": "complete"}, place.states())
        self.assertEqual(["a", "b", "b"], sorted(place.ran()))  # only what failed

    def test_a_task_that_the_file_no_longer_lists(self) -> None:
        failing = {"set": {"commands.verify": f"{SAYS_SO}; false"}}
        place = self.place(tasks=names("a", "b", **failing))
        place.do("run", exitcode=1)
        place.configure(tasks=names("b", **failing))
        self.assertEqual({"b": "exhausted"}, place.states())
        self.assertIn("no longer lists a", place.do("retry", "a", exitcode=2).err)
        place.do("retry", exitcode=1)
        self.assertEqual(["a", "b", "b"], sorted(place.ran()))
        place.do("cancel", "a")
        place.configure(tasks=names("a", "b", "c", **failing))
        self.assertIn("exhausted", place.do("explain", "a").out)
        place.do("run", exitcode=1)
        self.assertEqual(["a", "b", "b", "c"], sorted(place.ran()))

    def test_a_run_that_cannot_start_is_blocked_with_its_reason(self) -> None:
        os.mkdir(os.path.join(self.folder, "gone"))
        place = self.place(
            tasks=[
                {"name": "a", "set": {"commands.verify": "rmdir gone"}},
                {"name": "b", "project_root": "gone"},
            ],
            max_parallel=1,
        )
        place.do("run", exitcode=1)
        self.assertEqual({"a": "complete", "b": "blocked"}, place.states())
        reason = place.events_of("task_ended")[1]["reason"]
        self.assertIn("could not be started: error: project root", reason)

    def test_own_workspaces(self) -> None:
        one = self.workspace("one", commands={"verify": "true"})
        place = self.place(
            tasks=[{"name": "a", "workspace": one.path}, {"name": "b", "workspace": one.path}]
        )
        done = place.do("run")
        self.assertIn("share the workspace", done.err)
        self.assertEqual(2, one.heartbeat["run"])  # one after the other
        self.assertEqual("complete", one.heartbeat["status"])

    def test_usage(self) -> None:
        place = self.place(tasks=names("parser"))
        self.assertIn("the nearest is parser", place.do("explain", "prser", exitcode=2).err)
        self.assertIn("is for status", place.do("run", "--watch", exitcode=2).err)
        self.assertIn("is about one task", place.do("explain", exitcode=2).err)
        self.assertIn("no worktrees", place.do("land", exitcode=2).err)


class Coordinators(Case):
    """One at a time, and none that takes anything along."""

    def setUp(self) -> None:
        super().setUp()
        self.place = Place(
            self.folder,
            GATED,
            tasks=names("a", "b", "c"),
            max_parallel=2,
            launcher=eager("local", grace_seconds=0.5, stop_seconds=0.5),
        )

    def test_a_second_one_is_refused(self) -> None:
        running(self, self.place)
        self.place.wait_for("task_running", 2)
        before = self.place.read("fleet.fleet/events.jsonl")
        done = self.place.do("run", exitcode=4)
        self.assertIn("a live coordinator holds", done.err)
        self.assertEqual(before, self.place.read("fleet.fleet/events.jsonl"))
        self.place.do("land", exitcode=2)

    def test_killed_and_adopted(self) -> None:
        first = running(self, self.place)
        self.place.wait_for("task_running", 2)
        first.kill()
        first.wait()
        self.assertEqual(
            {"a": "running", "b": "running", "c": "waiting"}, self.place.states()
        )  # works without a coordinator
        self.assertIn("no coordinator lives", self.place.do("status").out)
        self.place.write("go", "")
        self.place.do("run")
        self.assertEqual(["a", "b", "c"], sorted(self.place.ran()))  # none twice
        self.assertEqual(2, len(self.place.events_of("fleet_started")))

    def test_interrupted_it_leaves_what_runs(self) -> None:
        for number, (signum, code) in enumerate(((signal.SIGINT, 130), (signal.SIGTERM, 143)), 1):
            first = running(self, self.place)
            self.place.wait_for("fleet_started", number)
            self.place.wait_for("task_running", 2)
            first.send_signal(signum)
            _, err = first.communicate(timeout=20)
            self.assertEqual(code, first.returncode)
            self.assertIn("2 tasks still running", err)
        wait_until(lambda: sorted(self.place.ran()) == ["a", "b"])

    def test_the_file_is_changed_meanwhile(self) -> None:
        first = running(self, self.place)
        self.place.wait_for("task_running", 2)
        launcher = self.place.fleet["launcher"]
        self.place.configure(tasks=names("a", "b", "d"), launcher=launcher)
        self.assertIn("was changed after the live coordinator", self.place.do("explain", "d").out)
        self.place.write("go", "")
        self.assertEqual(0, first.wait(30))
        self.place.do("run")
        self.assertEqual(["a", "b", "c", "d"], sorted(self.place.ran()))

    def test_its_terminal_is_closed(self) -> None:
        terminal, screen = pty.openpty()
        first = running(self, self.place, stdout=screen, stderr=screen)
        os.close(screen)
        self.place.wait_for("task_running", 2)
        os.close(terminal)
        first.send_signal(signal.SIGHUP)
        self.assertEqual(129, first.wait(20))
        wait_until(lambda: sorted(self.place.ran()) == ["a", "b"])

    def test_cancel_with_a_coordinator(self) -> None:
        first = running(self, self.place)
        self.place.wait_for("task_running", 2)
        wait_until(lambda: len(self.place.ran()) == 2)
        done = self.place.do("cancel", "a", "c")
        self.assertIn("2 cancelled", done.out)
        self.place.write("go", "")
        _, _ = first.communicate(timeout=20)
        self.assertEqual(1, first.returncode)
        self.assertEqual({"a": "cancelled", "b": "complete", "c": "cancelled"}, self.place.states())
        self.assertEqual(["a", "b"], sorted(self.place.ran()))

    def test_cancel_without_one_leaves_nothing_running(self) -> None:
        first = running(self, self.place)
        self.place.wait_for("task_running", 2)
        first.kill()
        first.wait()
        pids = [self.claim(name)["pid"] for name in "ab"]
        self.place.do("cancel")
        self.assertEqual(
            {"a": "cancelled", "b": "cancelled", "c": "cancelled"}, self.place.states()
        )
        self.assertEqual([], [pid for pid in pids if lives(pid)])
        self.place.do("run", exitcode=1)  # cancelled stays cancelled
        self.place.write("go", "")
        self.place.do("retry", "c", exitcode=1)
        self.assertEqual("complete", self.place.states()["c"])

    def claim(self, name: str, number: int = 1) -> dict[str, int]:
        path = self.place.file("fleet.fleet", "tasks", name, f"launch-{number}", "claim")
        with open(path, encoding="utf-8") as file:
            found: dict[str, int] = json.load(file)
        return found

    def test_a_killed_run_is_crashed_and_a_killed_launch_is_lost(self) -> None:
        first = running(self, self.place)
        self.place.wait_for("task_running", 2)
        beats = [self.place.file("fleet.fleet/tasks", n, "workspace/heartbeat.json") for n in "ab"]
        wait_until(lambda: all(map(os.path.exists, beats)))
        wait_until(lambda: len(self.place.ran()) == 2)
        runners = []
        for path in beats:
            with open(path, encoding="utf-8") as file:
                runners.append(json.load(file)["runner_pid"])
        os.kill(self.claim("b")["pid"], signal.SIGKILL)
        os.kill(runners[1], signal.SIGKILL)
        os.kill(runners[0], signal.SIGKILL)
        self.place.wait_for("task_ended", 2)
        self.place.write("go", "")
        first.communicate(timeout=30)
        self.assertEqual({"a": "crashed", "b": "lost", "c": "complete"}, self.place.states())
        self.assertIn("without an end file", self.place.do("explain", "b").out)
        self.place.do("retry")
        self.assertEqual({"complete"}, set(self.place.states().values()))

    def test_a_launch_and_its_run_can_be_told_apart(self) -> None:
        running(self, self.place)
        wait_until(lambda: sorted(self.place.ran()) == ["a", "b"])
        folder = self.place.file("fleet.fleet/tasks/a/launch-1")
        pid, runner = launch.pid_of(folder), launch.pid_of(folder, launch.RUN)
        assert pid and runner
        workspace = self.place.file("fleet.fleet/tasks/a/workspace")
        self.assertEqual(["start", folder], command_line(pid)[-2:])
        self.assertEqual(["openloop", "run", workspace, "--quiet"], command_line(runner))

    def test_what_a_dead_launch_left_can_be_cancelled(self) -> None:
        self.place.configure(tasks=names("a"), launcher=self.place.fleet["launcher"])
        first = running(self, self.place)
        self.place.wait_for("task_running")
        wait_until(lambda: self.place.ran() == ["a"])
        folder = self.place.file("fleet.fleet/tasks/a/launch-1")
        runner = launch.pid_of(folder, launch.RUN)
        assert runner
        os.kill(self.claim("a")["pid"], signal.SIGKILL)
        self.place.do("cancel")
        self.assertEqual({"a": "cancelled"}, self.place.states())
        self.assertFalse(lives(runner))
        self.assertEqual(1, first.wait(20))

    def test_a_launch_that_dies_alone_is_alive_while_its_run_is(self) -> None:
        self.place.configure(tasks=names("a"), launcher=self.place.fleet["launcher"])
        first = running(self, self.place)
        self.place.wait_for("task_running")
        wait_until(lambda: self.place.ran() == ["a"])
        os.kill(self.claim("a")["pid"], signal.SIGKILL)
        time.sleep(1.5)  # longer than two polls and the grace: it must not be called lost
        self.assertEqual({"a": "running"}, self.place.states())
        self.place.write("go", "")
        first.communicate(timeout=30)
        (end,) = self.place.events_of("task_ended")
        self.assertEqual("lost", end["state"])
        self.assertIn("its workspace says complete", end["reason"])


class Engines(Case):
    """With an engine that is a file: lost answers, outages, twins, late files."""

    def fleet(self, *tasks: str, **more: object) -> Place:
        self.engine = Engine(os.path.join(self.folder, "engine"), **more)
        return Place(
            os.path.join(self.folder, "f"),
            QUICK,
            tasks=names(*tasks),
            launcher=self.engine.launcher,
        )

    def test_submitted_begun_and_ended(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        self.assertEqual("7", place.events_of("task_submitted")[0]["job"])
        self.assertEqual({"a": "submitted"}, place.states())
        self.assertIn("has not begun it yet", place.do("explain", "a").out)
        self.engine.begin().wait()
        self.assertEqual(0, first.wait(20))
        self.assertEqual(["a"], place.ran())

    def test_a_lost_answer_is_looked_up(self) -> None:
        place = self.fleet("a")
        self.engine.set("lose-answer")
        first = running(self, place)
        place.wait_for("engine_reached")
        place.wait_for("task_submitted")
        self.assertTrue(place.events_of("task_submitted")[0]["adopted"])
        self.assertEqual(1, len(self.engine.queue))
        self.engine.begin().wait()
        self.assertEqual(0, first.wait(20))
        self.assertEqual(["a"], place.ran())

    def test_an_outage_is_no_end(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        self.engine.set("down")
        place.wait_for("engine_unreachable")
        time.sleep(1)  # twice the grace
        self.assertEqual({"a": "unknown"}, place.states())
        explained = place.do("explain", "a").out
        self.assertIn("cannot be asked", explained)
        self.assertIn("openloop fleet cancel", explained)
        self.engine.begin().wait()  # its end is seen all the same
        self.assertEqual(0, first.wait(20))

    def test_a_twin_finds_the_claim_made(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        twins = [self.engine.begin() for _ in range(4)]
        self.assertEqual([0] * 4, [twin.wait(20) for twin in twins])
        self.assertEqual(0, first.wait(20))
        self.assertEqual(["a"], place.ran())

    def test_a_forgotten_launch_is_fenced_off_and_started_again(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        lost = self.engine.queue[0][1]
        self.engine.forget()
        place.wait_for("task_released")
        wait_until(lambda: self.engine.queue)
        self.engine.begin().wait()
        self.assertEqual(0, first.wait(20))
        late = run_late(lost)  # it comes back after all
        self.assertEqual(0, late)
        self.assertEqual(["a"], place.ran())

    def test_never_begun_is_lost_at_last(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        for number in range(1, 4):
            place.wait_for("task_submitted", number)
            self.engine.forget()
        self.assertEqual(1, first.wait(30))
        (end,) = place.events_of("task_ended")
        self.assertEqual("lost", end["state"])
        self.assertIn("3 launches", end["reason"])

    def test_refused_three_times_a_person_is_asked(self) -> None:
        place = self.fleet("a")
        self.engine.set("refuse")
        first = running(self, place)
        self.assertEqual(1, first.wait(30))
        self.assertEqual({"a": "blocked"}, place.states())
        self.assertIn("bad partition", place.do("explain", "a").out)
        self.engine.set("refuse", False)
        self.assertEqual(3, len(place.events_of("task_refused")))

    def test_an_end_file_that_appears_late_counts(self) -> None:
        place = self.fleet("a", grace_seconds=5)
        first = running(self, place)
        place.wait_for("task_submitted")
        folder = self.engine.queue[0][1]
        self.engine.begin().wait()
        # as a file system that shows late what another host has written
        os.rename(os.path.join(folder, "end.json"), os.path.join(folder, "hidden"))
        if first.poll() is None and not place.events_of("task_ended"):
            self.engine.forget()
            time.sleep(0.7)
            os.rename(os.path.join(folder, "hidden"), os.path.join(folder, "end.json"))
        self.assertEqual(0, first.wait(20))
        self.assertEqual({"a": "complete"}, place.states())

    def test_an_end_file_of_another_launch_is_none(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        with open(os.path.join(self.engine.queue[0][1], "end.json"), "w", encoding="utf-8") as file:
            json.dump({"launch": "somebody.else.1", "code": 0}, file)
        time.sleep(0.5)
        self.assertEqual([], place.events_of("task_ended"))
        self.engine.begin().wait()
        self.assertEqual(0, first.wait(20))

    def test_a_run_that_cannot_be_started_is_crashed(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        folder = self.engine.queue[0][1]
        os.mkdir(os.path.join(folder, "log"))
        launched = self.engine.begin(stderr=subprocess.PIPE)
        self.assertIn(b"the run cannot be started: [Errno 21]", launched.communicate()[1])
        self.assertEqual(1, first.wait(20))
        (end,) = place.events_of("task_ended")
        self.assertEqual(("crashed", 127), (end["state"], end["code"]))

    def test_cancel_what_has_not_begun(self) -> None:
        place = self.fleet("a")
        first = running(self, place)
        place.wait_for("task_submitted")
        folder = self.engine.queue[0][1]
        place.do("cancel")
        self.assertEqual(1, first.wait(20))
        self.assertEqual(0, run_late(folder))
        self.assertEqual([], place.ran())
        wait_until(lambda: os.path.exists(self.engine.file("cancelled")))


class Launch(Case):
    def test_an_order_that_somebody_wrote_over(self) -> None:
        with open(os.path.join(self.folder, "order.json"), "w", encoding="utf-8") as file:
            file.write('{"launch": "a"}')
        words = [*LAUNCH, "run", self.folder]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        self.assertEqual(1, done.returncode)
        self.assertEqual(f"{self.folder}/order.json lacks cwd, workspace\n", done.stderr)
        self.assertEqual(["order.json"], os.listdir(self.folder))


def command_line(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().rstrip("\0").split("\0")


def run_late(folder: str) -> int:
    return subprocess.run([*LAUNCH, "run", folder], check=False).returncode


if __name__ == "__main__":
    unittest.main()
