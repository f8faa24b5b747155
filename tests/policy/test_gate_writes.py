"""Gates that write into the project: nothing completes that was not measured as it is left."""

from __future__ import annotations

import os
import time
import unittest
from typing import Any

from openloop.core.vocabulary import Step
from openloop.fs.content import no_tick
from openloop.policy.project_policy import RECENT, ProjectPolicy
from openloop.policy.replaced_files import ReplacedFiles
from openloop.record.mission import load
from policy.test_policy import VERIFY, Project, repair
from support import Workspace, run_openloop, snapshot, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

SWAP = "cp src/calc.py build/kept; echo 'def add(a, b): return 7' > src/calc.py"


class GateWrites(Project):
    def gated(self, verify: str = "true", baseline: str = "true", **config: Any) -> Workspace:
        """Repaired in round 2; `verify` and `baseline` are what these gates do besides."""
        baseline = f"{baseline}; echo m=1"
        return self.place(
            *(repair(), repair(), repair()),
            **{
                "commands": {"verify": f"{VERIFY} && {verify}", "fix": repair()},
                "baseline": {"command": baseline, "regex": "m=(1)", "value": 1},
                **config,
            },
        )

    def measured(self, place: Workspace, number: int) -> list[tuple[str, str]]:
        return [(step, outcome) for at, step, outcome in place.steps() if at == number]

    def test_code_that_is_rewritten_after_its_last_check(self) -> None:
        place = self.gated(baseline="echo 'def add(a, b): return 7' > src/calc.py")
        ended = place.run(exitcode=1)
        words = "baseline wrote src/calc.py: gates are measured again"
        self.assertIn(words, ended.err)
        self.assertIn(words, [note["text"] for note in place.events_of("note")])
        expected = [("fix", "passed"), ("verify", "passed"), ("baseline", "passed")]
        self.assertEqual([*expected, ("verify", "failed")], self.measured(place, 2))
        self.assertEqual(["src/calc.py"], place.artifact(2)["steps"][2]["wrote"])
        self.assertNotIn("wrote", place.artifact(2)["steps"][1])
        place.audit()

    def test_two_versions_one_for_each_gate(self) -> None:
        """verify leaves the quick one for the baseline, which puts the right one back."""
        place = self.gated(f"{{ {SWAP}; }}", "cp build/kept src/calc.py", repository=True)
        os.mkdir(place.project_file("build"))
        ended = place.run(exitcode=1)
        notes = [note["text"].split()[0] for note in place.events_of("note")]
        self.assertLessEqual({"verify", "baseline"}, set(notes))
        self.assertIn("verify failed", ended.out)

    def test_verify_rewrites_what_it_has_just_passed(self) -> None:
        place = self.gated(verify="echo 'def add(a, b): return 5' > src/calc.py")
        place.run()
        expected = [("fix", "passed"), ("verify", "passed"), ("baseline", "passed")]
        self.assertEqual([*expected, ("verify", "passed")], self.measured(place, 2))

    def test_one_that_writes_each_time_never_completes(self) -> None:
        place = self.gated(verify="date +%s%N > src/stamp", total_rounds=2)
        ended = place.run(exitcode=1)
        self.assertIn(
            "verify policy (wrote src/stamp each of the 3 times it ran, so that it leaves another "
            "project than it passed: ignore such files, or take them out of policy.allow)",
            ended.out,
        )
        self.assertEqual(3, [step for step, _ in self.measured(place, 2)].count("verify"))

    def test_what_may_be_written(self) -> None:
        stamp = "date +%s%N > {}".format
        ways: dict[str, tuple[str, dict[str, Any]]] = {
            "ignored": (f"mkdir -p build; {stamp('build/stamp')}", {}),
            "litter": (stamp(".coverage"), {}),
            "outside what is allowed": (stamp("report.xml"), {}),
            "taken out of it": (
                stamp("src/stamp"),
                {"policy": {"protect": ["tests/**"], "allow": ["src/*", "!src/stamp"]}},
            ),
            "without allow": (stamp("src/stamp"), {"policy": {"protect": ["tests/**"]}}),
        }
        for name, (verify, config) in ways.items():
            with self.subTest(name):
                place = self.gated(verify, name=name, repository=True, **config)
                place.run()
                self.assertEqual([], [n for n in place.events_of("note") if n["note"] == "wrote"])

    def test_a_formatter_converges(self) -> None:
        place = self.gated("sed -i 's/  *$//; /^# formatted/!b' src/calc.py; : > src/marker.py")
        place.run()
        self.assertEqual("complete", place.heartbeat["status"])
        notes = [note["text"] for note in place.events_of("note") if note["note"] == "wrote"]
        self.assertEqual(["verify wrote src/marker.py: gates are measured again"], notes)

    def test_what_a_gate_does_outside_allow_is_undone(self) -> None:
        """Settings that the next gate would read."""
        act = "echo edited > README; rm -f .gitignore; ln -sf x LINK"
        hook = "echo by-a-hook >> notes.txt"
        place = self.gated(f"{{ {act}; }}", hooks={"round": hook})
        with open(place.project_file("notes.txt"), "w", encoding="utf-8"):
            pass
        before = {name: what for name, what in snapshot(place.project).items() if "/" not in name}
        ended = place.run()
        self.assertIn("restored LINK, README, .gitignore", ended.err)
        after = {name: what for name, what in snapshot(place.project).items() if "/" not in name}
        self.assertEqual({**before, "notes.txt": b"by-a-hook\n" * 2}, after)
        self.assertEqual([], place.events_of("policy_violated"))

    def test_what_a_hook_changed_can_be_restored_too(self) -> None:
        count = "notes.txt; test $OPENLOOP_ROUND = 1 || echo by-a-gate > notes.txt"
        place = self.gated(f"test -e {count}", hooks={"round": "echo by-a-hook > notes.txt"})
        with open(place.project_file("notes.txt"), "w", encoding="utf-8"):
            pass
        place.run()
        with open(place.project_file("notes.txt"), encoding="utf-8") as file:
            self.assertEqual("by-a-hook\n", file.read())

    def test_doctor_says_where_it_cannot_be_noticed(self) -> None:
        words = "policy.allow is missing: code that a gate rewrites is not measured again"
        for policy, said in (({"protect": ["tests/**"]}, True), (None, False)):
            place = self.gated(name=str(said), **({"policy": policy} if policy else {}))
            self.assertEqual(said, words in run_openloop("doctor", place.path).out)

    def test_doctor_probes_for_gates_that_write_each_time(self) -> None:
        stamp = "date +%s%N > {}".format
        policy = {"protect": ["tests/**"], "allow": ["src/*", ".coverage", "build/*"]}
        without = {**policy, "allow": ["src/*", "!/src/stamp"]}
        for name, verify, rules, written in (
            ("each time", stamp("src/stamp"), policy, "src/stamp"),
            ("a new file", stamp("src/n$(date +%s%N)"), policy, "src/n"),
            ("the same bytes", "echo 1 > src/stamp", policy, ""),
            ("ignored", f"mkdir -p build; {stamp('build/stamp')}", policy, ""),
            ("litter", stamp(".coverage"), policy, ""),
            ("taken out", stamp("src/stamp"), without, ""),
        ):
            with self.subTest(name):
                commands = {"verify": f"{verify}; {VERIFY}", "fix": repair()}
                place = self.gated(name=name, repository=True, policy=rules, commands=commands)
                done = run_openloop("doctor", place.path, "--probe", "1", exitcode=bool(written))
                words = f"verify writes {written}"
                self.assertEqual(bool(written), words in done.out and "each time" in done.out)
                self.assertEqual(bool(written), f'"!/{written}' in done.out)


