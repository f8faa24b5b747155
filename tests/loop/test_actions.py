"""The loop as a whole: histories written in advance, results of every kind, what cannot happen."""

from __future__ import annotations

import unittest
from typing import Any

from loop.histories import HISTORIES, TAMPERED, lived
from loop.missions import (
    EVERYTHING,
    Mission,
    Result,
    configured,
    measured,
    replayed,
    since_latest_round,
    tell,
    through_json,
    without_reason,
)
from openloop.core.vocabulary import HISTORY, Direction, Kind, Outcome, Status, Step
from openloop.loop import actions, transitions
from openloop.loop.events import Event
from openloop.loop.state import State


class Histories(unittest.TestCase):
    """Whole missions, each one a line of the table."""

    def test_the_table_is_large(self) -> None:
        self.assertGreaterEqual(len(HISTORIES), 60)
        self.assertEqual(len(HISTORIES), len({history.story for history in HISTORIES}))

    def test_every_history_goes_as_written(self) -> None:
        for history in HISTORIES:
            with self.subTest(history.title):
                tell(Mission(history.config), history.story)

    def test_every_history_is_written_to_its_end(self) -> None:
        for mission in map(lived, HISTORIES):
            self.assertFalse(mission.is_open)
            self.assertIn(mission.state.status, (*_OVER, Status.INTERRUPTED))

    def test_a_later_process_knows_the_same(self) -> None:
        for mission in map(lived, HISTORIES):
            self.assertEqual(mission.state, replayed(mission.events))

    def test_the_latest_round_is_enough_to_go_on_at_any_moment(self) -> None:
        for mission in map(lived, HISTORIES):
            for end in range(len(mission.events), 0, -4):
                past = mission.events[:end]
                latest = replayed(since_latest_round(past))
                self.assertEqual(without_reason(replayed(past)), without_reason(latest))


_OVER = (Status.COMPLETE, Status.EXHAUSTED, Status.BLOCKED)


class Outcomes(unittest.TestCase):
    """Only `passed` passes."""

    def after_a_round(self, steps: str, outcome: Outcome) -> Mission:
        mission = Mission(configured(steps, rounds=1))
        while mission.state.status not in _OVER:
            action = mission.next()
            mission.perform(action, Result(outcome))
        return mission

    def test_complete_takes_passed_and_nothing_else(self) -> None:
        for outcome in set(Outcome) - {Outcome.INTERRUPTED}:
            with self.subTest(outcome):
                mission = self.after_a_round("play scan verify", outcome)
                complete = mission.state.status is Status.COMPLETE
                self.assertEqual(outcome is Outcome.PASSED, complete)

    def test_any_failure_is_answered_by_fix(self) -> None:
        for outcome in set(Outcome) - {Outcome.INTERRUPTED, Outcome.PASSED}:
            with self.subTest(outcome):
                mission = Mission(configured("play fix verify"))
                tell(mission, f"run1/5 1: play:{outcome} fix verify *play =repaired/complete")

    def test_any_missed_baseline_is_answered_by_improve(self) -> None:
        for outcome in set(Outcome) - {Outcome.INTERRUPTED, Outcome.PASSED}:
            with self.subTest(outcome):
                mission = Mission(configured("verify baseline improve"))
                tell(mission, f"run1/5 1: verify baseline:{outcome} improve =unhealthy/continue")


