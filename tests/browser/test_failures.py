"""What fails a play though no step looks for it, and pages that mean no good."""

from __future__ import annotations

import os
import signal
import unittest

from browser.pages import Browsing
from openloop.browser.failure import Failure, Gone
from openloop.process import tree

SLOW = True  # left out by scripts/run_tests.sh --quick

CLICK = {"click": "button"}


class ByDefault(Browsing):
    def test_an_uncaught_exception(self) -> None:
        page = "<button onclick='nothing.here()'>b</button>"
        failure = self.fails(page, CLICK)
        self.assertIn("uncaught exception: ReferenceError: nothing is not defined", failure.what)
        failure = self.fails("<script>Promise.reject(new Error('later'))</script>")
        self.assertIn("Error: later", failure.what)

    def test_a_console_error(self) -> None:
        failure = self.fails("<script>console.error('bad', 7)</script>")
        self.assertIn("console error: bad 7", failure.what)
        failure = self.fails("<script>console.assert(1 === 2, 'no')</script>")
        self.assertIn("console error: no", failure.what)
        self.do("<script>console.warn('w'); console.log('l')</script>")

    def test_a_failed_request(self) -> None:
        failure = self.fails("<img src=http://127.0.0.1:9/x.png>")
        self.assertIn("GET http://127.0.0.1:9/x.png: net::ERR_", failure.what)

    def test_a_socket_that_does_not_open(self) -> None:
        opens = "await new Promise(end => { new WebSocket('ws://127.0.0.1:1').onerror = end })"
        failure = self.fails("<p>", {"script": opens})
        self.assertIn("GET ws://127.0.0.1:1/: ", failure.what)
        self.assertIn("net::ERR_", failure.what)

    def test_an_address_that_is_none(self) -> None:
        failure = self.fails("<p>", {"open": "http://[::1"})
        self.assertEqual(failure.what, f"http://[::1 is no address below {self.site.url}")

    def test_a_status_of_the_own_origin(self) -> None:
        for status in (404, 500):
            self.site.pages["/bad"] = status
            failure = self.fails("<p>", {"script": "await fetch('/bad')"})
            self.assertIn(f"GET {self.site.url}/bad: {status}", failure.what)
        self.site.pages["/"] = 500
        with self.assertRaisesRegex(Failure, "500"):
            self.player.perform(self.parsed([{"open": "/"}]).steps[0])
        self.player.page_log.take()

    def test_a_dialog_that_nobody_asked_for(self) -> None:
        failure = self.fails("<button onclick='alert(\"boo\")'>b</button>", CLICK)
        self.assertEqual(failure.what, 'an unexpected dialog: alert "boo"')

    def test_another_page_than_the_one_asked_for(self) -> None:
        self.site.pages["/login"] = "<p>log in"
        self.site.pages["/"] = {"status": 302, "headers": {"Location": "/login"}}
        step = self.parsed([{"open": "/"}]).steps[0]
        with self.assertRaisesRegex(Failure, "another page was opened"):
            self.player.perform(step)
        self.player.perform(self.parsed([{"open": "/", "url": "/login"}]).steps[0])

    def test_a_server_that_is_not_there(self) -> None:
        step = self.parsed([{"open": "http://127.0.0.1:9/"}]).steps[0]
        with self.assertRaisesRegex(Failure, "cannot be opened: net::ERR_"):
            self.player.perform(step)


class Allowed(Browsing):
    options = {  # noqa: RUF012
        "allow": {"console": ["^bad", "ReferenceError"], "requests": ["/x.png"]},
    }

    def test_what_is_allowed_is_no_failure(self) -> None:
        self.do("<script>console.error('bad'); setTimeout(() => nothing)</script><img src=/x.png>")
        failure = self.fails("<script>console.error('not bad')</script>")
        self.assertIn("not bad", failure.what)


