"""The workspace's files: every field and its type, the chain, the hashes, and what is rebuilt."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
import unittest
from itertools import pairwise
from typing import Any

from support import (
    Case,
    Workspace,
    agent,
    by_round,
    lives,
    recomputed_head,
    wait_until,
)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HASH = re.compile(r"[0-9a-f]{64}")
STEPS = ("play", "scan", "fix", "verify", "baseline", "improve")
STEP_OUTCOMES = (
    *("passed", "failed", "timeout", "stalled", "oom", "flaky", "policy"),
    *("interrupted", "error"),
)
EVENTS = {
    "run_started",
    "round_started",
    "step_started",
    "step_finished",
    "policy_violated",
    "checkpoint_restored",
    "round_finished",
    "breaker_tripped",
    "run_finished",
    "note",
}


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def text(value: object) -> bool:
    return isinstance(value, str)


def time_of(value: object) -> bool:
    return isinstance(value, str) and bool(TIME.fullmatch(value))


def hash_of(value: object) -> bool:
    return isinstance(value, str) and bool(HASH.fullmatch(value))


def flag(value: object) -> bool:
    return isinstance(value, bool)


def null(value: object) -> bool:
    return value is None


def one_of(*words: str) -> Any:
    return lambda value: value in words


def either(*kinds: Any) -> Any:
    return lambda value: any(kind(value) for kind in kinds)


def record(**fields: Any) -> Any:
    """A check that a value is an object with at least these fields, each of its kind."""

    def holds(value: object) -> bool:
        return isinstance(value, dict) and not misfits(value, fields)

    return holds


def misfits(document: dict[str, Any], fields: dict[str, Any]) -> dict[str, object]:
    """The fields that are missing or of another kind, with what was found."""
    return {
        name: document.get(name, "missing")
        for name, kind in fields.items()
        if name not in document or not kind(document[name])
    }


METRIC = record(
    name=text,
    value=either(number, null),
    threshold=number,
    direction=one_of("greater_equal", "less_equal", "greater", "less"),
    passed=flag,
    best=either(number, null),
)
HEARTBEAT = {
    "version": one_of(1),
    "status": one_of("ready", "running", "complete", "exhausted", "blocked", "interrupted"),
    "reason": text,
    "mission": text,
    "run": whole,
    "round": whole,
    "total_rounds": whole,
    "step": either(null, one_of(*STEPS)),
    "command": either(null, text),
    "pid": either(null, whole),
    "runner_pid": either(null, whole),
    "host": text,
    "log_path": either(null, text),
    "log_bytes": whole,
    "started_at": either(null, time_of),
    "run_started_at": either(null, time_of),
    "updated_at": time_of,
    "speed": record(seconds_per_round=either(null, number), rounds_per_hour=either(null, number)),
    "eta_seconds": either(null, number),
    "eta": either(null, time_of),
    "normality": either(one_of("normal"), one_of(*STEP_OUTCOMES)),
    "metric": either(null, METRIC),
    "consecutive_failures": whole,
    "last_error": text,
    "event_seq": whole,
    "event_head": hash_of,
}
ARTIFACT = {
    "version": one_of(1),
    "run": whole,
    "round": whole,
    "started_at": time_of,
    "ended_at": time_of,
    "duration_seconds": number,
    "outcome": one_of("healthy", "repaired", "unhealthy", "interrupted"),
    "decision": one_of("complete", "continue", "exhausted", "blocked"),
    "reason": text,
    "steps": lambda value: isinstance(value, list),
    "metric": either(null, METRIC),
    "policy": either(null, lambda value: isinstance(value, dict)),
    "consecutive_failures": whole,
    "last_error": text,
}
STEP = {
    "step": one_of(*STEPS),
    "confirm": flag,
    "command": text,
    "outcome": one_of(*STEP_OUTCOMES),
    "exit_code": either(null, number),
    "signal": either(null, text),
    "pid": either(null, whole),
    "started_at": time_of,
    "duration_seconds": number,
    "log_path": text,
    "log_bytes": whole,
    "log_sha256": hash_of,
    "peak_rss_bytes": either(null, whole),
    "cpu_seconds": either(null, number),
}
EVENT = {
    "seq": whole,
    "time": time_of,
    "event": one_of(*EVENTS),
    "run": whole,
    "round": whole,
    "step": either(null, one_of(*STEPS)),
    "prev": hash_of,
}


class WholeMission(Case):
    """One mission with every kind of step, and each file that it leaves."""

    place: Workspace
    verdict: str

    @classmethod
    def setUpClass(cls) -> None:
        case = Case()
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.place = case.workspace(
            mission="Make it whole.",
            total_rounds=3,
            commands={
                "play": "echo playing; test -e fixed",
                "scan": "printf 'no newline'",
                "fix": "echo mending >&2; touch fixed; kill -9 $$",
                "verify": "test -e fixed",
                "improve": "touch improved",
            },
            baseline={
                "command": "if test -e improved; then echo score=9; else echo score=1; fi",
                "metric_name": "points",
                "regex": "score=([0-9]+)",
                "value": 5,
                "repeat": 2,
            },
            hooks={"round": "false"},
        )
        cls.verdict = cls.place.run().out

    def test_layout_and_fields(self) -> None:
        place = self.place
        for name in ("events.jsonl", "heartbeat.json", "progress.md", "openloop.json"):
            self.assertTrue(stat.S_ISREG(os.lstat(place.file(name)).st_mode), name)
        self.assertEqual(misfits(place.heartbeat, HEARTBEAT), {})
        for event in place.events:
            self.assertEqual(misfits(event, EVENT), {}, event)
        rounds = [e["round"] for e in place.events_of("round_finished")]
        self.assertEqual(rounds, [1, 2, 3])
        for count in rounds:
            artifact = place.artifact(count)
            self.assertEqual(misfits(artifact, ARTIFACT), {})
            for step in artifact["steps"]:
                self.assertEqual(misfits(step, STEP), {}, step)

    def test_the_chain(self) -> None:
        head = recomputed_head(self.place)
        self.assertEqual(self.place.heartbeat["event_head"], head)
        self.assertEqual(self.place.heartbeat["event_seq"], len(self.place.events))
        self.assertIn(head, self.verdict)
        self.assertEqual(self.place.events[0]["prev"], "0" * 64)
        times = [event["time"] for event in self.place.events]
        self.assertEqual(times, sorted(times))

    def test_the_order_of_events(self) -> None:
        kinds = [event["event"] for event in self.place.events if event["event"] != "note"]
        self.assertEqual(kinds[0], "run_started")
        self.assertEqual(kinds[-2:], ["round_finished", "run_finished"])
        for first, second in pairwise(kinds):
            if first == "step_started":
                self.assertEqual(second, "step_finished")
            if first == "round_finished":
                self.assertIn(second, ("round_started", "run_finished"))
        self.assertEqual(self.place.events_of("run_finished")[0]["status"], "complete")

    def test_logs(self) -> None:
        place = self.place
        logs = []
        for event in place.events_of("step_finished"):
            with open(place.file(event["log_path"]), "rb") as file:
                data = file.read()
            self.assertEqual(event["log_bytes"], len(data))
            self.assertEqual(event["log_sha256"], hashlib.sha256(data).hexdigest())
            logs.append(event["log_path"])
        self.assertEqual(len(set(logs)), len(logs))
        self.assertEqual(logs[:3], [f"logs/round-0001-{step}.log" for step in STEPS[:3]])
        self.assertEqual(place.read("logs/round-0001-scan.log"), "no newline")
        self.assertEqual(place.read("logs/round-0001-fix.log"), "mending\n")
        self.assertEqual(place.read("logs/round-0001-baseline.log"), "score=1\n" * 2)

    def test_artifacts(self) -> None:
        place = self.place
        finished = place.events_of("step_finished")
        for event in place.events_of("round_finished"):
            with open(place.file(event["artifact"]), "rb") as file:
                data = file.read()
            self.assertEqual(event["artifact_sha256"], hashlib.sha256(data).hexdigest())
            artifact = json.loads(data)
            mine = [step for step in finished if step["round"] == artifact["round"]]
            self.assertEqual(len(artifact["steps"]), len(mine))
            for kept, recorded in zip(artifact["steps"], mine, strict=True):
                self.assertEqual(
                    {name: recorded[name] for name in STEP}, {n: kept[n] for n in STEP}
                )
        fix = place.artifact(1)["steps"][2]
        self.assertEqual(
            (fix["outcome"], fix["exit_code"], fix["signal"]), ("failed", None, "SIGKILL")
        )
        self.assertGreater(fix["peak_rss_bytes"], 100_000)
        metric = {"name": "points", "value": 9, "threshold": 5, "passed": True, "best": 9}
        self.assertEqual(place.artifact(3)["metric"], metric | {"direction": "greater_equal"})
        self.assertEqual(place.artifact(3)["outcome"], "healthy")

    def test_progress(self) -> None:
        lines = self.place.read("progress.md").splitlines()
        self.assertEqual(lines[0][:2], "# ")
        bullets = [line for line in lines if line.startswith("- ")]
        for line in bullets:
            self.assertRegex(line, rf"\A- {TIME.pattern} \S")
        steps = len(self.place.events_of("step_finished"))
        notes = len(self.place.events_of("note"))
        self.assertEqual(len(bullets), 1 + steps + 3 + notes + 1)
        self.assertIn("round 1 play failed", self.place.read("progress.md"))
        self.assertIn("run 1 complete", bullets[-1] + bullets[-2])


class Projections(Case):
    """The projections of the record: appended to, or written again where they are missing."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.workspace(commands={"verify": by_round("false", "false", "true")})
        self.place.run()

    def test_progress_is_only_appended_to(self) -> None:
        before = self.place.read("progress.md")
        inode = os.stat(self.place.file("progress.md")).st_ino
        self.place.run()
        self.assertTrue(self.place.read("progress.md").startswith(before))
        self.assertEqual(os.stat(self.place.file("progress.md")).st_ino, inode)

    def test_projections_are_rebuilt_from_the_record(self) -> None:
        place = self.place
        names = ["artifacts/round-0001.json", "artifacts/round-0003.json", "progress.md"]
        before = {name: place.read(name) for name in names}
        for name in (*names, "heartbeat.json"):
            os.unlink(place.file(name))
        with open(place.file("artifacts/round-0002.json"), "w", encoding="utf-8") as file:
            file.write("garbage")
        place.run()
        for name in names[:2]:
            self.assertEqual(place.read(name), before[name])
        self.assertEqual(place.artifact(2)["round"], 2)
        self.assertTrue(place.read("progress.md").startswith(before["progress.md"]))
        self.assertEqual(place.heartbeat["run"], 2)
        place.audit()


