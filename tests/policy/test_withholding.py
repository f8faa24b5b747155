"""Withheld files and private gates, without a sandbox: gone for changes, there for gates, and
back byte for byte whatever happens."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
import unittest
from typing import Any

from support import SRC, Case, Workspace, agent, by_round, own_mounts, run_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

ONCE = 'test -e "$OPENLOOP_WORKSPACE/measured" || { : > "$OPENLOOP_WORKSPACE/measured"; exit 1; }'
SECRET = "the bytes of a secret\n"


def picture(folder: str) -> dict[str, tuple[object, ...]]:
    """What stands below a folder, by path: mode, bytes or target, and the time of anything but
    the folders in which something was removed and restored."""
    found: dict[str, tuple[object, ...]] = {}
    for where, folders, names in os.walk(folder):
        for path in (os.path.join(where, name) for name in (*folders, *names)):
            status = os.lstat(path)
            content: object = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
            at = None if os.path.isdir(path) else status.st_mtime_ns
            found[os.path.relpath(path, folder)] = (status.st_mode, content, at)
    return found


class Withheld(Case):
    def withheld(
        self,
        fix: str | dict[str, Any],
        *,
        withhold: tuple[str, ...] = ("tests/acceptance/**",),
        **config: Any,
    ) -> Workspace:
        """A workspace with files of every kind to withhold, in the project and in holdout/."""
        place = self.workspace(
            total_rounds=2,
            **{
                "commands": {"fix": fix, "verify": ONCE},
                "policy": {"withhold": withhold},
                **config,
            },
        )
        for home in (place.project_file("tests/acceptance"), place.file("holdout")):
            os.makedirs(f"{home}/inner/empty")
            self.write(f"{home}/test_b.py", SECRET)
            self.write(f"{home}/inner/data", SECRET * 5000)
            self.write(f"{home}/inner/o'dd \n\u4e16\udc80", "")
            os.symlink("../test_b.py", f"{home}/inner/link")
            os.symlink("nowhere", f"{home}/dangling")
            os.chmod(f"{home}/test_b.py", 0o640)
            os.utime(f"{home}/test_b.py", ns=(1, 1_234_567_891_123_456_789))
            os.chmod(f"{home}/inner", 0o750)
        self.write(place.project_file("code.py"), "x = 1\n")
        return place

    def write(self, path: str, text: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def started_fix(self, place: Workspace) -> Any:
        runner = self.started(place)
        wait_until(lambda: place.running_step("fix"))
        return runner

    def state(self, place: Workspace) -> list[dict[str, tuple[object, ...]]]:
        return [picture(place.project), picture(place.file("holdout"))]


class Gone(Withheld):
    def test_for_changes_and_there_for_gates(self) -> None:
        gate = 'cat tests/acceptance/inner/link "$OPENLOOP_WORKSPACE/holdout/test_b.py" && '
        look = agent(
            "prowls",
            *("list", "tests", "list", "tests/acceptance", "read", "tests/acceptance/test_b.py"),
            *("find", "the_bytes_of_a_secret", self.folder),
        )
        place = self.withheld(
            look,
            commands={"fix": look, "verify": {"run": gate + ONCE, "private": True}},
        )
        before = self.state(place)
        place.run()
        log = place.read("logs/round-0002-fix.log").splitlines()
        seen = [json.loads(line)[-1] for line in log]
        missing = "error: No such file or directory"
        self.assertEqual(seen, [["acceptance"], [], missing, []])
        self.assertEqual(self.state(place), before)
        self.assertEqual(place.read("logs/round-0001-verify.log"), 2 * SECRET)
        self.assertEqual(place.read("logs/round-0002-verify.log"), 2 * SECRET)
        self.assertFalse(os.listdir(place.file("withheld")))
        place.audit()

    def test_single_files_and_whole_folders(self) -> None:
        place = self.withheld(
            "test ! -e tests/acceptance && test ! -L link && test -e code.py",
            withhold=("acceptance/", "link", "/no*thing"),
        )
        os.symlink("code.py", place.project_file("link"))
        before = self.state(place)
        place.run()
        self.assertEqual(place.steps()[1], (2, "fix", "passed"))
        self.assertEqual(self.state(place), before)

    def test_from_a_folder_that_is_read_only(self) -> None:
        place = self.withheld("test ! -e tests/acceptance/test_b.py")
        os.chmod(place.project_file("tests/acceptance"), 0o555)
        before = self.state(place)
        place.run()
        self.assertEqual(place.steps()[1], (2, "fix", "passed"))
        self.assertEqual(self.state(place), before)

    def test_a_gate_may_not_change_them(self) -> None:
        place = self.withheld(":", commands={"verify": "echo x > tests/acceptance/test_b.py"})
        before = self.state(place)
        place.run(exitcode=1)
        self.assertEqual(place.steps()[0], (1, "verify", "policy"))
        self.assertEqual(
            [content for _, content, _ in self.state(place)[0].values()],
            [content for _, content, _ in before[0].values()],
        )


class Planted(Withheld):
    def test_what_a_change_puts_in_their_place(self) -> None:
        for where, planted in {
            "tests/acceptance/test_b.py": "echo pass > tests/acceptance/test_b.py",
            "tests/acceptance/new.py": "echo pass > tests/acceptance/new.py",
            "tests/acceptance": "rm -r tests/acceptance; ln -s /etc tests/acceptance",
            "tests/acceptance/inner": "cd tests/acceptance; mkdir inner; echo > inner/x",
            "holdout/test_b.py": "mkdir $OPENLOOP_WORKSPACE/holdout; "
            "echo > $OPENLOOP_WORKSPACE/holdout/test_b.py",
            "holdout/new": "mkdir $OPENLOOP_WORKSPACE/holdout; "
            "echo > $OPENLOOP_WORKSPACE/holdout/new",
            "holdout": "echo > $OPENLOOP_WORKSPACE/holdout",
        }.items():
            with self.subTest(planted):
                self.setUp()
                place = self.withheld(planted)
                before = self.state(place)
                place.run()
                self.assertEqual(place.steps()[1], (2, "fix", "policy"))
                (found,) = place.events_of("policy_violated")
                self.assertIn(where, found["text"])
                self.assertEqual(self.state(place), before)
                place.audit()

    def test_what_has_no_room_on_the_disk_of_the_workspace_is_not_lost(self) -> None:
        config = {
            "commands": {"fix": "head -c 3000000 /dev/zero > tests/case", "verify": ONCE},
            "policy": {"withhold": ["tests/case"]},
            "total_rounds": 2,
        }
        place = self.workspace()
        words = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place.path]
        if not own_mounts() or subprocess.run(words, capture_output=True, check=False).returncode:
            self.skipTest("only root can mount a small disk")
        self.addCleanup(subprocess.run, ["umount", place.path], check=False)
        place.configure(config)
        os.mkdir(place.project_file("tests"))
        self.write(place.project_file("tests/case"), SECRET)
        self.assertIn("No space left", place.run(exitcode=5).err)
        self.assertEqual(3_000_000, os.path.getsize(place.project_file("tests/case")))
        subprocess.run(["mount", "-o", "remount,size=9m", place.path], check=True)
        place.run(exitcode=None)
        with open(place.project_file("tests/case"), encoding="utf-8") as file:
            self.assertEqual(SECRET, file.read())
        (found,) = [name for name in os.listdir(place.file("withheld")) if "found" in name]
        self.assertEqual(3_000_000, os.path.getsize(place.file(f"withheld/{found}")))

    def test_where_no_holdout_folder_was(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"fix": "mkdir $OPENLOOP_WORKSPACE/holdout", "verify": ONCE},
        )
        place.run()
        self.assertEqual(place.steps()[1], (2, "fix", "policy"))
        self.assertFalse(place.exists("holdout"))

    def test_removing_the_archive_takes_nothing_from_a_living_runner(self) -> None:
        place = self.withheld('rm -r "$OPENLOOP_WORKSPACE/withheld"')
        before = self.state(place)
        place.run()
        self.assertEqual(self.state(place), before)
        self.assertEqual(place.heartbeat["status"], "complete")


class AtGates(Case):
    """Code that a gate runs finds the cases, and may not rewrite them."""

    CASES = '{"stdout": "right"}\n'

    def held(self, gate: str, **config: Any) -> Workspace:
        """verify judges by a case that the program does not pass; scan runs the gate before it."""
        judge = shlex.join([sys.executable, "-m", "openloop", "judge"])
        verify = (
            f"PYTHONPATH={shlex.quote(SRC)} {judge} {{workspace}}/holdout/c.jsonl -- echo wrong"
        )
        commands = {"scan": gate, "fix": "true", "verify": verify}
        place = self.workspace(total_rounds=2, commands=commands, **config)
        os.makedirs(place.file("holdout/inner"))
        with open(place.file("holdout/c.jsonl"), "w", encoding="utf-8") as file:
            file.write(self.CASES)
        os.symlink("../c.jsonl", place.file("holdout/inner/link"))
        return place

    def test_a_resumed_run_lets_old_checkpoints_go(self) -> None:
        place = self.workspace(
            total_rounds=4,
            policy={"protect": ["tests/**"], "max_changed_files": 9},
            limits={"max_consecutive_failures": 9},
            commands={
                "scan": by_round("sleep 60", "true", "true", "true", "true"),
                "fix": "echo $OPENLOOP_ROUND > x",
                "verify": "false",
            },
        )
        os.makedirs(place.file("holdout"))
        with open(place.file("holdout/c.jsonl"), "w", encoding="utf-8") as file:
            file.write(self.CASES)
        runner = self.started(place)
        wait_until(lambda: place.running_step("scan"), "the scan")
        runner.kill()
        runner.wait()
        place.run(exitcode=1)
        self.assertGreaterEqual(place.events[-1]["round"], 4)
        kept = sorted(os.listdir(place.file("checkpoints/manifests")))
        self.assertEqual(["before", "outside", "reference"], [n.split("-")[0] for n in kept][-3:])
        self.assertLessEqual(len(kept), 4, kept)  # the state before the last change but one, too

    def state(self, place: Workspace) -> dict[str, tuple[object, ...]]:
        return {path: what[:2] for path, what in picture(place.file("holdout")).items()}

    def test_what_a_gate_does_to_them_is_restored_and_counts(self) -> None:
        home = "$OPENLOOP_WORKSPACE/holdout"
        easy = f'echo \'{{"stdout": "wrong"}}\' > "{home}/c.jsonl"'
        for gate, expected in {
            easy: "changed holdout/c.jsonl while it ran",
            f'cp "{home}/c.jsonl" x; rm "{home}/c.jsonl"; {easy}; touch -r x "{home}/c.jsonl"':
                "changed holdout/c.jsonl while it ran",
            f'rm -r "{home}"': "removed holdout/c.jsonl while it ran",
            f'rm -r "{home}"; mkdir easy; ln -s "$PWD/easy" "{home}"': "changed holdout while it",
            f'chmod 666 "{home}/c.jsonl"': "changed holdout/c.jsonl while it ran",
            f'rm "{home}/inner/link"; ln -s x "{home}/inner/link"':
                "changed holdout/inner/link while it ran",
        }.items():  # fmt: skip
            with self.subTest(gate):
                self.assert_restored(gate, expected)

    def test_with_a_policy_too(self) -> None:
        policy = {"protect": ["tests/**"], "allow": ["src/**"]}
        gate = 'echo > "$OPENLOOP_WORKSPACE/holdout/c.jsonl"; echo > new'
        place = self.assert_restored(gate, "changed holdout/c.jsonl while it ran", policy=policy)
        self.assertFalse(os.path.exists(place.project_file("new")))

    def assert_restored(self, gate: str, expected: str, **config: Any) -> Workspace:
        self.setUp()
        place = self.held(gate, **config)
        before = self.state(place)
        place.run("--max-rounds", "1", exitcode=1)
        self.assertEqual([(1, "scan", "policy"), (1, "fix", "passed")], place.steps()[:2])
        self.assertIn(expected, place.events_of("policy_violated")[0]["text"])
        self.assertNotIn((1, "verify", "passed"), place.steps())
        self.assertEqual(before, self.state(place))
        place.audit()
        return place

    def test_a_symlink_in_the_place_of_the_copy_is_not_followed(self) -> None:
        elsewhere = os.path.join(self.folder, "elsewhere")
        os.makedirs(os.path.join(elsewhere, "holdout"))
        place = self.held(f'cd "$OPENLOOP_WORKSPACE"; rm -r withheld; ln -s {elsewhere} withheld')
        place.run(exitcode=1)
        self.assertEqual(["holdout"], os.listdir(elsewhere))
        self.assertEqual({"passed"}, {how for _, step, how in place.steps() if step == "scan"})

    def test_an_edit_by_a_person_while_a_gate_runs_is_restored_too(self) -> None:
        """Nobody can tell who edited: the cases are those that the run began with."""
        place = self.held("until test -e edited; do sleep 0.05; done")
        before = self.state(place)
        runner = self.started(place, "--max-rounds", "1")
        wait_until(lambda: place.running_step("scan"), "the gate")
        with open(place.file("holdout/c.jsonl"), "w", encoding="utf-8") as file:
            file.write(self.CASES.replace("right", "wrong"))  # which the program would pass
        with open(place.file("holdout/more.jsonl"), "w", encoding="utf-8") as file:
            file.write(self.CASES)
        with open(place.project_file("edited"), "w", encoding="utf-8"):
            pass
        _, err = runner.communicate(timeout=60)
        self.assertEqual(1, runner.returncode, err)
        self.assertEqual("policy", place.steps()[0][2])
        self.assertIn("changed holdout/c.jsonl while it ran", err)
        self.assertEqual(before, self.state(place))
        self.assertNotIn((1, "verify", "passed"), place.steps())
        place.audit()

    def test_what_a_gate_adds_is_removed_and_nobodys_fault(self) -> None:
        home = "$OPENLOOP_WORKSPACE/holdout"
        gate = f'mkdir -p "{home}/__pycache__" "{home}/new"; echo > "{home}/__pycache__/x.pyc"; :'
        place = self.held(f'test ! -e "{home}/new/x" && {gate} > "{home}/new/x"')
        before = self.state(place)
        place.run(exitcode=1)
        self.assertEqual({"passed"}, {how for _, step, how in place.steps() if step == "scan"})
        self.assertEqual(before, self.state(place))

    def test_a_folder_that_was_not_there(self) -> None:
        gate = 'test ! -e "$OPENLOOP_WORKSPACE/holdout"'
        plant = 'mkdir "$OPENLOOP_WORKSPACE/holdout"; echo > "$OPENLOOP_WORKSPACE/holdout/c"'
        place = self.workspace(commands={"play": plant, "verify": gate})
        place.run()
        self.assertFalse(place.exists("holdout"))

    def test_a_gate_that_kills_the_runner_gains_nothing(self) -> None:
        kill = "kill -9 $(sed -n 's/.*\"runner_pid\": \\([0-9]*\\).*/\\1/p' heartbeat.json)"
        easy = 'echo "{\\"stdout\\": \\"wrong\\"}" > holdout/c.jsonl'
        place = self.held(f'cd "$OPENLOOP_WORKSPACE"; {easy}; {kill}; sleep 60')
        self.started(place).wait(30)
        place.run(exitcode=3)
        self.assertIn("holdout/ is not what it was when run 1 began", place.heartbeat["reason"])

    def test_nor_does_one_that_edits_the_configuration_too(self) -> None:
        """An edited configuration begins a new run, which takes a reference of its own."""
        kill = "kill -9 $(sed -n 's/.*\"runner_pid\": \\([0-9]*\\).*/\\1/p' heartbeat.json)"
        easy = 'echo "{\\"stdout\\": \\"wrong\\"}" > holdout/c.jsonl; echo >> openloop.json'
        once = "grep -q wrong holdout/c.jsonl && exit"
        place = self.held(f'cd "$OPENLOOP_WORKSPACE"; {once}; {easy}; {kill}; sleep 60')
        before = self.state(place)
        self.started(place).wait(30)
        self.assertNotEqual(before, self.state(place))
        for _ in range(2):
            refused = place.run(exitcode=3)
            self.assertIn("holdout/ is not what it was when run 1 began", refused.err)
            self.assertIn("a copy as it was then is in withheld/holdout/", refused.err)
        shutil.rmtree(place.file("holdout"))
        shutil.copytree(place.file("withheld/holdout"), place.file("holdout"), symlinks=True)
        self.assertEqual(before, self.state(place))

    def test_nor_does_code_that_a_hook_runs(self) -> None:
        kill = "kill -9 $(sed -n 's/.*\"runner_pid\": \\([0-9]*\\).*/\\1/p' heartbeat.json)"
        easy = 'echo "{\\"stdout\\": \\"wrong\\"}" > holdout/c.jsonl; echo >> openloop.json'
        once = "grep -q wrong holdout/c.jsonl && exit"
        hook = f'cd "$OPENLOOP_WORKSPACE"; {once}; {easy}; {kill}; sleep 60'
        place = self.held("true", hooks={"round": hook})
        self.started(place).wait(30)
        refused = place.run(exitcode=3)
        self.assertIn("holdout/ is not what it was when run 1 began", refused.err)

    def test_a_run_that_was_cut_off_goes_on(self) -> None:
        place = self.held("test -e begun && exit; : > begun; sleep 60")
        runner = self.started(place)
        wait_until(lambda: os.path.exists(place.project_file("begun")))
        runner.kill()
        runner.wait()
        place.run(exitcode=1)
        self.assertTrue(place.events_of("run_started")[-1]["resumed"])
        self.assertEqual("exhausted", place.heartbeat["status"])


class Crashed(Withheld):
    def test_killed_in_the_middle_of_a_change(self) -> None:
        place = self.withheld("test -e started && exit; touch started; sleep 600")
        before = self.state(place)
        runner = self.started_fix(place)
        self.assertFalse(os.path.exists(place.file("holdout")))
        self.assertEqual(os.listdir(place.project_file("tests/acceptance")), [])
        wait_until(lambda: os.path.exists(place.project_file("started")))
        runner.kill()
        runner.wait()
        archive = place.file("withheld/away.tar.gz")
        done = run_openloop("doctor", place.path, exitcode=None)
        self.assertIn(f"kept in {archive}", done.out)
        self.assertEqual(place.status()["withheld"], archive)
        self.assertIn(archive, run_openloop("status", place.path, exitcode=None).out)
        place.run()
        os.remove(place.project_file("started"))
        self.assertEqual(self.state(place), before)
        notes = [note["text"] for note in place.events_of("note")]
        self.assertRegex(notes[-1], "^restored [0-9]+ withheld paths that a killed run left away$")
        self.assertFalse(os.listdir(place.file("withheld")))
        self.assertIsNone(place.status()["withheld"])
        place.audit()

    def test_nobody_promises_to_bring_back_what_a_new_record_knows_nothing_of(self) -> None:
        place = self.withheld("sleep 600")
        runner = self.started_fix(place)
        runner.kill()
        runner.wait()
        with open(place.file("events.jsonl"), "r+b") as file:
            file.write(b"[")
        run_openloop("init", "--force", place.path, "--project-root", place.project)
        doctor = run_openloop("doctor", place.path, exitcode=1)
        status = run_openloop("status", place.path, exitcode=None)
        run = place.run(exitcode=2)
        self.assertIn("unpack it with tar", doctor.out)
        self.assertIn("unpack it with tar", status.out)
        self.assertIn("unpack it with tar", run.err)

    def test_killed_at_any_moment(self) -> None:
        chance = random.Random(7)
        place = self.withheld(
            "sleep 0.02",
            commands={
                "scan": "false",
                "fix": "sleep 0.02",
                "verify": {"run": "cat tests/acceptance/test_b.py && false", "private": True},
            },
            limits={"max_consecutive_failures": 1000},
        )
        document = json.loads(place.read("openloop.json"))
        place.configure({**document, "total_rounds": 1000})
        before = self.state(place)
        for _ in range(6):
            changes = self.count_changes(place)
            runner = self.started(place)
            wait_until(lambda changes=changes: self.count_changes(place) > changes)
            time.sleep(chance.random() * 0.1)
            runner.kill()
            runner.wait()
        place.run("--max-rounds", "1", exitcode=1)
        self.assertEqual(self.state(place), before)
        self.assertEqual({o for _, step, o in place.steps() if step == "verify"}, {"failed"})
        self.assertEqual(os.listdir(place.file("withheld")), [])
        place.audit()

    def count_changes(self, place: Workspace) -> int:
        return len([e for e in place.events_of("step_started") if e["step"] == "fix"])

    def test_an_archive_that_was_edited_or_removed(self) -> None:
        for damage in ('echo x >> "$ARCHIVE"', 'rm "$ARCHIVE"'):
            with self.subTest(damage):
                self.setUp()
                kill = (
                    "kill -9 $(sed -n 's/.*\"runner_pid\": \\([0-9]*\\).*/\\1/p' "
                    '"$OPENLOOP_WORKSPACE/heartbeat.json"); sleep 60'
                )
                place = self.withheld(
                    f'ARCHIVE="$OPENLOOP_WORKSPACE/withheld/away.tar.gz"; {damage}; {kill}'
                )
                self.started(place).wait(30)
                place.run(exitcode=3)
                self.assertIn("away.tar.gz was", place.heartbeat["reason"])
                self.assertEqual(place.heartbeat["status"], "blocked")

    def test_an_archive_that_is_gone_with_a_private_log(self) -> None:
        """The missing log is noticed first; everything else that is lost must be reported too."""
        verify = {"run": "false", "private": True}
        place = self.withheld("sleep 600", commands={"fix": "sleep 600", "verify": verify})
        runner = self.started_fix(place)
        runner.kill()
        runner.wait()
        os.remove(place.file("withheld/away.tar.gz"))
        done = place.run(exitcode=3)
        self.assertIn("nor is it in withheld/away.tar.gz: look for what else", done.err)

    def test_a_record_that_knows_nothing_of_it(self) -> None:
        place = self.withheld("sleep 600")
        self.started_fix(place).kill()
        wait_until(lambda: place.status()["status"] == "crashed")
        with open(place.file("events.jsonl"), "r+b") as file:
            file.write(b"#")
        run_openloop("init", place.path, "--force", "--project-root", place.project)
        document = json.loads(place.read("openloop.json"))
        place.configure({**document, "commands": {"verify": "true"}})
        done = place.run(exitcode=2)
        self.assertIn("unpack it with tar", done.err)
        self.assertTrue(place.exists("withheld/away.tar.gz"))


class Private(Case):
    WORD = "xyzzy-of-the-log"

    def test_only_counts_are_reported(self) -> None:
        prints = f"echo {self.WORD[:5]}''{self.WORD[5:]}; echo '7 of 8 cases'; "
        last = f"echo {self.WORD[:5]}''{self.WORD[5:]} at the end; "
        halves = f"{self.WORD[:5]}''{self.WORD[5:]}"
        seen_path = self.folder + "/told"
        place = self.workspace(
            total_rounds=4,
            commands={
                "play": {"run": f"{prints}{last} exit 3", "private": True},
                "scan": {
                    "run": f"echo java.lang.OutOfMemoryError: {halves}; exit 1",
                    "private": True,
                },
                "fix": f'echo {{last_error}} "$OPENLOOP_LAST_ERROR" >> {seen_path}',
                "verify": {"run": f"{prints}{last}", "expect": "never", "private": True},
            },
            limits={"max_consecutive_failures": 9},
        )
        done = place.run(exitcode=1)
        logs = [name for name in os.listdir(place.file("logs")) if "fix" not in name]
        for where, _, names in os.walk(self.folder):
            for name in names:
                if name in logs:
                    continue
                with open(os.path.join(where, name), encoding="utf-8", errors="replace") as file:
                    self.assertNotIn(self.WORD, file.read(), name)
        self.assertNotIn(self.WORD, done.out + done.err)
        self.assertIn(self.WORD, place.read("logs/round-0001-play.log"))
        prompt = place.read("artifacts/round-0002-fix-prompt.md")
        self.assertIn("play failed (exit 3): 7 of 8 cases", prompt)
        self.assertIn("Its log is private.", prompt)
        with open(seen_path, encoding="utf-8") as file:
            self.assertIn(
                "scan oom (suspected by limits.oom_markers: the log says so)", file.read()
            )

    def test_a_measurement(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={"verify": "true"},
            baseline={
                "command": {"run": f"echo score='{self.WORD}'", "private": True},
                "regex": "score=(.+)",
                "value": 1,
            },
        )
        place.run(exitcode=1)
        for name in ("events.jsonl", "progress.md", "artifacts/round-0001.json", "heartbeat.json"):
            text = place.read(name).replace(f"echo score='{self.WORD}'", "")
            self.assertNotIn(self.WORD, text, name)

    def test_a_log_that_names_what_is_withheld_is_not_quoted(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={
                "fix": "true",
                "verify": "echo assert 3 == 4; echo in $PWD/tests/ab/t.py; echo 1 of 2 cases; "
                "echo tests/ab/t.py; false",
            },
            policy={"withhold": ["tests/ab/**"]},
        )
        os.makedirs(place.project_file("tests/ab"))
        with open(place.project_file("tests/ab/t.py"), "w", encoding="utf-8"):
            pass
        place.run(exitcode=1)
        prompt = place.read("artifacts/round-0002-fix-prompt.md")
        self.assertNotIn("assert 3 == 4\n", prompt)
        self.assertIn("names what is withheld", prompt)
        self.assertEqual(place.heartbeat["last_error"], "verify failed (exit 1): 1 of 2 cases")


class Doctor(Case):
    def test_what_it_says(self) -> None:
        place = self.workspace(
            commands={"fix": "true", "verify": "true"},
            policy={"withhold": ["tests/**", "none/**"], "allow": ["tests/**"], "writable": ["/x"]},
        )
        os.makedirs(place.project_file("tests"))
        with open(place.project_file("tests/t.py"), "w", encoding="utf-8"):
            pass
        report = run_openloop("doctor", place.path, "--json").json
        warnings = "\n".join(f["what"] for f in report["findings"] if f["level"] == "warning")
        self.assertIn("policy.withhold 'none/**' matches no file", warnings)
        self.assertIn("tests/t.py is both allowed and withheld", warnings)
        self.assertIn("policy.writable has no effect without a sandbox", warnings)
        self.assertIn("the logs of verify can be read by the agent", warnings)


if __name__ == "__main__":
    unittest.main()
