"""The reference outlives a run that did not end in order, until a person accepts another one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import unittest

from policy.test_policy import TEST, Project, cheat, git, repair
from support import Done, Workspace, environment, need, run_openloop, snapshot, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick


def accept(place: Workspace, *words: str, exitcode: int = 0) -> Done:
    return run_openloop("accept", place.path, *words, exitcode=exitcode, workspace=place)


class Unrestored(Project):
    """What a run could not restore blocks the next one until it is restored or accepted."""

    def spoiled(self) -> Workspace:
        """A run is over that could not restore: a repository was moved into a protected folder."""
        need(shutil.which("git"), "git")
        place = self.place("mv src/inner tests/inner", repair())
        inner = place.project_file("src/inner")
        os.mkdir(inner)
        git(inner, "init", "-q")
        ended = place.run(exitcode=3)
        self.assertIn("cannot be", place.heartbeat["reason"])
        self.assertIn("tests/inner", place.heartbeat["reason"])
        self.assertNotIn("undone", ended.out)
        self.assertEqual([], place.status()["undone"])
        self.assertIn(f"openloop accept {place.path}", ended.out)
        return place

    def test_the_next_run_is_blocked_too(self) -> None:
        place = self.spoiled()
        events = len(place.events)
        for _ in range(2):
            ended = place.run(exitcode=3)
            self.assertIn("tests/inner", ended.err)
            self.assertIn(f"openloop accept {place.path}", ended.err)
        self.assertEqual([], [e for e in place.events[events:] if e["event"] != "note"])
        self.assertEqual("blocked", place.heartbeat["status"])

    def test_it_goes_on_once_a_person_restored_it(self) -> None:
        place = self.spoiled()
        os.rename(place.project_file("tests/inner"), place.project_file("src/inner"))
        place.run("--max-rounds", "1", exitcode=None)
        self.assertEqual(2, place.heartbeat["run"])
        place.audit()

    def test_a_file_that_can_be_replaced_again_is_restored_first(self) -> None:
        need(shutil.which("chattr"), "chattr")
        place = self.place("echo > tests/test_calc.py; chattr +i tests/test_calc.py", repair())
        test = place.project_file("tests/test_calc.py")
        if subprocess.run(["chattr", "+i", test], capture_output=True, check=False).returncode:
            self.skipTest("no file can be made immutable here")
        self.addCleanup(subprocess.run, ["chattr", "-i", test], check=False)
        subprocess.run(["chattr", "-i", test], check=True)
        place.run(exitcode=3)
        ended = place.run(exitcode=3)
        self.assertIn("cannot restore tests/test_calc.py: Operation not permitted", ended.err)
        self.assertEqual(b"\n", snapshot(place.project)["tests/test_calc.py"])
        subprocess.run(["chattr", "-i", test], check=True)
        ended = place.run(exitcode=None)
        self.assertIn("restored tests/test_calc.py, as in run 1", ended.err)
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
        place.audit()

    def test_a_configuration_that_cannot_be_restored_is_not_taken(self) -> None:
        script = 'sed -i s/false/true/ "$W/openloop.json"; chattr +i "$W/openloop.json"'
        commands = {"verify": "false", "fix": f"W=$OPENLOOP_WORKSPACE; {script}"}
        place = self.place(commands=commands, total_rounds=2)
        path = place.file("openloop.json")
        need(shutil.which("chattr"), "chattr")
        if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
            self.skipTest("no file can be made immutable here")
        self.addCleanup(subprocess.run, ["chattr", "-i", path], check=False)
        subprocess.run(["chattr", "-i", path], check=True)
        place.run(exitcode=3)
        self.assertLess(len(place.events), 30)
        self.assertIn("openloop.json was edited since", place.run(exitcode=3).err)
        self.assertIn("left this unsettled", run_openloop("doctor", place.path, exitcode=None).out)
        subprocess.run(["chattr", "-i", path], check=True)
        self.assertIn("openloop.json was edited since", place.run(exitcode=3).err)
        self.assertIn("openloop.json was edited since run 1 began", accept(place).out)
        place.run()

    def test_a_configuration_edited_after_a_kill_blocks_until_it_is_accepted(self) -> None:
        place = self.place(cheat("kills_runner", "configures"), repair())
        configured = place.read("openloop.json")
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=3)
        ended = place.run(exitcode=3)
        self.assertIn("openloop.json was edited", ended.err)
        with open(place.file("openloop.json"), "w", encoding="utf-8") as file:
            file.write(configured)
        ended = place.run("--max-rounds", "1", exitcode=None)
        self.assertRegex(ended.err, "restored (json.py|tests/test_calc.py), .*as in run 1")
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
        self.assertFalse(os.path.exists(place.project_file("json.py")))
        place.audit()

    def test_a_lost_reference_blocks_until_it_is_accepted(self) -> None:
        place = self.place(cheat("kills_runner", "damages"), repair())
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=3)
        place.run(exitcode=3)
        with open(place.project_file("tests/test_calc.py"), "w", encoding="utf-8") as file:
            file.write(TEST)
        os.remove(place.project_file("json.py"))
        accept(place)
        place.run(exitcode=None)
        self.assertEqual(2, place.heartbeat["run"])
        place.audit()

    def test_a_gate_that_was_cut_off_is_undone_beside_an_edited_configuration(self) -> None:
        verify = "echo > tests/test_calc.py; sleep 60"
        place = self.place("true", commands={"verify": verify})
        running = self.started(place)
        wait_until(lambda: place.running_step("verify"), "verify to run")
        changed = place.project_file("tests/test_calc.py")
        wait_until(lambda: os.path.getsize(changed) == 1, "the test to be emptied")
        running.kill()
        running.wait()
        place.configure({"commands": {"verify": "true"}, "policy": {"protect": ["tests/**"]}})
        place.run()
        self.assertEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
        place.audit()


class Accepting(Project):
    """`openloop accept` takes what there is, and says what that is."""

    def test_what_differs_is_listed_and_recorded(self) -> None:
        place = self.place(cheat("kills_runner", "configures"), repair())
        place.run(exitcode=-signal.SIGKILL)
        place.run(exitcode=3)
        ended = accept(place)
        self.assertIn("changed protected tests/test_calc.py", ended.out)
        self.assertIn("openloop.json was edited since run 1 began", ended.out)
        noted = [e for e in place.events_of("note") if e["note"] == "accepted"]
        self.assertEqual(1, len(noted))
        self.assertIn("changed protected tests/test_calc.py", noted[0]["text"])
        self.assertEqual("ready", place.heartbeat["status"])
        place.run()
        self.assertEqual(2, place.heartbeat["run"])
        place.audit()

    def test_a_run_that_was_killed_is_over_then(self) -> None:
        place = self.place(cheat("kills_runner"), repair())
        place.run(exitcode=-signal.SIGKILL)
        found = accept(place, "--json").json
        self.assertEqual(1, found["run"])
        self.assertIn("changed protected tests/test_calc.py", found["differences"])
        place.run()
        self.assertEqual(2, place.heartbeat["run"])
        self.assertNotEqual(TEST.encode(), snapshot(place.project)["tests/test_calc.py"])
        place.audit()

    def test_a_removed_log_makes_no_workspace_unusable(self) -> None:
        place = self.place(cheat("kills_runner"), repair())
        place.run(exitcode=-signal.SIGKILL)
        os.remove(place.file("logs/round-0001-verify.log"))
        place.run(exitcode=3)
        self.assertIn("logs/round-0001-verify.log is missing", accept(place).out)
        place.run()
        self.assertIn("accepted by a person", place.audit().out)

    def test_nothing_to_accept(self) -> None:
        place = self.place(repair())
        self.assertIn("there was no run yet", accept(place).out)
        place.run()
        events = place.events
        self.assertEqual({"run": 1, "differences": []}, json.loads(accept(place, "--json").out))
        self.assertEqual(events, place.events)

    def test_usage_and_a_live_runner(self) -> None:
        env = environment(OPENLOOP_WORKSPACE=self.folder)
        done = run_openloop("accept", self.folder, exitcode=2, env=env)
        self.assertIn("a command of a run cannot accept", done.err)
        run_openloop("accept", self.folder, exitcode=2)
        run_openloop("accept", exitcode=2)
        place = self.place("true", commands={"verify": "sleep 60"})
        running = self.started(place)
        wait_until(lambda: place.running_step("verify"), "verify to run")
        self.assertIn("live runner", accept(place, exitcode=4).err)
        running.terminate()
        running.wait()


class BetweenRuns(Project):
    """What a person changed after a run that ended in order is taken, and reported."""

    def test_what_changed_is_noted_at_the_start(self) -> None:
        place = self.place(repair())
        place.run()
        with open(place.project_file("tests/test_calc.py"), "a", encoding="utf-8") as file:
            file.write("# more\n")
        with open(place.project_file("tests/test_new.py"), "w", encoding="utf-8"):
            pass
        with open(place.project_file("README"), "a", encoding="utf-8") as file:
            file.write("not protected\n")
        ended = place.run()
        texts = [e["text"] for e in place.events_of("note") if e["note"] == "changed"]
        self.assertEqual(
            ["tests/test_new.py created since run 1", "tests/test_calc.py changed since run 1"],
            texts,
        )
        self.assertIn("note: tests/test_calc.py changed since run 1", ended.err)
        place.run()
        self.assertEqual(2, len([e for e in place.events_of("note") if e["note"] == "changed"]))


class IgnoreRulesBetweenRuns(Project):
    """Rules that an agent can write hide nothing from the next run either."""

    PLANT = "echo evil.py >> .git/info/exclude"

    def test_what_an_agent_adds_outside_the_project_hides_nothing(self) -> None:
        place = self.place(self.PLANT, cheat("plants", "evil.py"), repair(), repository=True)
        place.run("--max-rounds", "2", exitcode=1)
        ended = place.run()
        self.assertIn(".git/info/exclude: not followed", ended.err)
        self.assertEqual("policy", self.outcome(place, 3))
        self.assertFalse(os.path.exists(place.project_file("evil.py")))

    def test_it_does_so_once_a_person_has_accepted_it(self) -> None:
        place = self.place(self.PLANT, cheat("plants", "evil.py"), repair(), repository=True)
        place.run("--max-rounds", "2", exitcode=1)
        self.assertIn("the ignore rules changed in .git/info/exclude", accept(place).out)
        ended = place.run()
        self.assertNotIn("not followed", ended.err)
        self.assertEqual("passed", self.outcome(place, 3))

    def test_a_new_repository_and_rules_in_an_allowed_folder(self) -> None:
        need(shutil.which("git"), "git")
        new = "git init -q . && echo evil.py > .git/info/exclude"
        place = self.place(new, cheat("plants", "evil.py"), repair(), name="new")
        place.run("--max-rounds", "2", exitcode=1)
        place.run()
        self.assertEqual("policy", self.outcome(place, 3))
        policy = {"allow": ["src/**"], "max_changed_files": 2}
        inside = "printf 'made*\\n.gitignore\\n' > src/.gitignore"
        many = cheat("plants", "src/made1", "src/made2", "src/made3")
        place = self.place(inside, many, repair(), name="inside", repository=True, policy=policy)
        place.run("--max-rounds", "2", exitcode=1)
        place.run()
        self.assertEqual("policy", self.outcome(place, 3))

    def test_rules_of_a_person_are_followed(self) -> None:
        place = self.place(cheat("plants", "new.txt"), repair(), repository=True)
        place.run("--max-rounds", "1", exitcode=1)
        with open(place.project_file(".gitignore"), "a", encoding="utf-8") as file:
            file.write("new.txt\n")
        self.assertNotIn("not followed", place.run(exitcode=None).err)
        self.assertEqual("passed", self.outcome(place, 2))


if __name__ == "__main__":
    unittest.main()