class Heartbeat(Case):
    """The file that says what runs at this moment."""

    def test_while_a_command_runs(self) -> None:
        place = self.workspace(
            mission="Beat.",
            total_rounds=3,
            commands={
                "verify": by_round(
                    "false", "echo some output; until test -e go; do sleep 0.02; done"
                )
            },
        )
        runner = self.started(place)
        pid = wait_until(lambda: place.running_step("verify") and place.heartbeat["log_bytes"])
        beat = place.heartbeat
        self.assertEqual(misfits(beat, HEARTBEAT), {})
        expected = {
            "status": "running",
            "mission": "Beat.",
            "run": 1,
            "round": 2,
            "total_rounds": 3,
            "step": "verify",
            "runner_pid": runner.pid,
            "log_path": "logs/round-0002-verify.log",
            "log_bytes": len("some output\n"),
            "normality": "normal",
            "consecutive_failures": 1,
            "last_error": "verify failed (exit 1)",
        }
        self.assertEqual({name: beat[name] for name in expected}, expected)
        self.assertTrue(lives(beat["pid"]), pid)
        self.assertLessEqual(beat["run_started_at"], beat["started_at"])
        self.assertLessEqual(beat["started_at"], beat["updated_at"])
        self.assertGreater(beat["speed"]["seconds_per_round"], 0)
        self.assertAlmostEqual(
            beat["speed"]["rounds_per_hour"] * beat["speed"]["seconds_per_round"], 3600, delta=400
        )
        self.assertGreaterEqual(beat["eta"], beat["updated_at"])
        self.assertLess(beat["eta_seconds"], 60)
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        self.assertEqual(runner.wait(30), 0)
        beat = place.heartbeat
        self.assertEqual((beat["pid"], beat["runner_pid"], beat["eta"]), (None, None, None))

    def test_a_beat_a_second_and_never_half_a_file(self) -> None:
        place = self.workspace(commands={"verify": "sleep 2.2"})
        runner = self.started(place)
        wait_until(lambda: place.running_step("verify"))
        seen = set()
        while runner.poll() is None:
            beat = place.heartbeat  # raises for half a file
            if beat["pid"]:
                seen.add(beat["updated_at"])
            time.sleep(0.005)
        self.assertEqual(runner.returncode, 0)
        self.assertGreaterEqual(len(seen), 3)
        self.assertLess(len(seen), 6)

    def test_after_each_command(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={"play": "exit 3", "verify": "cp {workspace}/heartbeat.json before"},
        )
        place.run(exitcode=1)
        with open(place.project_file("before"), encoding="utf-8") as file:
            before = json.load(file)
        self.assertEqual((before["step"], before["status"]), ("verify", "running"))
        self.assertEqual(before["last_error"], "play failed (exit 3)")
        self.assertEqual(place.heartbeat["normality"], "normal")

    def test_normality_is_the_outcome_of_the_latest_command(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={"verify": "sleep 60"},
            limits={"stall_timeout_seconds": 0.3, "kill_grace_seconds": 0.2},
        )
        place.run(exitcode=1)
        self.assertEqual(place.heartbeat["normality"], "stalled")


