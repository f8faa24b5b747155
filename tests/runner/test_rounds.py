"""Rounds by real commands: the order of steps, evidence, outcomes, the breaker, what follows."""

from __future__ import annotations

import json
import unittest
from typing import Any

from support import Case, Workspace, agent, by_round, lives, read_pid, run_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

PATIENT = {"max_consecutive_failures": 1000}
SCORE = {"regex": "score=([0-9.]+)", "value": 5}


def touch(path: str) -> None:
    with open(path, "w", encoding="utf-8"):
        pass


class RoundCase(Case):
    """Writes a step as `play failed` and a confirmation as `play passed again`."""

    def step_outcomes(self, place: Workspace, number: int) -> str:
        return ", ".join(
            f"{step['step']} {step['outcome']}{' again' if step['confirm'] else ''}"
            for step in place.artifact(number)["steps"]
        )

    def assert_rounds(self, place: Workspace, *expected: str) -> None:
        count = len(place.events_of("round_finished"))
        self.assertEqual(
            [self.step_outcomes(place, n) for n in range(1, count + 1)], list(expected)
        )

    def ends(self, place: Workspace) -> list[tuple[str, str]]:
        return [(e["outcome"], e["decision"]) for e in place.events_of("round_finished")]


class Order(RoundCase):
    """One trip around the figure: play, scan, fix, verify, baseline, improve."""

    def test_scan_runs_even_when_play_failed(self) -> None:
        place = self.workspace(
            total_rounds=1, commands={"play": "false", "scan": "true", "verify": "true"}
        )
        place.run(exitcode=1)
        self.assert_rounds(place, "play failed, scan passed, verify passed")

    def test_only_what_is_configured_runs(self) -> None:
        place = self.workspace(commands={"verify": "true", "fix": "false", "improve": "false"})
        place.run()
        self.assert_rounds(place, "verify passed")
        self.assertEqual(self.ends(place), [("healthy", "complete")])

    def test_a_failure_is_fixed_before_verify(self) -> None:
        place = self.workspace(
            commands={"play": "test -e fixed", "fix": "touch fixed", "verify": "test -e fixed"}
        )
        place.run()
        self.assert_rounds(place, "play failed, fix passed, verify passed, play passed again")
        self.assertEqual(self.ends(place), [("repaired", "complete")])

    def test_an_outstanding_failure_is_fixed_in_the_next_round(self) -> None:
        place = self.workspace(commands={"fix": "touch fixed", "verify": "test -e fixed"})
        place.run()
        self.assert_rounds(place, "verify failed", "fix passed, verify passed")
        self.assertEqual(self.ends(place), [("unhealthy", "continue"), ("repaired", "complete")])

    def test_an_outstanding_failure_is_fixed_in_the_next_run(self) -> None:
        place = self.workspace(commands={"fix": "touch fixed", "verify": "test -e fixed"})
        place.run("--max-rounds", "1", exitcode=1)
        place.run()
        self.assert_rounds(place, "verify failed", "fix passed, verify passed")

    def test_a_failed_fix_is_judged_by_the_gates_alone(self) -> None:
        place = self.workspace(
            commands={"fix": "touch fixed; exit 9", "verify": "test -e fixed"},
        )
        place.run()
        self.assert_rounds(place, "verify failed", "fix failed, verify passed")

    def test_baseline_waits_for_verify(self) -> None:
        place = self.workspace(
            commands={"verify": by_round("false", "true")},
            baseline={"command": "echo score=9", **SCORE},
        )
        place.run()
        self.assert_rounds(place, "verify failed", "verify passed, baseline passed")

    def test_a_disabled_baseline_is_left_out(self) -> None:
        place = self.workspace(
            commands={"verify": "true"},
            baseline={"enabled": False, "command": "false", **SCORE},
        )
        place.run()
        self.assert_rounds(place, "verify passed")
        self.assertIsNone(place.artifact(1)["metric"])

    def test_improve_answers_a_missed_baseline(self) -> None:
        place = self.workspace(
            commands={"verify": "true", "fix": "true", "improve": "touch improved"},
            baseline={
                "command": "if test -e improved; then echo score=9; else echo score=1; fi",
                **SCORE,
            },
        )
        place.run()
        self.assert_rounds(
            place,
            "verify passed, baseline failed, improve passed",
            "verify passed, baseline passed",
        )
        self.assertEqual(self.ends(place), [("unhealthy", "continue"), ("healthy", "complete")])

    def test_fix_stands_in_for_improve(self) -> None:
        place = self.workspace(
            commands={"verify": "true", "fix": "touch improved"},
            baseline={
                "command": "if test -e improved; then echo score=9; else echo score=1; fi",
                **SCORE,
            },
        )
        place.run()
        self.assert_rounds(
            place, "verify passed, baseline failed, fix passed", "verify passed, baseline passed"
        )
        self.assertTrue(place.exists("artifacts/round-0001-fix-prompt.md"))

    def test_no_improve_while_another_gate_fails(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"scan": "false", "verify": "true", "improve": "true"},
            baseline={"command": "echo score=1", **SCORE},
        )
        place.run(exitcode=1)
        self.assert_rounds(place, *["scan failed, verify passed, baseline failed"] * 2)


