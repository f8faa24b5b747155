"""Agents in the real loop: usage, budgets, refusals, waiting, fallback, shared limits."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import unittest
from typing import Any

from support import Case, Workspace, agent, environment, run_openloop, wait_until

SLOW = True  # left out by scripts/run_tests.sh --quick

VERIFY = "test -e fixed"
READING = {
    "rules": [
        {"when": {"type": "start"}, "session": "id", "model": "model"},
        {
            "when": {"type": "message"},
            "id": "id",
            "input": "in",
            "cached": "cached",
            "output": "out",
            "cost": "usd",
            "clears": True,
            "answer": "text",
        },
        {"when": {"type": "failed"}, "failure": "said", "says": "says", "reset": "reset"},
        {
            "when": {"type": "again"},
            "failure": "said",
            "says": "says",
            "retries": True,
            "attempt": "n",
        },
    ]
}
START = {"type": "start", "id": "s-1", "model": "m-9"}
WORK = {
    "type": "message",
    "id": "a",
    "in": 1000,
    "cached": 400,
    "out": 50,
    "usd": 0.5,
    "text": "ok",
}
DONE = {"print": [START, WORK], "edit": True}
LIMIT = {"type": "failed", "says": "You've hit your usage limit", "reset": "@RESET"}


class Agents(Case):
    def setUp(self) -> None:
        super().setUp()
        self.config = os.path.join(self.folder, "config")
        self.state = os.path.join(self.folder, "state")
        self.env = environment(XDG_CONFIG_HOME=self.config, XDG_STATE_HOME=self.state)
        self.preset("own", {"run": "own {prompt_file}", "reading": READING})

    def preset(self, name: str, document: dict[str, Any]) -> None:
        folder = os.path.join(self.config, "openloop", "agents")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)

    def plan(self, name: str, *acts: dict[str, Any]) -> str:
        """The command of an agent that acts so."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "plan"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(act) + "\n" for act in acts)
        return agent("agent", folder)

    def calls(self, name: str) -> list[float]:
        """When it was called, in seconds since 1970."""
        try:
            with open(os.path.join(self.folder, name, "calls"), encoding="utf-8") as file:
                return [float(line.split()[0]) for line in file]
        except FileNotFoundError:
            return []

    def loop(self, *acts: dict[str, Any], name: str = "w", **config: Any) -> Workspace:
        fix: dict[str, Any] = {"run": self.plan(f"{name}-plan", *acts), "agent": "own"}
        fix |= config.pop("fix", {})
        commands = {"verify": VERIFY, "fix": fix, **config.pop("commands", {})}
        limits = {"max_consecutive_failures": 9, **config.pop("limits", {})}
        return self.workspace(name, commands=commands, limits=limits, **config)

    def finished(self, place: Workspace, step: str = "fix") -> list[dict[str, Any]]:
        return [one for one in place.events_of("step_finished") if one["step"] == step]


