"""Exit codes: what a script may branch on, and the status that each of them leaves."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import unittest
from collections.abc import Callable

from support import SRC, Case, Done, Workspace, environment, run_openloop, snapshot, start_openloop

ERROR = r"\Aerror: .+"
MENDABLE = r"(?m)\Aerror: .+(\n  in: .+)?\n  fix: .+"


class RunCode(Case):
    """`run`: 0 complete, 1 exhausted, 3 blocked, each with its status."""

    def ends(self, place: Workspace, code: int, status: str) -> Done:
        done = place.run(exitcode=code)
        beat = place.heartbeat
        self.assertEqual(beat["status"], status)
        self.assertTrue(done.out.startswith(f"{status}: {beat['reason']}\n"), done.out)
        return done

    def test_complete(self) -> None:
        self.ends(self.workspace(commands={"verify": "true"}), 0, "complete")

    def test_exhausted_by_rounds(self) -> None:
        place = self.workspace(total_rounds=2, commands={"verify": "false"})
        self.ends(place, 1, "exhausted")
        self.assertEqual(len(place.events_of("round_finished")), 2)

    def test_exhausted_by_time(self) -> None:
        place = self.workspace(
            total_rounds=1000,
            commands={"verify": "sleep 0.1; false"},
            limits={"max_runtime_seconds": 0.3, "max_consecutive_failures": 1000},
        )
        self.ends(place, 1, "exhausted")
        self.assertIn("max_runtime_seconds", place.heartbeat["reason"])
        self.assertLess(len(place.events_of("round_finished")), 6)

    def test_blocked_by_the_breaker(self) -> None:
        place = self.workspace(
            total_rounds=9, commands={"verify": "false"}, limits={"max_consecutive_failures": 2}
        )
        self.ends(place, 3, "blocked")
        self.assertEqual(len(place.events_of("round_finished")), 2)
        self.assertEqual(len(place.events_of("breaker_tripped")), 1)


def powerless() -> None:
    """Permissions count for root as well, from the next program on."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def full() -> None:
    """No file takes another byte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class OutOfReach(Case):
    """Permissions and full disks are reported as such, and an intact record is left alone."""

    def output_of(self, code: int, *words: str, before: Callable[[], None] = powerless) -> str:
        program = start_openloop(*words, cwd=self.folder, preexec_fn=before)
        out, err = program.communicate()
        self.assertEqual(code, program.returncode, err)
        self.assertNotIn("OpenLoop failed", err)
        return str(out + err)

    def closed(self, path: str) -> None:
        self.addCleanup(os.chmod, path, os.stat(path).st_mode)
        os.chmod(path, 0)

    def test_init_on_a_full_disk(self) -> None:
        output = self.output_of(2, "init", "w x", before=full)
        self.assertIn("error: w x cannot be written: File too large\n  fix: make room", output)
        run_openloop("init", "w x", "--force", cwd=self.folder)

    def test_init_where_nothing_can_be_written(self) -> None:
        made = self.workspace(commands={"verify": "true"})
        self.addCleanup(os.chmod, made.path, 0o755)
        os.chmod(made.path, 0o555)
        self.assertIn("ws cannot be written: Perm", self.output_of(2, "init", "--force", made.path))

    def test_a_record_that_cannot_be_read_is_not_set_aside(self) -> None:
        made = self.workspace(commands={"verify": "true"})
        made.run()
        self.closed(made.file("events.jsonl"))
        for code, *words in ((2, "init", "--force"), (1, "doctor"), (1, "status")):
            with self.subTest(words):
                output = self.output_of(code, *words, made.path)
                self.assertIn("events.jsonl cannot be read: Permission denied\n", output)
                self.assertIn("fix: make it readable", output)
                self.assertNotIn("a new record", output)
        self.assertFalse([name for name in os.listdir(made.path) if "broken" in name])

    def test_a_closed_workspace_is_not_taken_for_none(self) -> None:
        made = self.workspace(commands={"verify": "true"})
        self.closed(made.path)
        for code, command in ((2, "run"), (1, "status")):
            self.assertIn(
                "cannot be accessed: Permission", self.output_of(code, command, made.path)
            )

    def test_what_is_protected_and_cannot_be_read(self) -> None:
        for key in ("protect", "withhold"):
            with self.subTest(key):
                how = {"commands": {"verify": "true"}, "policy": {key: ["shut/**"]}}
                made = self.workspace(key, **how)
                os.mkdir(made.project_file("shut"))
                self.closed(made.project_file("shut"))
                for code, command in ((1, "doctor"), (2, "run")):
                    output = self.output_of(code, command, made.path)
                    self.assertIn("shut is protected and cannot be read\n", output)

    def test_a_proposed_command_can_be_pasted(self) -> None:
        self.assertIn("openloop init 'w x'\n", self.output_of(2, "run", "w x"))
        self.assertIn("openloop doctor 'w x'\n", self.output_of(0, "init", "w x"))
        self.assertIn("openloop init --force 'w x'\n", self.output_of(2, "init", "w x"))


class NothingStarted(Case):
    """Exit code 2: what is wrong, where, how to fix it; no byte has changed."""

    def refused(self, place: Workspace, *expected: str) -> None:
        before = snapshot(place.folder)
        done = place.run(exitcode=2)
        self.assertRegex(done.err, MENDABLE)
        for words in expected:
            self.assertIn(words, done.err)
        self.assertEqual(done.out, "")
        self.assertEqual(snapshot(place.folder), before)

    def used(self) -> Workspace:
        """A workspace with a history that a refusal could spoil."""
        place = self.workspace(total_rounds=1, commands={"verify": "false"})
        place.run(exitcode=1)
        return place

    def test_bad_configuration(self) -> None:
        place = self.used()
        place.configure({"commands": {"verify": "true"}, "total_rounds": "three"})
        self.refused(place, "total_rounds", '"three"', place.file("openloop.json"))
        self.assertEqual(place.heartbeat["status"], "exhausted")

    def test_every_problem_of_a_configuration_at_once(self) -> None:
        place = self.used()
        place.configure(
            {
                "comands": {},
                "commands": {"verify": "cat <<'X'\n{last_error}\nX\n"},
                "limits": {"stall_timeout_seconds": "5m", "kill_grace_seconds": -1},
                "baseline": {"command": "true", "regex": "(", "value": True},
            }
        )
        self.refused(
            place,
            "comands",
            "commands.verify",
            "limits.stall_timeout_seconds",
            '"5m"',
            "limits.kill_grace_seconds",
            "baseline.regex",
            "baseline.value",
        )

    def test_an_unknown_key_names_the_nearest_known_one(self) -> None:
        place = self.workspace(commands={"verify": "true"}, total_round=3)
        self.refused(place, "total_round ", "total_rounds")

    def test_verify_is_required(self) -> None:
        self.refused(self.workspace(commands={"play": "true"}), "verify")

    def test_project_root_missing(self) -> None:
        place = self.workspace(commands={"verify": "true"}, project_root="nowhere")
        self.refused(place, "project root", os.path.join(place.folder, "nowhere"))

    def test_no_such_workspace(self) -> None:
        place = os.path.join(self.folder, "none")
        done = run_openloop("run", place, exitcode=2)
        self.assertRegex(done.err, MENDABLE)
        self.assertIn(f"openloop init {place}", done.err)

    def test_the_code_is_the_same_where_standard_error_takes_nothing(self) -> None:
        words = [sys.executable, "-m", "openloop", "run", os.path.join(self.folder, "no")]
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run(words, env=environment(), stderr=full, check=False)
        self.assertEqual(done.returncode, 2)

    def test_init_where_there_is_no_folder_for_it(self) -> None:
        for place, fault in (("/dev/null/x", "/dev/null is not a folder"), ("none/x", "none does")):
            with self.subTest(place):
                done = run_openloop("init", place, cwd=self.folder, exitcode=2)
                self.assertIn(fault, done.err)
        self.assertFalse(os.path.exists(place))

    def test_workspace_is_a_file(self) -> None:
        path = os.path.join(self.folder, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        self.assertRegex(run_openloop("run", path, exitcode=2).err, ERROR)

    def test_no_configuration_in_the_folder(self) -> None:
        before = snapshot(self.folder)
        self.assertIn("openloop.json", run_openloop("run", self.folder, exitcode=2).err)
        self.assertEqual(snapshot(self.folder), before)

    def test_bad_usage(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        before = snapshot(place.folder)
        for words in (
            (),
            ("nonsense",),
            ("run",),
            ("run", place.path, "--nonsense"),
            ("run", place.path, "--max", "1"),
            ("run", place.path, "--max-rounds", "0"),
            ("run", place.path, "--max-rounds", "-1"),
            ("run", place.path, "--max-rounds", "1.5"),
            ("run", place.path, "--json", "--quiet"),
            ("status", place.path, "--json", "--watch"),
            ("doctor", place.path, place.path),
        ):
            with self.subTest(words=words):
                done = run_openloop(*words, exitcode=2)
                self.assertEqual(done.out, "")
                self.assertIn("usage: ", done.err)
        self.assertEqual(snapshot(place.folder), before)


class OtherCommands(Case):
    """`doctor`, `status` and `audit` say with a number whether things are well."""

    def test_on_a_sound_workspace(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        for command in ("doctor", "status", "audit"):
            with self.subTest(command):
                done = run_openloop(command, place.path, exitcode=0)
                self.assertNotEqual(done.out, "")
                self.assertEqual(done.err, "")
                self.assertIsInstance(run_openloop(command, place.path, "--json").json, dict)

    def test_on_a_bad_configuration(self) -> None:
        place = self.workspace(commands={})
        for command in ("doctor", "status"):
            with self.subTest(command):
                self.assertIn("verify", run_openloop(command, place.path, exitcode=1).out)
                document = run_openloop(command, place.path, "--json", exitcode=1).json
                self.assertIn("verify", json.dumps(document))

    def test_where_there_is_no_workspace(self) -> None:
        nowhere = os.path.join(self.folder, "none")
        for command, code in (("doctor", 2), ("status", 1), ("audit", 2)):
            with self.subTest(command):
                done = run_openloop(command, nowhere, exitcode=code)
                self.assertRegex(done.err, MENDABLE)
                self.assertEqual(done.out, "")

    def test_version_and_help(self) -> None:
        version = run_openloop("--version")
        self.assertRegex(version.out, r"\Aopenloop \d+\.\d+\S*\n\Z")
        self.assertEqual(run_openloop("-V").out, version.out)
        text = run_openloop("--help").out
        for command in ("init", "doctor", "run", "status", "audit"):
            self.assertIn(command, text)
            its = run_openloop(command, "--help").out
            self.assertIn("WORKSPACE", its)
            self.assertEqual(run_openloop("help", command).out, its)

    def test_straight_from_a_checkout(self) -> None:
        relative = os.path.relpath(SRC, self.folder)
        env = environment(PYTHONPATH=relative)
        self.assertEqual(run_openloop("--version", cwd=self.folder, env=env).err, "")


if __name__ == "__main__":
    unittest.main()
