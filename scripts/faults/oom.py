"""Logs as tools write them, of runs that were and were not short of memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from faults.bench import Bench, Row
from openloop.config.config import Command
from openloop.config.oom_markers import OOM_MARKERS
from openloop.process.log_scan import LogReader
from support import HERE as TESTS

CORPUS = os.path.join(TESTS, "corpus", "oom")
COMMAND = Command("true", 60.0, 60.0, {}, expect=None, reject=None)


def rows(bench: Bench) -> Iterator[Row]:
    yield told_apart(bench)


def marker(path: str) -> str:
    """The line of a log that the program takes for want of memory; "" for none."""
    log = os.open(path, os.O_RDONLY)
    try:
        return LogReader(log, OOM_MARKERS).read(COMMAND, None, 1).oom_marker
    finally:
        os.close(log)


def told_apart(bench: Bench) -> Row:
    row = Row("logs with and without want of memory")
    with open(os.path.join(CORPUS, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    found = expected = right = 0
    for entry in index:
        line = marker(os.path.join(CORPUS, entry["log"]))
        row.tries += 1
        found += bool(line)
        expected += entry["oom"]
        right += bool(line) and entry["oom"]
        if bool(line) != entry["oom"]:
            row.violations.append(f"{entry['log']}: found {line!r}, expected oom={entry['oom']}")
    listed = {entry["log"] for entry in index}
    for name in sorted(set(os.listdir(CORPUS)) - listed - {"index.json"}):
        row.violations.append(f"{name} is not in the index")
    precision, recall = right / max(found, 1), right / max(expected, 1)
    row.figures = f"{expected} with; precision {precision:.2f}, recall {recall:.2f}"
    return row