class Evidence(RoundCase):
    """A gate measured before a later change is stale, and a change is never the last thing."""

    def test_stale_gates_are_measured_again_in_the_same_round(self) -> None:
        place = self.workspace(
            commands={
                "play": "true",
                "scan": "test -e fixed",
                "fix": "touch fixed",
                "verify": "test -e fixed",
            }
        )
        place.run()
        self.assert_rounds(
            place,
            "play passed, scan failed, fix passed, verify passed, "
            "play passed again, scan passed again",
        )

    def test_a_fix_that_broke_another_gate_is_not_complete(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={
                "play": "test ! -e fixed",
                "scan": "test -e fixed",
                "fix": "touch fixed",
                "verify": "test -e fixed",
            },
        )
        place.run(exitcode=1)
        self.assertEqual(
            self.step_outcomes(place, 1),
            "play passed, scan failed, fix passed, verify passed, play failed again",
        )
        self.assertEqual(self.ends(place), [("unhealthy", "exhausted")])

    def test_a_change_in_the_last_round_is_measured(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={"play": "true", "verify": "true", "improve": "touch improved"},
            baseline={
                "command": "if test -e improved; then echo score=9; else echo score=1; fi",
                **SCORE,
            },
        )
        place.run()
        self.assert_rounds(
            place,
            "play passed, verify passed, baseline failed, improve passed, "
            "play passed again, verify passed again, baseline passed again",
        )
        self.assertEqual(self.ends(place), [("repaired", "complete")])
        for name in ("play-2", "verify-2", "baseline-2"):
            self.assertTrue(place.exists(f"logs/round-0001-{name}.log"), name)

    def test_a_change_before_the_breaker_trips_is_measured(self) -> None:
        place = self.missing_the_baseline(limits={"max_consecutive_failures": 1})
        place.run(exitcode=3)
        self.assertTrue(self.step_outcomes(place, 1).endswith("baseline failed again"))

    def test_a_change_at_the_end_of_the_time_is_measured(self) -> None:
        place = self.missing_the_baseline(
            improve="sleep 3", limits={**PATIENT, "max_runtime_seconds": 2}
        )
        place.run(exitcode=1)
        last = len(place.events_of("round_finished"))
        self.assertTrue(self.step_outcomes(place, last).endswith("baseline failed again"))
        self.assertIn("max_runtime_seconds", place.heartbeat["reason"])

    def missing_the_baseline(self, improve: str = "true", **config: Any) -> Workspace:
        return self.workspace(
            total_rounds=9,
            commands={"verify": "true", "improve": improve},
            baseline={"command": "echo score=1", **SCORE},
            **config,
        )