class Reasons(unittest.TestCase):
    """The words that say why a run ended."""

    def reason(self, steps: str, story: str, **limits: Any) -> str:
        mission = Mission(configured(steps, **limits))
        tell(mission, story)
        return mission.state.reason

    def test_complete(self) -> None:
        story = "run1/5 1: verify =healthy/complete complete"
        self.assertEqual("every gate passed", self.reason("verify", story))

    def test_exhausted_names_what_fails(self) -> None:
        story = (
            "run1/2 1: play- verify =unhealthy/continue"
            " 2: play- verify:timeout =unhealthy/exhausted exhausted"
        )
        reason = self.reason("play verify", story, rounds=2)
        self.assertEqual("all 2 allowed rounds used; play failed, verify timeout", reason)

    def test_the_time_is_over(self) -> None:
        story = "run1/5 1: +61s verify- =unhealthy/exhausted exhausted"
        reason = self.reason("verify", story, runtime=60)
        self.assertEqual("max_runtime_seconds 60 is over; verify failed", reason)

    def test_the_breaker(self) -> None:
        story = "run1/5 1: verify- =unhealthy/continue 2: verify- =unhealthy/blocked trip blocked"
        reason = self.reason("verify", story, failures=2)
        self.assertEqual("2 failed rounds in a row, the limit is 2; verify failed", reason)

    def test_the_trial(self) -> None:
        story = (
            "run1/5 1: verify- =unhealthy/blocked trip blocked"
            " trial2/1 2: verify- =unhealthy/blocked trip blocked"
        )
        reason = self.reason("verify", story, failures=1)
        self.assertIn("the trial round of a blocked workspace did not end complete", reason)

    def test_a_signal(self) -> None:
        story = "run1/5 1: verify:interrupted SIGTERM =interrupted/continue interrupted"
        self.assertEqual("interrupted by SIGTERM", self.reason("verify", story))

    def test_the_runners_death_is_the_reason_of_the_broken_round(self) -> None:
        story = "run1/5 1: verify~ KILL resume1/5 =interrupted/continue"
        self.assertEqual("interrupted by the runner's death", self.reason("verify", story))

    def test_tampering_is_named(self) -> None:
        for history in TAMPERED:
            with self.subTest(history.title):
                end = history.story.rindex("TAMPER") + len("TAMPER")
                mission = Mission(history.config)
                tell(mission, f"{history.story[:end]}")
                while (action := mission.next()) and mission.state.status not in _OVER:
                    mission.perform(action)
                self.assertIn("openloop.json was edited", mission.state.reason)

    def test_the_first_tampering_found_is_the_reason(self) -> None:
        mission = Mission(configured("verify"))
        tell(mission, "run1/5 1: verify TAMPER")
        mission.tamper("events.jsonl was removed")
        tell(mission, "=unhealthy/blocked blocked")
        self.assertEqual("openloop.json was edited", mission.state.reason)

    def test_a_single_round_in_which_nothing_could_be_repaired_says_so(self) -> None:
        story = "run1/1 1: verify- =unhealthy/exhausted exhausted"
        reason = self.reason("fix verify", story, rounds=1)
        self.assertEqual(
            "1 round allowed, which only measured: fix has not run; verify failed", reason
        )

    def test_a_violation_is_named(self) -> None:
        story = "run1/1 1: play- fix:policy VIOLATE =unhealthy/exhausted exhausted"
        reason = self.reason("play fix verify", story, rounds=1)
        self.assertEqual("1 round allowed; changed tests/a", reason)

    def test_a_cut_off_change_beside_an_edited_configuration_is_named(self) -> None:
        story = "run1/5 1: play- fix~ KILL EDIT =interrupted/blocked blocked"
        reason = self.reason("play fix verify", story)
        self.assertEqual("openloop.json changed while fix was cut off", reason)


class Remembered(unittest.TestCase):
    """What later rounds and prompts learn of earlier rounds."""

    def test_the_last_error_stands_until_a_round_is_complete(self) -> None:
        mission = Mission(configured("play scan verify"))
        tell(mission, "run1/5 1: play- scan")
        self.assertEqual("play failed", mission.state.last_error)
        tell(mission, "verify:timeout =unhealthy/continue 2: play scan")
        self.assertEqual("verify timeout", mission.state.last_error)
        tell(mission, "verify =healthy/complete")
        self.assertEqual("", mission.state.last_error)

    def test_the_latest_rounds(self) -> None:
        mission = Mission(configured("verify", rounds=9, failures=9))
        rounds = (f"{number}: verify- =unhealthy/continue" for number in range(1, 9))
        tell(mission, f"run1/9 {' '.join(rounds)}")
        numbers = [past.round for past in mission.state.history]
        self.assertEqual(list(range(9 - HISTORY, 9)), numbers)
        self.assertEqual(((Step.VERIFY, Outcome.FAILED),), mission.state.history[-1].steps)


class EditedGates(unittest.TestCase):
    """A configuration that names other gates than the one before."""

    def test_a_failure_of_a_gate_that_is_gone_counts_no_more(self) -> None:
        mission = Mission(configured("play fix verify", rounds=1))
        tell(mission, "run1/1 1: play- fix verify *play- =unhealthy/exhausted exhausted EDIT")
        mission.config = configured("fix verify", rounds=1)
        tell(mission, "run2/1 2: verify =healthy/complete complete")

    def test_a_new_gate_has_to_pass_too(self) -> None:
        mission = Mission(configured("verify", rounds=1))
        tell(mission, "run1/1 1: verify =healthy/complete complete EDIT")
        mission.config = configured("scan verify", rounds=1)
        tell(mission, "run2/1 2: scan- verify =unhealthy/exhausted exhausted")


