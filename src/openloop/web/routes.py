"""The routes, each with its answer. Numbers are parsed, and names are looked up in lists."""

from __future__ import annotations

import contextlib
import os
import re

from openloop.core.errors import OpenLoopError
from openloop.fs import files
from openloop.record.workspace import ARTIFACTS, CONFIG, KNOWLEDGE, Workspace
from openloop.views import changes
from openloop.web import details, logs, rounds
from openloop.web.handler import Handler, HttpError, Query, Routes
from openloop.web.static import FILES

_PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_TEXTS = (".txt", ".log", ".json", ".md", ".csv")
_DIFF_LINES = 5000  # of one change


def _workspace(handler: Handler, key: str) -> Workspace:
    """The workspace of a loop. Raises HttpError."""
    found = handler.site.overview.workspace(key)
    if found is None:
        raise HttpError(404, "there is no such loop here")
    return found


def _step(handler: Handler, key: str, identifier: str) -> tuple[Workspace, rounds.FoundStep]:
    """A step whose log may be shown. Raises HttpError, LookupError, ValueError, OSError."""
    workspace = _workspace(handler, key)
    step = rounds.FoundStep(workspace, int(identifier))
    private = bool(step.result and step.result.private) or details.is_private(workspace, step.step)
    if private and not handler.site.private:
        raise HttpError(403, "this log is private; `openloop ui --private` shows it")
    return workspace, step


def _number(query: Query, name: str, default: int | None = None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise HttpError(400, f"{name} must be a number")
    return int(text)


def _home(handler: Handler, query: Query) -> None:
    access = handler.site.access
    if "token" not in query:
        _file(handler, query, "index.html")
        return
    if not access.accepts_key(query["token"]):
        raise HttpError(
            403, "the token is not of this start: open the address that was printed last"
        )
    cookie = f"{access.cookie}={access.token}; Path=/; HttpOnly; SameSite=Strict"
    handler.respond(303, "text/plain", b"", Location="/", Set_Cookie=cookie)


def _file(handler: Handler, query: Query, name: str) -> None:
    if name not in FILES:
        raise HttpError(404, "there is nothing at this address")
    handler.tagged(*FILES[name])


def _overview(handler: Handler, query: Query) -> None:
    handler.encoded(handler.site.overview.document())


def _loop(handler: Handler, query: Query, key: str) -> None:
    workspace = _workspace(handler, key)
    row = handler.site.overview.row(key)
    handler.document({"version": 1, **details.document(workspace, row, handler.site.audits)})


def _rounds(handler: Handler, query: Query, key: str) -> None:
    limit = min(_number(query, "limit") or rounds.PAGE, 200)
    page = rounds.page(_workspace(handler, key), _number(query, "before"), limit=limit)
    handler.document({"version": 1, **page})


def _log(handler: Handler, query: Query, key: str, identifier: str) -> None:
    workspace, step = _step(handler, key, identifier)
    log = logs.opened(workspace, step.log)
    try:
        length = _number(query, "length") or logs.PIECE
        found = logs.read_range(log, _number(query, "offset"), length)
        patience = logs.COUNT if query.get("lines") == "1" else logs.GLANCE
        first = handler.site.lines.before(log, found["offset"], patience)
        name = handler.site.overview.row(key)["name"]
        shown = {"name": name, "log": step.log, "step": step.step, "round": step.round}
        shown["first_line"] = first
        shown["recorded_size"] = step.result.log_bytes if step.result else None
        handler.document({"version": 1, **shown, **found})
    finally:
        os.close(log)


def _search(handler: Handler, query: Query, key: str, identifier: str) -> None:
    workspace, step = _step(handler, key, identifier)
    if not query.get("q"):
        raise HttpError(400, "q is empty")
    begin = _number(query, "offset") or 0
    seconds = min(_number(query, "seconds") or logs.SEARCH, logs.SEARCH)
    log = logs.opened(workspace, step.log)
    try:
        regex = query.get("regex") == "1"
        found = logs.search(log, query["q"], regex=regex, begin=begin, seconds=seconds)
        handler.document({"version": 1, **found})
    except OpenLoopError as error:
        raise HttpError(400, error.what) from None
    finally:
        os.close(log)


def _download(handler: Handler, query: Query, key: str, identifier: str) -> None:
    workspace, step = _step(handler, key, identifier)
    log = logs.opened(workspace, step.log)
    try:
        handler.stream(log, "application/octet-stream", step.log)
    finally:
        os.close(log)


def _attachment(handler: Handler, query: Query, key: str, identifier: str, index: str) -> None:
    """A picture is shown; everything else is kept as a file, so that it runs nowhere."""
    workspace, step = _step(handler, key, identifier)
    attachments = step.result.attachments if step.result else ()
    if int(index) >= len(attachments):
        raise HttpError(404, "there is no such attachment")
    path = str(attachments[int(index)].path)
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != ARTIFACTS or {"", ".", ".."} & set(parts):
        raise HttpError(404, "the record names no file there")
    with contextlib.ExitStack() as stack:
        folder = files.open_folder(workspace.path)
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
    workspace, step = _step(handler, key, identifier)
    name = f"round-{step.round:04d}-{step.step}-prompt.md"
    handler.document({"version": 1, "text": details.text_of(workspace, ARTIFACTS, name)})


def _diff(handler: Handler, query: Query, key: str, identifier: str) -> None:
    workspace = _workspace(handler, key)
    result = rounds.FoundStep(workspace, int(identifier)).result
    if result is None or not result.changes:
        raise HttpError(404, "what this step changed was not kept")
    data = changes.diff_of(workspace, result)
    if data is None and result.changes.get("diff"):
        raise HttpError(404, "the diff is missing or differs from the record")
    lines = changes.lines(data or b"")
    left = max(len(lines) - _DIFF_LINES, 0)
    did = changes.diff_counts(result)
    handler.document({"version": 1, "did": did, "lines": lines[:_DIFF_LINES], "left_out": left})


def _knowledge(handler: Handler, query: Query, key: str) -> None:
    workspace, name = _workspace(handler, key), query.get("name", "")
    if name not in details.knowledge(workspace):
        raise HttpError(404, "there is no such file of knowledge")
    handler.document({"version": 1, "text": details.text_of(workspace, KNOWLEDGE, name)})


def _configuration(handler: Handler, query: Query, key: str) -> None:
    handler.document({"version": 1, "text": details.text_of(_workspace(handler, key), "", CONFIG)})


def _audit(handler: Handler, query: Query, key: str) -> None:
    handler.site.audits.begin(_workspace(handler, key))
    handler.respond(202, "application/json", b'{"version":1,"running":true}')


_LOOP = r"/api/v1/loops/([0-9a-f]{16})"
_STEP = rf"{_LOOP}/steps/([0-9]{{1,15}})"
_GET = (
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
    (rf"{_STEP}/diff", _diff),
    (rf"{_STEP}/attachments/([0-9]{{1,4}})", _attachment),
)
ROUTES: dict[str, Routes] = {
    "GET": tuple((re.compile(pattern), route) for pattern, route in _GET),
    "POST": ((re.compile(rf"{_LOOP}/audit"), _audit),),
}
