"""The lines of events.jsonl: there and back, the chain, and everything that is no event."""

from __future__ import annotations

import hashlib
import json
import random
import unittest
from typing import Any

from loop.histories import HISTORIES, lived
from loop.missions import chained
from openloop.core.vocabulary import Kind, Outcome, Step
from openloop.loop.events import Event
from openloop.record import chain, event_format
from openloop.record.chain import FIRST_PREV, BrokenChain

EVENT = Event(
    kind=Kind.STEP_FINISHED,
    time="2026-01-02T03:04:05.678Z",
    elapsed=12.345,
    run=2,
    round=7,
    step=Step.VERIFY,
    data={"outcome": Outcome.FAILED, "detail": 'a "quoted"\nline — ünïcode \x1b[2J \U0001f600'},
    seq=42,
)


def events() -> list[Event]:
    """Those of a mission with a bit of everything."""
    mission = lived(max(HISTORIES, key=lambda history: len(history.story)))
    return mission.events


class Lines(unittest.TestCase):
    """One event is one line of JSON."""

    def test_there_and_back(self) -> None:
        for event in [EVENT, *events()]:
            again = event_format.decode(event_format.encode(event, FIRST_PREV))
            self.assertEqual(json.dumps(dict(event.data)), json.dumps(dict(again.data)))
            self.assertEqual(event._replace(data={}), again._replace(data={}))

    def test_fields_in_the_order_of_the_contract(self) -> None:
        record = json.loads(event_format.encode(EVENT, FIRST_PREV))
        first = ["seq", "time", "event", "run", "round", "step"]
        self.assertEqual(first, list(record)[:6])
        self.assertEqual("prev", list(record)[-1])
        self.assertEqual((42, "step_finished", 2, 7, "verify"), tuple(record[n] for n in NAMED))

    def test_a_line_holds_no_newline_and_is_ascii(self) -> None:
        line = event_format.encode(EVENT, FIRST_PREV)
        self.assertNotIn(b"\n", line)
        self.assertTrue(line.isascii())

    def test_an_event_without_a_step(self) -> None:
        event = EVENT._replace(kind=Kind.NOTE, step=None)
        self.assertIsNone(json.loads(event_format.encode(event, FIRST_PREV))["step"])
        self.assertIsNone(event_format.decode(event_format.encode(event, FIRST_PREV)).step)

    def test_text_that_no_encoding_has(self) -> None:
        event = EVENT._replace(data={"detail": "\ud800"})
        self.assertEqual(event, event_format.decode(event_format.encode(event, FIRST_PREV)))


NAMED = ("seq", "event", "run", "round", "step")


class NotAnEvent(unittest.TestCase):
    """Whatever `encode` did not write is refused with a ValueError, and with nothing else."""

    def test_other_json_and_other_bytes(self) -> None:
        texts = (
            "",
            " ",
            "{}",
            "[]",
            "null",
            "1",
            '"x"',
            "nan",
            "{",
            "}",
            '{"seq": 1}',
            "\\",
            "[[]]",
        )
        others = [b"\x00", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 100_000]
        for line in [text.encode() for text in texts] + others:
            with self.subTest(line[:20]), self.assertRaises(ValueError):
                event_format.decode(line)

    def test_a_missing_field(self) -> None:
        record = json.loads(event_format.encode(EVENT, FIRST_PREV))
        for name in ("seq", "time", "event", "run", "round", "step", "elapsed"):
            spoilt = {key: value for key, value in record.items() if key != name}
            with self.subTest(name), self.assertRaises(ValueError):
                event_format.decode(json.dumps(spoilt).encode())

    def test_an_unknown_word(self) -> None:
        self.refused(event="round_ended")
        self.refused(step="dance")

    def test_a_field_of_another_kind(self) -> None:
        others: dict[str, tuple[Any, ...]] = {
            "seq": ("42", 4.2, None, True, [1]),
            "run": ("2", None),
            "round": ("7", None),
            "elapsed": ("1.0", None, [1]),
            "time": (1, None),
            "event": (1, None, []),
            "step": (1, []),
        }
        for name, values in others.items():
            for value in values:
                with self.subTest(**{name: value}):
                    self.refused(**{name: value})

    def refused(self, **changed: Any) -> None:
        record = json.loads(event_format.encode(EVENT, FIRST_PREV)) | changed
        with self.assertRaises(ValueError):
            event_format.decode(json.dumps(record).encode())


class Chain(unittest.TestCase):
    """Each line holds the hash of the one before."""

    def setUp(self) -> None:
        self.lines = chained(events())

    def broken_at(self, lines: list[bytes], **how: Any) -> int | None:
        try:
            list(chain.check_chain(lines, **how))
        except BrokenChain as error:
            return error.line
        return None

    def test_a_whole_chain(self) -> None:
        numbered = list(chain.check_chain(self.lines))
        self.assertEqual(list(enumerate(self.lines, 1)), numbered)

    def test_the_first_line_follows_from_zeros(self) -> None:
        self.assertEqual("0" * 64, chain.prev_of(self.lines[0]))
        self.assertEqual(1, self.broken_at(self.lines[1:]))

    def test_prev_is_the_sha256_of_the_line_before(self) -> None:
        for before, line in zip(self.lines, self.lines[1:], strict=False):
            expected = hashlib.sha256(before).hexdigest()
            self.assertEqual(expected, json.loads(line)["prev"])
            self.assertEqual(expected, chain.prev_of(line))
            self.assertEqual(expected, chain.head_of(before))

    def test_any_changed_bit_before_the_last_line_is_noticed(self) -> None:
        chance = random.Random(7)
        for _ in range(500):
            lines = list(self.lines)
            number = chance.randrange(len(lines) - 1)
            spoilt = bytearray(lines[number])
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
            lines[number] = bytes(spoilt)
            # The line itself when its own `prev` was hit, else the one that follows from it.
            self.assertIn(self.broken_at(lines), (number + 1, number + 2))

    def test_lines_left_out_moved_or_put_in(self) -> None:
        lines = self.lines
        self.assertEqual(3, self.broken_at([*lines[:2], *lines[3:]]))
        self.assertEqual(2, self.broken_at([lines[0], lines[2], lines[1], *lines[3:]]))
        self.assertEqual(4, self.broken_at([*lines[:3], b"", *lines[3:]]))
        self.assertEqual(4, self.broken_at([*lines[:3], lines[2], *lines[3:]]))

    def test_from_the_middle(self) -> None:
        rest = self.lines[5:]
        self.assertEqual(6, self.broken_at(rest, first=6))
        self.assertIsNone(self.broken_at(rest, first=6, prev=chain.head_of(self.lines[4])))
        self.assertIsNone(self.broken_at(rest, first=6, prev=None))
        self.assertEqual(8, self.broken_at([*rest[:2], *rest[3:]], first=6, prev=None))

    def test_the_words_name_the_line(self) -> None:
        self.assertEqual("line 7: because", str(BrokenChain(7, "because")))


if __name__ == "__main__":
    unittest.main()
