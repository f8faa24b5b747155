"""JSON-RPC over stdio: one JSON document a line, of bounded length, in both directions."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator
from typing import Any

LONGEST = 1 << 20  # bytes of one incoming line; no request of a client comes near
_BLOCK = 1 << 16  # bytes

Message = dict[str, Any]


class MalformedLine(Exception):
    """A line that is no JSON object, or too long."""


def messages(descriptor: int) -> Iterator[Message | MalformedLine]:
    """The messages until end of file. A line that is too long is skipped without being kept."""
    kept, dropping = b"", False
    while data := os.read(descriptor, _BLOCK):
        *lines, kept = (kept + data).split(b"\n")
        for line in lines:
            if dropping:
                dropping = False
                yield MalformedLine(f"a line is longer than {LONGEST} bytes")
            elif line.strip():
                yield _decoded(line)
        if len(kept) > LONGEST:
            kept, dropping = b"", True


def _decoded(line: bytes) -> Message | MalformedLine:
    try:
        message = json.loads(line, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return MalformedLine("a line is not JSON")
    return message if isinstance(message, dict) else MalformedLine("a message must be an object")


def _finite(text: str) -> float:
    """Raises ValueError: NaN and Infinity are not JSON, although Python reads and writes them."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


class MessageWriter:
    """The output for answers; several threads write to it, one message at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Raises OSError when the client is gone."""
        data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]