class Usage(Agents):
    def test_in_event_artifact_heartbeat_summary_status_and_reports(self) -> None:
        place = self.loop(DONE)
        done = place.run(env=self.env)
        expected = {
            "agent": "own",
            "model": "m-9",
            "session": "s-1",
            "input_tokens": 1000,
            "cached_tokens": 400,
            "output_tokens": 50,
            "cost_usd": 0.5,
        }
        self.assertEqual(self.finished(place)[0]["usage"], expected)
        steps = {one["step"]: one for one in place.artifact(2)["steps"]}
        self.assertEqual(steps["fix"]["usage"], expected)
        total = {key: expected[key] for key in list(expected)[3:]}
        total |= {"sessions": 1, "unpriced": 0}
        self.assertEqual(place.heartbeat["usage"], total)
        self.assertIn("$0.50, 1.1k tokens in 1 session", done.out)
        self.assertIn("$0.50, 1.1k tokens in 1 session", status(place))
        for form, shown in (
            ("html", "<td>$0.50, 1.1k tokens</td>"),
            ("md", "fix ✓ ($0.50, 1.1k tokens)"),
            ("json", '"unpriced": 0'),
            ("junit", '<property name="cost_usd" value="0.5"'),
        ):
            path = os.path.join(self.folder, form)
            run_openloop("report", place.path, "--format", form, "--output", path)
            with open(path, encoding="utf-8") as file:
                self.assertIn(shown, file.read(), form)

    def test_unknown_is_never_0_and_a_sum_with_an_unknown_part_is_a_lower_bound(self) -> None:
        unknown = {"print": [{"type": "message", "id": "x", "in": 10, "out": 1, "usd": 0}]}
        place = self.loop({**DONE, "edit": False}, unknown, total_rounds=3)
        place.run(exitcode=1, env=self.env)
        used = [one["usage"] for one in self.finished(place)]
        self.assertEqual([one["cost_usd"] for one in used], [0.5, None])
        beat = place.heartbeat["usage"]
        self.assertEqual((beat["sessions"], beat["unpriced"], beat["cost_usd"]), (2, 1, 0.5))
        self.assertIn("at least $0.50", status(place))
        page = run_openloop("report", place.path, "--format", "html").out
        bars = re.findall(
            r"<title>(round \d): ([^<]*tokens)</title><rect [^>]* width=\"(\d+)", page
        )
        self.assertEqual(
            [one[:2] for one in bars], [("round 2", "$0.50, 1.1k tokens"), ("round 3", "11 tokens")]
        )
        self.assertGreater(int(bars[0][2]), 50 * int(bars[1][2]))

    def test_a_price_stands_in_for_a_cost(self) -> None:
        message = {"type": "message", "id": "x", "in": 1_000_000, "cached": 200_000, "out": 500_000}
        prices = {"other": {"input": 9, "output": 9}, "m-*": {"input": 2, "cached": 1, "output": 4}}
        place = self.loop({"print": [START, message], "edit": True}, prices=prices)
        place.run(env=self.env)
        self.assertAlmostEqual(self.finished(place)[0]["usage"]["cost_usd"], 1.6 + 0.2 + 2.0)

    def test_a_session_that_times_out_keeps_what_it_reported(self) -> None:
        place = self.loop(
            {"print": [START, WORK], "sleep": 60}, fix={"timeout_seconds": 1}, total_rounds=2
        )
        place.run(exitcode=1, env=self.env)
        self.assertEqual(self.finished(place)[0]["outcome"], "timeout")
        self.assertEqual(self.finished(place)[0]["usage"]["input_tokens"], 1000)

    def test_a_failed_session_says_why_in_its_own_words(self) -> None:
        failed = {"print": [START, {"type": "failed", "says": "The prompt is too long"}]}
        place = self.loop(failed, total_rounds=2)
        place.run(exitcode=1, env=self.env)
        self.assertEqual(self.finished(place)[0]["outcome"], "failed")
        self.assertEqual(self.finished(place)[0]["detail"], "The prompt is too long")


class Budgets(Agents):
    def test_tokens_end_a_session_that_reports_as_it_goes(self) -> None:
        messages = [{**WORK, "id": str(n)} for n in range(200)]
        place = self.loop({"print": messages, "between": 0.1}, limits={"max_tokens": 4000})
        began = time.monotonic()
        done = place.run(exitcode=1, env=self.env)
        self.assertLess(time.monotonic() - began, 15)
        fix = self.finished(place)[0]
        self.assertEqual(fix["outcome"], "budget")
        self.assertLess(fix["usage"]["input_tokens"], 4000 + 25 * 1050)
        again = [(r, s, o) for r, s, o in place.steps() if s == "verify"]
        self.assertEqual(len(again), 2, place.steps())
        self.assertIn("max_tokens 4000 is used up", done.out)
        self.assertEqual(place.heartbeat["status"], "exhausted")

    def test_complete_all_the_same_when_the_gates_pass(self) -> None:
        messages = [{**WORK, "id": str(n)} for n in range(200)]
        act = {"print": messages, "between": 0.1, "edit": True}
        place = self.loop(act, limits={"max_cost_usd": 2})
        place.run(env=self.env)
        self.assertEqual(self.finished(place)[0]["outcome"], "budget")

    def test_money_after_a_session_that_says_so_at_its_end(self) -> None:
        place = self.loop({**DONE, "edit": False}, limits={"max_cost_usd": 0.9}, total_rounds=9)
        done = place.run(exitcode=1, env=self.env)
        self.assertEqual(len(self.calls("w-plan")), 2)
        self.assertIn("max_cost_usd 0.9 is used up: $1.00", done.out)

    def test_an_unpriced_session_ends_the_run(self) -> None:
        unknown = {"print": [{"type": "message", "id": "x", "in": 10, "out": 1}]}
        place = self.loop(unknown, limits={"max_cost_usd": 5})
        done = place.run(exitcode=1, env=self.env)
        self.assertEqual(len(self.calls("w-plan")), 1)
        self.assertIn("the cost of 1 of 1 sessions is unknown", done.out)

    def test_a_budget_that_cannot_be_kept_starts_nothing(self) -> None:
        self.preset("blind", {"run": "blind", "reading": {"rules": []}})
        place = self.loop(DONE, fix={"agent": "blind"}, limits={"max_cost_usd": 5})
        done = place.run(exitcode=2, env=self.env)
        self.assertIn("limits.max_cost_usd cannot be kept: blind reports no cost", done.err)
        self.assertEqual(self.calls("w-plan"), [])
        self.assertEqual(place.events, [])

    def test_an_agent_that_does_not_exist_starts_nothing(self) -> None:
        place = self.loop(DONE, fix={"agent": "ownn"})
        done = place.run(exitcode=2, env=self.env)
        self.assertIn("commands.fix.agent", done.err)
        self.assertIn("did you mean own?", done.err)