class Outcomes(RoundCase):
    """How a step ended, and why; only `passed` passes."""

    WAYS = (
        ("exit 3", "failed", 3, None, "exit 3"),
        ("kill -9 $$", "failed", None, "SIGKILL", "killed by SIGKILL, not by OpenLoop"),
        ("kill -TERM $$", "failed", None, "SIGTERM", "killed by SIGTERM"),
        ("sh -c 'kill -9 $$'; exit $?", "failed", 137, None, "exit 137"),
        ("no-such-command-here", "failed", 127, None, "command not found"),
        ("echo '#!/bin/sh' > plain; ./plain", "failed", 126, None, "not executable"),
        ("echo MemoryError; exit 3", "oom", 3, None, "MemoryError"),
        ("echo MemoryError:; exit 1", "oom", 1, None, "MemoryError"),
        ("while :; do echo .; sleep 0.02; done", "timeout", None, "SIGTERM", "longer than 1.2 s"),
        ("echo once; sleep 60", "stalled", None, "SIGTERM", "no new output for 0.3 s"),
        ("for i in 1 2 3 4; do echo $i; sleep 0.1; done", "passed", 0, None, ""),
    )

    def test_each_way_to_end(self) -> None:
        place = self.workspace(
            total_rounds=len(self.WAYS),
            commands={"verify": by_round(*(script for script, *_ in self.WAYS))},
            limits={
                **PATIENT,
                "command_timeout_seconds": 1.2,
                "stall_timeout_seconds": 0.3,
                "kill_grace_seconds": 5,
            },
        )
        place.run()
        for number, (script, outcome, code, signal, detail) in enumerate(self.WAYS, 1):
            with self.subTest(script):
                (step,) = place.artifact(number)["steps"]
                found = (step["outcome"], step["exit_code"], step["signal"])
                self.assertEqual(found, (outcome, code, signal))
                self.assertIn(detail, step["detail"])

    def test_expect_and_reject_look_at_the_own_log(self) -> None:
        place = self.workspace(
            total_rounds=4,
            commands={
                "play": {"run": by_round("echo no", *["echo ready"] * 3), "expect": "^ready$"},
                "scan": {"run": by_round("true", "echo broken"), "reject": "^brok"},
                "verify": {"run": by_round(*["true"] * 2, "echo ok; exit 1", "echo ok")}
                | {"expect": "ok", "reject": "ready"},
            },
            limits=PATIENT,
        )
        place.run()
        self.assert_rounds(
            place,
            "play failed, scan passed, verify failed",
            "play passed, scan failed, verify failed",
            "play passed, scan passed, verify failed",
            "play passed, scan passed, verify passed",
        )

    def test_an_empty_log_is_looked_at_too(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={
                "play": {"run": "true", "expect": "^$"},
                "scan": {"run": "true", "reject": "^$"},
                "verify": {"run": "true", "expect": "."},
            },
        )
        place.run(exitcode=1)
        self.assert_rounds(place, "play passed, scan failed, verify failed")

    def test_oom_markers_of_ones_own(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"play": "echo MemoryError", "verify": "echo engine: no memory left; exit 1"},
            limits={"oom_markers": ["^engine: no memory"]},
        )
        place.run(exitcode=1)
        self.assertEqual(self.step_outcomes(place, 1), "play passed, verify oom")

    def test_a_command_that_cannot_be_started(self) -> None:
        place = self.workspace(
            total_rounds=1, commands={"play": f": {'x' * 200_000}", "verify": "true"}
        )
        place.run(exitcode=1)
        self.assert_rounds(place, "play error, verify passed")
        step = place.artifact(1)["steps"][0]
        self.assertEqual((step["exit_code"], step["pid"]), (None, None))
        self.assertIn("Argument list too long", step["detail"])
        place.audit()

    def test_last_error_is_one_printable_line(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={
                "verify": by_round("printf 'first\\n\\033[31mlast \\000line\\n \\n\\n'; exit 4"),
            },
        )
        place.run()
        self.assertEqual(place.artifact(1)["last_error"], r"verify failed (exit 4): last \x00line")
        self.assertEqual(place.heartbeat["last_error"], "")

    def test_reason_names_a_change_that_did_not_pass(self) -> None:
        for fix, words in (
            ("no-such-agent", "fix failed: exit 127 (command not found)"),
            ("exit 3", "fix failed: exit 3"),
        ):
            commands = {"verify": "false", "fix": fix}
            place = self.workspace(words[-1], commands=commands, total_rounds=2)
            place.run(exitcode=1)
            self.assertEqual(
                f"all 2 allowed rounds used; verify failed, {words}", place.heartbeat["reason"]
            )

    def test_reason_says_that_the_program_of_a_gate_is_missing(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": "no-such-runner tests"})
        done = place.run(exitcode=1)
        self.assertIn(
            f"next      look what is missing: openloop doctor {place.path}; then", done.out
        )
        words = "verify failed: exit 127 (command not found)"
        self.assertEqual(f"1 round allowed; {words}", place.heartbeat["reason"])
        self.assertRegex(place.heartbeat["last_error"], "no-such-runner: (command )?not found")

    def test_last_error_is_cut_at_2000_characters(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": f"echo {'x' * 5000}; false"})
        place.run(exitcode=1)
        self.assertEqual(len(place.heartbeat["last_error"]), 2000)


class Breaker(RoundCase):
    """Failed rounds in a row trip it; a blocked workspace gets one trial round a run."""

    def test_it_trips_at_the_limit(self) -> None:
        place = self.workspace(
            total_rounds=9, commands={"verify": "false"}, limits={"max_consecutive_failures": 3}
        )
        place.run(exitcode=3)
        self.assertEqual(
            self.ends(place), [("unhealthy", "continue")] * 2 + [("unhealthy", "blocked")]
        )
        self.assertEqual(place.heartbeat["consecutive_failures"], 3)
        self.assertIn("3 failed rounds in a row", place.heartbeat["reason"])
        self.assertEqual(place.events[-2]["event"], "breaker_tripped")
        self.assertEqual(place.events[-1]["status"], "blocked")

    def test_it_trips_in_the_last_budgeted_round_too(self) -> None:
        place = self.workspace(
            total_rounds=2, commands={"verify": "false"}, limits={"max_consecutive_failures": 2}
        )
        place.run(exitcode=3)

    def test_the_count_carries_over_from_run_to_run(self) -> None:
        place = self.workspace(
            total_rounds=2, commands={"verify": "false"}, limits={"max_consecutive_failures": 3}
        )
        place.run(exitcode=1)
        place.run(exitcode=3)
        self.assertEqual(len(place.events_of("round_finished")), 3)

    def test_a_complete_round_sets_the_count_to_zero(self) -> None:
        place = self.workspace(
            total_rounds=2,
            commands={"verify": by_round("false", "true", "false", "false")},
            limits={"max_consecutive_failures": 2},
        )
        place.run(exitcode=0)
        place.run(exitcode=3)
        counts = [e["consecutive_failures"] for e in place.events_of("round_finished")]
        self.assertEqual(counts, [1, 0, 1, 2])

    def test_a_metric_that_beats_its_best_is_no_failed_round(self) -> None:
        values = (1, 2, 3, 3, 2, 4)
        place = self.workspace(
            total_rounds=len(values),
            commands={"verify": "true", "improve": "true"},
            baseline={"command": by_round(*(f"echo score={v}" for v in values)), **SCORE},
            limits={"max_consecutive_failures": 3},
        )
        place.run(exitcode=1)
        counts = [e["consecutive_failures"] for e in place.events_of("round_finished")]
        self.assertEqual(counts, [1, 0, 0, 1, 2, 0])  # a first value beats nothing
        self.assertEqual(place.heartbeat["metric"]["best"], 4)

    def test_the_trial_is_one_round_and_blocks_again_at_once(self) -> None:
        place = self.workspace(
            total_rounds=9,
            commands={"verify": by_round("false", "false", "false")},
            limits={"max_consecutive_failures": 2},
        )
        place.run(exitcode=3)
        place.run(exitcode=3)
        self.assertEqual(len(place.events_of("round_finished")), 3)
        self.assertIn("trial", place.heartbeat["reason"])
        self.assertEqual([e["trial"] for e in place.events_of("run_started")], [False, True])
        place.run(exitcode=0)
        self.assertEqual(place.heartbeat["consecutive_failures"], 0)
        place.run(exitcode=0)
        self.assertFalse(place.events_of("run_started")[-1]["trial"])

    def test_the_trial_completes_when_the_cause_is_fixed(self) -> None:
        place = self.workspace(
            total_rounds=9,
            commands={"play": "test -e cured && test -e fixed", "fix": "touch fixed"}
            | {"verify": "test -e fixed"},
            limits={"max_consecutive_failures": 1},
        )
        place.run(exitcode=3)
        touch(place.project_file("cured"))
        place.run(exitcode=0)
        self.assertEqual(self.step_outcomes(place, 2), "play passed, verify passed")


class Interruptions(RoundCase):
    """A run that was cut off goes on; a configuration edited meanwhile begins a new one."""

    def cut_off(self, step: str, **config: Any) -> Workspace:
        """A workspace whose runner was killed in the middle of `step` in round 2."""
        pid_file = f"{self.folder}/pid"
        commands = {"fix": "true", "verify": "test -e healthy", **config.pop("commands", {})}
        commands[step] = by_round(
            "false", f"test -e {pid_file} || {agent('sleeps', pid_file)}", *["exit 1"] * 9
        )
        place = self.workspace(commands=commands, total_rounds=4, limits=PATIENT, **config)
        runner = self.started(place)
        pid = wait_until(lambda: read_pid(pid_file))
        runner.kill()
        runner.wait()
        wait_until(lambda: not lives(pid))
        return place

    def test_the_broken_round_is_closed_and_counts_for_nothing(self) -> None:
        place = self.cut_off("verify")
        place.run(exitcode=1)
        self.assertEqual(
            self.ends(place),
            [
                ("unhealthy", "continue"),
                ("interrupted", "continue"),
                ("unhealthy", "continue"),
                ("unhealthy", "continue"),
                ("unhealthy", "exhausted"),
            ],
        )
        counts = [e["consecutive_failures"] for e in place.events_of("round_finished")]
        self.assertEqual(counts, [1, 1, 2, 3, 4])
        self.assertEqual({e["run"] for e in place.events}, {1})
        self.assertEqual(self.step_outcomes(place, 2), "fix passed")

    def test_after_a_crash_in_fix_nothing_is_outstanding(self) -> None:
        place = self.cut_off("fix")
        place.run("--max-rounds", "2", exitcode=1)
        self.assertEqual(self.step_outcomes(place, 2), "")
        self.assertEqual(self.step_outcomes(place, 3), "verify failed")
        self.assertEqual(self.step_outcomes(place, 4), "fix failed, verify failed")

    def test_an_edited_configuration_begins_a_new_run(self) -> None:
        place = self.cut_off("verify")
        place.configure({"commands": {"verify": "true"}})
        place.run()
        started = place.events_of("run_started")
        self.assertEqual([(e["run"], e["resumed"]) for e in started], [(1, False), (2, False)])
        self.assertEqual(
            self.ends(place)[1:], [("interrupted", "continue"), ("healthy", "complete")]
        )
        self.assertEqual([e["status"] for e in place.events_of("run_finished")][-1], "complete")
        place.audit()

    def test_an_edited_configuration_beside_a_cut_off_change_is_blocked(self) -> None:
        place = self.cut_off("fix")
        place.configure({"commands": {"verify": "true", "play": "true"}})
        before = len(place.events_of("step_started"))
        place.run(exitcode=3)
        self.assertEqual(place.heartbeat["status"], "blocked")
        self.assertIn("openloop.json", place.heartbeat["reason"])
        self.assertEqual(len(place.events_of("step_started")), before)
        place.audit()
        place.run(exitcode=3)  # until a person has looked
        run_openloop("accept", place.path)
        place.run(exitcode=0)

    def test_a_configuration_rewritten_with_the_same_bytes_is_the_same(self) -> None:
        place = self.cut_off("verify")
        with open(place.file("openloop.json"), encoding="utf-8") as file:
            document = json.load(file)
        place.configure(document)
        place.run("--max-rounds", "1", exitcode=1)
        self.assertTrue(place.events_of("run_started")[-1]["resumed"])


if __name__ == "__main__":
    unittest.main()
