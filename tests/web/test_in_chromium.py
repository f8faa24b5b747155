"""The page in a real Chromium: live runs, logs, hostile content, narrow screens, the keyboard."""

from __future__ import annotations

import json
import os
import sys
import unittest
from typing import Any

from browser.pages import Browsing
from openloop.browser.command import title_of
from openloop.browser.failure import Failure
from support import wait_until
from web.test_security import Page, WebCase

SLOW = True  # left out by scripts/run_tests.sh --quick

HOSTILE = "<img src=x onerror=document.title='owned'>\x1b[31m\u202e"
MARKUP = "return document.querySelectorAll('img, .log script').length"
ENDS = """
const log = document.querySelector(".log");
return [log.scrollTop < 50, log.scrollTop + log.clientHeight > log.scrollHeight - 50];
"""
STILL = """
let moved = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => { moved += one.value; }))
  .observe({ type: "layout-shift", buffered: true });
await new Promise((done) => setTimeout(done, 300));
return moved < 0.05;
"""
FITS = "return document.documentElement.scrollWidth <= innerWidth"
NOTED = """
window.noted = [];
const Real = Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    this.onshow = () => noted.push([title, options.body]);
    this.onerror = () => noted.push(["the browser refused", title]);
  }
};
return Notification.permission;
"""
LEFT = """
Object.defineProperty(document, "hidden", { value: true });
document.dispatchEvent(new Event("visibilitychange"));
return document.hidden;
"""
DRAW = """
import struct, sys, zlib
def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
rows = zlib.compress(b"".join(b"\\0" + bytes(range(0, 96, 3)) for _ in range(32)))
head = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
open(sys.argv[1], "wb").write(b"\\x89PNG\\r\\n\\x1a\\n" + parts)
"""
FOCUS = "document.querySelector('.row').focus(); return document.activeElement.className"


class InChromium(Browsing, WebCase):
    """Tests that share a browser."""

    def play(self, page: Page, *steps: dict[str, Any]) -> None:
        """Play steps on a page that has been opened by its address."""
        address = f"http://127.0.0.1:{page.port}/"
        opened = {"open": f"{address}?token={page.token}", "url": address}
        *given, leave = self.parsed([opened, *steps, {"open": "about:blank"}]).steps
        try:
            for step in given:
                self.player.perform(step)
        except Failure as failure:
            self.fail(f"{title_of(step)}: {failure.what} {failure.expected} {failure.seen}")
        finally:
            self.player.perform(
                leave
            )  # before the server ends, which would be an error of the page
            self.player.page_log.take()

    def without_a_mouse(self) -> None:
        self.ran(limits={"max_consecutive_failures": 1})
        self.play(
            self.page(self.folder),
            {"expect": {"at": ".row", "text": "complete"}},
            {"script": FITS, "equals": True},
            {"script": FOCUS, "equals": "row"},
            {"press": "ArrowDown"},
            {"press": "Enter"},
            {"expect": {"at": ".verdict", "text": "every gate passed"}},
            {"script": FITS, "equals": True},
        )


