"""Requests and answers in both supported versions of the protocol.

2026-07-28 has no handshake: every request names its version. 2025-11-25 begins with `initialize`,
which selects that era for the rest of the process.
"""

from __future__ import annotations

from typing import Any

from openloop import __version__
from openloop.mcp.tools import INSTRUCTIONS, TOOLS
from openloop.mcp.wire import Message

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
UNSUPPORTED_VERSION = -32022
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_SERVER_KEY = "io.modelcontextprotocol/serverInfo"
_SERVER = {"name": "openloop", "title": "OpenLoop", "version": __version__}
_FRESH = 3_600_000  # milliseconds for which the list of tools may be kept


class RequestError(Exception):
    """A request is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error: Message = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


class Dialogue:
    """The era that a client chose, and the answers that need no tool."""

    def __init__(self) -> None:
        self._legacy = False

    def answer(self, method: str, params: Message) -> Message | None:
        """The result of a request; None for `tools/call`, which a tool answers.

        Raises RequestError.
        """
        if method == "initialize":
            self._legacy = True
            return {
                "protocolVersion": LEGACY,
                "capabilities": {"tools": {}},
                "serverInfo": _SERVER,
                "instructions": INSTRUCTIONS,
            }
        modern = self._is_modern(params)
        match method:
            case "tools/call":
                return None
            case "tools/list":
                tools = [tool.to_json() for tool in TOOLS]
                return self.whole({"tools": tools, **self._cached(modern)}, params)
            case "server/discover" if modern:
                found = {
                    "supportedVersions": [MODERN, LEGACY],
                    "capabilities": {"tools": {}},
                    "instructions": INSTRUCTIONS,
                }
                return self.whole({**found, **self._cached(modern)}, params)
            case "ping" if not modern:
                return {}
        raise RequestError(NO_METHOD, f"unknown method: {method[:100]}")

    def whole(self, result: Message, params: Message) -> Message:
        """A complete result, marked as this era marks it."""
        if not self._is_modern(params):
            return result
        return {"resultType": "complete", **result, "_meta": {_SERVER_KEY: _SERVER}}

    def _cached(self, modern: bool) -> Message:
        return {"ttlMs": _FRESH, "cacheScope": "public"} if modern else {}

    def _is_modern(self, params: Message) -> bool:
        """Whether a request belongs to the era without a handshake. Raises RequestError."""
        given = params.get("_meta")
        meta: Message = given if isinstance(given, dict) else {}
        version = meta.get(_VERSION_KEY)
        if version is None:
            if self._legacy:
                return False
            raise RequestError(INVALID_PARAMS, f"_meta must hold {_VERSION_KEY}")
        if version != MODERN:
            data = {"supported": [MODERN, LEGACY], "requested": version}
            raise RequestError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)
        if not isinstance(meta.get(_CAPABILITIES_KEY), dict):
            raise RequestError(INVALID_PARAMS, f"_meta must hold {_CAPABILITIES_KEY}")
        return True
