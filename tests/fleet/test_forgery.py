"""Files of a fleet that somebody removed, forged or broke, and what is said about them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import unittest
from typing import Any

from fleet.fleets import LAUNCH, SAYS_SO, Place, names, running
from openloop.fleet import state
from openloop.fleet.launchers import launch
from openloop.fleet.launchers.calls import Calls
from support import Case, _end, lives, run_openloop, start_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

QUICK = {"total_rounds": 1, "commands": {"verify": SAYS_SO}}
WAITS = {
    "total_rounds": 1,
    "limits": {"kill_grace_seconds": 0.2},
    "commands": {"verify": f'{SAYS_SO}; until [ -e "$PWD/go" ]; do sleep 0.05; done'},
}
FORGES = """
cd "$OPENLOOP_WORKSPACE/../launch-1"
launch=$(sed 's/.*"launch": "\\([^"]*\\)".*/\\1/' order.json)
echo "{\\"launch\\": \\"$launch\\", \\"code\\": 0}" > end.json
sleep 1.5; exit 1
"""


class ForgedFiles(Case):
    def test_a_run_cannot_write_its_own_end(self) -> None:
        place = Place(self.folder, {"total_rounds": 1, "commands": {"verify": FORGES}})
        place.configure(tasks=names("a"))
        place.do("run", exitcode=1)
        self.assertEqual({"a": "exhausted"}, place.states())

    def test_an_end_file_without_an_exit_code_is_none(self) -> None:
        whole = {"launch": "x.a.1", "code": 0}
        self.assertTrue(state.is_end(whole, "x.a.1"))
        forged: tuple[dict[str, Any], ...] = (
            {"launch": "x.b.1"},
            {"code": "0"},
            {"code": None},
            {"code": True},
            {"code": 1e400},
            {"code": [0]},
        )
        for part in forged:
            with self.subTest(part):
                self.assertFalse(state.is_end({**whole, **part}, "x.a.1"))
        self.assertFalse(state.is_end({"launch": "x.a.1"}, "x.a.1"))

    def test_values_of_another_kind_in_an_end_file_count_as_absent(self) -> None:
        beats: tuple[object, ...] = (
            [1],
            "complete",
            {"reason": {"a": 1}, "round": "x", "usage": 5},
            {"usage": {"cost_usd": "much"}},
            {"usage": {"input_tokens": float("inf")}},
        )
        for beat in beats:
            with self.subTest(beat):
                fields = state.ending({"code": 1, "beat": beat, "seconds": "x"}, "last line")
                self.assertEqual("exhausted", fields["state"])
                self.assertEqual("exit code 1: last line", fields["reason"])
                self.assertEqual([None] * 3, [fields[k] for k in ("round", "usage", "seconds")])
        sound = {"reason": "why", "round": 3, "usage": {"cost_usd": 0.5, "input_tokens": 7}}
        fields = state.ending({"code": 1, "beat": sound, "seconds": 2}, "")
        self.assertEqual(
            ["why", 3, sound["usage"], 2],
            [fields[k] for k in ("reason", "round", "usage", "seconds")],
        )

    def test_one_claim_that_is_not_whole_hides_no_other_launch(self) -> None:
        asked = []
        for number, part in enumerate(
            ({}, {"boot": 1}, {"pid": "7"}, {"start": 0}, {"folder": "/"}, None)
        ):
            folder = os.path.join(self.folder, str(number))
            os.mkdir(folder)
            claim = {**launch.process_identity(os.getpid(), folder), **(part or {})}
            with open(os.path.join(folder, launch.CLAIM), "w", encoding="utf-8") as file:
                json.dump({"pid": 1} if part is None else claim, file)
            asked.append(f"launch-{number} {folder}\n")
        done = subprocess.run(
            [*LAUNCH, "alive"], input="".join(asked), text=True, capture_output=True, check=True
        )
        self.assertEqual(f"launch-0 {os.getpid()}\n", done.stdout)

    def test_cancel_where_the_folder_of_a_launch_was_removed(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a"))
        first = running(self, place)
        place.wait_for("task_running")
        pid = launch.pid_of(folder := place.file("fleet.fleet", "tasks", "a", "launch-1"))
        os.rename(folder, place.file("aside"))
        place.do("cancel")
        self.assertEqual(1, first.wait(30))
        self.assertEqual({"a": "cancelled"}, place.states())
        assert pid
        wait_until(lambda: not lives(pid), "the end of the launch")

    def test_a_copy_of_a_fleet_does_not_reach_the_tasks_of_the_first(self) -> None:
        place = Place(self.folder + "/first", WAITS, tasks=names("a"))
        first = running(self, place)
        place.wait_for("task_running")
        first.kill()
        first.wait()
        shutil.copytree(place.folder, self.folder + "/copy")
        copy = Place.__new__(Place)
        copy.folder = os.path.join(self.folder, "copy")
        copy.path = copy.file("fleet.json")
        copy.do("cancel")
        place.write("go", "")
        self.assertIn("1 complete", place.do("run").out)


class Record(Case):
    def test_a_removed_record_is_no_new_fleet(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a"))
        first = running(self, place)
        place.wait_for("task_running")
        first.kill()
        first.wait()
        record, aside = place.file("fleet.fleet", "events.jsonl"), place.file("aside")
        os.rename(record, aside)
        for empty in (False, True):
            if empty:
                open(record, "w").close()
            for action in ("run", "cancel", "retry", "report"):
                with self.subTest(action, empty=empty):
                    self.assertIn("record was removed", place.do(action, exitcode=3).err)
            self.assertIn("record was removed", place.do("status", exitcode=1).err)
        os.replace(aside, record)
        place.write("go", "")
        self.assertIn("1 complete", place.do("run").out)
        self.assertEqual(["a"], place.ran())

    def test_a_broken_line_is_named(self) -> None:
        place = Place(self.folder, QUICK, tasks=names("a"))
        place.do("run")
        record = place.file("fleet.fleet", "events.jsonl")
        lines = place.read("fleet.fleet/events.jsonl").splitlines()
        for number, line, why in (
            (3, "nothing", "it is not valid JSON"),
            (2, "[]", "it is no event of a fleet"),
            (4, lines[4], "lines are missing or moved"),
        ):
            with self.subTest(why):
                broken = [*lines[: number - 1], line, *lines[number:]]
                with open(record, "w", encoding="utf-8") as file:
                    file.write("\n".join(broken) + "\n")
                said = place.do("status", exitcode=1).err
                self.assertIn(f"not intact: line {number}: {why}", said)
                self.assertIn("not intact: line ", place.do("run", exitcode=3).err)

    def test_a_record_that_is_no_file(self) -> None:
        place = Place(self.folder, QUICK, tasks=names("a"))
        os.makedirs(place.file("fleet.fleet", "events.jsonl"))
        done = place.do("run", exitcode=5)
        self.assertIn("is not a regular file", done.err)
        self.assertIn("move the folder away", done.err)


class Arguments(Case):
    def test_cancel_while_the_configuration_is_broken(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a"))
        first = running(self, place)
        place.wait_for("task_running")
        whole = place.read("openloop.json")
        place.write("openloop.json", "{}")
        place.do("cancel")
        self.assertEqual(1, first.wait(30))
        self.assertEqual({"a": "cancelled"}, place.states())
        place.write("openloop.json", whole)

    def test_a_command_that_hangs_is_ended_and_named(self) -> None:
        calls = Calls(patience=0.2)
        calls.start("poll", "echo trying >&2; sleep 60")
        ((_, answer),) = wait_until(lambda: list(calls.finished()), "the end of the command")
        self.assertEqual((-9, "no answer within 0.2 s"), (answer.code, answer.why))

    def test_cancel_says_what_it_waits_for(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a"))
        first = running(self, place)
        place.wait_for("task_running")
        first.send_signal(signal.SIGSTOP)
        cancelling = start_openloop("fleet", "cancel", place.path)
        self.addCleanup(_end, cancelling)
        assert cancelling.stderr
        self.assertIn(
            f"waiting for the coordinator, process {first.pid}", cancelling.stderr.readline()
        )
        first.send_signal(signal.SIGCONT)
        self.assertEqual(0, cancelling.wait(30))

    def test_explain_knows_the_bound_of_the_command_line(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a", "b", "c"))
        running(self, place, "--max-parallel", "1")
        place.wait_for("task_running")
        self.assertIn("1 task runs, and max_parallel is 1", place.do("explain", "b").out)

    def test_nothing_to_retry_while_a_coordinator_lives(self) -> None:
        place = Place(self.folder, WAITS, tasks=names("a"))
        running(self, place)
        place.wait_for("task_running")
        self.assertIn("nothing to retry", place.do("retry").out)

    def test_a_link_to_a_fleet_is_the_same_fleet(self) -> None:
        place = Place(os.path.join(self.folder, "real"), QUICK, tasks=names("a"))
        link = os.path.join(self.folder, "link.json")
        os.symlink(place.path, link)
        run_openloop("fleet", "run", link)
        self.assertEqual({"a": "complete"}, place.states())
        place.do("run")
        self.assertEqual(["a"], place.ran())

    def test_a_file_that_cannot_be_used_says_what_to_do(self) -> None:
        place = Place(self.folder, QUICK, tasks=names("a"))
        output = place.file("missing", "report")
        self.assertIn("fix: ", place.do("report", "--output", output, exitcode=2).err)
        os.unlink(place.path)
        os.mkfifo(place.path)
        self.assertIn("fix: ", place.do("run", exitcode=2).err)

    def test_poll_asks_about_all_launches(self) -> None:
        words = {"submit": "s {start}", "poll": "p {launch} {host} {alive}", "cancel": "c"}
        place = Place(self.folder, QUICK, tasks=names("a"), launcher=words)
        done = place.do("run", exitcode=2)
        self.assertIn("launcher.poll holds {launch}, but it asks about all", done.err)
        self.assertEqual(1, done.err.count("error: "))


if __name__ == "__main__":
    unittest.main()
