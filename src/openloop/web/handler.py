"""Checks requests and sends answers with security headers.

Paths are matched undecoded. Requests have no body, and a connection serves one request.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from openloop import __version__
from openloop.core.errors import OpenLoopError
from openloop.web.site import Site

_LONGEST_PATH = 4096  # characters
_CHUNK = 1 << 16  # bytes
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Query = dict[str, str]
Routes = tuple[tuple[re.Pattern[str], Callable[..., None]], ...]


class HttpError(Exception):
    """A request is answered with an error status and a sentence."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One request of one connection. `site` and `routes` (of each method) are set by the server
    that makes the class."""

    site: Site
    routes: Mapping[str, Routes]
    protocol_version = "HTTP/1.1"
    server_version = f"OpenLoop/{__version__}"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        if self.connection.family != socket.AF_UNIX:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def parse_request(self) -> bool:
        self.close_connection = True
        whole = super().parse_request()
        self.close_connection = True  # one request a connection, whatever the client proposes
        self.site.server.mark_active(self.connection)
        return whole

    def handle_expect_100(self) -> bool:
        """Never ask a client for a body."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that the library refuses, in the format of all answers."""
        self.request_version = "HTTP/1.1"  # it may not have come so far as to know one
        self._fail(code, "malformed or unsupported HTTP request")

    def do_GET(self) -> None:
        self._answer("GET")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            path, query = self._checked()
            for pattern, route in self.routes[method]:
                if match := pattern.fullmatch(path):
                    route(self, query, *match.groups())
                    return
            raise HttpError(404, "there is nothing at this address")
        except HttpError as refused:
            self._fail(refused.status, str(refused))
        except (OpenLoopError, LookupError, ValueError) as error:
            self._fail(404, getattr(error, "what", str(error)))
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            status = 503 if error.errno in _SCARCE else 404
            self._fail(status, f"a file cannot be read: {error.strerror}")

    def _checked(self) -> tuple[str, Query]:
        """The path and the query. Raises HttpError."""
        if why := self.site.access.refusal_reason(self.headers):
            raise HttpError(403, why)
        if self.headers.defects:
            raise HttpError(400, "the headers are not whole")
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            raise HttpError(413, "requests have no body")
        path, _, text = self.path.partition("?")
        if len(self.path) > _LONGEST_PATH:
            raise HttpError(414, f"an address has {_LONGEST_PATH:,} characters at most")
        if not re.fullmatch(r"/[A-Za-z0-9/._-]*", path):
            raise HttpError(404, "there is nothing at this address")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=10)
        except ValueError:
            raise HttpError(400, "there are too many parameters") from None
        query = dict(pairs)
        if len(query) != len(pairs):
            raise HttpError(400, "a parameter is given twice")
        if path == "/" and "token" in query:
            return path, query
        if not self.site.access.admits(self.headers):
            raise HttpError(
                403, "open the address that `openloop ui` printed: it carries the token"
            )
        return path, query

    # --- answers ---

    def _fail(self, status: int, why: str) -> None:
        self.respond(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def respond(self, status: int, kind: str, body: bytes, **more: str) -> None:
        self._head(status, kind, 0 if status == 304 else len(body), more)
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def _head(self, status: int, kind: str, size: int, more: Mapping[str, str]) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Cache-Control": "no-store", "Connection": "close"}
        headers |= {"Content-Type": kind, "Content-Length": str(size)}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def document(self, document: Any) -> None:
        """Raises ValueError for a number that JSON does not know."""
        self.encoded(json.dumps(document, separators=(",", ":"), allow_nan=False).encode())

    def encoded(self, body: bytes) -> None:
        self.tagged("application/json", body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')

    def tagged(self, kind: str, body: bytes, tag: str) -> None:
        """An answer with an ETag; nothing but that when the client has it already."""
        same = self.headers.get("If-None-Match") == tag
        self.respond(304 if same else 200, kind, body, ETag=tag, Cache_Control="no-cache")

    def stream(self, descriptor: int, kind: str, name: str) -> None:
        """Send a whole file of any size as a download."""
        size = os.fstat(descriptor).st_size
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:]
        self._head(200, kind, size, {"Content-Disposition": f'attachment; filename="{safe}"'})
        offset = 0
        while self.command != "HEAD" and offset < size:
            data = os.pread(descriptor, min(_CHUNK, size - offset), offset)
            if not data:
                return
            self.wfile.write(data)
            offset += len(data)

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""
