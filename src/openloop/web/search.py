"""Search one log: the program that `logs.search` starts. It prints its results so far again and
again, so that the last whole line is valid even when it is killed."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time

_BLOCK = 1 << 22  # bytes; an expression that takes seconds for a block gets no further
_MEMORY = 1 << 29  # bytes; some expressions take a hundred for each byte of a block
_OFFSETS = 1000  # places that are named


def main() -> None:
    """Arguments: descriptor, where to begin, seconds, `text` or `regex`. The query comes on
    standard input."""
    log, begin = int(sys.argv[1]), int(sys.argv[2])
    deadline = time.monotonic() + float(sys.argv[3])
    query = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        wanted = _Text(query) if sys.argv[4] == "text" else _Expression(query)
        _search(log, wanted, begin, deadline)
    except (re.error, OverflowError, RecursionError) as error:
        print(json.dumps({"error": f"the expression is not valid: {error}"}))
    except MemoryError:
        megabytes = f"{_MEMORY >> 20} MiB of memory"
        print(json.dumps({"error": f"the expression needs more than {megabytes} on this log"}))


class _Text:
    """A text, whatever its case; looked for without an expression, which would take ten times as
    long."""

    def __init__(self, text: bytes) -> None:
        self._text = text.lower()

    def places(self, block: bytes, most: int) -> tuple[int, list[int]]:
        """How often it stands in a block, and the first `most` of its places."""
        lower, end = block.lower(), 0
        places: list[int] = []
        while len(places) < most:
            place = lower.find(self._text, end)
            if place < 0:
                return len(places), places
            places.append(place)
            end = place + len(self._text)
        return len(places) + lower.count(self._text, end), places


class _Expression:
    """A regular expression. What matches nothing does not count."""

    def __init__(self, query: bytes) -> None:
        self._wanted = re.compile(query, re.IGNORECASE | re.MULTILINE)

    def places(self, block: bytes, most: int) -> tuple[int, list[int]]:
        """How often it matches in a block, and the first `most` places."""
        count, places = 0, list[int]()
        for match in self._wanted.finditer(block):
            if match.end() > match.start():
                count += 1
                if len(places) < most:
                    places.append(match.start())
        return count, places


def _search(log: int, wanted: _Text | _Expression, begin: int, deadline: float) -> None:
    """Block by block, each cut at its last line; a longer line is searched in pieces."""
    size = os.fstat(log).st_size
    position, count, offsets = begin, 0, list[int]()
    while position < size and time.monotonic() < deadline:
        block = os.pread(log, _BLOCK, position)
        cut = block.rfind(b"\n") + 1
        if cut and position + len(block) < size:
            block = block[:cut]
        if not block:
            break
        more, places = wanted.places(block, _OFFSETS - len(offsets))
        count += more
        offsets += [position + place for place in places]
        position += len(block)
        found = {"count": count, "offsets": offsets, "searched": position}
        print(json.dumps({**found, "complete": position >= size}), flush=True)
    if begin >= size:
        print(json.dumps({"count": 0, "offsets": [], "searched": begin, "complete": True}))
