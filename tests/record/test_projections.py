"""What people and dashboards look at: its fields, and text that harms nobody."""

from __future__ import annotations

import json
import unittest
from typing import Any

from loop.histories import HISTORIES, lived
from loop.missions import EVERYTHING, Mission, configured, tell
from openloop.core.vocabulary import Decision, Direction, Kind, Outcome, RoundOutcome, Status, Step
from openloop.loop.actions import FinishRound
from openloop.loop.events import Event, Metric, StepResult
from openloop.loop.state import RoundSummary, State
from openloop.record import projections
from openloop.record.projections import LiveFacts, WriterProcess


def names(text: str) -> list[str]:
    return text.split()


HEARTBEAT = names(
    "version status reason mission run round total_rounds step command pid runner_pid host"
    " log_path log_bytes started_at run_started_at updated_at speed eta_seconds eta normality"
    " metric consecutive_failures last_error usage waiting_until waiting_for attachments"
    " event_seq event_head"
)
METRIC = names("name value threshold direction passed best")
ARTIFACT = names(
    "version run round started_at ended_at duration_seconds outcome decision reason steps metric"
    " policy consecutive_failures last_error"
)
ARTIFACT_STEP = names(
    "step confirm command outcome exit_code signal pid started_at duration_seconds log_path"
    " log_bytes log_sha256 peak_rss_bytes cpu_seconds"
)
NOW = "2026-01-02T03:04:05.678Z"
CONFIG = configured("verify")
END = FinishRound(RoundOutcome.UNHEALTHY, Decision.CONTINUE, "verify failed", 2)


def heartbeat(state: State, live: LiveFacts | None = None, **how: Any) -> dict[str, Any]:
    return projections.heartbeat(
        state,
        live or LiveFacts(),
        WriterProcess(41, "host"),
        **{"mission": "m", "total_rounds": 5, "now": NOW, "eta": None, "head": "h", **how},
    )


def state_after(story: str, steps: str = EVERYTHING, **limits: Any) -> State:
    mission = Mission(configured(steps, **limits))
    tell(mission, story)
    return mission.state


class Heartbeat(unittest.TestCase):
    """heartbeat.json."""

    def test_fields(self) -> None:
        for state in (State(), state_after("run1/5 1: play scan verify baseline=0.5")):
            self.assertEqual(sorted(HEARTBEAT), sorted(heartbeat(state)))
        metric = heartbeat(state)["metric"]
        self.assertEqual(METRIC, list(metric))
        expected = ["score", 0.5, 0.9, "greater_equal", False, 0.5]
        self.assertEqual(expected, list(metric.values()))

    def test_before_the_first_run(self) -> None:
        beat = heartbeat(State())
        self.assertEqual(("ready", 5, 0), (beat["status"], beat["total_rounds"], beat["event_seq"]))
        for name in ("metric", "step", "pid", "started_at", "run_started_at", "eta"):
            self.assertIsNone(beat[name], name)
        self.assertEqual({"seconds_per_round": None, "rounds_per_hour": None}, beat["speed"])

    def test_the_command_that_runs(self) -> None:
        live = LiveFacts(
            Step.PLAY, "./play", pid=42, log_path="logs/round-0001-play.log", started_at=NOW
        )
        live.log_bytes = 7
        beat = heartbeat(state_after("run1/5 1: play~"), live)
        shown = [beat[n] for n in ("step", "command", "pid", "log_path", "log_bytes", "started_at")]
        self.assertEqual(["play", "./play", 42, "logs/round-0001-play.log", 7, NOW], shown)
        self.assertEqual((41, "host"), (beat["runner_pid"], beat["host"]))

    def test_total_rounds_is_the_budget_of_the_run(self) -> None:
        beat = heartbeat(state_after("--max-rounds=2 run1/2"))
        self.assertEqual(2, beat["total_rounds"])

    def test_it_is_json_whatever_the_state(self) -> None:
        for mission in map(lived, HISTORIES[::10]):
            data = projections.to_bytes(heartbeat(mission.state))
            self.assertEqual(mission.state.seq, json.loads(data)["event_seq"])

    def test_hostile_text_stays_json(self) -> None:
        state = State()._replace(last_error="\ud800\x00\x1b", reason="</script>")
        document = json.loads(projections.to_bytes(heartbeat(state)))
        self.assertEqual("\ud800\x00\x1b", document["last_error"])

    def test_normality(self) -> None:
        cases = (
            ("run1/5", "normal"),
            ("run1/5 1: play", "normal"),
            ("run1/5 1: play-", "failed"),
            ("run1/5 1: play:stalled", "stalled"),
            ("run1/5 1: play- scan~", "normal"),
            ("run1/5 1: play- scan", "normal"),
            ("run1/5 1: play scan verify:oom =unhealthy/continue", "oom"),
        )
        for story, expected in cases:
            with self.subTest(story):
                self.assertEqual(expected, heartbeat(state_after(story))["normality"])


