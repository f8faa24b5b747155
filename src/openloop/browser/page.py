"""One page of the browser: its frames, its scripts, and its address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from openloop.browser.failure import BrowserRefused, Gone, NoAnswer
from openloop.browser.pipe import ANSWER, Pipe
from openloop.browser.plays.play import Viewport

CLOSED = "the page has been closed"
CRASHED = "the page has crashed"
_AFTERMATH = 0.5  # seconds after a crash in which the browser is seen to have ended as well
WORLD = "openloop"  # its scripts and those of the page share nothing but the document


@cache
def _helper() -> str:
    with open(__file__.rsplit("/", 1)[0] + "/inject.js", encoding="utf-8") as file:
        return file.read()


class Page:
    """One page, a tab of the browser."""

    def __init__(self, pipe: Pipe, session: str, target: str) -> None:
        self._pipe = pipe
        self.session = session
        self.target = target
        self.url = "about:blank"
        self.loaders: set[str] = set()  # of the documents shown since the latest `open`
        self.loaded = True
        self.is_mobile = False
        self.ending = ""  # why nothing can be done with it any more
        self._worlds: dict[str, int] = {}  # frame → context of our world
        self._mains: dict[str, int] = {}  # frame → context of the page's own
        self._parents: dict[str, str] = {}  # frame → frame around it
        self._main = target  # the main frame has the target's number

    def prepare(self, viewport: Viewport) -> None:
        """Enable all reports of the page and let it load, without waiting."""
        self.is_mobile = viewport.mobile
        send = self.send
        for domain in ("Page", "Runtime", "Network", "Log"):
            send(f"{domain}.enable")
        send("Network.setCacheDisabled", cacheDisabled=False)
        send(
            "Page.addScriptToEvaluateOnNewDocument",
            source=_helper(),
            worldName=WORLD,
            runImmediately=True,
        )
        send(
            "Emulation.setDeviceMetricsOverride",
            width=viewport.width,
            height=viewport.height,
            deviceScaleFactor=1,
            mobile=viewport.mobile,
        )
        if viewport.mobile:
            send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
        scheme = "dark" if viewport.dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        send("Emulation.setEmulatedMedia", features=features)
        send("Emulation.setFocusEmulationEnabled", enabled=True)
        send("Runtime.runIfWaitingForDebugger")

    def send(self, method: str, **parameters: Any) -> None:
        self._pipe.send(method, self.session, **parameters)

    def ask(self, method: str, **parameters: Any) -> int:
        return self._pipe.ask(method, self.session, **parameters)

    def call(self, method: str, *, within: float = ANSWER, **parameters: Any) -> Any:
        """Raises Gone, NoAnswer, BrowserRefused."""
        self.check()
        return self.result(self.ask(method, **parameters), within)

    def result(self, number: int, within: float) -> Any:
        """The answer to an earlier `ask`. Raises Gone, NoAnswer, BrowserRefused."""
        try:
            return self._pipe.result(number, within)
        except BrowserRefused:
            self.check()
            raise

    def wait(self, seconds: float) -> None:
        """Handle the events of the next `seconds`."""
        self.check()
        self._pipe.idle(seconds)

    def end(self, why: str) -> None:
        """Mark the page as ended: no more answers will come."""
        self.ending = self.ending or why
        self._pipe.forget(self.session, self.ending)

    def check(self) -> None:
        """Raises Gone when nothing can be done with the page any more; where the browser has ended
        too, Gone says that."""
        if self.ending == CRASHED:
            self._pipe.idle(_AFTERMATH)
        if self.ending:
            raise Gone(self.ending)

    # --- what the browser reports -------------------------------------------------------

    def event(self, method: str, params: dict[str, Any]) -> None:
        """Update the page from one of its events."""
        match method:
            case "Runtime.executionContextCreated":
                self._add_context(params["context"])
            case "Runtime.executionContextDestroyed":
                self._remove_context(params["executionContextId"])
            case "Runtime.executionContextsCleared":
                self._worlds.clear()
                self._mains.clear()
            case "Page.frameAttached":
                self._parents[params["frameId"]] = params["parentFrameId"]
            case "Page.frameDetached":
                self._parents.pop(params["frameId"], None)
            case "Page.frameNavigated" if "parentId" not in params["frame"]:
                frame = params["frame"]
                self.url = frame.get("unreachableUrl") or frame["url"] + frame.get(
                    "urlFragment", ""
                )
                self.loaders.add(frame["loaderId"])
                self._main = frame["id"]
                self.loaded = False
                self._parents.clear()
            case "Page.navigatedWithinDocument" if params["frameId"] == self._main:
                self.url = params["url"]
            case "Page.loadEventFired":
                self.loaded = True
            case "Inspector.targetCrashed":
                self.end(CRASHED)

    def _add_context(self, context: dict[str, Any]) -> None:
        where = context.get("auxData", {})
        if where.get("isDefault"):
            self._mains[where["frameId"]] = context["id"]
        elif context["name"] == WORLD:
            self._worlds[where["frameId"]] = context["id"]

    def _remove_context(self, number: int) -> None:
        for contexts in (self._worlds, self._mains):
            for frame in [frame for frame, known in contexts.items() if known == number]:
                del contexts[frame]

    # --- frames -------------------------------------------------------------------------

    def is_main(self, frame: str) -> bool:
        return frame == self._main

    def frames(self) -> list[str]:
        """The frames whose documents are there, the main one first."""
        others = [frame for frame in self._worlds if frame != self._main]
        return [*([self._main] if self._main in self._worlds else []), *others]

    def around(self, frame: str) -> Iterator[tuple[str, str]]:
        """Pairs (frame, its parent frame), from a frame outwards."""
        while parent := self._parents.get(frame):
            yield frame, parent
            frame = parent

    def frame_element(self, frame: str) -> int:
        """The element that contains a frame, as a node."""
        return int(self.call("DOM.getFrameOwner", frameId=frame)["backendNodeId"])

    def scroll_to_frame(self, frame: str) -> None:
        if frame in self._parents:
            self.call("DOM.scrollIntoViewIfNeeded", backendNodeId=self.frame_element(frame))

    # --- scripts ------------------------------------------------------------------------

    def call_injected(self, frame: str, function: str, *values: Any, within: float = ANSWER) -> Any:
        """The result of a function of inject.js. values: its arguments. Raises BrowserRefused when
        the document has just gone."""
        words = ", ".join(map(json.dumps, values))
        context = self._worlds.get(frame)
        if context is None:
            raise BrowserRefused("the document is being replaced")
        answer = self.call(
            "Runtime.evaluate",
            within=within,
            expression=f"openloop.{function}({words})",
            contextId=context,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise BrowserRefused(words_of(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def element(self, frame: str) -> str:
        """The object of the single element that was found."""
        answer = self.call(
            "Runtime.evaluate", expression="openloop.element()", contextId=self._worlds[frame]
        )
        return str(answer["result"]["objectId"])

    def call_on_nodes(self, frame: str, nodes: list[int], function: str, *values: Any) -> Any:
        """Call a function of inject.js with nodes of a frame, then values."""
        objects = []
        for node in nodes:
            answer = self.call(
                "DOM.resolveNode", backendNodeId=node, executionContextId=self._worlds[frame]
            )
            objects.append({"objectId": answer["object"]["objectId"]})
        answer = self.call(
            "Runtime.callFunctionOn",
            executionContextId=self._worlds[frame],
            functionDeclaration=f"(...all) => openloop.{function}(...all)",
            arguments=[*objects, *({"value": value} for value in values)],
            returnByValue=True,
        )
        return answer["result"].get("value")

    def document(self, frame: str) -> str:
        """The object of the document of a frame."""
        answer = self.call("Runtime.evaluate", expression="document", contextId=self._worlds[frame])
        return str(answer["result"]["objectId"])

    def script(self, body: str, within: float) -> Any:
        """The result, as JSON, of a function with that body in the page's own world. Raises
        BrowserRefused with what it throws."""
        answer = self.call(
            "Runtime.evaluate",
            within=within,
            expression=f"(async () => {{{body}\n}})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            timeout=within * 1000,
        )
        if "exceptionDetails" in answer:
            raise BrowserRefused(words_of(answer["exceptionDetails"]))
        result = answer["result"]
        value = result.get("value", result.get("unserializableValue"))
        return 0 if value == "-0" and result["type"] == "number" else value

    def wait_until_idle(self) -> None:
        """Wait until the page has reported its events so far. A closed page has none to come."""
        try:
            self.call("Runtime.evaluate", expression="0", within=ANSWER)
        except BrowserRefused:  # it is being replaced by another one
            pass
        except Gone:
            if self.ending != CLOSED:
                raise
        except NoAnswer:
            raise NoAnswer(f"the page did not answer within {ANSWER:g} s: it is busy") from None


def words_of(details: dict[str, Any]) -> str:
    """The first line of an exception, and where it was thrown."""
    thrown = details.get("exception", {})
    text = str(thrown.get("description") or thrown.get("value") or details.get("text", ""))
    text = text.partition("\n")[0][:2000]
    url = details.get("url") or next(
        (frame["url"] for frame in details.get("stackTrace", {}).get("callFrames", ())), ""
    )
    line = details.get("lineNumber", 0) + 1
    return f"{text} ({url[:300]}:{line})" if url else text
