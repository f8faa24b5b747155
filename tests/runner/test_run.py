"""Runs: a whole mission, budgets, hooks, and what a command or the disk may do to the record."""

from __future__ import annotations

import functools
import json
import os
import resource
import stat
import subprocess
import sys
import unittest
from typing import Any

from openloop.record import workspace
from openloop.record.lock import runner_lives
from support import (
    Case,
    Workspace,
    agent,
    by_round,
    environment,
    lives,
    own_mounts,
    read_pid,
    recomputed_head,
    run_openloop,
    snapshot,
    start_openloop,
    wait_until,
)

SLOW = True  # left out by scripts/run_tests.sh --quick

PATIENT = {"max_consecutive_failures": 1000}


class Missions(Case):
    """A whole mission through the real program."""

    def test_every_step_of_the_figure(self) -> None:
        place = self.workspace(
            mission="Make it whole.",
            total_rounds=9,
            commands={
                "play": "test -e fixed",
                "scan": "true",
                "fix": "touch fixed",
                "verify": "test -e fixed",
                "improve": "touch improved",
            },
            baseline={
                "command": "if test -e improved; then echo score=9; else echo score=1; fi",
                "regex": "score=([0-9]+)",
                "value": 5,
            },
        )
        done = place.run()
        self.assertEqual(
            place.steps(),
            [
                (1, "play", "failed"),
                (1, "scan", "passed"),
                (1, "fix", "passed"),
                (1, "verify", "passed"),
                (1, "baseline", "failed"),
                (2, "play", "passed"),
                (2, "scan", "passed"),
                (2, "verify", "passed"),
                (2, "baseline", "failed"),
                (2, "improve", "passed"),
                (3, "play", "passed"),
                (3, "scan", "passed"),
                (3, "verify", "passed"),
                (3, "baseline", "passed"),
            ],
        )
        self.assertIn("complete: every gate passed", done.out)
        self.assertIn(recomputed_head(place), done.out)
        place.audit()

    def test_a_command_finds_its_own_step_in_the_heartbeat(self) -> None:
        copy = 'cat "$OPENLOOP_WORKSPACE/heartbeat.json" > $OPENLOOP_WORKSPACE/output/'
        place = self.workspace(
            commands={"play": copy + "play", "verify": copy + "verify"},
            hooks={"complete": copy + "hook"},
        )
        words = f"{agent('late_heartbeats')} run {place.path}"  # none comes after the start
        done = subprocess.run(words, shell=True, env=environment(), check=False)
        self.assertEqual(done.returncode, 0)
        for name, step in (("play", "play"), ("verify", "verify"), ("hook", None)):
            beat = json.loads(place.read(f"output/{name}"))
            self.assertEqual((beat["step"], beat["command"]), (step, copy + name))
            self.assertIn(name, beat["log_path"])

    def test_a_run_needs_nothing_but_its_configuration(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        self.assertEqual(os.listdir(place.path), ["openloop.json"])
        place.run()
        names = {"openloop.json", "events.jsonl", "heartbeat.json", "progress.md"}
        folders = {"logs", "artifacts", "attachments", "knowledge", "output"}
        self.assertEqual(set(os.listdir(place.path)), names | folders)

    def test_a_misspelt_placeholder_is_reported_before_the_first_round(self) -> None:
        fix = {"run": "touch fixed", "fallback": {"run": "agent {prompt}"}}
        commands = {"scan": "echo {rnd}; test -e fixed", "verify": "echo {promptfile}", "fix": fix}
        place = self.workspace(commands=commands)
        warnings = [
            "warning: commands.fix: {prompt} is left as it stands: did you mean {prompt_file}?",
            "warning: commands.verify: {promptfile} is left as it stands: did you mean "
            "{prompt_file}?",
        ]
        done = place.run()
        self.assertEqual(warnings, done.err.splitlines()[:2])
        self.assertEqual("", place.run("--quiet").err)

    def test_another_loop_on_the_same_project_is_reported(self) -> None:
        home = os.path.join(self.folder, ".openloop")
        os.makedirs(os.path.join(self.folder, "packages", "a"))

        def made(name: str, verify: str, root: str = ".") -> str:
            path = os.path.join(home, name)
            os.makedirs(path)
            config = {"version": 1, "project_root": root, "commands": {"verify": verify}}
            with open(os.path.join(path, "openloop.json"), "w", encoding="utf-8") as file:
                json.dump(config, file)
            return path

        for name, root in (("same", "."), ("part", "packages/a"), ("elsewhere", "/usr/lib")):
            path = made(name, "sleep 60", root)
            process = start_openloop("run", path)
            self.addCleanup(process.communicate)
            self.addCleanup(process.terminate)
            wait_until(functools.partial(runner_lives, workspace.at(path)))
        mine = made("mine", "true")
        shown = [line for line in run_openloop("run", mine).err.splitlines() if "warning" in line]
        words = "works on the same project now: each loop may undo what the other changes"
        expected = [f"{home}/{name} {words}" for name in ("part", "same")]
        self.assertEqual([f"warning: {each}" for each in expected], shown)
        found = run_openloop("doctor", mine, "--json").json["findings"]
        self.assertEqual(expected, [one["what"] for one in found if words in one["what"]])

    def test_the_demo_of_a_workspace_made_by_init(self) -> None:
        project = os.path.join(self.folder, "project")
        os.mkdir(project)
        path = os.path.join(project, ".openloop", "demo")
        run_openloop("init", path, "--project-root", project, "--mission", "Keep it.")
        with open(os.path.join(path, "openloop.json"), "w", encoding="utf-8") as file:
            file.write('{"version": 1, "commands": {"verify": "pwd"}}')
        run_openloop("run", path)
        with open(os.path.join(path, "logs", "round-0001-verify.log"), encoding="utf-8") as file:
            self.assertEqual(file.read(), f"{project}\n")


class Budget(Case):
    """Rounds: `total_rounds` a run, lowered by `--max-rounds`, numbered through all runs."""

    def failing(self, total_rounds: int) -> Workspace:
        return self.workspace(
            total_rounds=total_rounds, commands={"verify": "false"}, limits=PATIENT
        )

    def rounds(self, place: Workspace) -> list[tuple[int, int]]:
        return [(e["run"], e["round"]) for e in place.events_of("round_finished")]

    def test_max_rounds_lowers_the_budget(self) -> None:
        place = self.failing(3)
        place.run("--max-rounds", "2", exitcode=1)
        self.assertEqual(self.rounds(place), [(1, 1), (1, 2)])
        self.assertEqual(place.heartbeat["total_rounds"], 2)

    def test_max_rounds_does_not_raise_the_budget(self) -> None:
        place = self.failing(2)
        place.run("--max-rounds", "5", exitcode=1)
        self.assertEqual(self.rounds(place), [(1, 1), (1, 2)])

    def test_a_new_run_has_its_own_budget_and_numbers_go_on(self) -> None:
        place = self.failing(2)
        place.run(exitcode=1)
        before = snapshot(place.path)
        place.run(exitcode=1)
        self.assertEqual(self.rounds(place), [(1, 1), (1, 2), (2, 3), (2, 4)])
        after = snapshot(place.path)
        kept = [name for name in before if name.startswith(("logs/", "artifacts/"))]
        self.assertEqual([before[name] for name in kept], [after[name] for name in kept])
        self.assertEqual([e["resumed"] for e in place.events_of("run_started")], [False, False])
        self.assertEqual([e["run"] for e in place.events_of("run_started")], [1, 2])

    def test_a_complete_mission_is_measured_again_by_a_new_run(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": "test ! -e broken"})
        place.run()
        with open(place.project_file("broken"), "w", encoding="utf-8"):
            pass
        place.run(exitcode=1)
        self.assertEqual(self.rounds(place), [(1, 1), (2, 2)])


class Hooks(Case):
    """Hooks run after the record is written; a hook that fails changes nothing."""

    TELL = 'echo "$OPENLOOP_STEP $OPENLOOP_ROUND"'

    def hooked(self, **config: Any) -> Workspace:
        kinds = ("round", "complete", "blocked", "exhausted")
        limits = {"kill_grace_seconds": 0.2, "max_consecutive_failures": 2}
        hooks = dict.fromkeys(kinds, f"{self.TELL} >> told")
        return self.workspace(**{"limits": limits, "hooks": hooks, **config})

    def hook_calls(self, place: Workspace) -> list[str]:
        with open(place.project_file("told"), encoding="utf-8") as file:
            return file.read().splitlines()

    def test_round_and_complete(self) -> None:
        place = self.hooked(commands={"verify": by_round("false", "true")})
        place.run()
        self.assertEqual(self.hook_calls(place), ["round 1", "round 2", "complete 2"])

    def test_blocked(self) -> None:
        place = self.hooked(commands={"verify": "false"})
        place.run(exitcode=3)
        self.assertEqual(self.hook_calls(place), ["round 1", "round 2", "blocked 2"])

    def test_exhausted(self) -> None:
        place = self.hooked(commands={"verify": "false"}, total_rounds=1)
        place.run(exitcode=1)
        self.assertEqual(self.hook_calls(place), ["round 1", "exhausted 1"])

    def test_the_record_is_written_before(self) -> None:
        place = self.hooked(
            commands={"verify": "true"},
            hooks={
                "round": "cp -r {workspace} at_round",
                "complete": "cp -r {workspace} at_complete",
            },
        )
        place.run()
        at_round = Workspace(self.folder, {})
        at_round.path = place.project_file("at_round")
        self.assertEqual(at_round.events[-1]["event"], "round_finished")
        self.assertEqual(at_round.artifact(1), place.artifact(1))
        at_complete = Workspace(self.folder, {})
        at_complete.path = place.project_file("at_complete")
        self.assertEqual(at_complete.events[-1]["event"], "run_finished")
        self.assertEqual(at_complete.heartbeat["status"], "complete")

    def test_a_failure_is_noted_and_changes_nothing_else(self) -> None:
        place = self.hooked(
            commands={"verify": "true"},
            hooks={
                "round": "echo no such luck; exit 7",
                "complete": {"run": "sleep 60", "timeout_seconds": 0.3},
            },
        )
        place.run(exitcode=0)
        self.assertEqual(place.heartbeat["status"], "complete")
        notes = place.events_of("note")
        self.assertEqual(len(notes), 2)
        for note, words in zip(notes, (("round", "7"), ("complete", "timeout")), strict=True):
            for word in words:
                self.assertIn(word, note["text"])
        self.assertEqual(place.read("logs/round-0001-hook-round.log"), "no such luck\n")
        self.assertEqual(place.artifact(1)["outcome"], "healthy")
        place.audit()

    def test_what_a_hook_started_is_ended_with_it(self) -> None:
        pid_file = f"{self.folder}/pid"
        place = self.hooked(
            commands={"verify": "true"}, hooks={"complete": agent("daemonizes", pid_file)}
        )
        place.run()
        pid = read_pid(pid_file)
        assert pid is not None
        self.assert_gone(pid)

    def test_a_hook_that_edits_the_configuration_blocks(self) -> None:
        place = self.hooked(
            commands={"verify": "true"}, hooks={"round": "echo >> {workspace}/openloop.json"}
        )
        place.run(exitcode=3)
        self.assertEqual(place.heartbeat["status"], "blocked")
        self.assertIn("openloop.json", place.heartbeat["reason"])

    def test_a_run_that_is_over_stays_what_it_was_and_the_configuration_comes_back(self) -> None:
        place = self.hooked(
            commands={"verify": "true"}, hooks={"complete": "echo >> {workspace}/openloop.json"}
        )
        before = place.read("openloop.json")
        place.run()
        self.assertEqual(place.heartbeat["status"], "complete")
        self.assertEqual(place.read("openloop.json"), before)
        self.assertIn("openloop.json", place.events[-1]["text"])
        place.run()


class Tampering(Case):
    """A command that lays hands on the configuration or the record ends the run `blocked`."""

    EDITS = (
        ("edited", """cp "$F" t; sed 's/verify/Verify/' t > "$F" """),
        ("edited unseen", 'cp -p "$F" t; echo " " >> "$F"; touch -r t "$F"'),
        ("cut", 'truncate -s -9 "$F"'),
        ("removed", 'rm "$F"'),
        ("replaced", 'cp "$F" t; echo " " >> t; mv t "$F"'),
        ("symlink", 'mv "$F" t; ln -s "$PWD/t" "$F"'),
        ("fifo", 'rm "$F"; mkfifo "$F"'),
    )

    def tampered(self, name: str, script: str) -> Workspace:
        """A workspace after a run whose fix did that to one of its files."""
        place = self.workspace(
            script,
            total_rounds=5,
            commands={
                "play": "test -e t1",
                "fix": f'touch t1; F="$OPENLOOP_WORKSPACE/{name}"; {script}',
                "verify": "true",
            },
        )
        done = place.run(exitcode=3, timeout=20)
        self.assertEqual(place.heartbeat["status"], "blocked")
        self.assertIn(name, place.heartbeat["reason"])
        self.assertIn(name, done.out)
        return place

    def assert_regular(self, path: str) -> None:
        self.assertTrue(os.path.lexists(path), f"{path} is gone")
        self.assertTrue(stat.S_ISREG(os.lstat(path).st_mode), f"{path} is no regular file")

    def workspace(self, name: str = "w", /, **config: Any) -> Workspace:
        return super().workspace(f"w{abs(hash(name))}", **config)

    def test_configuration_is_restored(self) -> None:
        for what, script in self.EDITS:
            with self.subTest(what):
                place = self.tampered("openloop.json", script)
                self.assert_restored(place, "openloop.json", what)
                self.assertIn('"play": "test -e t1"', place.read("openloop.json"))

    def test_record_is_restored(self) -> None:
        for what, script in self.EDITS:
            with self.subTest(what):
                place = self.tampered("events.jsonl", script)
                self.assert_restored(place, "events.jsonl", what)
        place.audit()

    def test_nothing_is_added_to_a_record_that_was_emptied_under_a_living_runner(self) -> None:
        place = self.tampered("events.jsonl", ': > "$F"')
        self.assert_restored(place, "events.jsonl", "emptied")
        self.assertEqual("", place.read("events.jsonl.edited-1"))
        place.audit()

    def assert_restored(self, place: Workspace, name: str, what: str) -> None:
        self.assert_regular(place.file(name))
        self.assertEqual(place.exists(f"{name}.edited-1"), what != "removed")
        self.assertEqual(recomputed_head(place), place.heartbeat["event_head"])
        self.assertEqual(place.artifact(1)["decision"], "blocked")
        self.assertEqual(place.events[-1]["event"], "run_finished")
        self.assertEqual(len(place.events_of("round_finished")), 1)

    def test_finished_logs_and_artifacts_of_this_run(self) -> None:
        log, artifact = "logs/round-0001-verify.log", "artifacts/round-0001.json"
        for name, script in (
            (log, f"echo more >> {log}"),
            (log, "rm -r logs"),
            (artifact, f"echo >> {artifact}"),
        ):
            with self.subTest(script):
                edit = f'cd "$OPENLOOP_WORKSPACE"; {script}'
                place = self.workspace(script, commands={"verify": by_round("echo 1; false", edit)})
                done = place.run(exitcode=3)
                self.assertIn(name, place.heartbeat["reason"])
                self.assertIn(name, done.out)
                self.assertEqual(place.artifact(1)["outcome"], "unhealthy")
                self.assertEqual(place.artifact(2)["decision"], "blocked")
        self.assertTrue(place.read(f"{artifact}.edited-1").endswith("\n\n"))

    def test_a_log_to_which_a_command_added_is_restored(self) -> None:
        log = "logs/round-0001-verify.log"
        edit = f'echo more >> "$OPENLOOP_WORKSPACE/{log}"'
        place = self.workspace(commands={"verify": by_round("echo 1; false", edit)})
        place.run(exitcode=3)
        self.assertEqual("1\n", place.read(log))
        self.assertEqual("1\nmore\n", place.read(f"{log}.edited-1"))
        self.assertIn(f"{log} was edited while a command ran, restored", place.heartbeat["reason"])
        place.audit()

    def test_an_old_log_is_looked_at_before_the_run_ends(self) -> None:
        """It has not had its turn when the last gate passes."""
        edit = 'echo >> "$OPENLOOP_WORKSPACE/logs/round-0001-verify.log"'
        last = f"test $OPENLOOP_ROUND = 81 && {edit}"
        place = self.workspace(
            total_rounds=81,
            commands={"verify": last},
            limits={"max_consecutive_failures": 1000},
        )
        place.run(exitcode=3)
        self.assertIn("round-0001-verify.log was edited", place.heartbeat["reason"])
        self.assertEqual("blocked", place.artifact(81)["decision"])

    def test_the_next_run_is_a_trial_with_the_old_configuration(self) -> None:
        place = self.workspace(
            commands={"verify": "test -e t || { touch t; echo >> {workspace}/openloop.json; }"}
        )
        place.run(exitcode=3)
        place.run(exitcode=0)
        self.assertTrue(place.events_of("run_started")[-1]["trial"])

    def test_a_broken_record_is_not_continued(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        text = place.read("events.jsonl").replace("verify", "Verify", 1)
        with open(place.file("events.jsonl"), "w", encoding="utf-8") as file:
            file.write(text)
        done = place.run(exitcode=3)
        self.assertIn("events.jsonl", done.err)
        self.assertIn(f"openloop init --force {place.path}", done.err)
        self.assertEqual(place.read("events.jsonl"), text)
        self.assertEqual(place.heartbeat["status"], "blocked")

    def test_touched_but_not_changed_is_no_tampering(self) -> None:
        place = self.workspace(
            commands={"verify": "cd {workspace}; touch openloop.json events.jsonl progress.md"}
        )
        place.run()

    def test_projections_are_simply_written_again(self) -> None:
        scripts = (
            'rm -f "$F"',
            'echo garbage > "$F"',
            'ln -sf /etc/passwd "$F"',
            'rm "$F"; mkfifo "$F"',
            'rm "$F"; mkdir "$F"; touch "$F/x"',
        )
        rounds = len(scripts)
        for name in ("heartbeat.json", "progress.md"):
            place = self.workspace(
                name,
                total_rounds=rounds,
                commands={"verify": f'F="$OPENLOOP_WORKSPACE/{name}"; {by_round(*scripts)}; false'},
                limits=PATIENT,
            )
            with self.subTest(name):
                place.run(exitcode=1)
                self.assert_regular(place.file(name))
                self.assertEqual(place.heartbeat["status"], "exhausted")
                self.assertIn("run 1 exhausted", place.read("progress.md"))
                self.assertIn("round 1 unhealthy", place.read("progress.md"))
                place.audit()


class FullDisk(Case):
    """A record that cannot be kept: exit 5, what was recorded stays readable, the run resumes."""

    def assert_resumes(self, place: Workspace, done: str, *, finished: int) -> None:
        """After an exit 5: the record is whole, and the next run goes on with the same run."""
        self.assertIn("cannot be kept", done)
        self.assertRegex(done, r"(?m)^  fix: ")
        recomputed_head(place)
        place.audit()
        self.assertEqual(len(place.events_of("round_finished")), finished)
        place.run("--max-rounds", "1", exitcode=1)
        started = place.events_of("run_started")
        self.assertEqual([(e["run"], e["resumed"]) for e in started], [(1, False), (1, True)])
        recomputed_head(place)
        place.audit()

    def test_a_file_that_may_not_grow(self) -> None:
        place = self.workspace(
            total_rounds=1000,
            commands={"verify": "until test -e go; do sleep 0.01; done; false"},
            limits=PATIENT,
        )
        process = self.started(place, env=environment(PYTHONDONTWRITEBYTECODE="1"))
        wait_until(lambda: place.running_step("verify"))
        room = 8000  # bytes, enough for three or four rounds
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 5, err)
        self.assertNotIn("Traceback", err)
        self.assertEqual(place.heartbeat["status"], "interrupted")
        self.assertIn("events.jsonl", place.heartbeat["reason"])
        finished = len(place.events_of("round_finished"))
        self.assertGreater(finished, 0)
        self.assert_resumes(place, err, finished=finished)

    def test_a_log_that_fills_the_disk(self) -> None:
        place = self.on_a_small_disk(
            commands={"verify": by_round("false", "yes | head -c 2000000; false", "false")}
        )
        done = place.run(exitcode=5)
        finished = len(place.events_of("round_finished"))
        self.assertEqual(finished, 1)
        for name in os.listdir(place.file("logs")):
            if name != "round-0001-verify.log":
                os.truncate(place.file(f"logs/{name}"), 0)
        self.assert_resumes(place, done.err, finished=finished)

    def test_the_message_says_which_log_must_stay(self) -> None:
        """After the unfinished log was removed, the run is resumed."""
        writes = "yes | head -c 2000000; false"
        place = self.on_a_small_disk(commands={"verify": by_round("false", writes, "false")})
        err = place.run(exitcode=5).err
        self.assertIn("not with events.jsonl and the logs of finished steps", err)
        self.assertIn("logs/round-0002-verify.log may go", err)
        os.unlink(place.file("logs/round-0002-verify.log"))
        self.assert_resumes(place, err, finished=1)

    def test_a_log_that_grows_beyond_its_limit(self) -> None:
        place = self.workspace(
            total_rounds=1, commands={"verify": "yes"}, limits={"max_log_bytes": 100_000}
        )
        place.run(exitcode=1, timeout=30)
        (step,) = place.artifact(1)["steps"]
        self.assertEqual("failed", step["outcome"])
        self.assertIn("beyond limits.max_log_bytes, 100000 bytes", step["detail"])

    def on_a_small_disk(self, **config: Any) -> Workspace:
        """A workspace alone on a file system of 256 KiB."""
        place = self.workspace(total_rounds=3, limits=PATIENT, **config)
        words = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", place.path]
        if not own_mounts() or subprocess.run(words, capture_output=True, check=False).returncode:
            self.skipTest("only root can mount a small disk")
        self.addCleanup(subprocess.run, ["umount", place.path], check=False)
        place.configure({"total_rounds": 3, "limits": PATIENT, **config})
        return place

    def test_a_gate_that_fills_the_folder_for_temporary_files(self) -> None:
        """The record does not depend on it."""
        temporary = os.path.join(self.folder, "temporary")
        os.mkdir(temporary)
        words = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", temporary]
        if not own_mounts() or subprocess.run(words, capture_output=True, check=False).returncode:
            self.skipTest("only root can mount a small disk")
        self.addCleanup(subprocess.run, ["umount", temporary], check=False)
        fills = "dd if=/dev/zero of=$TMPDIR/full bs=1k count=1000; false"
        place = self.workspace(total_rounds=2, commands={"verify": by_round(fills, "true")})
        place.run(env=environment(TMPDIR=temporary))
        self.assertEqual(os.path.getsize(f"{temporary}/full"), 64 << 10)
        place.audit()


class LongMission(Case):
    """A mission that is too long for an environment reaches agents in their prompt file."""

    def test_200_kilobytes(self) -> None:
        says = 'printf %s "$OPENLOOP_MISSION" > mission'
        place = self.workspace(
            mission="Make it whole. " * 14_000,
            commands={"scan": "test -e done", "fix": f"{says}; touch done", "verify": "true"},
        )
        place.run()
        with open(place.project_file("mission"), encoding="utf-8") as file:
            self.assertIn(f"read it in {place.file('openloop.json')}", file.read())
        self.assertIn("Make it whole. " * 14_000, place.read("artifacts/round-0001-fix-prompt.md"))
        report = run_openloop("doctor", place.path).out
        self.assertIn("the mission is too long for OPENLOOP_MISSION", report)


class LostWorkspace(Case):
    """A workspace folder that is moved during a run: exit 5, and the command is gone; one that
    is removed is restored, and the run is blocked."""

    def lose(self, place: Workspace, lost: str) -> None:
        pid_file = f"{self.folder}/pid"
        place.configure(
            {
                "commands": {"verify": f"test -e again || {agent('sleeps', pid_file)}"},
                "limits": {"kill_grace_seconds": 0.2},
            }
        )
        process = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        wait_until(lambda: place.running_step("verify"))
        os.rename(place.path, lost)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 5, err)
        self.assertIn(place.path, err)
        self.assertNotIn("Traceback", err)
        self.assertFalse(lives(pid))
        self.assertFalse(os.path.lexists(place.path))

    def test_moved_away_and_back(self) -> None:
        place = self.workspace()
        self.lose(place, f"{self.folder}/elsewhere")
        os.rename(f"{self.folder}/elsewhere", place.path)
        place.audit()
        with open(place.project_file("again"), "w", encoding="utf-8"):
            pass
        place.run()
        started = place.events_of("run_started")
        self.assertEqual([(e["run"], e["resumed"]) for e in started], [(1, False), (1, True)])

    def test_removed_by_a_command(self) -> None:
        """Everything that memory and open files hold is restored, the command's own log too."""
        for number, step in enumerate(("scan", "fix", "verify")):
            removes = "echo hello; until rm -rf {workspace} 2>/dev/null; do :; done; false"
            commands = {"scan": "false", "fix": "true", "verify": "true", step: removes}
            place = self.workspace(str(number), commands=commands, policy={"protect": ["kept"]})
            with open(place.project_file("kept"), "w", encoding="utf-8") as file:
                file.write("precious")
            configured = place.read("openloop.json")
            with self.subTest(step):
                done = place.run(exitcode=3)
                self.assertIn("the workspace was removed while a command ran", done.out + done.err)
                self.assertNotIn("make room", done.err)
                self.assertEqual(configured, place.read("openloop.json"))
                self.assertEqual("hello\n", place.read(f"logs/round-0001-{step}.log"))
                self.assertEqual("blocked", place.heartbeat["status"])
                self.assertIn("the workspace was removed", place.heartbeat["reason"])
                self.assertIn("run 1 blocked", place.read("progress.md"))
                self.assertEqual("blocked", place.artifact(1)["decision"])
                recomputed_head(place)

    def test_removed_while_a_command_goes_on(self) -> None:
        """The next beat restores it: status and a second runner see a live run."""
        removes = "until rm -rf {workspace}; do :; done; touch removed"
        waits = "until test -e go; do sleep 0.05; done"
        place = self.workspace(commands={"verify": f"{removes}; {waits}"})
        process = self.started(place)
        wait_until(lambda: os.path.exists(place.project_file("removed")))
        wait_until(lambda: place.exists("heartbeat.json"))
        self.assertEqual("running", place.status()["status"])
        self.assertEqual(4, place.run(exitcode=4).code)
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 3, err)

    def test_a_protected_file_removed_with_the_workspace(self) -> None:
        commands = {
            "scan": "false",
            "fix": "until rm -rf {workspace} kept; do :; done",
            "verify": "true",
        }
        place = self.workspace(commands=commands, policy={"protect": ["kept"]})
        with open(place.project_file("kept"), "w", encoding="utf-8") as file:
            file.write("precious")
        place.run(exitcode=3)
        with open(place.project_file("kept"), encoding="utf-8") as file:
            self.assertEqual("precious", file.read())

    def test_logs_and_artifacts_removed_are_written_again(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"verify": by_round("rm -rf {workspace}/artifacts; false", "true")},
        )
        place.run()
        self.assertEqual(place.artifact(2)["outcome"], "healthy")


class ClosedStreams(Case):
    """Started by something that closed every standard stream."""

    def test_runs_without_any_standard_stream(self) -> None:
        place = self.workspace(commands={"verify": "echo here"})
        program = [sys.executable, "-m", "openloop", "run", place.path]
        words = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *program]
        done = subprocess.run(words, env=environment(), timeout=30, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(place.read("logs/round-0001-verify.log"), "here\n")
        place.audit()


if __name__ == "__main__":
    unittest.main()
