"""Requests and answers: what may be asked, and how nothing else can be.

Paths are matched as they come, undecoded; numbers are numbers and names come from lists. A request
has no body, and a connection one request.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from openloop import __version__
from openloop.core.errors import OpenLoopError
from openloop.fs import files
from openloop.record.workspace import ARTIFACTS, CONFIG, KNOWLEDGE, Workspace
from openloop.web import details, logs, rounds
from openloop.web.site import Site
from openloop.web.static import FILES

_PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_TEXTS = (".txt", ".log", ".json", ".md", ".csv")
_LONGEST_PATH = 4096  # characters
_CHUNK = 1 << 16  # bytes
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STEP = r"/api/v1/loops/([0-9a-f]{16})/steps/([0-9]{1,15})"

Query = dict[str, str]


class Refused(Exception):
    """A request that gets a status and a sentence for an answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One request of one connection. `site` is set by the server that makes the class."""

    site: Site
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
        self.site.server.heard(self.connection)
        return whole

    def do_GET(self) -> None:
        self._answer(_GET)

    def do_HEAD(self) -> None:
        self._answer(_GET)

    def do_POST(self) -> None:
        self._answer(_POST)

    def _answer(self, routes: Routes) -> None:
        try:
            path, query = self._checked()
            for pattern, route in routes:
                if match := pattern.fullmatch(path):
                    route(self, query, *match.groups())
                    return
            raise Refused(404, "there is nothing at this address")
        except Refused as refused:
            self._fail(refused.status, str(refused))
        except (OpenLoopError, LookupError, FileNotFoundError, files.NotRegular) as error:
            self._fail(404, getattr(error, "what", str(error)))
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            self._fail(500, f"a file cannot be read: {error.strerror}")

    def _checked(self) -> tuple[str, Query]:
        """The path and the query. Raises Refused."""
        if why := self.site.access.foreign(self.headers):
            raise Refused(403, why)
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            raise Refused(413, "requests have no body")
        path, _, text = self.path.partition("?")
        if len(self.path) > _LONGEST_PATH or not re.fullmatch(r"/[A-Za-z0-9/._-]*", path):
            raise Refused(404, "there is nothing at this address")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=10)
        query = dict(pairs)
        if len(query) != len(pairs) or "\0" in text:
            raise Refused(400, "a parameter is given twice")
        if path == "/" and "token" in query:
            return path, query
        if not self.site.access.admits(self.headers):
            raise Refused(403, "open the address that `openloop ui` printed: it carries the token")
        return path, query

    # --- answers ---

    def _fail(self, status: int, why: str) -> None:
        self.respond(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def respond(self, status: int, kind: str, body: bytes, **more: str) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Cache-Control": "no-store", "Connection": "close"}
        headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in {**headers, **more}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def document(self, document: Any) -> None:
        """JSON with an ETag; nothing but that when the client has it already."""
        tag = details.etag(document)
        if self.headers.get("If-None-Match") == tag:
            self.respond(304, "application/json", b"", ETag=tag, Cache_Control="no-cache")
            return
        body = json.dumps(document, separators=(",", ":")).encode()
        self.respond(200, "application/json", body, ETag=tag, Cache_Control="no-cache")

    def stream(self, descriptor: int, kind: str, name: str) -> None:
        """A whole file to be kept, however large."""
        size = os.fstat(descriptor).st_size
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:]
        self.send_response(200)
        headers = {**_HEADERS, "Cache-Control": "no-store", "Connection": "close"}
        headers |= {"Content-Type": kind, "Content-Length": str(size)}
        headers |= {"Content-Disposition": f'attachment; filename="{safe}"'}
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        offset = 0
        while self.command != "HEAD" and offset < size:
            data = os.pread(descriptor, min(_CHUNK, size - offset), offset)
            if not data:
                return
            self.wfile.write(data)
            offset += len(data)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's news."""

    # --- what is asked for ---

    def place(self, key: str) -> Workspace:
        """The workspace of a loop. Raises Refused."""
        found = self.site.catalogue.place(key)
        if found is None:
            raise Refused(404, "there is no such loop here")
        return found

    def step(self, key: str, identifier: str) -> tuple[Workspace, rounds.Step]:
        """A step whose log may be shown. Raises Refused, LookupError, OSError."""
        place = self.place(key)
        step = rounds.Step(place, int(identifier))
        private = step.private or details.is_private(place, step.step)
        if private and not self.site.private:
            raise Refused(403, "this log is private; `openloop ui --private` shows it")
        return place, step


Route = Callable[..., None]
Routes = tuple[tuple[re.Pattern[str], Route], ...]


