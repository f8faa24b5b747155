"""Agents that are unavailable, and budgets, decided from events alone."""

from __future__ import annotations

import unittest
from typing import Any

from openloop.config.config import Command, Config, Limits
from openloop.core.usage import Figures, RunUsage, Usage
from openloop.core.vocabulary import Decision, Outcome, Refusal, Status, Step
from openloop.loop import budget, waits
from openloop.loop.actions import FinishRound, RunStep, Wait, next_action
from openloop.loop.events import StepResult
from openloop.loop.state import AgentRefusal, GateResult, State

NOW, LATER, LATEST = (f"2026-11-29T1{n}:00:00.000Z" for n in range(3))


def command(**more: Any) -> Command:
    return Command("true", 9.0, 9.0, {}, None, None, **more)


def config(*, fallback: bool = False, **limits: Any) -> Config:
    fix = command(agent="a", fallback=command(agent="b") if fallback else None)
    commands = {Step.VERIFY: command(), Step.FIX: fix}
    known = Limits(9.0, 9.0, 9, 1.0, None, (), **limits)
    return Config("m", 9, ".", commands, None, known, {})


def refused(
    kind: Refusal = Refusal.LIMIT, until: str = LATER, seconds: float = 3600
) -> AgentRefusal:
    return AgentRefusal("a", kind, "no", until if kind.passes else "", seconds, 1)


def state(**parts: Any) -> State:
    failed = {Step.VERIFY: GateResult(Outcome.FAILED, 1)}
    known = State(
        status=Status.RUNNING, in_round=True, round=1, run=1, round_budget=9, gates=failed
    )
    return known._replace(time=NOW, **parts)


class Waits(unittest.TestCase):
    def test_a_refused_change_is_waited_for_and_then_repeated(self) -> None:
        result = StepResult(Step.FIX, Outcome.UNAVAILABLE)
        known = state(steps=(result,), unanswered=Step.FIX, refused={"fix": refused()})
        action = next_action(config(), known)
        self.assertEqual(action, Wait(Step.FIX, "a", LATER, 3600, "usage limit: no"))
        self.assertEqual(next_action(config(), known._replace(time=LATER)), RunStep(Step.FIX))
        over = {"fix": refused()._replace(until="")}  # whatever the clock says
        self.assertEqual(next_action(config(), known._replace(refused=over)), RunStep(Step.FIX))

    def test_a_later_round_goes_on_waiting(self) -> None:
        action = next_action(config(), state(refused={"fix": refused()}))
        self.assertIsInstance(action, Wait)

    def test_the_fallback_first_and_then_whichever_is_over_sooner(self) -> None:
        known = state(unanswered=Step.FIX, refused={"fix": refused()})
        with_fallback = config(fallback=True)
        self.assertEqual(next_action(with_fallback, known), RunStep(Step.FIX, fallback=True))
        both = {"fix": refused(), "fix fallback": refused(until=LATEST)}
        action = next_action(with_fallback, known._replace(refused=both))
        assert isinstance(action, Wait)
        self.assertEqual(action.until, LATER)
        gone = {"fix": refused(Refusal.AUTH), "fix fallback": refused(until=LATEST)}
        action = next_action(with_fallback, known._replace(refused=gone))
        assert isinstance(action, Wait)
        self.assertEqual(action.until, LATEST)

    def test_credit_and_login_block_without_a_failed_round(self) -> None:
        for kind in (Refusal.CREDIT, Refusal.AUTH):
            known = state(
                unanswered=Step.FIX, refused={"fix": refused(kind)}, consecutive_failures=2
            )
            action = next_action(config(), known)
            assert isinstance(action, FinishRound)
            self.assertEqual((action.decision, action.consecutive_failures), (Decision.BLOCKED, 2))
            self.assertIn("then run again", action.reason)

    def test_patience_ends(self) -> None:
        known = state(unanswered=Step.FIX, refused={"fix": refused()}, waited=20000.0)
        for given in (config(), config(max_wait=0.0), config(max_wait=3599.0)):
            self.assertEqual(next_action(given, known), RunStep(Step.VERIFY))
            ending = waits.ending_when_unavailable(given, known)
            assert ending is not None
            self.assertIs(ending[0], Decision.EXHAUSTED)
        self.assertIsInstance(next_action(config(max_wait=23600.0), known), Wait)

    def test_no_wait_outlasts_the_run(self) -> None:
        limited = config()
        limited = limited._replace(limits=limited.limits._replace(max_runtime=100.0))
        known = state(unanswered=Step.FIX, refused={"fix": refused()})
        self.assertEqual(next_action(limited, known), RunStep(Step.VERIFY))

    def test_pauses(self) -> None:
        pauses = [waits.backoff_seconds(times) for times in (1, 2, 3, 6, 7, 10**6)]
        self.assertEqual(pauses, [60, 120, 240, 1920, 3600, 3600])

    def test_the_state_survives_a_new_round(self) -> None:
        known = state(
            refused={"fix": refused()}, waited=5.0, usage=RunUsage(Figures(1, 2, 3, 4.0), 1)
        )
        carried = State().with_json(known.to_json())
        self.assertEqual(
            (carried.refused, carried.waited, carried.usage),
            (known.refused, known.waited, known.usage),
        )


class Budgets(unittest.TestCase):
    def test_used_up(self) -> None:
        spent = RunUsage(Figures(900, 400, 100, 2.0), sessions=2)
        for limits, words in (
            ({"max_tokens": 1000}, "max_tokens 1000 is used up: 1000"),
            ({"max_tokens": 1001}, ""),
            ({"max_cost": 2.0}, "max_cost_usd 2 is used up: $2.00"),
            ({"max_cost": 2.01}, ""),
            ({}, ""),
        ):
            with self.subTest(limits):
                given = config(**limits)
                self.assertEqual(budget.reason_against_session(given, state(usage=spent)), words)

    def test_the_running_session_counts(self) -> None:
        given = config(max_tokens=1000)
        self.assertEqual(budget.exceeded_limit(given, RunUsage(), Figures(900, 0, 99)), "")
        self.assertTrue(budget.exceeded_limit(given, RunUsage(Figures(500)), Figures(400, 0, 100)))

    def test_an_unknown_cost_is_not_nothing(self) -> None:
        total = RunUsage().plus(Usage(figures=Figures(10, 0, 1)))
        self.assertIn(
            "is unknown", budget.reason_against_session(config(max_cost=5.0), state(usage=total))
        )
        self.assertEqual(
            budget.reason_against_session(config(max_tokens=50), state(usage=total)), ""
        )

    def test_no_change_begins_and_the_run_is_exhausted(self) -> None:
        spent = RunUsage(Figures(cost_usd=2.0), sessions=1)
        given = config(max_cost=1.0)
        self.assertEqual(next_action(given, state(usage=spent)), RunStep(Step.VERIFY))
        done = (StepResult(Step.VERIFY, Outcome.FAILED),)
        action = next_action(given, state(usage=spent, steps=done))
        assert isinstance(action, FinishRound)
        self.assertIs(action.decision, Decision.EXHAUSTED)


if __name__ == "__main__":
    unittest.main()
