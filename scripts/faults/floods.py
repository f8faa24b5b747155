"""Output without end, without newlines, without sense; and escapes that want to get out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from faults.bench import Bench, Row, Trial, discard, ends, require, run
from faults.record import intact
from support import Workspace, agent

MEGABYTE = 1 << 20
ALLOWED = 64  # megabytes by which a flood may raise the peak of the runner
# Neither C0 (less newline) nor DEL nor C1 may come out, nor what turns text around.
FORBIDDEN = {*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029, 0x202E} - {0x0A}


def rows(bench: Bench) -> Iterator[Row]:
    yield endless_line(bench)
    yield escapes(bench)


def peak(bench: Bench, name: str, verify: str, size: int) -> float:
    """Peak memory in megabytes of the runner of one round whose log has that size in bytes."""
    place = bench.place(name, total_rounds=1, commands={"verify": verify})
    path = f"{place.folder}/peak"
    ends(run("run", place.path, plan={"peak": path}, patience=300), 0)
    event = place.events_of("step_finished")[0]
    require(event["log_bytes"] == size, f"the log holds {event['log_bytes']} bytes of {size}")
    require(os.path.getsize(place.file(event["log_path"])) == size, "the log is not untouched")
    intact(place)
    with open(path, encoding="utf-8") as file:
        kibibytes = int(file.read())
    discard(place)
    return kibibytes / 1024


def endless_line(bench: Bench) -> Row:
    size = bench.count(200, 2048) * MEGABYTE
    floods = {
        "NUL": f"head -c {size} /dev/zero",
        "one letter": f"head -c {size} /dev/zero | tr '\\0' x",
    }
    if bench.full:
        floods["bad UTF-8"] = f"head -c {size // 8} /dev/zero | tr '\\0' '\\377'"
    still = peak(bench, "still", "true", 0)
    row = Row("flood without a newline")
    peaks = []
    for name, command in floods.items():
        row.tries += 1
        expected = size if name != "bad UTF-8" else size // 8
        try:
            peaks.append(peak(bench, f"flood-{name}", command, expected))
            more = peaks[-1] - still
            require(more <= ALLOWED, f"{name}: the peak rose by {more:.0f} MB")
        except Exception as error:
            row.violations.append(f"seed {bench.seed}, {name}: {error}")
    highest = max(peaks, default=0.0)
    row.figures = f"{size // MEGABYTE} MB each, peak {highest:.0f} MB, without {still:.0f} MB"
    return row


def escapes(bench: Bench) -> Row:
    """Printed by a command, or in the mission, a command and the workspace's own name."""
    sound = (("run",), ("run", "--json"), ("run", "--quiet"), ("status",), ("audit",), ("doctor",))
    broken = (("run",), ("status",), ("audit",), ("doctor",))

    def once(number: int) -> Trial:
        name = "plain" if number % 2 == 0 else "name \x1b[31m\x9b2J\r\u202e'\"$x"
        place = bench.place(
            f"escapes-{number}/{name}",
            total_rounds=3,
            mission="\x1b]0;owned\x07 \u202e mission\r\n::error::injected",
            commands={
                "play": {"run": agent("hostile"), "env": {"X": "\x1b[2J"}},
                "fix": f"printf {shlex.quote(chr(27) + '[31m')}",
                "verify": agent("hostile"),
            },
            hooks={"round": "printf '\\033[2J'; exit 1"},
        )
        wrong = [each for words in sound for each in _let_out(place.path, *words)]
        raw = _log(place)
        require(b"\x1b]0;owned\x07" in raw and b"\xff\xfe" in raw, "the log was changed")
        with open(place.file("events.jsonl"), "r+b") as file:
            file.write(b'{"\x1b[2J')
        wrong += [f"broken record: {e}" for words in broken for e in _let_out(place.path, *words)]
        place.configure({"commands": {"verify": "true"}, "\x1b[31m\x9b": {"\x07": 1}})
        wrong += [f"bad document: {e}" for words in broken for e in _let_out(place.path, *words)]
        missing = f"{place.path}-missing"
        wrong += [f"no workspace: {e}" for words in broken for e in _let_out(missing, *words)]
        require(not wrong, "; ".join(wrong))
        discard(place)
        return Trial(len(sound) + 3 * len(broken))

    return bench.each("escapes in output and names", range(bench.count(1, 8)), once)


def _let_out(path: str, command: str, *options: str) -> list[str]:
    """What a command of the program lets out on a terminal that it must not."""
    done = run(command, path, *options)
    wrong = []
    for stream, text in (("stdout", done.out), ("stderr", done.err)):
        if found := sorted({ord(each) for each in text} & FORBIDDEN):
            wrong.append(f"{' '.join((command, *options))}: {stream} {[*map(hex, found)]}")
    return wrong


def _log(place: Workspace) -> bytes:
    with open(place.file("logs/round-0001-verify.log"), "rb") as file:
        return file.read()