class BetweenAGateAndAChange(Project):
    def after_a_gate(self, name: str) -> tuple[Workspace, ProjectPolicy]:
        place = self.place(name=name)
        mission = load(place.path)
        project = ProjectPolicy(mission, ReplacedFiles(mission.workspace, no_tick))
        project.take_reference({})
        self.assertEqual("", project.violations(Step.VERIFY).text)
        return place, project

    def test_what_a_stray_process_writes_there_counts_as_the_changes(self) -> None:
        for name, words in (
            ("README", "changed README outside what is allowed"),
            ("sitecustomize.py", "created sitecustomize.py outside what is allowed"),
            ("tests/test_calc.py", "changed protected tests/test_calc.py"),
        ):
            with self.subTest(name):
                place, project = self.after_a_gate(words)
                before = snapshot(place.project)
                with open(place.project_file(name), "w", encoding="utf-8") as file:
                    file.write("def load_tests(*_): raise SystemExit\n")
                project.before_change()
                found = project.violations(Step.FIX)
                self.assertEqual(words, found.text)
                project.restore(Step.FIX, found, lambda digest: None)
                self.assertEqual(before, snapshot(place.project))

    def test_what_a_person_writes_during_a_wait_does_not(self) -> None:
        place, project = self.after_a_gate("w")
        end = time.monotonic() + RECENT
        with open(place.project_file("README"), "w", encoding="utf-8") as file:
            file.write("mine\n")
        wait_until(lambda: time.monotonic() > end)
        before = snapshot(place.project)
        project.before_change()
        found = project.violations(Step.FIX)
        project.restore(Step.FIX, found, lambda digest: None)
        self.assertEqual(("", before), (found.text, snapshot(place.project)))


if __name__ == "__main__":
    unittest.main()
