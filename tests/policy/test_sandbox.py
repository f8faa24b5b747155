"""Changes in the sandbox: what they can write, see, signal and leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import unittest
from typing import Any

from support import (
    Case,
    Nobody,
    Workspace,
    agent,
    environment,
    need,
    read_pid,
    run_openloop,
    wait_until,
    with_devices,
)

ONCE = 'test -e "$OPENLOOP_WORKSPACE/measured" || { : > "$OPENLOOP_WORKSPACE/measured"; exit 1; }'


def works() -> str:
    """Why bubblewrap does not work here; "" when it does."""
    from openloop.policy import bubblewrap

    return bubblewrap.trouble("/nowhere")


class Sandboxed(Case):
    """Workspaces whose one change prowls about in the sandbox."""

    def setUp(self) -> None:
        super().setUp()
        need(not works(), f"a working bubblewrap ({works()})")

    def prowling(self, *words: object, name: str = "w", **policy: Any) -> Workspace:
        return self.changed(agent("prowls", *words), name=name, **policy)

    def changed(self, fix: str, name: str = "w", **policy: Any) -> Workspace:
        """A workspace, not yet run: verify fails once, and `fix` follows in round 2."""
        place = self.workspace(
            name,
            total_rounds=2,
            commands={"fix": fix, "verify": ONCE},
            policy={"sandbox": "bwrap", **policy},
            limits={"kill_grace_seconds": 3},
        )
        os.makedirs(place.project_file("src"))
        os.makedirs(place.project_file("tests/acceptance"))
        for path in ("src/code.py", "tests/test_a.py", "tests/acceptance/test_b.py", "README"):
            with open(place.project_file(path), "w", encoding="utf-8") as file:
                file.write(f"the bytes of {path}\n")
        return place

    def results(self, place: Workspace) -> list[Any]:
        """What the change reported: the results of its acts, in order."""
        log = place.read("logs/round-0002-fix.log")
        return [json.loads(line)[-1] for line in log.splitlines() if line.startswith("[")]


class Writing(Sandboxed):
    READ_ONLY = "error: Read-only file system"

    def test_only_what_the_policy_allows(self) -> None:
        outside, home = os.path.join(self.folder, "outside"), os.path.join(self.folder, "state")
        os.makedirs(home)
        with open(outside, "w", encoding="utf-8"):
            pass
        place = self.changed("true", protect=["tests/**"], writable=[home, "~/not-there"])
        where = {
            outside: self.READ_ONLY,
            "/etc/openloop-test": self.READ_ONLY,
            place.file("progress.md"): self.READ_ONLY,
            place.file("openloop.json"): self.READ_ONLY,
            place.project_file("tests/new.py"): self.READ_ONLY,
            place.project_file("tests/test_a.py"): self.READ_ONLY,
            place.project_file("src/new.py"): "written",
            place.project_file("new"): "written",
            place.file("knowledge/lesson.md"): "written",
            place.file("output/result"): "written",
            f"{home}/token": "written",
            "/tmp/openloop-test-only-in-here": "written",
        }
        fix = agent("prowls", *(word for path in where for word in ("write", path)))
        document = json.loads(place.read("openloop.json"))
        kernel = "(: >> /proc/sys/kernel/core_pattern) 2>&1 | sed 's/.*: /kernel: /'"
        document["commands"]["fix"] = f"{fix}; {kernel}"
        place.configure(document)
        place.run()
        self.assertEqual(self.results(place), list(where.values()))
        refused = "kernel: (Read-only file system|Permission denied)"  # to root, to other users
        self.assertRegex(place.read("logs/round-0002-fix.log"), refused)
        [started] = place.events_of("run_started")
        self.assertIn("the first process of a PID namespace", started["sandbox"])
        self.assertFalse(os.path.exists("/tmp/openloop-test-only-in-here"))
        self.assertTrue(os.path.exists(f"{home}/token"))
        self.assertEqual(place.events_of("policy_violated"), [])

    def test_allow_leaves_the_rest_of_the_project_read_only(self) -> None:
        place = self.prowling(
            *("write", "src/new.py", "write", "README", "write", "new", "write", "made/deep/x"),
            allow=["src/**", "/made/deep/*.txt"],
        )
        os.makedirs(place.project_file("made/deep"))
        place.run()
        self.assertEqual(
            self.results(place), ["written", self.READ_ONLY, self.READ_ONLY, "written"]
        )
        # What the sandbox is too coarse to stop, the policy undoes.
        self.assertEqual(place.artifact(2)["steps"][0]["outcome"], "policy")
        self.assertFalse(os.path.exists(place.project_file("made/deep/x")))

    def test_a_folder_that_is_allowed_and_not_there_can_be_made(self) -> None:
        place = self.changed(
            "mkdir lib && echo x > lib/x && echo y > tests/y; echo z > src/../made.cfg",
            allow=["lib/**", "*.cfg"],
            protect=["tests/**"],
        )
        place.run()
        self.assertTrue(os.path.exists(place.project_file("lib/x")))
        self.assertTrue(os.path.exists(place.project_file("made.cfg")))
        self.assertFalse(os.path.exists(place.project_file("tests/y")))
        self.assertEqual(place.events_of("policy_violated"), [])

    def test_protected_files_in_folders_that_are_not(self) -> None:
        place = self.prowling(
            "write", "src/code.py", "write", "src/other.py", protect=["src/code.py", "!x"]
        )
        place.run()
        self.assertEqual(self.results(place), [self.READ_ONLY, "written"])

    def test_odd_names(self) -> None:
        odd = 'o\'d d "name"\n$(touch x) \u4e16 -\u00e9'
        place = self.changed("true", name=odd, protect=["tests/**"])
        os.makedirs(place.file("holdout/a b"))
        document = json.loads(place.read("openloop.json"))
        document["commands"]["fix"] = (
            'echo ok > src/made && ! echo x > tests/x && test -z "$(ls -A {workspace}/holdout)"'
        )
        place.configure(document)
        place.run()
        self.assertTrue(os.path.exists(place.project_file("src/made")))

    def test_a_workspace_within_the_project(self) -> None:
        folder = os.path.join(self.folder, "project")
        home = os.path.join(folder, ".openloop")
        os.makedirs(f"{home}/other")
        place = Workspace(home, {})
        shutil.rmtree(place.project)
        place.configure(
            {
                "project_root": "..",
                "total_rounds": 2,
                "commands": {
                    "fix": "! touch .openloop/other/x && ! touch .openloop/ws/x && touch y",
                    "verify": ONCE,
                },
                "policy": {"sandbox": "bwrap"},
            }
        )
        document = json.loads(place.read("openloop.json"))
        document["project_root"] = folder
        place.configure(document)
        place.run()
        self.assertEqual(place.steps()[1], (2, "fix", "passed"))


class Seeing(Sandboxed):
    def test_other_processes_are_neither_seen_nor_signalled(self) -> None:
        victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.addCleanup(victim.wait)
        self.addCleanup(victim.kill)
        place = self.prowling("processes", "signal", victim.pid, "read", f"/proc/{victim.pid}/stat")
        place.run()
        seen, signalled, read = self.results(place)
        self.assertLess(len(seen), 10)
        self.assertEqual(signalled, "error: No such process")
        self.assertEqual(read, "error: No such file or directory")
        self.assertIsNone(victim.poll())

    def test_devices_that_compute_and_no_disks(self) -> None:
        need(os.geteuid() == 0, "root, who mounts")
        place = self.changed("ls /dev /dev/dri")
        place.run(before=with_devices(self.folder))
        seen = set(place.read("logs/round-0002-fix.log").split())
        self.assertEqual({"nvidia0", "dri", "card0"}, seen & {"nvidia0", "dri", "card0", "sda"})

    def test_what_is_withheld_by_path_by_listing_and_by_search(self) -> None:
        place = self.changed("true", withhold=["tests/acceptance/**", "src/secret.py"])
        os.makedirs(place.file("holdout"))
        for path in (place.file("holdout/cases"), place.project_file("src/secret.py")):
            with open(path, "w", encoding="utf-8") as file:
                file.write("the bytes of a secret\n")
        document = json.loads(place.read("openloop.json"))
        document["commands"]["fix"] = agent(
            "prowls",
            *("read", "tests/acceptance/test_b.py", "list", "tests/acceptance"),
            *("list", "src", "write", "tests/acceptance/new"),
            *("read", place.file("holdout/cases"), "list", place.file("holdout")),
            *("find", "the_bytes_of_a_secret", self.folder),
            *("find", "the_bytes_of_tests/acceptance", self.folder),
        )
        place.configure(document)
        place.run()
        missing = "error: No such file or directory"
        results = self.results(place)
        self.assertEqual(results[:3], [missing, [], ["code.py"]])
        self.assertEqual(results[3], Writing.READ_ONLY)
        self.assertEqual(results[4:6], [missing, []])
        self.assertEqual(results[6:], [[], []])
        with open(place.project_file("src/secret.py"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "the bytes of a secret\n")

    def test_copies_of_replaced_files(self) -> None:
        """What an earlier step put in the place of a protected file may quote a withheld one."""
        place = self.changed("true", protect=["tests/**"])
        for path in (
            "replaced/1/tests/test_a.py.replaced",
            "checkpoints/objects/1.pack",
            "withheld/x",
        ):
            os.makedirs(os.path.dirname(place.file(path)), exist_ok=True)
            with open(place.file(path), "w", encoding="utf-8") as file:
                file.write("the bytes of a copy\n")
        copy = place.file("replaced/1/tests/test_a.py.replaced")
        document = json.loads(place.read("openloop.json"))
        document["policy"]["sandbox_gates"] = True
        document["commands"]["verify"] = "test -e measured || { : > measured; exit 1; }"
        document["commands"]["scan"] = document["commands"]["fix"] = agent(
            "prowls",
            *("read", copy, "list", place.file("replaced"), "write", place.file("replaced/new")),
            *("find", "the_bytes_of_a_copy", self.folder),
        )
        place.configure(document)
        place.run()
        for step in ("fix", "scan"):
            log = place.read(f"logs/round-0002-{step}.log")
            found = [json.loads(line)[-1] for line in log.splitlines() if line.startswith("[")]
            missing = "error: No such file or directory"
            self.assertEqual([missing, [], Writing.READ_ONLY, []], found)
        with open(copy, encoding="utf-8") as file:
            self.assertEqual("the bytes of a copy\n", file.read())

    def test_whole_folders_stay_on_the_disk(self) -> None:
        place = self.changed("sleep 600", withhold=["tests/acceptance/**"])
        runner = self.started(place)
        wait_until(lambda: place.running_step("fix"))
        self.assertTrue(os.path.exists(place.project_file("tests/acceptance/test_b.py")))
        runner.send_signal(signal.SIGTERM)
        self.assertEqual(runner.wait(30), 143)

    def test_a_private_log(self) -> None:
        place = self.prowling("find", "the_log_alone", self.folder)
        document = json.loads(place.read("openloop.json"))
        prints = "echo the log' 'alone; echo 7 of 8 cases; "
        document["commands"]["verify"] = {"run": prints + ONCE, "private": True}
        place.configure(document)
        place.run()
        self.assertEqual(self.results(place), [[]])
        self.assertIn("the log alone", place.read("logs/round-0001-verify.log"))


class Ending(Sandboxed):
    def test_what_a_change_leaves_behind_gets_its_grace_and_is_ended(self) -> None:
        place = self.changed("true")
        path = place.file("output/daemon")
        document = json.loads(place.read("openloop.json"))
        document["commands"]["fix"] = agent("prowls", "daemon", path)
        place.configure(document)
        place.run()
        self.assertTrue(os.path.exists(path))
        self.assertTrue(os.path.exists(path + ".ended"), "it was not asked before it was killed")

    def test_a_time_limit_leaves_the_grace_period(self) -> None:
        slow = 'trap "sleep 0.3; echo tidy; exit 0" TERM; while :; do sleep 0.05; done'
        place = self.changed("true")
        document = json.loads(place.read("openloop.json"))
        document["commands"]["fix"] = {"run": slow, "timeout_seconds": 0.5}
        place.configure(document)
        place.run()
        step = place.artifact(2)["steps"][0]
        self.assertEqual((step["outcome"], step["sandbox"]), ("timeout", "bwrap"))
        self.assertIn("tidy", place.read("logs/round-0002-fix.log"))

    def test_nothing_outlives_a_killed_runner_and_its_guard(self) -> None:
        place = self.changed(f"{agent('daemonizes', f'{self.folder}/pid', 'stay')}")
        document = json.loads(place.read("openloop.json"))
        document["policy"]["writable"] = [self.folder]
        place.configure(document)
        runner = self.started(place)
        outer = wait_until(lambda: place.running_step("fix"))
        wait_until(lambda: read_pid(f"{self.folder}/pid"))
        inside = processes_below(outer)
        self.assertGreater(len(inside), 1)
        with open(f"/proc/{outer}/stat", encoding="utf-8") as file:
            guard = int(file.read().rpartition(")")[2].split()[1])
        os.kill(guard, signal.SIGSTOP)
        runner.kill()
        os.kill(guard, signal.SIGKILL)
        runner.wait()
        for pid in [outer, *inside]:
            self.assert_gone(pid)

    def test_memory_and_time_are_counted(self) -> None:
        big = (
            "x = bytearray(96 << 20); import time; t = time.process_time()\n"
            "while time.process_time() - t < 0.3: pass"
        )
        place = self.changed(f"{sys.executable} -c '{big}'")
        place.run()
        step = place.artifact(2)["steps"][0]
        self.assertGreater(step["peak_rss_bytes"], 96 << 20)
        self.assertGreater(step["cpu_seconds"], 0.25)

    def test_the_exit_code_is_the_commands_own(self) -> None:
        place = self.changed("exit 7")
        place.run()
        self.assertEqual(place.artifact(2)["steps"][0]["exit_code"], 7)


def processes_below(pid: int) -> list[int]:
    from openloop.process import tree

    return list(tree.descendants(pid))


class WithoutIt(Case):
    """The messages where bubblewrap does not work: here, because it is not on PATH."""

    def setUp(self) -> None:
        super().setUp()
        self.env = environment(PATH=self.folder)
        self.place = self.workspace(
            total_rounds=2, commands={"fix": ":", "verify": ONCE}, policy={"sandbox": "auto"}
        )

    def demand(self) -> None:
        document = json.loads(self.place.read("openloop.json"))
        document["policy"]["sandbox"] = "bwrap"
        self.place.configure(document)

    def doctor(self) -> dict[str, str]:
        done = run_openloop("doctor", self.place.path, "--json", exitcode=None, env=self.env)
        return {f["what"]: f["level"] for f in done.json["findings"] if "sandbox" in f["what"]}

    def test_auto_is_a_warning_that_the_summary_repeats(self) -> None:
        words = "changes run without a sandbox: bwrap is not on PATH"
        self.assertEqual(self.doctor(), {words: "warning"})
        done = self.place.run(env=self.env)
        self.assertIn(words, done.out)
        self.assertIn(words, [note["text"] for note in self.place.events_of("note")])
        self.assertEqual(self.place.artifact(2)["steps"][0]["sandbox"], "none")

    def test_bwrap_starts_nothing(self) -> None:
        self.demand()
        self.assertEqual(
            self.doctor(), {"the sandbox cannot be used: bwrap is not on PATH": "problem"}
        )
        done = self.place.run(exitcode=2, env=self.env)
        self.assertIn("the sandbox cannot be used: bwrap is not on PATH", done.err)
        self.assertFalse(self.place.exists("events.jsonl"))

    def test_a_bwrap_that_is_not_let(self) -> None:
        path = os.path.join(self.folder, "bwrap")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
            )
        os.chmod(path, 0o755)
        self.demand()
        done = self.place.run(exitcode=2, env=self.env)
        self.assertIn("bwrap: setting up uid map: Permission denied", done.err)


class FalseSandbox(Case):
    """A program called bwrap that isolates nothing, in namespaces where it can do no harm."""

    APART = ("unshare", "--map-root-user", "-mpf", "--mount-proc", "--kill-child")
    # A bystander, which must not be signalled, and then the program.
    SCRIPT = 'sleep 300 & "$@"; code=$?; kill -0 $! && echo "bystander lives" >&2; exit $code'
    # Runs what it is given, but for its own options.
    RUNS = 'until [ "$1" = /bin/sh ]; do shift; done'

    def setUp(self) -> None:
        super().setUp()
        tried = subprocess.run([*self.APART, "true"], capture_output=True, check=False)
        need(tried.returncode == 0, "unshare in a user namespace")
        self.place = self.workspace(
            total_rounds=2,
            commands={"fix": "echo changed >made", "verify": ONCE},
            policy={"sandbox": "bwrap"},
        )

    def fake(self, script: str, folder: str) -> dict[str, str]:
        """An environment whose PATH leads to that program first."""
        path = os.path.join(folder, "bwrap")
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)
        return environment(PATH=f"{folder}:{os.environ['PATH']}")

    def apart(self, word: str, env: dict[str, str], exitcode: int) -> str:
        before = [*self.APART, "/bin/sh", "-c", self.SCRIPT, "sh"]
        done = run_openloop(word, self.place.path, before=before, env=env, exitcode=exitcode)
        self.assertIn("bystander lives", done.err)
        self.assertFalse(os.path.exists(self.place.project_file("made")))
        return done.out + done.err

    def test_one_that_makes_no_namespace_is_refused(self) -> None:
        env = self.fake(f'{self.RUNS}; exec "$@"', f"{self.folder}/bin")
        self.assertIn("makes no PID namespace", self.apart("doctor", env, 1))
        self.assertIn("makes no PID namespace", self.apart("run", env, 2))
        self.assertFalse(self.place.exists("events.jsonl"))

    def test_one_in_which_everything_can_be_written_is_refused(self) -> None:
        env = self.fake(f'{self.RUNS}; exec unshare -pf "$@"', f"{self.folder}/bin")
        self.assertIn("can write outside the sandbox", self.apart("run", env, 2))

    def test_one_that_runs_nothing_is_refused(self) -> None:
        env = self.fake("echo 1", f"{self.folder}/bin")
        self.assertIn("did not run the command", self.apart("run", env, 2))

    def test_one_that_lies_to_the_probe_starts_no_change_and_signals_nobody(self) -> None:
        lie = f'{self.RUNS}; [ $# = 5 ] && [ -d "$5" ] && {{ echo "$4 1"; exit; }}; exec "$@"'
        env = self.fake(lie, f"{self.folder}/bin")
        self.apart("run", env, 0)
        (step,) = [e for e in self.place.events_of("step_finished") if e["step"] == "fix"]
        self.assertEqual((step["outcome"], step["exit_code"]), ("failed", 126))
        self.assertIn("no PID namespace of its own", step["error"])

    def test_one_in_the_project_is_not_run(self) -> None:
        ran = os.path.join(self.folder, "ran")
        env = self.fake(f": >{ran}; exit 1", self.place.project_file(".venv/bin"))
        env["PATH"] = self.place.project_file(".venv/bin")
        words = "bwrap lies in the project"
        self.assertIn(words, run_openloop("doctor", self.place.path, env=env, exitcode=1).out)
        self.assertIn(words, self.place.run(env=env, exitcode=2).err)
        self.assertFalse(os.path.exists(ran))


class OrdinaryUser(Sandboxed):
    """The same as another user than root, where root can become one."""

    def setUp(self) -> None:
        super().setUp()
        self.nobody = Nobody(self)

    def test_writes_sees_and_returns_as_root_does(self) -> None:
        place = self.changed(
            'echo x > src/new; echo x > tests/new && exit 3; test -z "$(ls -A tests/acceptance)" '
            "&& ! test -e README && test $(ls -d /proc/[0-9]* | wc -l) -lt 10",
            protect=["tests/**"],
            withhold=["tests/acceptance/**", "README"],
        )
        before = os.stat(place.project_file("README"))
        self.nobody.run(place)
        self.assertEqual(place.artifact(2)["steps"][0]["sandbox"], "bwrap")
        self.assertEqual(os.stat(place.project_file("src/new")).st_uid, self.nobody.ids[0])
        self.assertFalse(os.path.exists(place.project_file("tests/new")))
        after = os.stat(place.project_file("README"))
        self.assertEqual(after.st_mtime_ns, before.st_mtime_ns)
        self.assertEqual(stat.S_IMODE(after.st_mode), stat.S_IMODE(before.st_mode))


if __name__ == "__main__":
    unittest.main()
