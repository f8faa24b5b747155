"""The server: read requests, answer each, end when the client has gone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from subprocess import TimeoutExpired

from openloop.core.errors import OpenLoopError
from openloop.mcp.loops import Loops
from openloop.mcp.protocol import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    Dialogue,
    RequestError,
)
from openloop.mcp.tools import TOOLS
from openloop.mcp.wire import MalformedLine, Message, MessageWriter, messages

_AT_ONCE = 16  # tool calls that may run at the same time
_NAMES = {tool.name: tool for tool in TOOLS}


def serve(root: str, *, source: int = 0, target: int = 1) -> None:
    """Serve one client over two descriptors until it closes `source`.

    root: absolute path of the folder below which workspaces may be named.
    Calls that still run then are abandoned; runs that were started go on.
    """
    server = _Client(Loops(root), MessageWriter(target))
    for message in messages(source):
        server.take(message)


class _Client:
    """One client's requests, each call of a tool in a thread of its own."""

    def __init__(self, loops: Loops, output: MessageWriter) -> None:
        self._loops = loops
        self._output = output
        self._dialogue = Dialogue()
        self._calls: dict[str | int, threading.Event] = {}  # id → set when cancelled
        self._lock = threading.Lock()

    def take(self, message: Message | MalformedLine) -> None:
        """Answer a message, or start the thread that answers it; an invalid one gets an error."""
        if isinstance(message, MalformedLine):
            self._send({"id": None, "error": RequestError(PARSE_ERROR, str(message)).error})
            return
        method, identifier, params = (message.get(key) for key in ("method", "id", "params"))
        if "id" not in message:
            self._notice(method, params)
            return
        if isinstance(identifier, bool) or not isinstance(identifier, str | int):
            refusal = RequestError(INVALID_REQUEST, "an id is a string or a whole number")
            self._send({"id": None, "error": refusal.error})
            return
        try:
            if not isinstance(method, str):
                raise RequestError(INVALID_REQUEST, "a request has a method")
            if params is not None and not isinstance(params, dict):
                raise RequestError(INVALID_PARAMS, "params must be an object")
            result = self._dialogue.answer(method, params or {})
            if result is None:
                self._begin(identifier, params or {})
            else:
                self._send({"id": identifier, "result": result})
        except RequestError as refusal:
            self._send({"id": identifier, "error": refusal.error})

    def _notice(self, method: object, params: object) -> None:
        """Handle a notification: all but cancellations are ignored."""
        identifier = params.get("requestId") if isinstance(params, dict) else None
        if method == "notifications/cancelled" and isinstance(identifier, str | int):
            with self._lock:
                cancelled = self._calls.get(identifier)
            if cancelled:
                cancelled.set()

    def _begin(self, identifier: str | int, params: Message) -> None:
        """Start a tool's thread. Raises RequestError for a call that names no tool."""
        name, arguments = params.get("name"), params.get("arguments") or {}
        if not isinstance(name, str) or name not in _NAMES:
            raise RequestError(INVALID_PARAMS, f"unknown tool: {str(name)[:100]}")
        if not isinstance(arguments, dict):
            raise RequestError(INVALID_PARAMS, "arguments must be an object")
        cancelled = threading.Event()
        with self._lock:
            if len(self._calls) >= _AT_ONCE:
                raise RequestError(INVALID_REQUEST, f"{_AT_ONCE} calls are running already")
            if identifier in self._calls:
                raise RequestError(INVALID_REQUEST, "a call with this id is running already")
            self._calls[identifier] = cancelled
        work = (identifier, name, arguments, params, cancelled)
        threading.Thread(target=self._call, args=work, daemon=True).start()

    def _call(
        self,
        identifier: str | int,
        name: str,
        arguments: Message,
        params: Message,
        cancelled: threading.Event,
    ) -> None:
        try:
            result = self._loops.call(name, arguments, cancelled, self._progress(params))
        except (OpenLoopError, OSError, TimeoutExpired) as error:
            result = {"content": [{"type": "text", "text": str(error)}], "isError": True}
        except Exception as error:  # the boundary of a call: a client must not wait for ever
            text = f"OpenLoop failed: {type(error).__name__}: {error}"
            result = {"content": [{"type": "text", "text": text}], "isError": True}
        with self._lock:
            self._calls.pop(identifier, None)
        if not cancelled.is_set():
            self._send({"id": identifier, "result": self._dialogue.whole(result, params)})

    def _progress(self, params: Message) -> Callable[[float, str], None]:
        """A function that reports progress, if the client asked for it."""
        meta = params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None

        def report(progress: float, text: str) -> None:
            if token is not None:
                progressed = {"progressToken": token, "progress": progress, "message": text}
                self._send({"method": "notifications/progress", "params": progressed})

        return report

    def _send(self, message: Message) -> None:
        try:
            self._output.send({"jsonrpc": "2.0", **message})
        except OSError:  # the client is gone: nobody reads an error
            os._exit(0)
