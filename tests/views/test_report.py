"""`openloop report`: every format of every kind of run, and nothing that a log can do to it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

from openloop.record import log_tail, workspace
from openloop.views import history
from openloop.views.reports import html_page, junit, markdown, report
from support import (
    HERE,
    Case,
    Workspace,
    by_round,
    lives,
    need,
    run_openloop,
    wait_until,
)
from views.test_views import in_a_terminal

SLOW = True  # left out by scripts/run_tests.sh --quick

SCHEMAS = os.path.join(HERE, "corpus", "junit")
RENDER: dict[str, Callable[[report.RunReport], str]] = {
    "html": html_page.render,
    "md": markdown.render,
    "json": lambda made: json.dumps(made.to_json()),
    "junit": junit.render,
}
ALONE = {"meta", "rect", "path", "circle"}  # elements that have no end tag here
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
BROWSER = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Page(HTMLParser):
    """A page's elements and its text; raises AssertionError where it is not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            raise AssertionError(f"never closed: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ALONE and self._open.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        self.text += data


class ReportCase(Case):
    def report(self, place: Workspace, form: str) -> str:
        return RENDER[form](report.collect(place.path))

    def page(self, place: Workspace) -> Page:
        return Page(self.report(place, "html"))

    def repaired(self) -> Workspace:
        """A round that fails at verify, a change that is undone in part, a metric that climbs."""
        place = self.workspace(
            mission="Shine.",
            commands={
                "fix": "touch tests/new; echo better > state; echo worked",
                "verify": "cat state; test -s state",
                "improve": "echo 7 > value",
            },
            baseline={
                "command": "cat value 2>/dev/null || echo 3",
                "regex": "([0-9]+)",
                "value": 5,
                "metric_name": "lumens",
            },
            policy={"protect": ["tests/"]},
            total_rounds=4,
        )
        os.mkdir(place.project_file("tests"))
        with open(place.project_file("tests/old"), "w", encoding="utf-8"):
            pass
        place.run()
        return place


