"""The file of a play: every mistake is found, and what is right becomes a value."""

from __future__ import annotations

import json
import unittest
from typing import Any

from openloop.browser import pictures
from openloop.browser.plays import keys, locators, play
from openloop.core.errors import ConfigError

STEP = {"open": "/"}
PAGE = {"open": "http://127.0.0.1:8000/"}


def problems(document: Any) -> list[str]:
    try:
        play.parse(json.dumps(document).encode(), where="play.json")
    except ConfigError as error:
        return [f"{problem.what} | {problem.fix}" for problem in error.problems]
    return []


def of_step(*steps: dict[str, Any]) -> str:
    return "\n".join(problems({"version": 1, "steps": list(steps)}))


class Mistakes(unittest.TestCase):
    def test_in_the_play(self) -> None:
        for document, text in (
            ({}, "version is required"),
            ([], 'must be an object, got a list | write for example {"version": 1'),
            ({"version": 2, "steps": [STEP]}, "version must be 1"),
            ({"version": 1, "steps": []}, "holds no step"),
            ({"version": 1, "steps": [STEP], "serv": {}}, "nearest known key is serve"),
            ({"version": 1, "steps": [STEP], "serve": {}}, "serve.run is required"),
            ({"version": 1, "steps": [STEP], "base": "http://x:{port}"}, "there is no serve"),
            ({"version": 1, "steps": [STEP], "viewport": {"width": 0}}, "whole number of 1"),
            ({"version": 1, "steps": [STEP], "allow": {"console": ["("]}}, "regular expression"),
        ):
            with self.subTest(text):
                self.assertIn(text, "\n".join(problems(document)))

    def test_in_a_step(self) -> None:
        for step, text in (
            (STEP, "is relative, and there is no base"),
            ({}, "does nothing"),
            ({"x-note": "a"}, "does nothing"),
            ({**PAGE, "click": "a"}, "click stands beside open"),
            ({**PAGE, "equals": 1}, "equals has no meaning with open"),
            ({"clik": "a"}, "nearest known key is click"),
            ({"click": "rol=button"}, "write role=…"),
            ({"click": "role="}, "names nothing"),
            ({"click": "role=button[nme=x]"}, "no role with or without a name"),
            ({"click": {"at": "a", "x": 1}}, "x or y alone"),
            ({"press": "Entr"}, "the nearest is Enter"),
            ({"press": "Ctrl+a"}, "no modifier"),
            ({"expect": {}}, "expects nothing"),
            ({"expect": {"matches": "a"}}, "needs at"),
            ({"expect": {"gone": "a", "text": "b"}}, "stands beside other expectations"),
            ({"measure": "ms"}, "script is required"),
            ({"screenshot": "../x"}, "a name of letters"),
            ({"screenshot": "x", "tolerance": 0.1}, "no meaning without like"),
            ({"screenshot": "x", "at": "a", "full": True}, "no meaning with at"),
            ({"dialog": "accept"}, "dialog has no step after it"),
            ({"dialog": "yes"}, 'one of "accept", "dismiss"'),
        ):
            with self.subTest(step):
                self.assertIn(text, of_step(step))

    def test_all_are_reported_in_their_order(self) -> None:
        found = of_step({"clik": "a"}, {"press": "Entr"}).splitlines()
        self.assertEqual([line.split()[0] for line in found], ["steps[0].clik", "steps[1].press"])


class Values(unittest.TestCase):
    def test_a_play(self) -> None:
        document = {
            "version": 1,
            "x-note": "kept out",
            "serve": {"run": "serve {port}"},
            "steps": [STEP, {"measure": "ms", "script": "return 1", "timeout_seconds": 9}],
        }
        got = play.parse(json.dumps(document).encode(), where="/tmp/a/play.json")
        self.assertEqual(got.base, "http://127.0.0.1:{port}")
        self.assertEqual(got.serve, play.ServeCommand("serve {port}", "/", 20.0))
        self.assertEqual((got.name, got.folder), ("play.json", "/tmp/a"))
        opening, measure = got.steps
        self.assertEqual((opening.kind, opening.timeout), ("open", 20.0))
        self.assertEqual(measure, play.PlayStep("measure", "ms", {"script": "return 1"}, 9.0))

    def test_any_json_can_be_what_a_script_returns(self) -> None:
        for value in ([1, [2, {"a": [None]}]], {"a": [[1]]}, None, "x"):
            self.assertEqual(of_step(PAGE, {"script": "return 1", "equals": value}), "")

    def test_locators(self) -> None:
        for source, kind, value, name in (
            ("#a > b", "css", "#a > b", None),
            ("a[href=x]", "css", "a[href=x]", None),
            ("text= You   won ", "text", "You won", None),
            ("role=button[name=Start]", "role", "button", "Start"),
            ("role=button[name='a]b']", "role", "button", "a]b"),
            ("role=button", "role", "button", None),
            ("label=Name", "label", "Name", None),
        ):
            with self.subTest(source):
                found = locators.parse(source)
                self.assertEqual((found.kind, found.value, found.name), (kind, value, name))
                self.assertEqual(list(locators.check(source)), [])

    def test_keys(self) -> None:
        self.assertEqual(keys.split("Control+Shift+A"), (["Control", "Shift"], "A"))
        self.assertEqual(keys.split("+"), ([], "+"))
        self.assertEqual(keys.split("Control++"), (["Control"], "+"))
        self.assertEqual(keys.event("a", 0)["code"], "KeyA")
        self.assertEqual(keys.event("a", 2)["text"], "")


class OneColour(unittest.TestCase):
    """Every way in which a PNG can filter rows of one colour, and rows that are not."""

    def test_rows(self) -> None:
        pixel, width = bytes((200, 7, 99)), 5
        first = list(pictures._rows(pixel, width, above=False))
        later = list(pictures._rows(pixel, width, above=True))
        for one in first:
            for other in later:
                self.assertTrue(pictures.is_one_colour(_png(width, 3, one + other * 2)))
        wrong = later[2][:-1] + b"\1"
        self.assertFalse(pictures.is_one_colour(_png(width, 3, first[0] + wrong + later[2])))
        self.assertFalse(pictures.is_one_colour(_png(width, 2, first[0] + b"\0" + bytes(15))))

    def test_they_are_what_a_decoder_makes_of_them(self) -> None:
        pixel, width = bytes((200, 7, 99)), 5
        plain = pixel * width
        for above, before in ((False, bytes(15)), (True, plain)):
            for row in pictures._rows(pixel, width, above=above):
                self.assertEqual(_unfiltered(row, before), plain, row[0])


def _png(width: int, height: int, rows: bytes) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _unfiltered(row: bytes, above: bytes) -> bytes:
    """As the standard says it, byte by byte."""
    kind, data, out = row[0], row[1:], bytearray()
    for position, value in enumerate(data):
        left = out[position - 3] if position >= 3 else 0
        up = above[position]
        corner = above[position - 3] if position >= 3 else 0
        estimate = left + up - corner
        paeth = min((left, up, corner), key=lambda one: abs(estimate - one))
        out.append((value + (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
    return bytes(out)


if __name__ == "__main__":
    unittest.main()