class Refusals(Agents):
    def test_a_limit_is_waited_for_and_the_same_step_repeated_in_the_same_round(self) -> None:
        place = self.loop({"print": [START, LIMIT], "reset": 2, "exit": 1}, DONE)
        done = place.run(env=self.env)
        outcomes = [(r, s, o) for r, s, o in place.steps() if s == "fix"]
        self.assertEqual(outcomes, [(2, "fix", "unavailable"), (2, "fix", "passed")])
        first, second = self.calls("w-plan")
        self.assertGreaterEqual(second - first, 1.0)
        self.assertEqual(self.finished(place)[0]["detail"], "You've hit your usage limit")
        (started,) = place.events_of("wait_started")
        (finished,) = place.events_of("wait_finished")
        self.assertEqual(started["until"], finished["until"])
        self.assertTrue(finished["over"])
        self.assertRegex(done.err, r"waiting for own until [\d:]+ \(usage limit: You've hit")
        self.assertEqual(place.heartbeat["consecutive_failures"], 0)
        place.audit()
        self.assertNotIn("ran and did not help", place.read("artifacts/round-0002-fix-prompt-2.md"))

    def test_the_agent_of_improve_too(self) -> None:
        commands = {"verify": "true", "improve": None}
        place = self.loop({"print": [LIMIT], "reset": 1}, DONE)
        commands["improve"] = {"run": self.plan("i", {"print": [LIMIT], "reset": 1}, DONE)}
        commands["improve"]["agent"] = "own"
        place.configure(
            {
                "commands": commands,
                "baseline": {
                    "command": "ls fixed && echo score=1 || echo score=0",
                    "regex": "score=([0-9])",
                    "value": 1,
                },
            }
        )
        place.run(env=self.env)
        changes = [(r, s, o) for r, s, o in place.steps() if s == "improve"]
        self.assertEqual(changes, [(1, "improve", "unavailable"), (1, "improve", "passed")])

    def test_credit_and_login_block_at_once(self) -> None:
        for says, kind in (
            ("Credit balance is too low", "no credit"),
            ("Invalid API key · Please run /login", "no login"),
        ):
            with self.subTest(says):
                act = {"print": [{"type": "failed", "says": says}], "exit": 1}
                place = self.loop(act, DONE, name=kind.replace(" ", "-"))
                done = place.run(exitcode=3, env=self.env)
                self.assertEqual(len(self.finished(place)), 1)
                self.assertIn(says, done.out)
                self.assertIn(kind, place.heartbeat["reason"])
                self.assertEqual(place.events_of("breaker_tripped"), [])
                place.run(env=self.env)  # the person helped: the trial calls the agent
                place.audit()

    def test_exit_code_75_of_any_change_means_the_same(self) -> None:
        fix = "echo the model is loading; exit 75"
        limits = {"max_wait_seconds": 0}
        place = self.workspace(commands={"verify": VERIFY, "fix": fix}, limits=limits)
        done = place.run(exitcode=1, env=self.env)
        self.assertEqual(self.finished(place)[0]["outcome"], "unavailable")
        self.assertEqual(self.finished(place)[0]["detail"], "the model is loading")
        self.assertIn("max_wait_seconds 0 would be exceeded", done.out)
        self.assertEqual(place.heartbeat["consecutive_failures"], 1)  # of the first round

    def test_resets_that_cannot_be_waited_for_end_well(self) -> None:
        for name, act in (
            ("month", {"print": [LIMIT], "reset": 30 * 86400}),
            ("past", {"print": [LIMIT], "reset": -3600}),
            ("garbage", {"print": [{**LIMIT, "reset": "soon"}]}),
            ("never", {"print": [{**LIMIT, "reset": "9" * 40}]}),
        ):
            with self.subTest(name):
                env = {**self.env, "XDG_STATE_HOME": os.path.join(self.folder, name)}
                place = self.loop(act, name=name, limits={"max_wait_seconds": 5})
                done = place.run(exitcode=1, env=env)
                self.assertIn("max_wait_seconds 5 would be exceeded", done.out)
                self.assertEqual(len(self.calls(f"{name}-plan")), 1)

    def test_a_clock_that_is_set_while_it_waits(self) -> None:
        """Forward: the wait is over. Back: it lasts as long as it would have. Killed, and resumed
        under another clock: the same, in the next round."""
        day = 86400
        for name, reset, later, kill, bounds in (
            ("forward", 3600, 2 * 3600, False, (0, 40)),
            ("back", 6, -day, False, (4, 40)),
            ("killed-forward", 3600, 2 * 3600, True, (0, 40)),
            ("killed-back", 6, -30 * day, True, (4, 60)),
        ):
            with self.subTest(name):
                env = {**self.env, "XDG_STATE_HOME": os.path.join(self.folder, name)}
                place = self.loop({"print": [LIMIT], "reset": reset}, DONE, name=name)
                shift = os.path.join(self.folder, f"{name}-shift")
                self.set_clock(shift, 0)
                process = self.start_with_clock(place, shift, env)
                wait_until(lambda place=place: beat_of(place)["waiting_until"], "the wait")
                if kill:
                    process.kill()
                    process.communicate()
                self.set_clock(shift, later)
                began = time.monotonic()
                if kill:
                    process = self.start_with_clock(place, shift, env)
                out, err = process.communicate(timeout=90)
                self.assertEqual(process.returncode, 0, out + err)
                self.assertLess(time.monotonic() - began, bounds[1])
                first, second = self.calls(f"{name}-plan")
                self.assertGreater(second - first, bounds[0])
                outcomes = [(r, o) for r, step, o in place.steps() if step == "fix"]
                self.assertEqual(outcomes, [(2, "unavailable"), (3 if kill else 2, "passed")])
                self.assertEqual(place.heartbeat["consecutive_failures"], 0)
                place.audit()

    def set_clock(self, path: str, seconds: int) -> None:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(str(seconds))
        os.replace(f"{path}.new", path)

    def start_with_clock(
        self, place: Workspace, shift: str, env: dict[str, str]
    ) -> subprocess.Popen[str]:
        """A run whose clock differs from the machine's by as many seconds as the file says."""
        program = agent("shifted_clock", shift, "run", place.path)
        process = subprocess.Popen(
            shlex.split(program),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def test_an_agent_that_went_on_to_work_was_not_refused(self) -> None:
        place = self.loop({"print": [LIMIT, WORK], "edit": True})
        place.run(env=self.env)
        self.assertEqual([one["outcome"] for one in self.finished(place)], ["passed"])

    def test_an_agent_that_tries_again_by_itself_is_shown_and_refused_when_time_is_up(self) -> None:
        again = {"type": "again", "says": "429 Too Many Requests", "n": 3}
        place = self.loop(
            {"print": [again], "sleep": 60},
            fix={"stall_timeout_seconds": 3},
            limits={"max_wait_seconds": 0},
        )
        process = place.start(env=self.env)
        shown = wait_until(lambda: place.exists("heartbeat.json") and beat_of(place)["waiting_for"])
        self.assertIn("429 Too Many Requests (try 3)", shown)
        process.communicate(timeout=30)
        fix = self.finished(place)[0]
        self.assertEqual(fix["outcome"], "unavailable")
        self.assertIn("no new output for 3 s", fix["detail"])

    def test_one_that_tries_a_bad_key_again_and_again_is_ended(self) -> None:
        again = [{"type": "again", "says": "401 Unauthorized", "n": n} for n in range(1, 5)]
        lines = "\n".join(map(json.dumps, again))
        last = shlex.quote(f"echo {shlex.quote(json.dumps(WORK))}; exit 0")  # when it is ended
        run = f"trap {last} TERM; echo {shlex.quote(lines)}; sleep 60 & wait"
        place = self.loop(DONE, fix={"run": run})
        done = place.run(exitcode=3, env=self.env)
        self.assertIn("401 Unauthorized (try 4)", done.out)
        self.assertEqual([one["outcome"] for one in self.finished(place)], ["unavailable"])
        beat = place.heartbeat
        self.assertEqual((beat["status"], beat["consecutive_failures"]), ("blocked", 1))

    def test_the_fallback_works_meanwhile(self) -> None:
        spare = {"run": self.plan("spare", DONE), "agent": "own", "account": "spare"}
        place = self.loop({"print": [LIMIT], "reset": 3600}, fix={"fallback": spare})
        place.run(env=self.env)
        self.assertEqual([e["outcome"] for e in self.finished(place)], ["unavailable", "passed"])
        self.assertTrue(self.finished(place)[1]["stand_in"])
        self.assertEqual(place.events_of("wait_started"), [])


def beat_of(place: Workspace) -> dict[str, Any]:
    try:
        return place.heartbeat
    except (OSError, ValueError):
        return {"waiting_for": None, "waiting_until": None}


def status(place: Workspace) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "openloop", "status", place.path],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


