"""A record cut at every byte and flipped at every byte, and garbage in every projection."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from faults.bench import Bench, Row, Trial, ends, require, run
from faults.record import intact
from openloop.fs import files
from openloop.record import chain, reader, record_end, workspace
from openloop.views import audit
from support import Workspace

PIECE = 256  # bytes of a record that one job of the pool looks at
GARBAGE = {
    "nothing": b"",
    "NUL": b"\0" * 5000,
    "half a file": b'{"version": 1, "status": "runn',
    "bad UTF-8": b"\xff\xfe\x80" * 100,
    "a list": b"[]",
    "an empty object": b"{}",
    "wrong types": b'{"status": 5, "round": {}, "pid": "x", "event_seq": []}',
    "some right types": b'{"status": "running", "event_seq": 1.5, "event_head": 7, "pid": "a"}',
    "nested deeply": b"[" * 100_000,
    "NaN": b'{"status": "complete", "event_seq": NaN, "speed": 1e999}',
    "two megabytes": b"x" * (2 << 20),
    "escapes": b"\x1b]0;owned\x07\x1b[2J",
}


def rows(bench: Bench) -> Iterator[Row]:
    place = recorded(bench)
    yield over_every_byte(bench, place, "events.jsonl cut at every byte", cut)
    yield over_every_byte(bench, place, "events.jsonl flipped at every byte", flip)
    yield through_the_program(bench, place)
    yield files_flipped(bench, place)
    yield garbage(bench, place)


def recorded(bench: Bench) -> Workspace:
    """A finished record of two runs that others are copied from."""
    place = bench.place("recorded", commands={"verify": "echo one; echo two"})
    for _ in range(2):
        ends(run("run", place.path), 0)
    return place


def copied(bench: Bench, place: Workspace, name: str) -> Workspace:
    folder = os.path.join(bench.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place.folder, folder)
    copy = Workspace.__new__(Workspace)
    copy.folder, copy.path = folder, os.path.join(folder, "ws")
    copy.project = os.path.join(folder, "project")
    return copy


def cut(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at]


def flip(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


Damage = Callable[[bytes, int, random.Random], bytes]


def over_every_byte(bench: Bench, place: Workspace, fault: str, damage: Damage) -> Row:
    """Each by what `audit` and the start of `run` use, in this program, for speed."""
    size = len(read(place, "events.jsonl"))
    starts = range(0, size, PIECE)
    work = partial(_piece, bench, place, damage, step=bench.count(8, 1))
    row = Row(fault)
    with ProcessPoolExecutor(bench.jobs) as pool:
        for tries, violations in pool.map(work, starts):
            row.tries += tries
            row.violations += violations
    row.figures = f"of {size} bytes, with the heartbeat and with a head alone"
    return row


def _piece(
    bench: Bench, place: Workspace, damage: Damage, start: int, *, step: int
) -> tuple[int, list[str]]:
    """Damage some bytes of a copy; returns how many, and what was violated."""
    copy = copied(bench, place, f"piece-{damage.__name__}-{start}")
    data = read(place, "events.jsonl")
    beat = read(place, "heartbeat.json")
    violations = []
    positions = range(start, min(start + PIECE, len(data)), step)
    for at in positions:
        damaged = damage(data, at, bench.chance(damage.__name__, at))
        try:
            write(copy, "events.jsonl", damaged)
            write(copy, "heartbeat.json", beat)
            _is_refused(copy)
            os.unlink(copy.file("heartbeat.json"))
            _is_named(copy, head=chain.head_of(data.rstrip(b"\n").split(b"\n")[-1]))
        except Exception as error:
            violations.append(f"seed {bench.seed}, byte {at}: {type(error).__name__}: {error}")
    shutil.rmtree(copy.folder)
    return len(positions), violations


def _is_refused(place: Workspace) -> None:
    """`audit` names the record, and `run` would not go on from it."""
    _is_named(place)
    require(_run_refuses(place), "run would accept the record")


def _is_named(place: Workspace, *, head: str | None = None) -> None:
    report = audit.examine(workspace.at(place.path), head=head)
    require(report.broken, "audit says intact")
    require(report.broken and "events.jsonl" in report.broken.where, f"named: {report.broken}")


def _run_refuses(place: Workspace) -> bool:
    """Whether what `run` asks of a record at its start fails."""
    descriptor = files.open_regular(place.file("events.jsonl"), os.O_RDONLY)
    try:
        record = reader.load(descriptor)
    except chain.BrokenChain:
        return True
    finally:
        os.close(descriptor)
    beat = record_end.heartbeat(workspace.at(place.path))
    return bool(reader.lost(record.state, record.head, beat))


def through_the_program(bench: Bench, place: Workspace) -> Row:
    """A sample of the same through the real program."""
    size = len(read(place, "events.jsonl"))

    def once(number: int) -> Trial:
        chance = bench.chance("program", number)
        damage, at = chance.choice((cut, flip)), chance.randrange(size)
        copy = copied(bench, place, f"program-{number}")
        write(copy, "events.jsonl", damage(read(place, "events.jsonl"), at, chance))
        before = read(copy, "events.jsonl")
        what = f"{damage.__name__} at byte {at}"
        named = ends(run("audit", copy.path), 1).out
        require("events.jsonl" in named, f"{what}: audit says {named}")
        ends(run("run", copy.path), 3)
        require(read(copy, "events.jsonl") == before, f"{what}: run wrote to a broken record")
        beat = copy.heartbeat
        require(beat["status"] == "blocked", f"{what}: status {beat['status']}")
        require(ends(run("status", copy.path), 0, 1).out, f"{what}: status says nothing")
        shutil.rmtree(copy.folder)
        return Trial()

    return bench.each("the same through the program", range(bench.count(4, 80)), once)


def files_flipped(bench: Bench, place: Workspace) -> Row:
    """One bit of an artifact or a log, at every byte: `audit` names the file."""
    names = ("artifacts/round-0001.json", "logs/round-0002-verify.log")
    spots = [(name, at) for name in names for at in range(len(read(place, name)))]
    copy = copied(bench, place, "files")
    row = Row("artifact or log flipped at every byte")
    for name, at in bench.sample(spots, 200):
        row.tries += 1
        data = read(place, name)
        write(copy, name, flip(data, at, bench.chance(name, at)))
        report = audit.examine(workspace.at(copy.path))
        if not report.broken or name not in report.broken.where:
            row.violations.append(f"seed {bench.seed}, {name}, byte {at}: audit did not name it")
        write(copy, name, data)
    return row


def garbage(bench: Bench, place: Workspace) -> Row:
    """The next run writes projections again, and nothing that reads them fails."""
    wanted = ("heartbeat.json", "progress.md", "artifacts/round-0001.json", "*")
    items = [(name, kind) for name in wanted for kind in GARBAGE]

    def once(item: tuple[str, str]) -> None:
        name, kind = item
        copy = copied(bench, place, f"garbage-{wanted.index(name)}-{kind}")
        targets = wanted[:-1] if name == "*" else (name,)
        for target in targets:
            write(copy, target, GARBAGE[kind])
        ends(run("status", copy.path), 0, 1)
        ends(run("run", copy.path), 0)
        intact(copy)
        require(copy.heartbeat["status"] == "complete", "the heartbeat was not rebuilt")
        same = read(copy, wanted[2]) == read(place, wanted[2])
        require(same, "the artifact was not rebuilt as it was")
        begins = read(copy, "progress.md").startswith(read(place, "progress.md"))
        require(begins, "progress.md was not rebuilt")
        shutil.rmtree(copy.folder)

    return bench.each("garbage in every projection", bench.sample(items, 6), once)


def read(place: Workspace, name: str) -> bytes:
    with open(place.file(name), "rb") as file:
        return file.read()


def write(place: Workspace, name: str, data: bytes) -> None:
    with open(place.file(name), "wb") as file:
        file.write(data)