class Hostile(Browsing):
    def test_a_page_that_never_loads(self) -> None:
        self.site.pages["/slow.png"] = "hangs"
        self.site.pages["/"] = "<img src=/slow.png>"
        step = self.parsed([{"open": "/", "timeout_seconds": 0.5}]).steps[0]
        with self.assertRaises(Failure) as caught:
            self.player.perform(step)
        self.assertIn("did not load within 0.5 s", caught.exception.what)
        self.assertIn("/slow.png", caught.exception.seen)
        self.site.pages["/slow"] = "hangs"
        step = self.parsed([{"open": "/slow", "timeout_seconds": 0.5}]).steps[0]
        with self.assertRaisesRegex(Failure, "did not answer|did not load"):
            self.player.perform(step)

    def test_texts_that_mean_to_be_more(self) -> None:
        page = """<title>\x1b[31mred</title><p>\x1b]0;x\x07 \u202e</p><script>
            console.error("\\x1b[2J\\ud800 </script\\x3e<img src=x onerror=alert(1)>".repeat(3000));
            </script>"""
        failure = self.fails(page)
        self.assertTrue(failure.what.isprintable())
        self.assertLess(len(failure.what), 3000)
        log = self.player.page_log.console_log()
        self.assertNotIn(b"\x1b", log)

    def test_a_storm_of_messages(self) -> None:
        self.fails("<script>for (let i = 0; i < 20000; i++) console.error(i)</script>")
        self.assertLessEqual(len(self.player.page_log.console), 10_000)
        self.assertLess(len(self.player.page_log.console_log()), 32 << 20)

    def test_a_message_that_is_far_too_large(self) -> None:
        self.do("<script>console.log('x'.repeat(80e6))</script>", {"expect": {"url": "/"}})
        self.assertEqual(self.player.pipe.dropped, 1)

    def test_a_storm_of_dialogs(self) -> None:
        page = "<button onclick='for (let i = 0; i < 30; i++) alert(i)'>b</button>"
        failure = self.fails(page, CLICK)
        self.assertEqual(len(failure.also), 29)

    def test_a_large_page(self) -> None:
        self.do(
            f"<p>small</p><!--{'x' * 500_000_000}-->",
            {"expect": {"at": "p", "text": "small"}, "timeout_seconds": 30},
        )


class Ended(Browsing):
    """Each test here leaves a page of which nothing more can be had, and so has its own browser."""

    @classmethod
    def setUpClass(cls) -> None:
        pass

    def setUp(self) -> None:
        super().setUp()
        super().setUpClass()
        self.addCleanup(self.doClassCleanups)

    def test_a_loop_without_end(self) -> None:
        page = "<button onclick='for (;;);'>b</button>"
        failure = self.fails(page, {**CLICK, "timeout_seconds": 0.5})
        self.assertIn("did not answer within 0.5 s", failure.what)
        self.assertEqual(self.player.capture_now("png"), b"")

    def test_a_page_that_crashes(self) -> None:
        self.do("<button>b</button>")
        self.player.page.send("Page.crash")
        with self.assertRaisesRegex(Gone, "the page has crashed"):
            self.player.perform(self.parsed([CLICK]).steps[0])

    def test_a_page_that_crashes_as_its_browser_ends(self) -> None:
        self.do("<button>b</button>")
        self.player.page.event("Inspector.targetCrashed", {})
        for pid in tree.descendants(os.getpid()):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"--remote-debugging-pipe" in file.read():
                    os.kill(pid, signal.SIGKILL)
        with self.assertRaisesRegex(Gone, "the browser has ended: SIGKILL"):
            self.player.perform(self.parsed([CLICK]).steps[0])

    def test_a_hundred_popups(self) -> None:
        page = """<button onclick='for (let i = 0; i < 100; i++) window.open("about:blank")'>b
            </button>"""
        failure = self.fails(page, {**CLICK, "timeout_seconds": 20})
        self.assertIn("more than 20 pages were opened", failure.what)

    def test_a_page_that_closes_itself(self) -> None:
        self.site.pages["/second"] = "<button onclick='window.close()'>close</button>"
        opener = "<p id=p onclick='window.open(\"/second\")'>x"
        self.do(opener, {"click": "#p"}, {"page": 2}, CLICK)
        with self.assertRaisesRegex(Gone, "the page has been closed"):
            self.player.perform(self.parsed([CLICK]).steps[0])
        first, click = self.parsed([{"page": 1}, {"click": "#p"}]).steps
        self.player.perform(first)
        self.player.perform(click)


if __name__ == "__main__":
    unittest.main()