def _number(query: Query, name: str, default: int | None = None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Refused(400, f"{name} must be a number")
    return int(text)


def _home(handler: Handler, query: Query) -> None:
    access = handler.site.access
    if "token" not in query:
        _file(handler, query, "index.html")
        return
    if not access.accepts_key(query["token"]):
        raise Refused(403, "the token is not of this start: open the address that was printed last")
    cookie = f"{access.cookie}={access.token}; Path=/; HttpOnly; SameSite=Strict"
    handler.respond(303, "text/plain", b"", Location="/", Set_Cookie=cookie)


def _file(handler: Handler, query: Query, name: str) -> None:
    if name not in FILES:
        raise Refused(404, "there is nothing at this address")
    kind, body, tag = FILES[name]
    if handler.headers.get("If-None-Match") == tag:
        handler.respond(304, kind, b"", ETag=tag, Cache_Control="no-cache")
        return
    handler.respond(200, kind, body, ETag=tag, Cache_Control="no-cache")


def _overview(handler: Handler, query: Query) -> None:
    catalogue = handler.site.catalogue
    rows = catalogue.rows()
    handler.document({"version": 1, "loops": rows, "complete_search": catalogue.whole})


def _loop(handler: Handler, query: Query, key: str) -> None:
    place = handler.place(key)
    row = handler.site.catalogue.row(key)
    handler.document({"version": 1, **details.document(place, row, handler.site.audits)})


def _rounds(handler: Handler, query: Query, key: str) -> None:
    limit = min(_number(query, "limit") or rounds.PAGE, 200)
    page = rounds.page(handler.place(key), _number(query, "before"), limit=limit)
    handler.document({"version": 1, **page})


def _log(handler: Handler, query: Query, key: str, identifier: str) -> None:
    place, step = handler.step(key, identifier)
    log = logs.opened(place, step.log)
    try:
        length = _number(query, "length") or logs.PIECE
        found = logs.piece(log, _number(query, "offset"), length)
        first = handler.site.lines.before(log, found["offset"])
        shown = {"log": step.log, "step": step.step, "round": step.round, "first_line": first}
        handler.document({"version": 1, **shown, **found})
    finally:
        os.close(log)


def _search(handler: Handler, query: Query, key: str, identifier: str) -> None:
    place, step = handler.step(key, identifier)
    if not query.get("q"):
        raise Refused(400, "q is empty")
    log = logs.opened(place, step.log)
    try:
        found = logs.search(log, query["q"], regex=query.get("regex") == "1")
        handler.document({"version": 1, **found})
    except OpenLoopError as error:
        raise Refused(400, error.what) from None
    finally:
        os.close(log)


def _download(handler: Handler, query: Query, key: str, identifier: str) -> None:
    place, step = handler.step(key, identifier)
    log = logs.opened(place, step.log)
    try:
        handler.stream(log, "application/octet-stream", step.log)
    finally:
        os.close(log)


def _attachment(handler: Handler, query: Query, key: str, identifier: str, index: str) -> None:
    """A picture is shown; everything else is kept as a file, so that it runs nowhere."""
    place, step = handler.step(key, identifier)
    if int(index) >= len(step.attachments):
        raise Refused(404, "there is no such attachment")
    path = str(step.attachments[int(index)].get("path", ""))
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != ARTIFACTS or {"", ".", ".."} & set(parts):
        raise Refused(404, "the record names no file there")
    with contextlib.ExitStack() as stack:
        folder = files.open_folder(place.path)
        stack.callback(os.close, folder)
        for part in parts[:-1]:
            folder = files.open_folder(part, folder=folder)
            stack.callback(os.close, folder)
        file = files.open_regular(parts[-1], os.O_RDONLY, folder=folder)
        stack.callback(os.close, file)
        ending = os.path.splitext(parts[-1])[1].lower()
        if ending in _PICTURES and os.fstat(file).st_size <= logs.LONGEST * 16:
            body = os.pread(file, logs.LONGEST * 16, 0)
            handler.respond(200, _PICTURES[ending], body)
            return
        kind = "text/plain; charset=utf-8" if ending in _TEXTS else "application/octet-stream"
        handler.stream(file, kind, parts[-1])


def _prompt(handler: Handler, query: Query, key: str, identifier: str) -> None:
    place, step = handler.step(key, identifier)
    name = f"round-{step.round:04d}-{step.step}-prompt.md"
    handler.document({"version": 1, "text": details.text_of(place, ARTIFACTS, name)})


def _knowledge(handler: Handler, query: Query, key: str) -> None:
    place, name = handler.place(key), query.get("name", "")
    if name not in os.listdir(place.file(KNOWLEDGE)):
        raise Refused(404, "there is no such file of knowledge")
    handler.document({"version": 1, "text": details.text_of(place, KNOWLEDGE, name)})


def _configuration(handler: Handler, query: Query, key: str) -> None:
    handler.document({"version": 1, "text": details.text_of(handler.place(key), "", CONFIG)})


def _audit(handler: Handler, query: Query, key: str) -> None:
    handler.site.audits.begin(handler.place(key))
    handler.respond(202, "application/json", b'{"version":1,"running":true}')


_LOOP = r"/api/v1/loops/([0-9a-f]{16})"
_GET: Routes = tuple(
    (re.compile(pattern), route)
    for pattern, route in (
        (r"/", _home),
        (r"/static/([a-z-]+\.[a-z]+)", _file),
        (r"/api/v1/loops", _overview),
        (_LOOP, _loop),
        (rf"{_LOOP}/rounds", _rounds),
        (rf"{_LOOP}/knowledge", _knowledge),
        (rf"{_LOOP}/configuration", _configuration),
        (rf"{_STEP}/log", _log),
        (rf"{_STEP}/search", _search),
        (rf"{_STEP}/download", _download),
        (rf"{_STEP}/prompt", _prompt),
        (rf"{_STEP}/attachments/([0-9]{{1,4}})", _attachment),
    )
)
_POST: Routes = ((re.compile(rf"{_LOOP}/audit"), _audit),)