class Shown(InChromium):
    def test_a_live_run_is_watched_to_its_end(self) -> None:
        place = self.workspace(
            mission="Keep it going",
            commands={"verify": "until test -e go; do echo waiting; sleep 0.1; done; echo over"},
        )
        run = self.started(place, "--quiet")
        wait_until(lambda: place.running_step("verify"), "the command")
        page = self.page(self.folder)
        self.play(
            page,
            {"expect": {"text": "1 loop: 0 need a person, 1 running"}},
            {"press": "Tab"},
            {"click": ".row"},
            {"expect": {"text": "no round has ended yet"}},
            {"expect": {"at": ".gates", "text": "not measured"}},
            {"expect": {"text": f"PID {place.running_step('verify')}"}},
            {"expect": {"text": "Knowledge and configuration"}},
            {"script": STILL, "equals": True},
            {"click": 'text="log"'},
            {"expect": {"at": ".log", "text": "waiting"}},
            {"expect": {"at": "role=button[name=Follow]", "is": "enabled"}},
        )
        with open(place.project_file("go"), "w", encoding="utf-8"):
            pass
        run.wait(30)
        self.play(
            page,
            {"expect": {"at": ".row", "text": "complete"}},
            {"click": ".row"},
            {"expect": {"at": ".verdict", "text": "every gate passed"}},
            {"expect": {"title": "complete ws · OpenLoop"}},
            {"click": "role=button[name=Audit now]"},
            {"expect": {"text": "intact: "}},
            {"click": 'text="log"'},
            {"fill": {"at": "label=Search the whole log", "text": "over"}},
            {"press": "Enter"},
            {"expect": {"text": "1 of 1 found"}},
            {"expect": {"at": ".line.hit", "text": "over"}},
        )

    def test_a_killed_runner_is_seen_as_crashed(self) -> None:
        place = self.workspace(commands={"verify": "sleep 600"})
        run = self.started(place)
        wait_until(lambda: place.running_step("verify"), "the command")
        page = self.page(self.folder)
        run.kill()
        run.wait()
        self.play(
            page,
            {"expect": {"at": ".row", "text": "crashed"}, "timeout_seconds": 10},
            {"click": ".row"},
            {"expect": {"at": "[data-round] > summary", "text": "Round 1 unfinished"}},
            {"expect": {"at": ".step", "text": "verify unfinished"}},
        )

    def test_the_lines_of_a_long_log_are_numbered(self) -> None:
        place = self.ran()
        with open(place.file("logs/round-0001-verify.log"), "w", encoding="utf-8") as file:
            file.write(f"{'x' * 99}\n" * 400_000)
        self.play(
            self.page(self.folder),
            {"click": ".row"},
            {"click": 'text="log"'},
            {"expect": {"at": 'text="400000"'}},
        )

    def test_nothing_of_a_record_that_is_not_intact(self) -> None:
        place = self.ran()
        with open(place.file("events.jsonl"), "r+b") as file:
            data = file.read().replace(b'"passed"', b'"failed"', 1)
            file.seek(0)
            file.write(data)
        self.play(
            self.page(self.folder),
            {"click": ".row"},
            {"expect": {"at": ".problem", "text": "events.jsonl is not intact"}},
            {"expect": {"text": "Not shown, because the record is not intact."}},
            {"expect": {"gone": "[data-round]"}},
        )

    def test_a_log_of_colours_redrawn_lines_and_errors(self) -> None:
        place = self.ran(commands={"verify": "true"})
        lines = ["10%\r50%\r100% done", "\x1b[31mred\x1b[0m, no error", *["more"] * 999]
        text = "\n".join([*lines, "ValueError: one", *lines[2:], "end", ""])
        with open(place.file("logs/round-0001-verify.log"), "w", encoding="utf-8") as file:
            file.write(text)
        self.play(
            self.page(self.folder),
            {"click": ".row"},
            {"click": 'text="log"'},
            {"expect": {"at": 'text="end"'}},
            {"script": ENDS, "equals": [False, True]},
            {"click": 'text="Beginning"'},
            {"expect": {"at": "button[aria-pressed=false]", "text": "Follow"}},
            {"script": ENDS, "equals": [True, False]},
            {"expect": {"at": ".line:nth-child(2)", "text": "1 100% done"}},
            {"expect": {"at": ".line .f1", "text": "red"}},
            {"click": 'text="First error"'},
            {"expect": {"text": "1 of 1 found"}},
            {"expect": {"at": ".line.hit.error", "text": "1002 ValueError: one"}},
            {"script": "return scrollY", "equals": 0},
        )

    def test_hostile_content_does_nothing(self) -> None:
        show = f"printf '%s\\n' {json.dumps(HOSTILE)} '<script>document.title=1</script>'; exit 1"
        place = self.ran(
            mission=HOSTILE,
            commands={"verify": show},
            limits={"max_consecutive_failures": 1},
        )
        with open(place.file("knowledge/<b>.md"), "w", encoding="utf-8") as file:
            file.write(HOSTILE)
        self.play(
            self.page(place.path),
            {"expect": {"text": "<img src=x"}},
            {"click": ".row"},
            {"expect": {"text": "blocked"}},
            {"click": 'text="log"'},
            {"expect": {"at": ".log", "text": "<script>"}},
            {
                "script": MARKUP,
                "equals": 0,
            },
            {"script": "return document.title.includes('owned')", "equals": False},
        )

    def test_what_a_change_did_is_seen(self) -> None:
        script = os.path.join(self.folder, "draw.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(DRAW)
        place = self.ran(
            commands={
                "play": f"{sys.executable} {script} $OPENLOOP_ATTACHMENTS/end.png",
                "fix": "echo better >> level.py",
                "verify": "test -e level.py",
            },
            policy={"protect": ["tests/**"]},
        )
        self.play(
            self.page(place.path),
            {"click": ".row"},
            {"click": "text=diff: 1 file, +1 -0"},
            {"expect": {"at": ".diff.added", "text": "+better"}},
            {"expect": {"at": ".pair", "text": "before the change, round 2"}},
            {"expect": {"at": ".pair", "text": "after the change"}},
            {"click": "text=OpenLoop"},
            {"expect": {"at": ".row", "text": "complete"}},
        )

    def test_a_notification_when_a_loop_needs_a_person(self) -> None:
        """The browser's own notifications, while the page itself is not seen."""
        place = self.workspace(
            commands={"verify": f"until test -e {self.out}/seen.png; do sleep 0.1; done; false"},
            limits={"max_consecutive_failures": 1},
        )
        run = self.started(place, "--quiet")
        wait_until(lambda: place.running_step("verify"), "the command")
        self.player.pipe.call("Browser.grantPermissions", permissions=["notifications"])
        self.addCleanup(self.player.pipe.call, "Browser.resetPermissions")
        reason = "1 failed round, the limit is 1; verify failed"
        self.play(
            self.page(self.folder),
            {"script": NOTED, "equals": "granted"},
            {"expect": {"text": "0 need a person"}},
            {"expect": {"gone": "role=button[name=Notify me]"}},
            {"script": LEFT, "equals": True},
            {"screenshot": "seen"},
            {
                "script": "while (!noted.length) await new Promise((go) => setTimeout(go, 50)); "
                "return noted",
                "equals": [["ws needs a person", f"blocked: {reason}"]],
                "timeout_seconds": 40,
            },
        )
        self.assertEqual(run.wait(30), 3)

    def test_wide_and_without_a_mouse(self) -> None:
        self.without_a_mouse()

    def test_a_log_that_was_changed_since_its_step(self) -> None:
        place = self.ran()
        page = self.page(place.path)
        log = (
            {"click": ".row"},
            {"click": 'text="log"'},
            {"expect": {"at": ".log", "text": "seen"}},
        )
        self.play(page, *log, {"expect": {"at": "#crumbs", "text": "/ ws / round 1, verify"}})
        with open(place.file("logs/round-0001-verify.log"), "a", encoding="utf-8") as file:
            file.write("more\n")
        note = "This log has 10\u00a0B; when its step ended, it had 5\u00a0B. It was changed since"
        self.play(page, *log, {"expect": {"at": ".problem", "text": note}})

    def test_a_thousand_loops(self) -> None:
        place = self.ran()
        for number in range(1000):
            folder = os.path.join(self.folder, "many", f"loop-{number:04d}")
            os.makedirs(folder)
            for name in ("openloop.json", "heartbeat.json", "events.jsonl"):
                os.link(place.file(name), os.path.join(folder, name))
        self.play(
            self.page(os.path.join(self.folder, "many")),
            {"expect": {"text": "1000 loops"}},
            {"fill": {"at": "label=Filter", "text": "loop-0999"}},
            {"expect": {"at": ".row", "count": 1}},
        )


class Narrow(InChromium):
    options = {  # noqa: RUF012
        "viewport": {"width": 320, "height": 700, "dark": True},
        "allow": {"requests": ["/log.*: 403"]},
    }

    def test_narrow_dark_and_without_a_mouse(self) -> None:
        self.without_a_mouse()

    def test_a_private_log(self) -> None:
        self.ran(commands={"verify": {"run": "echo secret", "private": True}})
        self.play(
            self.page(self.folder),
            {"click": ".row"},
            {"click": 'text="log"'},
            {"expect": {"at": ".problem", "text": "this log is private"}},
            {"expect": {"gone": ".log"}},
            {"click": "text=back to the loop"},
            {"expect": {"at": ".verdict", "text": "every gate passed"}},
        )


if __name__ == "__main__":
    unittest.main()