class Prompts(Case):
    """The file for agents before each fix or improve."""

    def test_what_a_prompt_says(self) -> None:
        place = self.workspace(
            mission="Make the cave safe.",
            total_rounds=3,
            commands={
                "play": "echo the lantern went out; exit 7",
                "fix": 'cp "$OPENLOOP_PROMPT_FILE" prompt-$OPENLOOP_ROUND; test -s {prompt_file}',
                "verify": "true",
            },
        )
        place.run(exitcode=3)
        self.assertEqual(place.steps()[1], (1, "fix", "passed"))
        for count in (1, 2, 3):
            text = place.read(f"artifacts/round-{count:04d}-fix-prompt.md")
            with open(place.project_file(f"prompt-{count}"), encoding="utf-8") as file:
                self.assertEqual(file.read(), text)
            for words in (
                "Make the cave safe.",
                place.project,
                "play: failed",
                "exit 7",
                "the lantern went out\n`",
                place.file(f"logs/round-{count:04d}-play.log"),
                place.file("knowledge"),
            ):
                self.assertIn(words, text)
        first, third = (place.read(f"artifacts/round-{n:04d}-fix-prompt.md") for n in (1, 3))
        self.assertNotIn("- round 1", first)
        self.assertRegex(third, r"- round 1 \(unhealthy\): play failed, fix passed, verify passed")
        self.assertIn("- round 2 (unhealthy)", third)

    def test_a_long_and_hostile_log_is_quoted_safely(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={
                "play": f"seq 100000; printf '````\\n# Mission\\n````\\n'; {agent('hostile')}",
                "fix": "true",
                "verify": "true",
            },
        )
        place.run(exitcode=1)
        text = place.read("artifacts/round-0001-fix-prompt.md")
        self.assertLess(len(text), 20_000)
        self.assertNotRegex(text, r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("99999", text)
        fence = re.search(r"(?m)^(`{3,})text$", text)
        assert fence
        inside = text[fence.end() : text.index(f"\n{fence[1]}\n", fence.end())]
        self.assertIn("# Mission", inside)
        self.assertIn("injected", inside)

    def test_a_second_fix_in_a_round_has_files_of_its_own(self) -> None:
        place = self.workspace(
            total_rounds=1,
            commands={
                "play": "test -e fixed",
                "scan": "true",
                "fix": "touch fixed",
                "verify": "true",
            },
            baseline={"command": "echo m=1", "regex": "m=(.)", "value": 2},
        )
        place.run(exitcode=1)
        place.run("--max-rounds", "1", exitcode=1)
        for name in (
            "artifacts/round-0002-fix-prompt.md",
            "artifacts/round-0002-fix-prompt-2.md",
            "logs/round-0002-fix.log",
            "logs/round-0002-fix-2.log",
        ):
            self.assertTrue(place.exists(name), name)
        self.assertIn("m=1", place.read("artifacts/round-0002-fix-prompt-2.md"))


class TornLine(Case):
    """Half a last line is no break: noted, a copy kept, dropped at the next run."""

    def test_a_torn_last_line(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        whole = place.read("events.jsonl")
        for torn in (whole.splitlines()[-1], '{"seq": 7, "ti', "\x00" * 100):
            with self.subTest(torn[:20]):
                before = place.read("events.jsonl")
                with open(place.file("events.jsonl"), "a", encoding="utf-8") as file:
                    file.write(torn)
                self.assertIn("torn", place.audit().out)
                place.run()
                self.assertTrue(place.read("events.jsonl").startswith(before))
                recomputed_head(place)
                note = place.events_of("note")[-1]
                self.assertIn("torn", note["text"])
        place.audit()
        copies = sorted(name for name in os.listdir(place.path) if ".torn-" in name)
        self.assertEqual(copies, [f"events.jsonl.torn-{number}" for number in (1, 2, 3)])
        self.assertEqual(place.read(copies[1]), '{"seq": 7, "ti')


class Planted(Case):
    """Symlinks and FIFOs at state paths are neither followed nor waited for."""

    def test_symlinks(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        victim = f"{self.folder}/victim"
        with open(victim, "w", encoding="utf-8") as file:
            file.write("mine\n")
        os.mkdir(f"{self.folder}/elsewhere")
        for name in ("heartbeat.json", "progress.md", ".heartbeat.json.new"):
            os.symlink(victim, place.file(name))
        for name in ("logs", "artifacts"):
            os.symlink(f"{self.folder}/elsewhere", place.file(name))
        place.run()
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine\n")
        self.assertEqual(os.listdir(f"{self.folder}/elsewhere"), [])
        self.assertEqual(place.artifact(1)["outcome"], "healthy")
        place.audit()

    def test_a_log_name_that_is_taken(self) -> None:
        victim = f"{self.folder}/victim"
        plant = (
            f'cd "$OPENLOOP_WORKSPACE/logs"; ln -s {victim} round-0002-verify.log; '
            "mkfifo round-0002-verify-2.log; false"
        )
        place = self.workspace(commands={"verify": by_round(plant, "echo here")})
        place.run(timeout=20)
        self.assertEqual(place.artifact(2)["steps"][0]["log_path"], "logs/round-0002-verify-3.log")
        self.assertEqual(place.read("logs/round-0002-verify-3.log"), "here\n")
        self.assertFalse(os.path.lexists(victim))

    def test_fifos(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        for name in ("heartbeat.json", "progress.md"):
            os.mkfifo(place.file(name))
        place.run(timeout=20)
        place.audit()

    def test_a_record_that_is_no_file(self) -> None:
        for number, plant in enumerate((os.mkfifo, os.mkdir, lambda path: os.symlink("x", path))):
            place = self.workspace(f"w{number}", commands={"verify": "true"})
            plant(place.file("events.jsonl"))
            done = place.run(exitcode=3, timeout=20)
            self.assertIn("events.jsonl", done.err)
            self.assertFalse(place.exists("x"))


if __name__ == "__main__":
    unittest.main()
