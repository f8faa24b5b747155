"""What the page is given: rows, rounds by pages, pieces of logs, searches; never greener than the
record."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import time
import unittest
from datetime import UTC, datetime, timedelta
from typing import Any

from openloop.web.overview import SILENT_AFTER
from openloop.web.static import FILES
from support import PATIENCE, Workspace, wait_until
from web.test_security import Page, WebCase

SLOW = True  # left out by scripts/run_tests.sh --quick


class Overview(WebCase):
    def rows(self, page: Page) -> dict[str, Any]:
        return {row["name"]: row for row in page.document("loops")["loops"]}

    def loop(self, name: str, **config: Any) -> Workspace:
        place = self.workspace(name, **config)
        os.rename(place.path, f"{place.folder}/{name}")
        place.path = f"{place.folder}/{name}"
        return place

    def write(self, place: Workspace, name: str, text: str) -> None:
        with open(place.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def test_who_needs_a_person_comes_first(self) -> None:
        once = {"limits": {"max_consecutive_failures": 1}}
        self.loop("good", commands={"verify": "true"}).run()
        self.loop("bad", commands={"verify": "false"}, **once).run(exitcode=3)
        self.loop("short", commands={"verify": "false"}, total_rounds=1).run(exitcode=1)
        killed = self.loop("killed", commands={"verify": "sleep 600"})
        live = self.loop("live", commands={"verify": "sleep 600"})
        processes = [self.started(place) for place in (killed, live)]
        for place in (killed, live):
            wait_until(functools.partial(place.running_step, "verify"), "the command")
        processes[0].kill()
        processes[0].wait()
        page = self.page(self.folder)
        listed = page.document("loops")["loops"]
        words = {row["name"]: (row["status"], row["needs"], row["rank"]) for row in listed}
        self.assertEqual(
            words,
            {
                "bad": ("blocked", "blocked", 0),
                "killed": ("crashed", "crashed", 0),
                "live": ("running", "", 1),
                "good": ("complete", "", 2),
                "short": ("exhausted", "", 2),
            },
        )
        self.assertEqual([row["rank"] for row in listed], sorted(row["rank"] for row in listed))

    def test_a_runner_without_beats_is_stale(self) -> None:
        place = self.loop("live", commands={"verify": "sleep 600"})
        self.started(place)
        wait_until(lambda: place.running_step("verify"), "the command")
        page, runner = self.page(self.folder), place.heartbeat["runner_pid"]
        self.assertEqual(self.rows(page)["live"]["needs"], "")
        self.addCleanup(os.kill, runner, signal.SIGCONT)
        os.kill(runner, signal.SIGSTOP)
        beat = place.heartbeat

        def needs(seconds: float) -> str:
            """What the row says when the latest beat is so old."""
            latest = datetime.now(UTC) - timedelta(seconds=seconds)
            self.write(place, "heartbeat.json", json.dumps({**beat, "updated_at": str(latest)}))
            return str(self.rows(page)["live"]["needs"])

        self.assertEqual(needs(SILENT_AFTER - 5), "")
        wait_until(lambda: needs(SILENT_AFTER + 1) == "stale", "the missing beats")

    def test_a_heartbeat_says_no_more_than_the_record(self) -> None:
        once = {"limits": {"max_consecutive_failures": 1}}
        place = self.loop("bad", commands={"verify": "false"}, **once)
        place.run(exitcode=3)
        page, beat = self.page(self.folder), place.heartbeat
        for claim in ("complete", "exhausted", "ready", "interrupted", "nonsense"):
            with self.subTest(claim):
                self.write(place, "heartbeat.json", json.dumps({**beat, "status": claim}))
                row = self.rows(page)["bad"]
                self.assertEqual(
                    (row["status"], row["needs"], row["rank"]), ("blocked", "mismatch", 0)
                )
                self.assertEqual(
                    row["reason"], f"heartbeat.json says {claim}, and the record blocked"
                )
        self.write(place, "heartbeat.json", json.dumps(beat))
        self.assertEqual(self.rows(page)["bad"]["needs"], "blocked")
        self.write(place, "events.jsonl", "not a record\n")
        self.assertEqual(self.rows(page)["bad"]["status"], "unknown")

    def test_odd_values_in_a_heartbeat_are_left_out(self) -> None:
        place = self.loop("good", commands={"verify": "true"})
        place.run()
        odd = {"metric": {"name": "m", "value": "much"}, "usage": [1], "speed": 3, "round": "x"}
        odd |= {"reason": ["a"], "started_at": 7, "log_bytes": True, "waiting_until": {}}
        self.write(place, "heartbeat.json", json.dumps({**place.heartbeat, **odd}))
        row = self.rows(self.page(self.folder))["good"]
        self.assertEqual({row[name] for name in odd if name != "speed"}, {None})
        self.assertEqual(row["speed"], {"seconds_per_round": None})

    def test_a_workspace_that_never_ran_is_listed(self) -> None:
        place = self.workspace("w", commands={"verify": "true"})
        [row] = self.page(place.path).document("loops")["loops"]
        self.assertEqual((row["status"], row["needs"], row["round"]), ("ready", "", 0))

    def test_a_fleet_is_named_by_its_file(self) -> None:
        done = self.loop("workspace", commands={"verify": "true"})
        done.run()
        task = os.path.join(self.folder, "night.fleet", "tasks", "parser")
        os.makedirs(task)
        os.rename(done.path, os.path.join(task, "workspace"))
        fleet = os.path.join(self.folder, "night.json")
        with open(fleet, "w", encoding="utf-8") as file:
            file.write("{}")
        [row] = self.page(fleet).document("loops")["loops"]
        self.assertEqual((row["name"], row["fleet"]), ("parser", "night"))

    def test_an_unchanged_answer_costs_nothing(self) -> None:
        place = self.ran()
        page = self.page(place.path)
        _, headers, _ = page.ask("/api/v1/loops")
        code, _, body = page.ask("/api/v1/loops", If_None_Match=headers["ETag"])
        self.assertEqual((code, body), (304, b""))

    def test_a_broken_record_is_reported(self) -> None:
        place = self.ran()
        with open(place.file("events.jsonl"), "r+b") as file:
            data = file.read().replace(b'"passed"', b'"failed"', 1)
            file.seek(0)
            file.write(data)
        page = self.page(place.path)
        [row] = page.document("loops")["loops"]
        found = page.document(f"loops/{row['id']}")
        self.assertTrue(found["broken"])
        self.assertEqual((found["gates"], found["head"]), ([], None))
        self.assertEqual(page.ask(f"/api/v1/loops/{row['id']}/audit", "POST")[0], 202)
        audit = wait_until(
            lambda: (
                "intact" in (found := page.document(f"loops/{row['id']}")["audit"] or {}) and found
            )
        )
        self.assertFalse(audit["intact"])

    def test_gates_that_were_not_measured(self) -> None:
        place = self.ran(commands={"play": "true", "verify": "false"}, total_rounds=1)
        place.configure({"commands": {"play": "true", "scan": "true", "verify": "false"}})
        page = self.page(place.path)
        [row] = page.document("loops")["loops"]
        gates = page.document(f"loops/{row['id']}")["gates"]
        self.assertEqual(
            [(gate["step"], gate["outcome"]) for gate in gates],
            [("play", "passed"), ("scan", None), ("verify", "failed")],
        )


class Rounds(WebCase):
    def test_pages_go_back_to_the_first_round(self) -> None:
        limits = {"max_consecutive_failures": 99}
        place = self.ran(commands={"verify": "false"}, total_rounds=12, limits=limits)
        page = self.page(place.path)
        [row] = page.document("loops")["loops"]
        numbers: list[int] = []
        query = "limit=5"
        for _ in range(5):
            found = page.document(f"loops/{row['id']}/rounds?{query}")
            numbers += [one["round"] for one in found["rounds"]]
            if found["before"] is None:
                break
            query = f"limit=5&before={found['before']}"
        self.assertEqual(numbers, list(range(12, 0, -1)))
        for before in (0, 1, 10**15 - 1):  # no line begins there
            code, _, _ = page.ask(f"/api/v1/loops/{row['id']}/rounds?before={before}")
            self.assertEqual(code, 404)

    def test_a_long_record_opens_as_fast_as_a_short_one(self) -> None:
        place = self.ran()
        page = self.page(place.path)
        [row] = page.document("loops")["loops"]
        address = f"loops/{row['id']}/rounds"
        short = self.best(lambda: page.document(address))
        events = place.file("events.jsonl")
        with open(events, "rb") as file:
            data = file.read()
        with open(events, "wb") as file:
            for _ in range(20_000):
                file.write(data)
        self.assertEqual(len(page.document(address)["rounds"]), 20)
        self.assertLess(self.best(lambda: page.document(address)), 10 * short + 0.02)

    def best(self, look: Any) -> float:
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            look()
            taken.append(time.perf_counter() - began)
        return min(taken)


class Logs(WebCase):
    def log(self, data: bytes) -> tuple[Page, str]:
        """A page, and the address of a step whose log holds `data`."""
        place = self.ran()
        with open(place.file("logs/round-0001-verify.log"), "wb") as file:
            file.write(data)
        page = self.page(place.path)
        return page, self.step(page)

    def test_a_log_that_has_grown_since_its_step_says_so(self) -> None:
        page, step = self.log(b"line\n" * 100)
        found = page.document(f"{step}/log")
        self.assertEqual((found["size"], found["recorded_size"]), (500, len("seen\n")))
        loop = page.document(step.partition("/steps")[0])
        self.assertIn("the record says 5: it was changed", loop["problems"][0]["what"])

    def test_it_opens_at_the_end_and_is_read_backwards_and_on(self) -> None:
        data = b"".join(b"line %d\n" % number for number in range(30_000))
        page, step = self.log(data)
        end = page.document(f"{step}/log?length=1000")
        self.assertTrue(end["text"].endswith("line 29999\n"))
        self.assertTrue(end["text"].startswith("line "))
        first = int(end["text"].split("\n")[0].split()[1])
        self.assertEqual(end["first_line"], first)
        before = page.document(f"{step}/log?offset=0&length=1000")
        self.assertEqual((before["first_line"], before["offset"]), (0, 0))
        following = page.document(f"{step}/log?offset={before['end']}&length=1000")
        after = data[before["end"] :].decode()
        self.assertTrue(after.startswith(following["text"]))

    def test_the_search_sees_the_whole_log_and_counts_truly(self) -> None:
        page, step = self.log(b"needle\n" + b"hay\n" * 100_000 + b"a NEEDLE, a needle\n")
        found = page.document(f"{step}/search?q=needle")
        self.assertEqual((found["count"], found["complete"]), (3, True))
        self.assertEqual(found["offsets"][0], 0)
        found = page.document(f"{step}/search?q=%5Ehay%24&regex=1")
        self.assertEqual((found["count"], len(found["offsets"])), (100_000, 1000))
        self.assertEqual(page.document(f"{step}/search?q=n.edle")["count"], 0)
        self.assertEqual(page.ask(f"/api/v1/{step}/search?q=(&regex=1")[0], 400)
        self.assertEqual(page.ask(f"/api/v1/{step}/search?q=")[0], 400)

    def test_a_search_goes_on_where_the_one_before_ended(self) -> None:
        page, step = self.log(b"needle\n" + b"hay\n" * 3_000_000 + b"needle\n")
        found = page.document(f"{step}/search?q=needle&offset=1")
        self.assertEqual((found["count"], found["offsets"]), (1, [12_000_007]))
        found = page.document(f"{step}/search?q=needle&offset=12000014")
        self.assertEqual((found["count"], found["complete"]), (0, True))
        self.assertEqual(page.ask(f"/api/v1/{step}/search?q=a&offset=-1")[0], 400)

    def test_an_expression_without_end_or_bounds_is_ended(self) -> None:
        page, step = self.log(b"a" * (5 << 20) + b"\nb")
        began = time.monotonic()
        found = page.document(f"{step}/search?q=(%3F:a*)*b&regex=1&seconds=1")
        self.assertEqual((found["count"], found["searched"], found["complete"]), (0, 0, False))
        self.assertLess(time.monotonic() - began, PATIENCE)
        code, _, body = page.ask(f"/api/v1/{step}/search?q=((a)%7C(b))*c&regex=1&seconds=20")
        self.assertEqual(code, 400)
        self.assertIn(b"needs more than 512 MiB of memory", body)

    def test_bad_bytes_and_sparse_giants(self) -> None:
        page, step = self.log(b"\xff\xfe\x00 caf\xc3\xa9\n")
        self.assertEqual(page.document(f"{step}/log")["text"], "\ufffd\ufffd\0 café\n")
        place = self.workspace("w", commands={"verify": "echo seen"})
        os.truncate(place.file("logs/round-0001-verify.log"), 256 << 20)
        found = page.document(f"{step}/log")
        self.assertEqual((found["size"], found["first_line"]), (256 << 20, None))
        counted = f"{step}/log?lines=1&length=1"
        wait_until(lambda: page.document(counted)["first_line"] == 1, "the lines to be counted")
        self.assertEqual(page.document(f"{step}/log")["first_line"], 1)


class Style(unittest.TestCase):
    """Contrast of every pair of colours that the page uses for text, in both schemes."""

    PAIRS = (
        *(("ink", "page"), ("ink", "card"), ("quiet", "page"), ("quiet", "card"), ("ink", "code")),
        *(("link", "page"), ("link", "card"), ("ink", "bad-soft"), ("ink", "warn-soft")),
        *(("quiet", "bad-soft"), ("quiet", "warn-soft")),
        *((name, f"{name}-soft") for name in ("good", "bad", "warn", "run", "none")),
        *((name, "card") for name in ("good", "bad", "warn", "run", "none")),
    )

    def test_wcag_aa(self) -> None:
        text = FILES["style.css"][1].decode()
        light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
        for scheme in (light, dark):
            colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
            for ink, paper in self.PAIRS:
                with self.subTest(ink=ink, paper=paper, colours=colours[ink]):
                    one, other = sorted((luminance(colours[ink]), luminance(colours[paper])))
                    self.assertGreaterEqual((other + 0.05) / (one + 0.05), 4.5)

    def test_nothing_comes_from_elsewhere(self) -> None:
        for name, (_, body, _) in FILES.items():
            with self.subTest(name):
                text = body.decode().replace("http://www.w3.org/2000/svg", "")
                self.assertNotRegex(text, r"https?://|innerHTML|outerHTML|eval\(|style=")


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Documented(WebCase):
    def test_the_documents_are_json_of_a_version(self) -> None:
        place = self.ran(baseline={"command": "echo score=1", "regex": "score=(.+)", "value": 1})
        page = self.page(place.path)
        [row] = page.document("loops")["loops"]
        for path in ("loops", f"loops/{row['id']}", f"loops/{row['id']}/rounds"):
            self.assertEqual(page.document(path)["version"], 1)
        [one] = page.document(f"loops/{row['id']}/rounds")["rounds"]
        self.assertEqual([step["step"] for step in one["steps"]], ["verify", "baseline"])
        self.assertEqual(one["steps"][1]["metric"]["value"], 1)
        text = page.document(f"loops/{row['id']}/configuration")["text"]
        self.assertEqual(json.loads(text)["version"], 1)


if __name__ == "__main__":
    unittest.main()
