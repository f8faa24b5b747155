"""Thousands of missions with random results, kills, signals and edits: what must always hold."""

from __future__ import annotations

import random
import unittest
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from loop.missions import (
    EVERYTHING,
    Mission,
    Result,
    configured,
    measured,
    replayed,
    since_latest_round,
    through_json,
    without_reason,
)
from openloop.config.config import Config
from openloop.core.vocabulary import GATES, Direction, Kind, Outcome, Status, Step
from openloop.loop import transitions
from openloop.loop.actions import FinishRun, RunStep
from openloop.loop.events import Event
from openloop.loop.state import State

MISSIONS = 1500
SEED = 20260102
FAILURES = (Outcome.FAILED, Outcome.TIMEOUT, Outcome.STALLED, Outcome.OOM, Outcome.ERROR)
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
LONGEST_ROUND = 40  # steps: four gates, two changes, and gates again that write, with some to spare


class Walk:
    """One mission that several processes work on, with whatever comes between."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.config = self._configuration()
        self.mission = Mission(self.config)
        self.health = self.chance.choice((0.0, 0.3, 0.6, 0.9, 1.0))  # how often a step passes
        self.trouble = self.chance.choice((0.0, 0.0, 0.02, 0.1))  # how often something intrudes
        self.writing = self.chance.choice((0.0, 0.0, 0.2, 0.7))  # how often a gate writes
        self.actions = 0  # of the latest process
        self.cut = 0  # a moment at which a later process might have to go on
        self.state_at_cut = self.mission.state

    def _configuration(self) -> Config:
        others = [step for step in EVERYTHING.split() if step != "verify"]
        steps = ["verify", *(step for step in others if self.chance.random() < 0.6)]
        return configured(
            " ".join(steps),
            rounds=self.chance.randint(1, 6),
            failures=self.chance.randint(1, 4),
            runtime=self.chance.choice((None, None, 20.0)),
            direction=self.chance.choice(("greater_equal", "less")),
            min_delta=self.chance.choice((None, 0.0, 0.2)),
        )

    def go(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self.process()
        self.trouble = 0.0
        self.process()

    def process(self) -> None:
        """One `openloop run`, to its end or its death."""
        mission = self.mission
        mission.max_rounds = self.chance.choice((None, None, 1, 2))
        if self.chance.random() < 0.1:
            mission.edit()
        self.actions = 0
        while not self.intrudes():
            opened = mission.is_open
            action = mission.next()
            if isinstance(action, RunStep):
                mission.perform(action, self.result(action.step))
                if mission.state.running:
                    return mission.kill()
            else:
                mission.perform(action)
            if isinstance(action, FinishRun) and (opened or action.status is Status.BLOCKED):
                return None
            self.actions += 1
            assert self.actions < 10 + 10 * LONGEST_ROUND, "the run does not end"
            self.disturb()
        return mission.kill()

    def intrudes(self) -> bool:
        return self.chance.random() < self.trouble

    def result(self, step: Step) -> Result | None:
        """What comes of a step; None when the runner is killed meanwhile."""
        self.mission.seconds += self.chance.choice((0.0, 1.0, 5.0))
        if self.intrudes():
            return None
        if self.intrudes():
            self.mission.signal(self.chance.choice(SIGNALS))
            return Result(Outcome.INTERRUPTED)
        passes = self.chance.random() < self.health
        wrote = step.is_gate and self.chance.random() < self.writing
        if step is Step.BASELINE and (passes or self.chance.random() < 0.8):
            value = self.chance.randint(1, 30) / 10
            return replace(measured(value, passes=passes), wrote=wrote)
        return Result(Outcome.PASSED if passes else self.chance.choice(FAILURES), wrote=wrote)

    def disturb(self) -> None:
        if self.chance.random() < 0.05 or not self.cut:
            self.cut, self.state_at_cut = len(self.mission.events), self.mission.state
        if not self.mission.is_open:
            return
        if self.intrudes():
            self.mission.signal(self.chance.choice(SIGNALS))
        if self.chance.random() < self.trouble / 5:
            self.mission.tamper()


@dataclass
class Witness:
    """Follows the events on its own and complains of what the contract forbids.

    Shares no rule with the loop: everything follows from the order of the events.
    """

    config: Config
    passed: dict[Step, bool] = field(default_factory=dict)  # latest result of each gate
    measured_at: dict[Step, int] = field(default_factory=dict)
    changed_at: int = 0  # by a change, a return, or a gate
    answered_at: int = 0  # by a change or a return
    steps: list[Event] = field(default_factory=list)  # finished in the present round
    last_step: Step | None = None  # of the whole mission
    rounds_of_run: int = 0
    allowed: int = 0
    trial: bool = False
    failed_in_a_row: int = 0
    best: float | None = None
    progressed: bool = False
    tampered: bool = False
    decision: str = ""
    kept: dict[Step, bool] | None = None  # what passed at the best checkpoint
    kept_at: int = 0
    kept_value: float = 0.0
    value: float | None = None  # of the latest measurement
    since: int = 0  # steps of the present round before the latest change or return

    def see(self, event: Event) -> None:
        handler: Callable[[Event], None] | None = getattr(self, f"_{event.kind}", None)
        if handler:
            handler(event)

    def _run_started(self, event: Event) -> None:
        if not event.data["resumed"]:
            self.rounds_of_run = 0
            self.trial = event.data["trial"]
            self.tampered = False
            self.kept = None
        self.allowed = event.data["budget"]
        hold(self.allowed <= self.config.total_rounds, "a budget above the configuration's")

    def _round_started(self, event: Event) -> None:
        hold(self.rounds_of_run < self.allowed, "a round beyond the budget")
        hold(not self.trial or self.rounds_of_run == 0, "a second round in a trial")
        self.steps = []
        self.since = 0
        self.progressed = False

    def _step_started(self, event: Event) -> None:
        assert event.step
        if event.step.is_change:
            self._change_started(event.step)
            self.changed_at = self.answered_at = event.seq
            self.since = len(self.steps) + 1
        else:
            self._gate_started(event.step, event.data["confirm"])
        self.last_step = event.step

    def _change_started(self, step: Step) -> None:
        failures = [gate for gate in self.passed if not self.passed[gate]]
        hold(bool(failures), f"{step} without a failure")
        if Step.VERIFY not in self.done:
            fresh = [gate for gate in failures if self.measured_at[gate] > self.answered_at]
            hold(step is Step.FIX and bool(fresh), f"{step} without an outstanding failure")
        else:
            hold(failures == [Step.BASELINE], f"{step} while {failures} fail")
            hold(Step.BASELINE in self.done, f"{step} for a baseline of another round")
            hold(step is self.config.improver, f"{step} instead of improve")

    def _gate_started(self, gate: Step, confirm: bool) -> None:
        again = gate in [event.step for event in self.steps[self.since :]]
        hold(not again, f"{gate} twice without a change between")
        hold(confirm == (gate in self.done or self._follows_late_change()), f"{gate}: {confirm=}")
        if gate is Step.BASELINE:
            hold(self.passed.get(Step.VERIFY, False), "baseline though verify failed")

    def _follows_late_change(self) -> bool:
        """Whether a change ran after verify in this round."""
        return any(
            event.step and event.step.is_change and Step.VERIFY in before
            for event, before in zip(self.steps, map(self._before, range(99)), strict=False)
        )

    def _before(self, position: int) -> list[Step | None]:
        return [event.step for event in self.steps[:position]]

    @property
    def done(self) -> list[Step | None]:
        return self._before(len(self.steps))

    def _step_finished(self, event: Event) -> None:
        assert event.step
        self.steps.append(event)
        outcome = event.data["outcome"]
        if event.step.is_gate and outcome != "interrupted":
            self.passed[event.step] = outcome == "passed"
            self.measured_at[event.step] = event.seq
            if event.data.get("wrote") and outcome == "passed":
                self.changed_at = event.seq
                self.since = len(self.steps)
        if "metric" in event.data:
            self.value = event.data["metric"]["value"]
        if "metric" in event.data and (value := self.value) is not None:
            sign = -1 if event.data["metric"]["direction"] == "less" else 1
            self.progressed |= self.best is not None and sign * value > sign * self.best
            better = max if sign > 0 else min
            self.best = value if self.best is None else better(value, self.best)

    def _note(self, event: Event) -> None:
        self.tampered |= event.data["note"] == "tampered"
        if event.data["note"] == "kept":
            self._kept(event)

    def _kept(self, event: Event) -> None:
        others = {gate: passed for gate, passed in self.passed.items() if gate is not Step.BASELINE}
        hold(all(others.values()) and len(others) + 1 == len(self.config.gates), "kept unproven")
        hold(all(seq > self.changed_at for seq in self.measured_at.values()), "kept on stale news")
        hold(event.data["value"] == self.value, "kept with another value")
        hold(self.kept is None or self._is_better(), "kept what is not better")
        self.kept, self.kept_at, self.kept_value = others, event.seq, event.data["value"]

    def _is_better(self) -> bool:
        baseline = self.config.baseline
        assert baseline and self.value is not None
        gain = self.value - self.kept_value
        if baseline.direction is Direction.LESS:
            gain = -gain
        return gain > 0 and gain >= baseline.min_delta - 1e-9

    def _checkpoint_restored(self, event: Event) -> None:
        hold(self.kept is not None, "restored to nothing")
        assert self.kept is not None
        hold(self.changed_at > self.kept_at, "restored though nothing was changed")
        fresh = [gate for gate in self.passed if self.measured_at[gate] > self.changed_at]
        failed = [gate for gate in fresh if not self.passed[gate]]
        hold(bool(failed), "restored though nothing failed")
        if failed == [Step.BASELINE]:
            hold(self.value is None or not self._is_better(), "undid what was better")
        self.passed = dict(self.kept)
        self.measured_at = dict.fromkeys(self.kept, event.seq)
        self.changed_at, self.kept_at = event.seq - 1, event.seq
        self.answered_at = self.changed_at
        self.since = len(self.steps)

    def _round_finished(self, event: Event) -> None:
        data = event.data
        self.decision = data["decision"]
        if data["outcome"] == "interrupted":
            hold(data["consecutive_failures"] == self.failed_in_a_row, "an interruption counted")
            return
        self.rounds_of_run += 1
        proven = all(
            self.passed.get(gate) and self.measured_at[gate] > self.changed_at
            for gate in self.config.gates
        )
        complete = self.decision == "complete"
        hold(complete == (proven and not self.tampered), f"{self.decision}, but {proven=}")
        changed = any(event.step and event.step.is_change for event in self.steps)
        good = "repaired" if changed else "healthy"
        hold(data["outcome"] == (good if complete else "unhealthy"), data["outcome"])
        failed = not complete and not self.progressed
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
        hold(data["consecutive_failures"] == self.failed_in_a_row, "the count is wrong")
        self._why(complete, bool(failed))

    def _why(self, complete: bool, failed: bool) -> None:
        if self.tampered:
            hold(self.decision == "blocked", "tampering does not block")
        elif not complete:
            limit = self.config.limits.max_consecutive_failures
            tripped = self.trial or self.failed_in_a_row >= limit
            hold(tripped == (self.decision == "blocked"), f"{self.decision}, but {tripped=}")

    def _run_finished(self, event: Event) -> None:
        status = event.data["status"]
        if status != "interrupted" and not self.tampered and self.decision == status:
            cut_off = status == "blocked" and "cut off" in event.data["reason"]
            unmeasured = self.last_step is not None and self.last_step.is_change
            hold(cut_off or not unmeasured, f"{status} right after a change")
        if status in ("complete", "exhausted"):
            hold(self.decision == status, f"{status} after {self.decision}")


def hold(holds: bool, complaint: str) -> None:
    if not holds:
        raise AssertionError(complaint)


def words(events: list[Event]) -> str:
    """The mission, short enough to look at."""
    return "\n".join(f"{e.seq} {e.kind} {e.round} {e.step or ''} {brief(e)}" for e in events)


def brief(event: Event) -> Any:
    return {name: value for name, value in event.data.items() if name not in ("state", "metric")}


class RandomMissions(unittest.TestCase):
    """Each seed is a mission of its own; a failure names it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.walks = []
        for number in range(MISSIONS):
            walk = Walk(SEED + number)
            try:
                walk.go()
            except Exception as error:
                raise AssertionError(f"mission {number}:\n{words(walk.mission.events)}") from error
            cls.walks.append(walk)

    @classmethod
    def tearDownClass(cls) -> None:
        del cls.walks

    walks: list[Walk]

    def each(self, check: Callable[[Walk], None], walks: Sequence[Walk] = ()) -> None:
        for number, walk in enumerate(walks or self.walks):
            try:
                check(walk)
            except Exception as error:
                story = words(walk.mission.events)
                raise AssertionError(
                    f"mission {number} of {len(walks or self.walks)}: {error}\n{story}"
                ) from error

    def test_the_contract_holds(self) -> None:
        self.each(witnessed)

    def test_every_mission_ends(self) -> None:
        def ended(walk: Walk) -> None:
            self.assertFalse(walk.mission.is_open)
            self.assertIn(walk.mission.state.status, (*_OVER, Status.INTERRUPTED))

        self.each(ended)

    def test_the_walks_reach_everything(self) -> None:
        """A table of chances that never got anywhere would prove nothing."""
        seen = {
            str(event.data[key])
            for walk in self.walks
            for event in walk.mission.events
            for key in ("outcome", "decision", "status")
            if key in event.data
        }
        self.assertGreaterEqual(seen, {"healthy", "repaired", "unhealthy", "interrupted"})
        self.assertGreaterEqual(seen, {"complete", "continue", "exhausted", "blocked"})
        kinds = {str(event.kind) for walk in self.walks for event in walk.mission.events}
        notes = {e.data.get("note") for walk in self.walks for e in walk.mission.events}
        self.assertGreaterEqual(kinds | notes, {"breaker_tripped", "checkpoint_restored", "kept"})
        confirms = [e for w in self.walks for e in w.mission.events if e.data.get("confirm")]
        self.assertEqual({event.step for event in confirms}, set(GATES))
        wrote = [e for w in self.walks for e in w.mission.events if e.data.get("wrote")]
        self.assertEqual({event.step for event in wrote}, set(GATES))
        self.assertIn("policy", {event.data["outcome"] for event in wrote})

    def test_a_later_process_knows_the_same(self) -> None:
        self.each(known_again, self.walks[::5])

    def test_the_latest_round_is_enough(self) -> None:
        def again(walk: Walk) -> None:
            events = walk.mission.events
            latest = replayed(since_latest_round(events[: walk.cut]))
            self.assertEqual(without_reason(walk.state_at_cut), without_reason(latest))

        self.each(again, self.walks[::3])


_OVER = (Status.COMPLETE, Status.EXHAUSTED, Status.BLOCKED)


def witnessed(walk: Walk) -> None:
    witness = Witness(walk.config)
    for event in walk.mission.events:
        try:
            witness.see(event)
        except AssertionError as error:
            raise AssertionError(f"event {event.seq}: {error}") from None


def known_again(walk: Walk) -> None:
    """Replay every event through JSON, what rounds carry left out but compared."""
    state = State()
    for event in walk.mission.events:
        written = through_json(event)
        if event.kind is Kind.ROUND_STARTED:
            carried = Event(Kind.NOTE, "", 0.0, 1, 1, None, {"state": state.to_json()})
            hold(written.data["state"] == through_json(carried).data["state"], "carries a lie")
            written = written._replace(data={})
        state = transitions.apply(state, written)
    hold(state == walk.mission.state, "another state")


if __name__ == "__main__":
    unittest.main()