class BestMetric(unittest.TestCase):
    """Which value counts as the best so far."""

    def after(self, *values: float | None, direction: str = "greater_equal") -> State:
        config = configured("verify baseline", rounds=99, failures=99, direction=direction)
        mission = Mission(config)
        results = [Result(Outcome.FAILED, None) if v is None else measured(v) for v in values]
        while results:
            action = mission.next()
            is_baseline = isinstance(action, actions.RunStep) and action.step is Step.BASELINE
            mission.perform(action, results.pop(0) if is_baseline else Result(Outcome.PASSED))
        return mission.state

    def test_the_highest(self) -> None:
        state = self.after(0.1, 0.5, 0.3)
        assert state.metric
        self.assertEqual((0.3, 0.5), (state.metric.value, state.metric.best))

    def test_the_lowest_where_lower_is_better(self) -> None:
        state = self.after(0.5, 0.1, 0.3, direction="less")
        assert state.metric
        self.assertEqual((0.1, False), (state.metric.best, state.progressed))
        self.assertTrue(self.after(0.5, 0.4, direction="less").progressed)

    def test_what_was_not_measured_changes_nothing(self) -> None:
        state = self.after(0.5, None)
        assert state.metric
        self.assertEqual((None, 0.5), (state.metric.value, state.metric.best))

    def test_a_first_value_is_no_progress(self) -> None:
        self.assertFalse(self.after(0.5).progressed)
        self.assertFalse(self.after(None, 0.5).progressed)
        self.assertTrue(self.after(0.4, 0.5).progressed)

    def test_another_name_or_direction_begins_again(self) -> None:
        for changed in ({"name": "other"}, {"direction": Direction.LESS}):
            with self.subTest(changed):
                mission = Mission(configured("verify baseline"))
                tell(mission, "run1/5 1: verify baseline=0.1 =unhealthy/continue 2: verify")
                before = next(e for e in mission.events if "metric" in e.data)
                metric = before.data["metric"] | changed | {"value": 0.3}
                mission.record(Kind.STEP_STARTED, Step.BASELINE)
                data = {"outcome": "failed", "metric": metric}
                mission.record(Kind.STEP_FINISHED, Step.BASELINE, **data)
                assert mission.state.metric
                self.assertEqual(0.3, mission.state.metric.best)
                self.assertFalse(mission.state.progressed)


DATA: dict[Kind, dict[str, Any]] = {  # what an event holds where a case says nothing else
    Kind.RUN_STARTED: {
        "budget": 5,
        "trial": False,
        "resumed": False,
        "config_sha256": "0",
        "mark": 7,
    },
    Kind.STEP_FINISHED: {"outcome": "passed"},
    Kind.ROUND_FINISHED: {
        "outcome": "unhealthy",
        "decision": "continue",
        "reason": "",
        "consecutive_failures": 1,
        "duration_seconds": 1.0,
    },
    Kind.RUN_FINISHED: {"status": "exhausted", "reason": ""},
    Kind.BREAKER_TRIPPED: {"reason": ""},
}


