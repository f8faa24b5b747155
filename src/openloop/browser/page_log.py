"""Collects console messages and requests of the pages, and finds the problems among them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from openloop.browser.page import Page, words_of
from openloop.core.clock import monotonic
from openloop.core.text import printable
from openloop.process import log_scan

_MOST = 10_000  # lines of console.log, requests of requests.json
_PROBLEMS = 100  # that are kept
_LONGEST = 2_000  # characters of a line
_URL = 1_000  # characters of an address that is kept
_ICON = "/favicon.ico"
_ERRORS = ("error", "assert")


class PageLog:
    """The console, the requests and the problems of a play."""

    def __init__(self, allow_console: Sequence[str], allow_requests: Sequence[str]) -> None:
        self._allow_console = allow_console
        self._allow_requests = allow_requests
        self._began = monotonic()
        self.console: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.problems: list[str] = []  # since the last `take`
        self.left_out = 0  # lines and requests over the bound
        self._open: dict[tuple[str, str], dict[str, Any]] = {}  # (session, request) → its entry

    def take(self) -> list[str]:
        """The problems since the last call."""
        taken, self.problems = self.problems, []
        return taken

    def add(self, problem: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems.append(printable(problem[:_LONGEST]))

    def event(self, page: Page, method: str, params: Mapping[str, Any]) -> None:
        """Note the message or request that an event reports."""
        match method:
            case "Runtime.consoleAPICalled":
                self._console(params["type"], _console_text(params), _place(params))
            case "Log.entryAdded":
                entry = params["entry"]
                if entry["source"] != "network":  # which is reported by its request
                    self._console(entry["level"], entry["text"], entry.get("url", ""))
            case "Runtime.exceptionThrown":
                text = words_of(params["exceptionDetails"])
                self._line("exception", text)
                if not self._is_allowed(text, self._allow_console):
                    self.add(f"uncaught exception: {text}")
            case "Network.requestWillBeSent":
                self._request(page, params)
            case "Network.responseReceived":
                self._response(page, params)
            case "Network.loadingFinished":
                self._close(page, params)
            case "Network.loadingFailed":
                self._failed(page, params)
            case "Network.webSocketCreated":
                self._add(page, params, "GET", params["url"], "WebSocket", own=False)
            case "Network.webSocketFrameError":
                error = {"errorText": params["errorMessage"]}
                self._failed(page, {**params, **error})
            case "Network.webSocketClosed":
                self._close(page, params)

    def _console(self, level: str, text: str, place: str) -> None:
        line = f"{text[:_LONGEST]} ({place[:_URL]})" if place else text[:_LONGEST]
        self._line(level, line)
        if level in _ERRORS and not self._is_allowed(line, self._allow_console):
            self.add(f"console error: {line}")

    def _line(self, level: str, text: str) -> None:
        if len(self.console) >= _MOST:
            self.left_out += 1
            return
        seconds = monotonic() - self._began
        self.console.append(f"{seconds:8.3f} {level:<9} {printable(text[: _LONGEST + _URL])}")

    # --- requests -----------------------------------------------------------------------

    def _request(self, page: Page, params: Mapping[str, Any]) -> None:
        key = (page.session, params["requestId"])
        if "redirectResponse" in params and key in self._open:
            self._open[key]["status"] = params["redirectResponse"]["status"]
            self._close(page, params)
        request = params["request"]
        kind = params.get("type", "Other")
        own = kind == "Document" and page.is_main(params.get("frameId", ""))
        own = own or _origin(request["url"]) == _origin(params.get("documentURL", ""))
        self._add(page, params, request["method"], request["url"], kind, own=own)

    def _add(
        self, page: Page, params: Mapping[str, Any], method: str, url: str, kind: str, *, own: bool
    ) -> None:
        if len(self.requests) >= _MOST or url.startswith(("data:", "blob:")):
            self.left_out += len(self.requests) >= _MOST
            return
        entry = {
            "at_seconds": round(monotonic() - self._began, 3),
            "method": method,
            "url": url[:_URL],
            "type": kind,
            "status": None,
            "error": None,
            "seconds": None,
            "own": own,
        }
        self._open[(page.session, params["requestId"])] = entry
        self.requests.append(entry)

    def _response(self, page: Page, params: Mapping[str, Any]) -> None:
        entry = self._open.get((page.session, params["requestId"]))
        if entry is None:
            return
        response = params["response"]
        entry["status"] = response["status"]
        if response["status"] >= 400 and entry["own"]:
            self._problem(entry, f"{response['status']} {response.get('statusText', '')}".strip())

    def _failed(self, page: Page, params: Mapping[str, Any]) -> None:
        entry = self._open.get((page.session, params["requestId"]))
        if entry is None:
            return
        why = params.get("blockedReason") or params["errorText"]
        entry["error"] = why
        self._close(page, params)
        if not params.get("canceled") and params["errorText"] != "net::ERR_ABORTED":
            self._problem(entry, why)

    def _problem(self, entry: Mapping[str, Any], why: str) -> None:
        line = f"{entry['method']} {entry['url']}: {why}"
        if entry["type"] == "Other" and urlsplit(entry["url"]).path == _ICON:
            return  # the browser asks every site for it
        if not self._is_allowed(line, self._allow_requests):
            self.add(f"request failed: {line}")

    def _close(self, page: Page, params: Mapping[str, Any]) -> None:
        entry = self._open.pop((page.session, params["requestId"]), None)
        if entry is not None:
            entry["seconds"] = round(monotonic() - self._began - entry["at_seconds"], 3)

    def _is_allowed(self, line: str, patterns: Sequence[str]) -> bool:
        """Whether a pattern allows a line; one that takes too long allows nothing."""
        return any(log_scan.search(pattern, line[: _LONGEST + _URL]) for pattern in patterns)

    def unfinished(self) -> str:
        """The addresses of a few requests that have had no answer yet."""
        going = [entry["url"] for entry in self._open.values() if entry["type"] != "WebSocket"]
        return ", ".join(printable(url[:200]) for url in going[:3])

    # --- files --------------------------------------------------------------------------

    def console_log(self) -> bytes:
        more = [f"({self.left_out} more lines and requests)"] if self.left_out else []
        return "".join(f"{line}\n" for line in [*self.console, *more]).encode(
            errors="backslashreplace"
        )

    def requests_json(self) -> bytes:
        return (json.dumps(self.requests, indent=1) + "\n").encode()


def _console_text(params: Mapping[str, Any]) -> str:
    """The arguments of a call of console as a line."""
    words = []
    for argument in params.get("args", ())[:20]:
        value = argument.get("value", argument.get("description", argument.get("type", "")))
        words.append(value[:_LONGEST] if isinstance(value, str) else json.dumps(value)[:_LONGEST])
    return " ".join(words)


def _place(params: Mapping[str, Any]) -> str:
    frames = params.get("stackTrace", {}).get("callFrames", ())
    return f"{frames[0]['url']}:{frames[0]['lineNumber'] + 1}" if frames else ""


def _origin(url: str) -> str:
    """`http://127.0.0.1:8000` of an address; scheme alone where there is no host."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0].partition('#')[0]}"
