"""Performs the steps of a play on the pages of one browser."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from openloop.browser import actions, expectations, pictures
from openloop.browser.chromium import Chromium, PlayFolder
from openloop.browser.downloads import Downloads
from openloop.browser.failure import BrowserRefused, Failure, Gone, NoAnswer
from openloop.browser.output import OutputFolder
from openloop.browser.page import CLOSED, Page
from openloop.browser.page_log import PageLog
from openloop.browser.pictures import PictureComparer
from openloop.browser.pipe import Message
from openloop.browser.plays.play import Play, PlayStep
from openloop.core.clock import monotonic
from openloop.core.text import number, printable

_PAGES = 20  # that a play may open
_FIRST_PAGE = 10.0  # seconds in which the browser must open it
_PAUSE = 0.03  # seconds between two looks
_END = 1.0  # seconds that requests may still take after the last step
_COMPARE = 30.0  # seconds that a comparison of pictures may take
_GLIMPSES = (0.3, 0.6, 1.2)  # seconds that a page may take for a picture that no step asks for
_STILL = 2.0  # seconds that a page may move before its picture is taken all the same
_DIALOG = 2_000  # characters of a dialog that are kept


class Player:
    """One play in one browser."""

    def __init__(self, play: Play, program: str, folder: PlayFolder, out: OutputFolder) -> None:
        self._play = play
        self._out = out
        self.port = 0  # of the server
        self.page_log = PageLog(play.allow_console, play.allow_requests)
        self.browser = Chromium(program, folder, self._event)
        self.pipe = self.browser.pipe
        self._pages: dict[str, Page] = {}  # session → page, in the order in which they came
        self._sessions: dict[str, str] = {}  # target → session
        self._current: Page | None = None
        self._context = ""  # of the play's pages
        self._dialog_answer: Mapping[str, Any] | None = None  # for the next dialog
        self._downloads = Downloads(folder.file("downloads"))
        self._comparer = PictureComparer(self.pipe)
        self.measured: dict[str, float] = {}

    @property
    def page(self) -> Page:
        """The current page of the play."""
        if self._current is None:
            raise Gone("no page is open")
        return self._current

    def begin(self) -> str:
        """Wait for the browser and open its first page; returns name and version. Raises
        Failure."""
        version = self.browser.version()
        self.pipe.send(
            "Browser.setDownloadBehavior",
            behavior="allowAndName",
            downloadPath=self._downloads.folder,
            eventsEnabled=True,
        )
        self.pipe.call(
            "Target.setAutoAttach",
            autoAttach=True,
            waitForDebuggerOnStart=True,
            flatten=True,
            filter=[{"type": "page"}, {"exclude": True}],
        )
        self.pipe.wait_for(lambda: self._current is not None, monotonic() + _FIRST_PAGE)
        self.page.wait_until_idle()
        return version

    # --- what the browser reports -------------------------------------------------------

    def _event(self, message: Message) -> None:
        method, params = message["method"], message.get("params", {})
        page = self._pages.get(message.get("sessionId", ""))
        match method:
            case "Target.attachedToTarget":
                self._attached(params)
            case "Target.detachedFromTarget":
                self._detached(params["sessionId"])
            case "Browser.downloadWillBegin" | "Browser.downloadProgress":
                self._downloads.event(method, params)
            case "Page.javascriptDialogOpening" if page:
                self._answer(page, params)
            case _ if page:
                page.event(method, params)
                self.page_log.event(page, method, params)

    def _attached(self, params: Mapping[str, Any]) -> None:
        target, session = params["targetInfo"], params["sessionId"]
        self._context = self._context or target.get("browserContextId", "")
        if target.get("browserContextId", "") != self._context:
            self.pipe.send("Runtime.runIfWaitingForDebugger", session)  # not of the play
            return
        if len(self._pages) >= _PAGES:
            raise Gone(f"more than {_PAGES} pages were opened")
        page = Page(self.pipe, session, target["targetId"])
        self._pages[session] = page
        page.prepare(self._play.viewport)
        if self._current is None:
            self._current = page

    def _detached(self, session: str) -> None:
        if page := self._pages.get(session):
            page.end(CLOSED)

    def _answer(self, page: Page, params: Mapping[str, Any]) -> None:
        """Answer a dialog; the page waits until then."""
        text = params["message"][:_DIALOG]
        answer, self._dialog_answer = self._dialog_answer, None
        accept = params["type"] == "beforeunload"  # or nothing could be opened any more
        if answer is None:
            self.page_log.add(f'an unexpected dialog: {params["type"]} "{text}"')
        else:
            accept = answer["accept"]
        text = (answer or {}).get("text", params.get("defaultPrompt", ""))
        page.send("Page.handleJavaScriptDialog", accept=accept, promptText=text)

    # --- steps --------------------------------------------------------------------------

    def perform(self, step: PlayStep) -> list[str]:
        """Perform one step; returns the additional lines that it prints. Raises Failure."""
        expected = self._dialog_answer
        try:
            lines = self._do(step)
            if step.kind != "dialog":
                self.page.wait_until_idle()
                if expected is not None:
                    self._await_dialog(step.timeout)
        except Failure as failure:
            failure.also = tuple(self.page_log.take())
            raise
        self._raise_problems()
        return lines

    def finish(self) -> None:
        """Wait after the last step for requests and scripts that are under way. Raises Failure."""
        self.pipe.wait_for(lambda: not self.page_log.unfinished(), monotonic() + _END)
        self.page.wait_until_idle()
        self._raise_problems()

    def _raise_problems(self) -> None:
        if problems := self.page_log.take():
            raise Failure(problems[0], also=tuple(problems[1:]))

    def _do(self, step: PlayStep) -> list[str]:
        match step.kind:
            case "open":
                self._open(step)
            case "expect" if "download" in step.value:
                self._await_download(step.value["download"], step.timeout)
            case "expect":
                expectations.wait_for(self.page, step, self.address)
            case "script":
                self._script(step)
            case "measure":
                return [self._measure(step)]
            case "screenshot":
                self._screenshot(step)
            case "dialog":
                text = {"text": step.options["text"]} if "text" in step.options else {}
                self._dialog_answer = {"accept": step.value == "accept", **text}
            case "page":
                self._switch(int(step.value), step.timeout)
            case "upload":
                paths = [os.path.join(self._play.folder, path) for path in step.value["files"]]
                value = {**step.value, "files": paths}
                actions.ACTIONS[step.kind](
                    self.page, PlayStep(step.kind, value, step.options, step.timeout)
                )
            case _:
                actions.ACTIONS[step.kind](self.page, step)
        return []

    def address(self, given: str) -> str:
        """An absolute address of the play, escaped as the browser does it."""
        base = self._play.base.replace("{port}", str(self.port))
        try:
            url = urljoin(base, given.replace("{port}", str(self.port))) if base else given
            parts = urlsplit(url)
        except ValueError:  # a bracket that nothing closes
            url = ""
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url):
            raise Failure(
                f"{printable(given)} is no address" + (f" below {printable(base)}" if base else ""),
                expected="a URL, or base in the play",
            )
        if parts.scheme in ("http", "https") and not parts.path:
            return parts._replace(path="/").geturl()
        return url

    def _open(self, step: PlayStep) -> None:
        page = self.page
        asked = self.address(step.value)
        wanted = self.address(step.options.get("url", step.value)).partition("#")[0]
        deadline = monotonic() + step.timeout
        page.loaders.clear()
        answer = page.call("Page.navigate", url=asked, within=step.timeout)
        if error := answer.get("errorText"):
            page.wait(_PAUSE)  # a crash is reported later
            page.check()
            self.page_log.take()  # the request's own line would only repeat it
            raise Failure(f"{asked} cannot be opened: {error}")

        def is_open() -> bool:
            # A document before it, such as an error page, may be shown only now.
            if page.loaded and ("loaderId" not in answer or answer["loaderId"] in page.loaders):
                return True
            page.check()
            return False

        if not self.pipe.wait_for(is_open, deadline):
            going = self.page_log.unfinished()
            seen = f"still loading: {going}" if going else "it is still loading"
            raise Failure(f"{asked} did not load within {step.timeout:g} s", seen=seen)
        if not expectations.same_url(page.url.partition("#")[0], wanted):
            raise Failure("another page was opened", expected=wanted, seen=page.url)

    def _switch(self, wanted: int, timeout: float) -> None:
        deadline = monotonic() + timeout
        if not self.pipe.wait_for(lambda: len(self._pages) >= wanted, deadline):
            raise Failure(
                "there is no such page", expected=f"page {wanted}", seen=f"{len(self._pages)}"
            )
        page = self._current = list(self._pages.values())[wanted - 1]
        page.call("Page.bringToFront")
        if not self.pipe.wait_for(lambda: page.loaded, deadline):
            raise Failure(f"page {wanted} did not load within {timeout:g} s")

    def _script(self, step: PlayStep) -> None:
        value = self._run(step.value, step.timeout)
        if "equals" in step.options and not expectations.are_equal(value, step.options["equals"]):
            raise Failure(
                "the script returned something else",
                expected=json.dumps(step.options["equals"])[:500],
                seen=json.dumps(value)[:500],
            )

    def _run(self, body: str, timeout: float) -> Any:
        began = monotonic()
        try:
            return self.page.script(body, timeout)
        except (BrowserRefused, NoAnswer) as failure:
            if monotonic() - began >= timeout:  # Chromium has three answers to that
                raise Failure(f"the script did not end within {timeout:g} s") from None
            raise Failure(f"the script failed: {failure.what}") from None

    def _measure(self, step: PlayStep) -> str:
        value = self._run(step.options["script"], step.timeout)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
            raise Failure("nothing was measured", expected="a number", seen=json.dumps(value)[:200])
        self.measured[step.value] = float(value)
        return f"{step.value}={number(float(value))}"

    def _await_dialog(self, timeout: float) -> None:
        """Wait for the dialog that an earlier step expects of the step just performed."""
        if not self.pipe.wait_for(lambda: self._dialog_answer is None, monotonic() + timeout):
            self._dialog_answer = None
            raise Failure("no dialog came", expected="the dialog of an earlier step")

    def _await_download(self, name: str, timeout: float) -> None:
        if not self.pipe.wait_for(lambda: self._downloads.is_complete(name), monotonic() + timeout):
            raise Failure("not downloaded", expected=name, seen=self._downloads.words)
        self._downloads.keep(name, self._out)

    # --- pictures -----------------------------------------------------------------------

    def _screenshot(self, step: PlayStep) -> None:
        like = step.options.get("like")
        name = self._out.free(step.value)
        wanted = self._wanted(like) if like else b""
        deadline = monotonic() + step.timeout
        while True:
            patience = max(0.5, min(_STILL, deadline - monotonic()))
            png = pictures.capture_when_still(self.page, step.options, patience, step.timeout)
            self._out.write(f"{name}.png", png)
            if not like:
                break
            found = self._comparer.compare(wanted, png, _COMPARE)
            if found.different <= step.options.get("tolerance", 0):
                break
            if monotonic() >= deadline:
                raise self._unlike(name, wanted, found, step)
            self.page.wait(_PAUSE)
        if not step.options.get("one_colour") and pictures.is_one_colour(png):
            raise Failure("the picture is of one colour", files=(f"{name}.png",))

    def _wanted(self, like: str) -> bytes:
        path = os.path.join(self._play.folder, like)
        try:
            with open(path, "rb") as file:
                return file.read(64 << 20)
        except OSError as error:
            raise Failure(f"the picture {path} cannot be read: {error.strerror}") from None

    def _unlike(
        self, name: str, wanted: bytes, found: pictures.PictureComparison, step: PlayStep
    ) -> Failure:
        self._out.write(f"{name}.expected.png", wanted)
        files = [f"{name}.png", f"{name}.expected.png"]
        if found.sizes:
            return Failure(
                "the picture has another size",
                expected=found.sizes[0],
                seen=found.sizes[1],
                files=tuple(files),
            )
        self._out.write(f"{name}.difference.png", found.picture)
        return Failure(
            f"the picture is not like {step.options['like']}",
            expected=f"at most {_percent(step.options.get('tolerance', 0))} of the pixels differ",
            seen=f"{_percent(found.different)}",
            files=(*files, f"{name}.difference.png"),
        )

    def capture_now(self, kind: str) -> bytes:
        """A picture of the page now, a "png" or "jpeg"; b"" when it is closed or does not answer.
        Raises Gone when the browser or the server has ended."""
        if self.page.ending:
            return b""
        for patience in _GLIMPSES:  # what is asked as another page opens above it gets no answer
            with contextlib.suppress(NoAnswer, BrowserRefused):
                return pictures.capture_now(self.page, kind, patience)
        return b""


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"