class Formats(ReportCase):
    """The report of a run with steps, metrics, undone changes and failures."""

    def test_the_page(self) -> None:
        page = self.page(self.repaired())
        for words in (
            *("Shine.", "complete", "every gate passed", "Gates", "What did not pass"),
            *("round 1", "round 2", "verify", "policy", "created protected tests/new"),
            *("Metric: lumens", "baseline 5", "lumens=7 (greater or equal 5, best 7)"),
            *("intact", "--head"),
        ):
            self.assertIn(words, page.text)
        self.assertEqual(page.elements.count("svg"), 2)
        self.assertNotIn("script", page.elements)
        self.assertLessEqual({"rect", "circle", "path"}, set(page.elements))

    def test_the_audit_is_the_one_of_openloop_audit(self) -> None:
        place = self.repaired()
        content = json.loads(self.report(place, "json"))
        self.assertEqual(content["audit"], run_openloop("audit", place.path, "--json").json)
        self.assertIn(content["audit"]["head"], self.report(place, "html"))
        self.assertIn(content["audit"]["head"], self.report(place, "md"))

    def test_json(self) -> None:
        place = self.repaired()
        content = json.loads(self.report(place, "json"))
        self.assertEqual(
            (content["status"], content["run"], content["metric"]["best"]), ("complete", 1, 7.0)
        )
        steps = [
            (r["round"], s["step"], s["outcome"]) for r in content["rounds"] for s in r["steps"]
        ]
        self.assertEqual(steps, place.steps())
        self.assertEqual({g["outcome"] for g in content["gates"].values()}, {"passed"})
        self.assertFalse(any(gate["stale"] for gate in content["gates"].values()))
        self.assertEqual([m["value"] for m in content["measurements"]], [3.0, 7.0])
        undone = [one for r in content["rounds"] for one in r["undone"]]
        self.assertEqual([one["paths"] for one in undone], [["tests/new"]])
        failed = content["failures"][-1]
        self.assertEqual((failed["round"], failed["step"]), (1, "verify"))
        self.assertEqual(failed["log_end"], ["cat: state: No such file or directory"])

    def test_markdown_is_short_and_says_it_all(self) -> None:
        text = self.report(self.repaired(), "md")
        self.assertLess(len(text), 10_000)
        for words in (
            *("### OpenLoop: complete", "| verify | passed |", "fix **policy**"),
            *(
                "violation in <code>round 2, fix: created protected tests/new</code>",
                "Record: intact",
            ),
        ):
            self.assertIn(words, text)

    def test_every_format_from_the_command_line(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        for words, beginning in (
            ((), "<!DOCTYPE html>"),
            (("--format", "html"), "<!DOCTYPE html>"),
            (("--format", "md"), "### OpenLoop: complete"),
            (("--format", "json"), "{"),
            (("--format", "junit"), "<?xml"),
        ):
            done = run_openloop("report", place.path, *words)
            self.assertEqual(done.err, "")
            self.assertTrue(done.out.startswith(beginning), done.out[:80])
            self.assertTrue(done.out.endswith("\n"))

    def test_on_a_terminal_it_is_text(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        code, shown = in_a_terminal("report", place.path)
        self.assertEqual(0, code)
        self.assertTrue(shown.startswith("### OpenLoop: complete"), shown[:80])
        self.assertIn("--output report.html", shown)
        _, page = in_a_terminal("report", place.path, "--format", "html")
        self.assertTrue(page.startswith("<!DOCTYPE html>"), page[:80])

    def test_a_file_is_replaced_whole(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        target = os.path.join(self.folder, "report.html")
        for words in ("first", "second"):
            place.configure({"mission": words, "commands": {"verify": "true"}})
            place.run()
            done = run_openloop("report", place.path, "--output", target)
            self.assertEqual(("", f"report written to {target} (html)\n"), (done.out, done.err))
            with open(target, encoding="utf-8") as file:
                self.assertIn(f"<h1>{words}</h1>", file.read())
        self.assertEqual(os.listdir(self.folder).count("report.html"), 1)

    def test_a_device_takes_it_and_stays(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        done = run_openloop("report", place.path, "--output", "/dev/null")
        self.assertEqual("", done.out + done.err)
        self.assertFalse(os.path.isfile("/dev/null"))

    def test_files_that_cannot_be(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        before = place.read("events.jsonl")
        link = os.path.join(self.folder, "link")
        os.symlink(place.file("events.jsonl"), link)
        for target in (place.file("events.jsonl"), place.file("logs/new.html"), link):
            done = run_openloop("report", place.path, "--output", target, exitcode=2)
            self.assertIn("the workspace's own files", done.err)
        self.assertEqual(place.read("events.jsonl"), before)
        for target in (self.folder, f"{self.folder}/nowhere/report.html"):
            run_openloop("report", place.path, "--output", target, exitcode=1)


class EveryState(ReportCase):
    """A report needs no run that went well."""

    def check(self, place: Workspace, status: str) -> Page:
        content = json.loads(self.report(place, "json"))
        self.assertEqual(content["status"], status)
        self.assertIn(status, self.report(place, "md"))
        ElementTree.fromstring(self.report(place, "junit"))
        page = self.page(place)
        self.assertIn(status, page.text)
        return page

    def test_never_run(self) -> None:
        page = self.check(self.workspace(commands={"verify": "true"}), "ready")
        self.assertIn("start it: openloop run", page.text)

    def test_running_and_crashed(self) -> None:
        place = self.workspace(commands={"verify": "echo begun; exec sleep 60"})
        runner = self.started(place)
        pid = wait_until(lambda: place.running_step("verify"))
        self.assertIn("not finished", self.check(place, "running").text)
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        wait_until(lambda: not lives(pid))
        self.assertIn("go on where it stopped", self.check(place, "crashed").text)

    def test_blocked(self) -> None:
        place = self.workspace(
            commands={"verify": "echo no; exit 1"}, limits={"max_consecutive_failures": 2}
        )
        place.run(exitcode=3)
        self.assertIn("2 failed rounds in a row", self.check(place, "blocked").text)

    def test_a_log_that_is_gone(self) -> None:
        place = self.workspace(total_rounds=1, commands={"verify": "echo no; exit 1"})
        place.run(exitcode=1)
        os.unlink(place.file("logs/round-0001-verify.log"))
        page = self.check(place, "exhausted")
        self.assertIn("logs/round-0001-verify.log is not there any more", page.text)
        self.assertIn("broken", page.text)

    def test_a_configuration_that_does_not_hold(self) -> None:
        place = self.workspace(commands={"verify": "true"})
        place.run()
        place.configure({"commands": {}})
        self.assertIn("commands.verify", self.check(place, "complete").text)

    def test_an_edited_record_is_shown_as_far_as_it_holds(self) -> None:
        place = self.workspace(commands={"verify": by_round("false", "true")})
        place.run()
        lines = place.read("events.jsonl").splitlines(keepends=True)
        edited = next(
            n for n, line in enumerate(lines) if '"round": 2' in line and "passed" in line
        )
        lines[edited] = lines[edited].replace('"outcome": "passed"', '"outcome": "failed"')
        with open(place.file("events.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(lines)
        page = self.check(place, "unknown")
        self.assertIn(f"is intact only up to here: line {edited + 2}", page.text)
        content = json.loads(self.report(place, "json"))
        self.assertFalse(content["audit"]["intact"])
        self.assertEqual([len(one["steps"]) for one in content["rounds"]], [1, 0])

    def test_garbage_in_place_of_the_record(self) -> None:
        for name, garbage in (
            ("bytes", b"\xff\x00\n" * 3),
            ("json", b'{"seq": 1}\n'),
            ("kinds", b'{"event": "round_started"}\n'),
        ):
            with self.subTest(name):
                place = self.workspace(name, commands={"verify": "true"})
                place.run()
                with open(place.file("events.jsonl"), "wb") as file:
                    file.write(garbage)
                self.check(place, "unknown")

    def test_no_workspace(self) -> None:
        done = run_openloop("report", os.path.join(self.folder, "none"), exitcode=2)
        self.assertIn("does not exist", done.err)


class Bounded(ReportCase):
    """However long the history and the logs, a report stays small."""

    def test_earlier_rounds_are_counted(self) -> None:
        place = self.workspace(
            total_rounds=6,
            commands={"verify": "exit 1"},
            limits={"max_consecutive_failures": 9},
            baseline={"command": "echo 1", "regex": "(1)", "value": 2},
        )
        place.run(exitcode=1)
        whole = report.collect(place.path)
        self.assertEqual(len(whole.rounds), 6)
        made = report.collect(place.path, detailed=2)
        self.assertEqual([one.number for one in made.rounds], [5, 6])
        self.assertEqual(dict(made.history.earlier), {"unhealthy": 4})
        self.assertEqual(made.rounds, whole.rounds[-2:])

    def test_of_a_long_record_only_the_end_is_read_and_checked(self) -> None:
        place = self.workspace(
            total_rounds=14,
            commands={"verify": f"exit 1 # {60000 * 'x'}"},
            limits={"max_consecutive_failures": 99},
        )
        place.run(exitcode=1)
        self.damage(place, 1)
        made = report.collect(place.path, detailed=3)
        self.assertEqual([one.number for one in made.rounds], [12, 13, 14])
        self.assertGreater(made.history.earlier["not read"], 0)
        self.assertEqual(sum(made.history.earlier.values()), 11)
        self.assertEqual((made.audit.broken, made.audit.is_whole), (None, False))
        self.assertEqual((made.audit.rounds, made.audit.logs), (3, 3))
        self.assertEqual(made.audit.head, place.heartbeat["event_head"])
        for render in (html_page.render, markdown.render):
            self.assertIn("ot audited as a whole: openloop audit", render(made))
        self.assertNotIn("o-intact", html_page.render(made).partition("<body>")[2])
        self.damage(place, 13)
        broken = report.collect(place.path, detailed=3).audit.broken
        self.assertIn("round-0013-verify.log", broken.where if broken else "")

    def damage(self, place: Workspace, number: int) -> None:
        with open(place.file(f"logs/round-{number:04d}-verify.log"), "a", encoding="utf-8") as log:
            log.write("edited\n")

    def test_all_measurements_count_though_their_rounds_do_not(self) -> None:
        place = self.workspace(
            total_rounds=5,
            commands={"verify": "true", "improve": "true"},
            limits={"max_consecutive_failures": 9},
            baseline={"command": "echo $OPENLOOP_ROUND", "regex": "(.+)", "value": 9},
        )
        place.run(exitcode=1)
        loaded = history.read(workspace.existing(place.path), detailed=1)
        values = {one.metric.value for one in loaded.measured}
        self.assertEqual(values, {1.0, 2.0, 3.0, 4.0, 5.0})
        self.assertEqual(loaded.measured[-1].metric.best, 5.0)

    def test_of_a_log_only_its_end_is_read(self) -> None:
        place = self.workspace()
        os.mkdir(place.file("logs"))
        with open(place.file("logs/huge.log"), "wb") as file:
            file.truncate(1 << 40)  # a terabyte with nothing in it
            file.seek(0, os.SEEK_END)
            file.write(b"\nlast but one\r\n\tlast\n")
        found = log_tail.end_of(workspace.at(place.path), "logs/huge.log", 100)
        assert found
        self.assertEqual(found.lines, ("last but one", "    last"))
        self.assertEqual(found.before, (1 << 40) + 1)

    def test_no_record_leads_out_of_the_logs(self) -> None:
        place = self.workspace()
        os.mkdir(place.file("logs"))
        os.symlink(place.file("openloop.json"), place.file("logs/link.log"))
        for path in ("openloop.json", "../ws/openloop.json", "logs/link.log", "logs/\0"):
            self.assertIsNone(log_tail.end_of(workspace.at(place.path), path, 100))


HOSTILE = b"""<script>document.title = 'owned'; fetch('URL/script')</script>
</pre></div></details></section></main><script>document.title = 'owned'</script>
<img src=URL/image onerror="document.title = 'owned'">
<svg onload="document.title = 'owned'"></svg>
<iframe src="URL/frame"></iframe><link rel=stylesheet href=URL/style>
<style>@import "URL/import";</style><base href=URL/base><a href="javascript:1">a</a>
]]> <!-- --> <![CDATA[ &lt;b&gt; &amp;#60; {"</script>"} ``` ~~~ | @everyone #1 <details>
```
````` text
nul \x00 escape \x1b[31m\x1b]0;owned\x07 bidi \xe2\x80\xae\xe2\x81\xa6 line \xe2\x80\xa8
bytes \xff\xfe \xed\xa0\x80 \xef\xbf\xbe
"""


class Hostile(ReportCase):
    """What a command wrote, and what people named things, is text and nothing else."""

    def hostile(self, url: str = "http://127.0.0.1:1") -> Workspace:
        name = "<img src=x onerror=document.title=1>"
        place = self.workspace(
            f"a {name}]]> \x1b\u202e",
            mission=f"{name} </title><script>document.title='owned'</script>",
            total_rounds=1,
            commands={
                "play": {"run": "cat log", "reject": "<script>.*"},
                "fix": f"touch '{name}.txt'; cat log; exit 1",
                "verify": "cat log",
            },
            baseline={"command": "echo 1", "regex": "(1)", "value": 0, "metric_name": name},
            policy={"allow": ["src/**"]},
        )
        with open(place.project_file("log"), "wb") as file:
            file.write(HOSTILE.replace(b"URL", url.encode()))
        place.run(exitcode=1)
        self.assertEqual(place.steps()[1], (1, "fix", "policy"))
        return place

    def test_nothing_of_it_becomes_an_element(self) -> None:
        place = self.hostile()
        page = self.page(place)
        strange = {"script", "img", "iframe", "link", "base", "a", "form", "object", "embed"}
        self.assertFalse(strange & set(page.elements))
        self.assertFalse([name for name in page.attributes if name.startswith("on")])
        self.assertNotRegex(page.text.replace("\n", ""), CONTROL)
        self.assertIn("<script>document.title = 'owned'", page.text)
        self.assertIn("nul \\x00 escape  bidi \\u202e", page.text)

    def test_the_xml_holds(self) -> None:
        text = self.report(self.hostile(), "junit")
        self.assertNotRegex(text.replace("\n", ""), CONTROL)
        root = ElementTree.fromstring(text)
        failure = root.find(".//failure")
        assert failure is not None and failure.text
        self.assertIn("</script>", failure.text)
        self.assertIn("]]>", failure.text)

    def test_the_markdown_stays_in_its_fences(self) -> None:
        text = self.report(self.hostile(), "md")
        self.assertNotRegex(text.replace("\n", ""), CONTROL)
        fence = ""
        outside = []
        for line in text.splitlines():
            ticks = re.match(r"`{3,}", line)
            if fence and line == fence:
                fence = ""
            elif not fence and ticks:
                fence = ticks[0]
            elif not fence:
                outside.append(line)
        self.assertEqual(fence, "")
        self.assertFalse([line for line in outside if re.search(r"<(script|img|svg|a) ?", line)])

    def test_in_a_browser_no_script_runs_and_nothing_is_asked_for(self) -> None:
        names = ("chromium", "chromium-browser", "google-chrome")
        browser = next(filter(None, map(shutil.which, names)), None)
        need(browser, "chromium")
        assert browser
        with asked_for() as (url, paths):
            page = os.path.join(self.folder, "page.html")
            with open(page, "wb") as file:  # this one does all that a report must not
                file.write(b"<title>safe</title>" + HOSTILE.replace(b"URL", url.encode()))
            dom = looked_at(browser, page)
            self.assertNotIn("<title>safe</title>", dom)
            self.assertTrue(paths, "the browser of this test asks for nothing at all")
            paths.clear()
            place = self.hostile(url)
            run_openloop("report", place.path, "--output", page)
            with open(page, encoding="utf-8") as file:
                title = re.search("<title>.*?</title>", file.read())
            assert title
            dom = looked_at(browser, page)
            self.assertIn(title[0], dom)
            self.assertNotRegex(dom, r"<(script|img|iframe|link|base|a)[ >]")
            self.assertEqual(dom.count("<svg"), 2)
            self.assertEqual(paths, [])


@contextlib.contextmanager
def asked_for() -> Iterator[tuple[str, list[str]]]:
    """A web server of this machine: its address, and the paths it has been asked for."""
    paths: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


def looked_at(browser: str, page: str) -> str:
    """The document that a real browser makes of a page, its scripts run."""
    with tempfile.TemporaryDirectory(prefix="openloop-chromium-") as profile:
        done = subprocess.run(
            [browser, *BROWSER, f"--user-data-dir={profile}", "--dump-dom", f"file://{page}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=90,
            check=False,
        )
    if done.returncode or not done.stdout:
        raise AssertionError(f"{browser} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


class JUnit(ReportCase):
    """A suite a round, a case a gate; both schemas in use accept it."""

    def run_of_every_outcome(self) -> Workspace:
        place = self.workspace(
            total_rounds=2,
            commands={
                "play": {"run": "echo slow; exec sleep 60", "timeout_seconds": 0.3},
                "scan": {"run": "test $OPENLOOP_ROUND = 2", "repeat": 2},
                "fix": "echo fixed",
                "verify": by_round("echo '<&>]]>'; exit 3", "true"),
            },
            baseline={"command": "echo none", "regex": "(never)", "value": 1},
            limits={"kill_grace_seconds": 0.1},
        )
        place.run(exitcode=1)
        return place

    def test_suites_cases_logs_and_timings(self) -> None:
        place = self.run_of_every_outcome()
        root = ElementTree.fromstring(self.report(place, "junit"))
        self.assertEqual([suite.get("name") for suite in root], ["round 1", "round 2"])
        for suite, number in zip(root, (1, 2), strict=True):
            artifact = place.artifact(number)
            gates = [step for step in artifact["steps"] if step["step"] not in ("fix", "improve")]
            cases = suite.findall("testcase")
            names = [f"{s['step']}{' again' * s['confirm']}" for s in gates]
            self.assertEqual([case.get("name") for case in cases], names)
            for case, step in zip(cases, gates, strict=True):
                self.assertEqual(float(case.get("time", "")), step["duration_seconds"])
                failure = case.find("failure")
                passed = step["outcome"] == "passed"
                self.assertEqual(failure is None, passed)
                if failure is not None:
                    self.assertEqual(failure.get("type"), step["outcome"])
            self.assertEqual(int(suite.get("tests", "")), len(cases))
            self.assertEqual(int(suite.get("failures", "")), len(suite.findall(".//failure")))
            self.assertEqual(float(suite.get("time", "")), artifact["duration_seconds"])
        output = root[0].findtext("system-out", "")
        self.assertIn("==> logs/round-0001-verify.log\n<&>]]>\n", output)
        self.assertIn("slow", output)

    def test_what_no_gate_shows_is_a_failure_all_the_same(self) -> None:
        tampered = self.workspace("a", commands={"verify": "echo >> {workspace}/openloop.json"})
        tampered.run(exitcode=3)
        edited = self.workspace("b", commands={"verify": "true"})
        edited.run()
        with open(edited.file("logs/round-0001-verify.log"), "a", encoding="utf-8") as log:
            log.write("x")
        unreadable = self.workspace("c", commands={"verify": "true"})
        unreadable.run()
        with open(unreadable.file("events.jsonl"), "w", encoding="utf-8") as events:
            events.write("?\n")
        for place, words in (
            (tampered, "blocked: openloop.json was edited"),
            (edited, "round-0001-verify.log: holds 1 bytes"),
            (unreadable, "events.jsonl"),
        ):
            with self.subTest(words):
                last = ElementTree.fromstring(self.report(place, "junit"))[-1]
                found = (last.get("name"), last.get("tests"), last.get("failures"))
                self.assertEqual(("run", "1", "1"), found)
                failure = last.find("testcase/failure")
                assert failure is not None
                self.assertIn(words, failure.get("message", ""))

    def test_only_the_latest_run_counts(self) -> None:
        place = self.run_of_every_outcome()
        place.configure({"commands": {"verify": "true"}})
        place.run()
        root = ElementTree.fromstring(self.report(place, "junit"))
        self.assertEqual([suite.get("name") for suite in root], ["round 3"])

    def test_both_schemas(self) -> None:
        need(shutil.which("xmllint"), "xmllint")
        places = [self.run_of_every_outcome(), self.workspace("never", commands={"verify": "true"})]
        for place in places:
            target = os.path.join(self.folder, "junit.xml")
            run_openloop("report", place.path, "--format", "junit", "--output", target)
            for name in sorted(os.listdir(SCHEMAS)):
                with self.subTest(place=place.path, schema=name):
                    self.assertEqual(self.lint(name, target), "")

    def test_the_schemas_refuse(self) -> None:
        """Or the test above could not fail."""
        need(shutil.which("xmllint"), "xmllint")
        target = os.path.join(self.folder, "junit.xml")
        with open(target, "w", encoding="utf-8") as file:
            file.write(
                '<testsuites><testsuite name="x" time="1e3"><testcase/></testsuite></testsuites>'
            )
        for name in sorted(os.listdir(SCHEMAS)):
            self.assertIn("testcase", self.lint(name, target))

    def lint(self, schema: str, target: str) -> str:
        """What xmllint complains about; "" for nothing."""
        words = ["xmllint", "--noout", "--nonet", "--schema", os.path.join(SCHEMAS, schema), target]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr


if __name__ == "__main__":
    unittest.main()
