"""Pages for the real browser: a server in this process, and one player for many tests."""

from __future__ import annotations

import http.server
import json
import shutil
import tempfile
import threading
import time
from typing import Any, ClassVar

from openloop.browser import chromium
from openloop.browser.failure import Failure
from openloop.browser.output import OutputFolder
from openloop.browser.player import Player
from openloop.browser.plays import play
from openloop.core.errors import UsageError
from support import Case, need

_ICON = "<link rel=icon href='data:,'>"


def program() -> str:
    """The browser. Skips the test where there is none."""
    try:
        return chromium.find(None)
    except UsageError:
        need(False, "a Chromium")
        raise


class _Handler(http.server.BaseHTTPRequestHandler):
    """What a path is answered with: a page that a test has put there."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        answer = self.server.pages.get(self.path, 404)
        if answer == "hangs":
            self.server.released.wait(30)
            return
        if isinstance(answer, int):
            self.send_response(answer)
            body = b"no"
        elif isinstance(answer, dict):
            self.send_response(answer.get("status", 200))
            body = answer.get("body", b"")
            for name, value in answer.get("headers", {}).items():
                self.send_header(name, value)
        else:
            self.send_response(200)
            body = f"<!doctype html>{_ICON}{answer}".encode()
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


class Site(http.server.ThreadingHTTPServer):
    """A server of pages; `url` has no slash at its end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Any] = {}
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, address: object) -> None:
        pass  # a browser that was killed

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class Browsing(Case):
    """Tests that share a browser. Each opens pages of its own."""

    options: ClassVar[dict[str, Any]] = {}  # of the play
    site: ClassVar[Site]
    player: ClassVar[Player]

    @classmethod
    def setUpClass(cls) -> None:
        found = program()
        cls.site = Site()
        cls.addClassCleanup(cls.site.close)
        cls.out = tempfile.mkdtemp(prefix="openloop-test-")
        cls.addClassCleanup(shutil.rmtree, cls.out, ignore_errors=True)
        folder = chromium.PlayFolder()
        cls.addClassCleanup(folder.close)
        cls.player = Player(cls.parsed([{"open": "/"}]), found, folder, OutputFolder(cls.out))
        cls.addClassCleanup(cls.player.browser.close)
        cls.addClassCleanup(cls.player.browser.end)
        cls.player.begin()

    @classmethod
    def parsed(cls, steps: list[dict[str, Any]]) -> play.Play:
        document = {"version": 1, "base": cls.site.url, "steps": steps, **cls.options}
        return play.parse(json.dumps(document).encode(), where=f"{cls.out}/play.json")

    def do(self, page: str, *steps: dict[str, Any]) -> list[str]:
        """Open a page and do the steps; what they print besides their lines."""
        self.site.pages["/"] = page
        printed = []
        for step in self.parsed([{"open": "/"}, *steps]).steps:
            printed += self.player.perform(step)
        return printed

    def fails(self, page: str, *steps: dict[str, Any]) -> Failure:
        """The same, but the last one fails."""
        self.site.pages["/"] = page
        *before, last = self.parsed([{"open": "/"}, *steps]).steps
        for step in before:
            self.player.perform(step)
        began = time.monotonic()
        try:
            self.player.perform(last)
        except Failure as failure:
            self.assertLess(time.monotonic() - began, last.timeout + 10)
            self.player.page_log.take()
            return failure
        raise AssertionError(f"{steps[-1:]} passed")