class Impossible(unittest.TestCase):
    """One door for state: what cannot follow is refused, and nothing has changed."""

    IN_STEP = "run1/5 1: play~"
    IN_ROUND = "run1/5 1: play"
    BETWEEN_ROUNDS = "run1/5 1: play- verify =unhealthy/continue"
    OVER = "run1/5 1: play verify =healthy/complete complete"
    INTERRUPTED = "run1/5 1: SIGINT =interrupted/continue interrupted"
    CASES = (
        ("nothing is running", IN_ROUND, Kind.STEP_FINISHED, {"step": Step.PLAY}),
        ("another step is running", IN_STEP, Kind.STEP_FINISHED, {"step": Step.VERIFY}),
        ("a step is running", IN_STEP, Kind.STEP_STARTED, {"step": Step.VERIFY}),
        ("no step is named", IN_ROUND, Kind.STEP_STARTED, {}),
        ("no round, a step", BETWEEN_ROUNDS, Kind.STEP_STARTED, {"step": Step.PLAY}),
        ("no round, a result", BETWEEN_ROUNDS, Kind.STEP_FINISHED, {"step": Step.PLAY}),
        ("no round, its end", BETWEEN_ROUNDS, Kind.ROUND_FINISHED, {}),
        ("another round's end", IN_ROUND, Kind.ROUND_FINISHED, {"round": 2}),
        ("a round in a round", IN_ROUND, Kind.ROUND_STARTED, {"round": 2}),
        ("a round after the run", OVER, Kind.ROUND_STARTED, {"round": 2}),
        ("a round before a run", "", Kind.ROUND_STARTED, {"round": 1}),
        ("a round before the resume", INTERRUPTED, Kind.ROUND_STARTED, {"round": 2}),
        ("the same round again", BETWEEN_ROUNDS, Kind.ROUND_STARTED, {"round": 1}),
        ("a run's end in a round", IN_ROUND, Kind.RUN_FINISHED, {}),
        ("a run's end twice", OVER, Kind.RUN_FINISHED, {}),
        ("a run's end before a run", "", Kind.RUN_FINISHED, {}),
        ("a new run in a round", IN_ROUND, Kind.RUN_STARTED, {"run": 2}),
        ("a run's number again", OVER, Kind.RUN_STARTED, {"run": 1}),
        ("a run's number left out", OVER, Kind.RUN_STARTED, {"run": 3}),
        ("a finished run resumed", OVER, Kind.RUN_STARTED, {"run": 1, "resumed": True}),
        ("another run resumed", INTERRUPTED, Kind.RUN_STARTED, {"run": 2, "resumed": True}),
        ("no run to resume", "", Kind.RUN_STARTED, {"run": 0, "resumed": True}),
        ("a trip in a round", IN_ROUND, Kind.BREAKER_TRIPPED, {}),
        ("a trip after the run", OVER, Kind.BREAKER_TRIPPED, {}),
    )

    def test_what_cannot_follow_is_refused(self) -> None:
        for title, story, kind, fields in self.CASES:
            with self.subTest(title):
                state = self.state_after(story)
                envelope = {"step": None, "run": state.run, "round": state.round}
                placed = {name: fields.get(name, value) for name, value in envelope.items()}
                data = {n: fields.get(n, v) for n, v in DATA.get(kind, {}).items()}
                event = Event(kind, "", 0.0, **placed, data=data, seq=state.seq + 1)
                with self.assertRaises(ValueError) as caught:
                    transitions.apply(state, event)
                self.assertIn(str(kind), str(caught.exception))

    def state_after(self, story: str) -> State:
        mission = Mission(configured("play verify"))
        tell(mission, story)
        return mission.state

    def test_a_word_that_nobody_knows(self) -> None:
        state = self.state_after(self.IN_STEP)
        event = Event(Kind.STEP_FINISHED, "", 0.0, 1, 1, Step.PLAY, {"outcome": "splendid"})
        with self.assertRaises(ValueError):
            transitions.apply(state, event)


class Carried(unittest.TestCase):
    """What a round_started carries from before it."""

    def test_json_there_and_back(self) -> None:
        for history in HISTORIES:
            with self.subTest(history.title):
                state = lived(history).state
                again = State().with_json(replayed_json(state))
                self.assertEqual(state.to_json(), again.to_json())

    def test_a_state_that_holds_everything(self) -> None:
        mission = Mission(configured(EVERYTHING, rounds=1))
        story = "play- scan fix verify baseline=0.5 =unhealthy/exhausted exhausted"
        tell(mission, f"run1/1 1: {story} run2/1 2:")
        state = mission.state
        self.assertEqual(set(state.gates), {Step.PLAY, Step.SCAN, Step.VERIFY, Step.BASELINE})
        self.assertTrue(state.metric and state.history and state.last_error)
        again = state._replace(gates={}, metric=None, history=(), last_error="")
        self.assertEqual(state, again.with_json(replayed_json(state)))


def replayed_json(state: State) -> Any:
    """What the state carries, as a later process reads it."""
    event = Event(Kind.NOTE, "", 0.0, 1, 1, None, {"state": state.to_json()})
    return through_json(event).data["state"]


if __name__ == "__main__":
    unittest.main()
