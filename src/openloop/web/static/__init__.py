"""The files that a browser gets: name → (type, bytes, ETag), read once."""

from __future__ import annotations

import hashlib
import os

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _read() -> dict[str, tuple[str, bytes, str]]:
    found = {}
    folder = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(folder)):
        kind = _TYPES.get(os.path.splitext(name)[1])
        if kind:
            with open(os.path.join(folder, name), "rb") as file:
                body = file.read()
            found[name] = (kind, body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
    return found


FILES = _read()