class SpeedAndEta(unittest.TestCase):
    """How fast rounds are, and when the budget will be used up."""

    def after(self, *rounds: tuple[RoundOutcome, float], **fields: Any) -> State:
        history = tuple(RoundSummary(n, o, (), "", s) for n, (o, s) in enumerate(rounds))
        return State(status=Status.RUNNING, history=history, round_budget=5, **fields)

    def test_nothing_is_known_before_the_first_round(self) -> None:
        self.assertIsNone(projections.speed(self.after()))
        self.assertIsNone(projections.eta_seconds(CONFIG, self.after(), 5.0))

    def test_interrupted_rounds_say_nothing_about_speed(self) -> None:
        state = self.after((RoundOutcome.UNHEALTHY, 10.0), (RoundOutcome.INTERRUPTED, 1000.0))
        self.assertEqual(10.0, projections.speed(state))

    def test_the_mean_of_the_latest_rounds(self) -> None:
        state = self.after((RoundOutcome.UNHEALTHY, 10.0), (RoundOutcome.HEALTHY, 20.0))
        self.assertEqual(15.0, projections.speed(state))
        speed = heartbeat(state)["speed"]
        self.assertEqual({"seconds_per_round": 15.0, "rounds_per_hour": 240.0}, speed)

    def test_rounds_that_took_no_time(self) -> None:
        speed = heartbeat(self.after((RoundOutcome.UNHEALTHY, 0.0)))["speed"]
        self.assertEqual({"seconds_per_round": 0.0, "rounds_per_hour": None}, speed)

    def test_eta_counts_the_rounds_that_are_left(self) -> None:
        state = self.after((RoundOutcome.UNHEALTHY, 10.0), rounds_used=1)
        self.assertEqual(40.0, projections.eta_seconds(CONFIG, state, 99.0))

    def test_eta_takes_off_what_the_present_round_has_lasted(self) -> None:
        state = self.after(
            (RoundOutcome.UNHEALTHY, 10.0),
            rounds_used=1,
            in_round=True,
            round_started_elapsed=100.0,
        )
        self.assertEqual(36.0, projections.eta_seconds(CONFIG, state, 104.0))
        self.assertEqual(0.0, projections.eta_seconds(CONFIG, state, 999.0))

    def test_a_round_that_only_measured_says_nothing_of_one_with_an_agent(self) -> None:
        config, failed = configured("fix verify"), (Step.VERIFY, Outcome.FAILED)
        measured = RoundSummary(1, RoundOutcome.UNHEALTHY, (failed,), "", 2.0)
        steps = ((Step.FIX, Outcome.PASSED), failed)
        worked = measured._replace(round=2, steps=steps, seconds=600.0)
        state = State(status=Status.RUNNING, history=(measured,), round_budget=5, rounds_used=1)
        self.assertIsNone(projections.eta_seconds(config, state, 2.0))
        self.assertEqual(8.0, projections.eta_seconds(CONFIG, state, 2.0))
        state = state._replace(history=(measured, worked), rounds_used=2)
        self.assertEqual(1800.0, projections.eta_seconds(config, state, 602.0))

    def test_nobody_waits_for_a_run_that_is_over(self) -> None:
        state = self.after((RoundOutcome.HEALTHY, 10.0))._replace(status=Status.COMPLETE)
        self.assertIsNone(projections.eta_seconds(CONFIG, state, 0.0))

    def test_eta_in_the_heartbeat(self) -> None:
        beat = heartbeat(State(), eta=(12.34, NOW))
        self.assertEqual((12.3, NOW), (beat["eta_seconds"], beat["eta"]))


class Artifact(unittest.TestCase):
    """artifacts/round-NNNN.json."""

    def artifact(self, state: State, end: FinishRound = END) -> dict[str, Any]:
        document = projections.artifact(state, end, ended_at=NOW, duration_seconds=1.5)
        found: dict[str, Any] = json.loads(projections.to_bytes(document))
        return found

    def test_fields(self) -> None:
        document = self.artifact(state_after("run1/5 1: play- scan fix verify baseline=0.5"))
        self.assertEqual(ARTIFACT, list(document))
        for step in document["steps"]:
            self.assertEqual(set(), set(ARTIFACT_STEP) - set(step))
        self.assertEqual(METRIC, list(document["metric"]))

    def test_steps_in_their_order(self) -> None:
        document = self.artifact(state_after("run1/5 1: play- scan fix verify baseline=1 *play"))
        found = [(s["step"], s["outcome"], s["confirm"]) for s in document["steps"]]
        expected = [
            ("play", "failed", False),
            ("scan", "passed", False),
            ("fix", "passed", False),
            ("verify", "passed", False),
            ("baseline", "passed", False),
            ("play", "passed", True),
        ]
        self.assertEqual(expected, found)

    def test_the_end_of_the_round(self) -> None:
        document = self.artifact(state_after("run1/5 1: verify-", "verify"))
        fields = ("outcome", "decision", "reason", "consecutive_failures", "last_error", "ended_at")
        expected = ["unhealthy", "continue", "verify failed", 2, "verify failed", NOW]
        self.assertEqual(expected, [document[name] for name in fields])

    def test_a_complete_round_has_no_last_error(self) -> None:
        end = FinishRound(RoundOutcome.HEALTHY, Decision.COMPLETE, "every gate passed", 0)
        document = self.artifact(State()._replace(last_error="old"), end)
        self.assertEqual("", document["last_error"])

    def test_the_same_bytes_again_from_the_events(self) -> None:
        mission = Mission(configured(EVERYTHING))
        tell(mission, "run1/5 1: play- scan fix verify baseline=0.5")
        state, end = mission.state, END
        data = {
            "outcome": "unhealthy",
            "decision": "continue",
            "reason": end.reason,
            "consecutive_failures": end.consecutive_failures,
            "ended_at": NOW,
            "duration_seconds": 1.5,
        }
        event = Event(Kind.ROUND_FINISHED, NOW, 0.0, 1, 1, None, data)
        first = projections.artifact(state, end, ended_at=NOW, duration_seconds=1.5)
        again = projections.artifact_of(state, event)
        self.assertEqual(projections.to_bytes(first), projections.to_bytes(again))

    def test_a_step_keeps_what_was_measured(self) -> None:
        result = StepResult(Step.VERIFY, Outcome.FAILED, exit_code=1, pid=42, log_sha256="ab")
        step = self.artifact(State(steps=(result,)))["steps"][0]
        self.assertEqual((1, 42, "ab"), (step["exit_code"], step["pid"], step["log_sha256"]))


