"""Reading a record that others write, cut off, spoil or replace."""

from __future__ import annotations

import json
import os
import random
import unittest
from collections.abc import Callable
from typing import Any

from loop.histories import HISTORIES, lived
from loop.missions import (
    EVERYTHING,
    Mission,
    chained,
    configured,
    replayed,
    since_latest_round,
    tell,
    through_json,
    without_reason,
)
from openloop.core.vocabulary import Kind, Status
from openloop.loop.state import State
from openloop.record import chain, reader, record_end, workspace
from openloop.record.chain import BrokenChain
from openloop.record.reader import Record
from record.records import PLANTS, no_hang, rewrite, write_events
from support import Case

ROUND = "play scan verify baseline=0.5 improve =unhealthy/continue "


def long_mission(rounds: int) -> Mission:
    """One whose record is longer than what a start reads."""
    mission = Mission(configured(EVERYTHING, rounds=rounds + 1, failures=rounds + 1))
    story = [f"run1/{rounds + 1}", *(f"{number}: {ROUND}" for number in range(1, rounds + 1))]
    tell(mission, " ".join(story))
    return mission


class ReaderCase(Case):
    """A test with a record in a file of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(self.folder, "events.jsonl")

    def load(self) -> Record:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return reader.load(descriptor)
        finally:
            os.close(descriptor)


class Loading(ReaderCase):
    """The state at the end of a record."""

    def test_no_record_yet(self) -> None:
        record = reader.load_path(workspace.at(self.folder))
        self.assertEqual((State(), chain.FIRST_PREV, 0), (record.state, record.head, record.size))

    def test_an_empty_record(self) -> None:
        rewrite(self.path, b"")
        self.assertEqual(State(), self.load().state)

    def test_every_history(self) -> None:
        for history in HISTORIES:
            with self.subTest(history.title):
                mission = lived(history)
                write_events(self.path, mission.events)
                record = self.load()
                self.assertEqual(without_reason(mission.state), without_reason(record.state))
                self.assertEqual(os.path.getsize(self.path), record.size)
                self.assertEqual(chain.head_of(chained(mission.events)[-1]), record.head)

    def test_the_events_of_the_latest_round_are_at_hand(self) -> None:
        mission = lived(HISTORIES[-1])
        write_events(self.path, mission.events)
        latest = [through_json(event) for event in since_latest_round(mission.events)]
        self.assertEqual(latest, list(self.load().events))

    def test_every_line_in_pieces(self) -> None:
        mission = lived(HISTORIES[0])
        write_events(self.path, mission.events)
        lines = chained(mission.events)
        descriptor = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertEqual(lines, list(reader.lines(descriptor)))
        first = len(lines[0]) + 1
        self.assertEqual(lines[:1], list(reader.lines(descriptor, end=first)))
        self.assertEqual([], list(reader.lines(descriptor, end=0)))


class LongRecord(ReaderCase):
    """A record of which only the end is read."""

    mission: Mission
    data: bytes

    @classmethod
    def setUpClass(cls) -> None:
        cls.mission = long_mission(1200)
        cls.data = b"".join(line + b"\n" for line in chained(cls.mission.events))

    def setUp(self) -> None:
        super().setUp()
        rewrite(self.path, self.data)

    def test_it_is_longer_than_the_window(self) -> None:
        self.assertGreater(len(self.data), 2 * record_end.WINDOW)

    def test_the_state_is_the_same(self) -> None:
        record = self.load()
        self.assertEqual(without_reason(self.mission.state), without_reason(record.state))
        self.assertLess(len(record.events), 20)

    def test_cut_anywhere(self) -> None:
        chance = random.Random(3)
        starts = self.line_ends()
        for size in [chance.randrange(len(self.data)) for _ in range(8)]:
            with self.subTest(size):
                rewrite(self.path, self.data[:size])
                record = self.load()
                whole = sum(end <= size for end in starts)
                self.assertEqual(whole, record.state.seq)
                self.assertEqual(size, record.size + len(record.torn))

    def line_ends(self) -> list[int]:
        ends, at = [], 0
        for line in self.data.splitlines(keepends=True):
            at += len(line)
            ends.append(at)
        return ends

    def test_a_changed_line_in_the_window_is_named(self) -> None:
        lines = self.data.splitlines(keepends=True)
        number = len(lines) - 50
        lines[number - 1] = lines[number - 1].replace(b"play", b"plaY").replace(b"2026", b"2025")
        rewrite(self.path, b"".join(lines))
        with self.assertRaises(BrokenChain) as caught:
            self.load()
        self.assertIn(caught.exception.line, (number, number + 1))

    def test_a_round_longer_than_the_window(self) -> None:
        mission = long_mission(2)
        tell(mission, "3: play")
        while len(mission.events) < 2 * record_end.WINDOW / 1000:
            mission.record(Kind.NOTE, note="hook", text="x" * 1000)
        write_events(self.path, mission.events)
        self.assertGreater(os.path.getsize(self.path), 2 * record_end.WINDOW)
        self.assertEqual(without_reason(mission.state), without_reason(self.load().state))


class Torn(ReaderCase):
    """A last line without its end is no break."""

    def test_cut_all_over_the_last_lines(self) -> None:
        mission = lived(HISTORIES[0])
        lines = [line + b"\n" for line in chained(mission.events)]
        data = b"".join(lines)
        for size in range(len(b"".join(lines[:-2])), len(data) + 1, 3):
            rewrite(self.path, data[:size])
            record = self.load()
            whole = data[:size].count(b"\n")
            self.assertEqual(whole, record.state.seq)
            self.assertEqual(data[:size].rpartition(b"\n")[2], record.torn)
            expected = replayed(mission.events[:whole])
            self.assertEqual(without_reason(expected), without_reason(record.state))

    def test_a_torn_first_line(self) -> None:
        rewrite(self.path, b'{"seq": 1, "ti')
        record = self.load()
        self.assertEqual((0, 0, b'{"seq": 1, "ti'), (record.state.seq, record.size, record.torn))

    def test_a_torn_line_longer_than_the_window(self) -> None:
        mission = lived(HISTORIES[0])
        write_events(self.path, mission.events)
        with open(self.path, "ab") as file:
            file.write(b"\0" * (3 * record_end.WINDOW))
        record = self.load()
        self.assertEqual(mission.state.seq, record.state.seq)
        self.assertEqual(3 * record_end.WINDOW, len(record.torn))


class Spoilt(ReaderCase):
    """What does not hold is named, and never believed."""

    def test_a_changed_middle_line(self) -> None:
        mission = lived(HISTORIES[0])
        lines = [line + b"\n" for line in chained(mission.events)]
        for number in range(2, len(lines)):
            spoilt = lines[number - 1].replace(b"2026", b"2025", 1)
            rewrite(self.path, b"".join([*lines[: number - 1], spoilt, *lines[number:]]))
            with self.subTest(line=number), self.assertRaises(BrokenChain) as caught:
                self.load()
            self.assertEqual(number + 1, caught.exception.line)

    def test_garbage_instead_of_a_record(self) -> None:
        for data in (b"\n", b"garbage\n", b"\0" * 100 + b"\n", b"{}\n", b"\xff\n" * 3, b"[1]\n"):
            with self.subTest(data[:10]), self.assertRaises(BrokenChain) as caught:
                rewrite(self.path, data)
                self.load()
            self.assertEqual(1, caught.exception.line)

    def test_a_chain_that_holds_and_says_nonsense(self) -> None:
        """Somebody who rewrote the whole chain gets a refusal, not a crash."""
        mission = lived(HISTORIES[0])
        chance = random.Random(11)
        nonsense: list[Any] = [None, "x", -1, 1.5, [], {}, True, "\ud800", [[]], 10**30]
        refused = 0
        for _ in range(400):
            records = [json.loads(line) for line in chained(mission.events)]
            spoilt = chance.choice(records)
            name = chance.choice([key for key in spoilt if key != "prev"])
            spoilt[name] = chance.choice(nonsense)
            rewrite(self.path, forged(records))
            try:
                self.load()
            except BrokenChain:
                refused += 1
        self.assertGreater(refused, 100)

    def test_a_carried_state_of_nonsense(self) -> None:
        mission = lived(HISTORIES[0])
        for state in ({}, {"gates": 1}, [], None, "x", {"history": [[1]]}):
            records = [json.loads(line) for line in chained(mission.events)]
            next(r for r in records if r["event"] == "round_started")["state"] = state
            rewrite(self.path, forged(records))
            with self.subTest(state=state), self.assertRaises(BrokenChain):
                self.load()


def forged(records: list[dict[str, Any]]) -> bytes:
    """A chain that holds, whatever its lines say."""
    lines = []
    prev = chain.FIRST_PREV
    for record in records:
        line = json.dumps(record | {"prev": prev}).encode()
        prev = chain.head_of(line)
        lines.append(line + b"\n")
    return b"".join(lines)


class Planted(ReaderCase):
    """Whatever stands at a state path, a reader neither follows nor waits."""

    def each(self, name: str, look: Callable[[], object]) -> None:
        for plant in PLANTS:
            folder = os.path.join(self.folder, plant.__name__, "ws")
            os.makedirs(folder)
            plant(os.path.join(folder, name))
            self.place = workspace.at(folder)
            with self.subTest(plant.__name__), no_hang():
                look()

    def test_at_the_record(self) -> None:
        def refused() -> None:
            with self.assertRaises(OSError):
                reader.load_path(self.place)

        self.each("events.jsonl", refused)

    def test_at_the_heartbeat(self) -> None:
        self.each("heartbeat.json", lambda: self.assertIsNone(record_end.heartbeat(self.place)))


class Heartbeats(ReaderCase):
    """heartbeat.json as it stands."""

    def read(self, data: bytes) -> dict[str, Any] | None:
        rewrite(os.path.join(self.folder, "heartbeat.json"), data)
        return record_end.heartbeat(workspace.at(self.folder))

    def test_missing(self) -> None:
        self.assertIsNone(record_end.heartbeat(workspace.at(self.folder)))

    def test_garbage(self) -> None:
        many = (b"", b"{", b"[]", b"null", b"{}", b'{"status": 1}', b"\xff\xfe", b"\0" * 99)
        infinite = (b'{"status": "ready", "round": %s}' % one for one in (b"NaN", b"-1e999"))
        for data in (*many, *infinite, b"[" * 200_000, b" " * (2 << 20), b'{"a":' * 100_000):
            with self.subTest(data[:10]):
                self.assertIsNone(self.read(data))

    def test_good(self) -> None:
        self.assertEqual({"status": "ready"}, self.read(b'{"status": "ready"}'))


class Lost(unittest.TestCase):
    """What the heartbeat knows that the record does not."""

    RUNNING = State(status=Status.RUNNING, seq=9, run=1, round=2)
    CASES: tuple[tuple[str, State, dict[str, Any] | None, str], ...] = (
        ("no heartbeat", RUNNING, None, ""),
        ("before the first event", State(), {"event_seq": 0, "event_head": "0"}, ""),
        ("the same", RUNNING, {"event_seq": 9, "event_head": "h"}, ""),
        ("an older one", RUNNING, {"event_seq": 3, "event_head": "x"}, ""),
        ("another head", RUNNING, {"event_seq": 9, "event_head": "x"}, "line 9"),
        ("a power cut", RUNNING, {"event_seq": 12, "run": 1, "round": 2}, ""),
        ("a power cut in the next round", RUNNING, {"event_seq": 12, "run": 1, "round": 3}, ""),
        ("rounds missing", RUNNING, {"event_seq": 12, "run": 1, "round": 4}, "3 events"),
        ("a run missing", RUNNING, {"event_seq": 12, "run": 2, "round": 3}, "3 events"),
        (
            "the end of a run missing",
            RUNNING,
            {"event_seq": 10, "run": 1, "round": 2, "status": "complete"},
            "1 event",
        ),
        ("everything missing", State(), {"event_seq": 9, "run": 1, "round": 1}, "9 events"),
        ("nonsense", RUNNING, {"event_seq": "12"}, ""),
        ("more nonsense", RUNNING, {"event_seq": None}, ""),
        ("no run, no round", RUNNING, {"event_seq": 12}, "3 events"),
    )

    def test_the_table(self) -> None:
        for title, state, beat, words in self.CASES:
            with self.subTest(title):
                document = beat and {"status": "running", **beat}
                found = reader.lost(state, "h", document)
                self.assertEqual(bool(words), bool(found), found)
                self.assertIn(words, found)


if __name__ == "__main__":
    unittest.main()
