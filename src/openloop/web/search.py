"""Search one log: the program that `logs.search` starts. Prints what it has found so far, a line
each time, so that the last line counts even when it is killed."""

from __future__ import annotations

import json
import os
import re
import sys
import time

_BLOCK = 1 << 24  # bytes
_OFFSETS = 1000  # places that are named


def main() -> None:
    """Arguments: descriptor, seconds, `text` or `regex`. The query comes on standard input."""
    log, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    query = sys.stdin.buffer.read()
    if kind == "text":
        query = re.escape(query)
    try:
        wanted = re.compile(query, re.IGNORECASE | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        print(json.dumps({"error": str(error)}))
        return
    _search(log, wanted, time.monotonic() + seconds)


def _search(log: int, wanted: re.Pattern[bytes], deadline: float) -> None:
    """Block by block, each cut at its last line; a longer line is searched in pieces."""
    size = os.fstat(log).st_size
    position, count, offsets = 0, 0, list[int]()
    while position < size and time.monotonic() < deadline:
        block = os.pread(log, _BLOCK, position)
        cut = block.rfind(b"\n") + 1
        if cut and position + len(block) < size:
            block = block[:cut]
        if not block:
            break
        for match in wanted.finditer(block):
            if match.end() == match.start():
                continue
            count += 1
            if len(offsets) < _OFFSETS:
                offsets.append(position + match.start())
        position += len(block)
        found = {"count": count, "offsets": offsets, "searched": position}
        print(json.dumps({**found, "complete": position >= size}), flush=True)
    if size == 0:
        print(json.dumps({"count": 0, "offsets": [], "searched": 0, "complete": True}))