class Waits(Agents):
    def wait(self, **config: Any) -> tuple[Workspace, subprocess.Popen[str]]:
        """A loop that waits for its agent."""
        place = self.loop({"print": [LIMIT], "reset": 600}, DONE, **config)
        process = place.start(env=self.env)
        self.addCleanup(end, process)
        wait_until(lambda: beat_of(place)["waiting_until"], "the wait")
        return place, process

    def test_ctrl_c_ends_it_at_once(self) -> None:
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signum):
                place, process = self.wait()
                began = time.monotonic()
                process.send_signal(signum)
                process.communicate(timeout=20)
                self.assertLess(time.monotonic() - began, 5)
                self.assertEqual(process.returncode, code)
                self.assertFalse(place.events_of("wait_finished")[0]["over"])
                self.assertIn("waiting", str(place.events_of("wait_started")[0]) + "waiting")
                self.assertIsNone(place.heartbeat["waiting_until"])
                self.doCleanups()
                self.setUp()

    def test_a_killed_run_goes_on_waiting_and_no_round_is_lost(self) -> None:
        place, process = self.wait(total_rounds=2)
        until = place.heartbeat["waiting_until"]
        self.assertIsNone(place.heartbeat["eta"])
        words = " ".join(status(place).split())
        self.assertRegex(words, r"waiting for own until [\d: -]+ \(usage limit: You've hit")
        process.kill()
        process.communicate(timeout=20)
        again = place.start(env=self.env)
        self.addCleanup(end, again)
        wait_until(lambda: len(place.events_of("wait_started")) == 2, "the wait again")
        self.assertEqual(place.events_of("wait_started")[1]["until"], until)
        self.assertEqual([s for _, s, _ in place.steps()], ["verify", "fix"])
        self.assertEqual(len(self.calls("w-plan")), 1)
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=20)
        self.assertEqual(again.returncode, 130)
        place.audit()

    def test_loops_of_one_account_share_a_limit(self) -> None:
        """One of them learns of it; the others wait without trying, each until a moment of its
        own, so that they do not all start in the same second."""
        first, process = self.wait()
        others = [self.loop(DONE, name=f"w{n}") for n in range(4)]
        for place in others:
            self.addCleanup(end, place.start(env=self.env))
        for place in others:
            wait_until(lambda place=place: beat_of(place)["waiting_until"], "another's wait")
        self.assertEqual([self.calls(f"w{n}-plan") for n in range(4)], [[]] * 4)
        until = [place.events_of("wait_started")[0]["until"] for place in (first, *others)]
        self.assertGreater(len({moment[:19] for moment in until}), 2, until)
        self.assertIsNone(process.poll())

    def test_another_account_is_not_held_up(self) -> None:
        self.wait()
        place = self.loop(DONE, name="other", fix={"account": "work"})
        place.run(env=self.env)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


class InTheSandbox(Agents):
    def test_state_is_writable_and_made_and_the_inner_sandbox_is_off(self) -> None:
        from openloop.policy import bubblewrap
        from support import need

        need(not bubblewrap.trouble(self.folder), "a working bubblewrap")
        home = os.path.join(self.folder, "home")
        os.mkdir(home)
        run = f"sh -c {shlex.quote('echo $0 > ~/.own/state/seen; echo yes > fixed')} --inner on"
        self.preset(
            "boxed",
            {
                "run": f"{run} # {{prompt_file}}",
                "state": ["~/.own/state/"],
                "unboxed": {"--inner on": "--inner off"},
            },
        )
        fix = {"run": run, "agent": "boxed"}
        place = self.loop(DONE, fix=fix, policy={"sandbox": "bwrap"})
        place.run(env={**self.env, "HOME": home})
        self.assertIn("--inner off", self.finished(place)[0]["command"])
        with open(os.path.join(home, ".own/state/seen"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "--inner\n")


if __name__ == "__main__":
    unittest.main()