class Progress(unittest.TestCase):
    """progress.md: one line an event that a person cares about."""

    def line(self, kind: Kind, step: Step | None = None, **data: Any) -> str:
        return projections.progress_line(Event(kind, NOW, 0.0, 2, 7, step, data))

    def test_lines(self) -> None:
        step = {"outcome": "failed", "confirm": False, "detail": "exit 1", "duration_seconds": 1.26}
        cases = (
            (
                self.line(Kind.RUN_STARTED, resumed=False, trial=False, budget=3),
                "run 2 started: 3 rounds allowed",
            ),
            (
                self.line(Kind.RUN_STARTED, resumed=False, trial=True, budget=1),
                "run 2 started: 1 round allowed, the half-open trial",
            ),
            (self.line(Kind.RUN_STARTED, resumed=True, trial=False, budget=3), "run 2 resumed"),
            (
                self.line(Kind.STEP_FINISHED, Step.VERIFY, **step),
                "round 7 verify failed in 1.3 s: exit 1",
            ),
            (
                self.line(Kind.STEP_FINISHED, Step.VERIFY, **{**step, "confirm": True}),
                "round 7 verify (confirm) failed in 1.3 s: exit 1",
            ),
            (
                self.line(Kind.ROUND_FINISHED, outcome="healthy", decision="complete", reason="r"),
                "round 7 healthy, complete: r",
            ),
            (self.line(Kind.BREAKER_TRIPPED, reason="too often"), "breaker tripped: too often"),
            (self.line(Kind.RUN_FINISHED, status="blocked", reason="r"), "run 2 blocked: r"),
            (self.line(Kind.NOTE, text="received SIGINT"), "note: received SIGINT"),
        )
        for line, words in cases:
            with self.subTest(words):
                self.assertEqual(f"- {NOW} {words}\n", line)

    def test_what_nobody_cares_about(self) -> None:
        self.assertEqual("", self.line(Kind.ROUND_STARTED))
        self.assertEqual("", self.line(Kind.STEP_STARTED, Step.VERIFY))

    def test_markdown_is_shown_as_it_stands(self) -> None:
        line = self.line(Kind.NOTE, text="a*b* `c` _d_ <e> [f](g) # h | i \\ j")
        words = r"note: a\*b\* \`c\` \_d\_ \<e\> \[f\](g) \# h \| i \\ j"
        self.assertEqual(f"- {NOW} {words}\n", line)

    def test_an_event_is_one_printable_line_whatever_it_says(self) -> None:
        for hostile in ("a\nb", "a\r\nb", "\x1b[2J", "\x00", "\u2028", "\u202e", "\ud800"):
            with self.subTest(ascii(hostile)):
                line = self.line(Kind.NOTE, text=hostile)
                self.assertEqual(1, len(line.splitlines()))
                self.assertTrue(line.removesuffix("\n").isprintable())

    def test_title(self) -> None:
        title = projections.progress_title("Keep\nit *healthy*")
        self.assertEqual("# Progress\n\nKeep it \\*healthy\\*\n\n", title)
        self.assertNotIn("\x1b", projections.progress_title("\x1b[2J"))


class MetricWords(unittest.TestCase):
    """The metric for people."""

    METRIC = Metric("score", 0.93, 0.9, Direction.GREATER_EQUAL, passed=True, best=0.95)

    def test_words(self) -> None:
        words = projections.metric_words(self.METRIC)
        self.assertEqual("score=0.93 (greater or equal 0.9, best 0.95)", words)

    def test_not_measured(self) -> None:
        words = projections.metric_words(self.METRIC._replace(value=None, best=None))
        self.assertEqual("score=not measured (greater or equal 0.9)", words)

    def test_without_a_metric(self) -> None:
        self.assertEqual("", projections.metric_words(None))


if __name__ == "__main__":
    unittest.main()
