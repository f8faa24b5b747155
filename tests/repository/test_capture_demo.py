"""The script that draws the terminal picture: its screen, its SVG, a real terminal."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import unittest
import xml.etree.ElementTree as ET
from types import ModuleType

from support import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def _load() -> ModuleType:
    path = os.path.join(ROOT, "scripts", "capture_demo.py")
    spec = importlib.util.spec_from_file_location("capture_demo", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


capture = _load()


def shown(written: str) -> list[str]:
    terminal = capture.Terminal()
    terminal.feed(written)
    return ["".join(character for character, _ in line) for line in terminal.lines]


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


class Screen(unittest.TestCase):
    def test_a_live_line_is_gone_when_it_was_redrawn(self) -> None:
        self.assertEqual(shown("live 1\r\x1b[2Klive 2\r\x1b[2Kdone\r\n"), ["done", ""])

    def test_writing_over_a_line_leaves_its_end(self) -> None:
        self.assertEqual(shown("12345\rab"), ["ab345"])

    def test_colours_are_kept_with_their_characters(self) -> None:
        terminal = capture.Terminal()
        terminal.feed("a\x1b[31mb\x1b[0mc")
        self.assertEqual(terminal.lines, [[("a", ""), ("b", "red"), ("c", "")]])

    def test_what_it_does_not_know_is_no_text(self) -> None:
        for sequence in ("\x1b[3A", "\x1b]0;title\x07", "\x07", "\x1b[99m"):
            with self.subTest(sequence=sequence), self.assertRaises(ValueError):
                shown(f"text {sequence}")

    def test_the_run_is_cut_out_of_the_demo(self) -> None:
        terminal = capture.Terminal()
        terminal.feed("before\n$ openloop run ws\nround 1\n\n=== 4. next\nafter\n")
        lines = ["".join(c for c, _ in line) for line in capture.run_of(terminal.lines)]
        self.assertEqual(lines, ["$ openloop run ws", "round 1"])


class Picture(unittest.TestCase):
    def draw(self, written: str) -> str:
        terminal = capture.Terminal()
        terminal.feed(written)
        return str(capture.picture(terminal.lines))

    def test_markup_in_the_output_stays_text(self) -> None:
        hostile = "</text><script>alert(1)</script> & ]]> \"'"
        svg = self.draw(f"\x1b[31m{hostile}\x1b[0m {hostile}")
        self.assertEqual(texts(svg), [f"{hostile} {hostile}"])
        self.assertEqual([e for e in ET.fromstring(svg).iter() if "script" in e.tag], [])

    def test_a_long_line_is_one_text_of_several_rows(self) -> None:
        line = "0123456789" * 20
        svg = self.draw(line)
        self.assertEqual(texts(svg), [line])
        rows = [e for e in ET.fromstring(svg).iter(f"{SVG}tspan") if "y" in e.attrib]
        self.assertEqual(len(rows), 3)
        self.assertEqual(len({row.attrib["y"] for row in rows}), 3)

    def test_every_colour_of_the_program_has_a_style(self) -> None:
        from openloop.views.console import _COLOURS

        self.assertEqual({code: name for name, code in _COLOURS.items()}, capture.STYLES)
        svg = self.draw("nothing")
        for style in capture.STYLES.values():
            self.assertIn(f".{style} {{", svg)

    def test_the_picture_in_assets_is_one_of_this_script(self) -> None:
        """The same frame, and the same text when it is drawn again from that text."""
        with open(capture.PICTURE, encoding="utf-8") as file:
            svg = file.read()
        frame = re.compile(r"^  <text.*\n", re.MULTILINE)
        again = self.draw("\n".join(texts(svg)))
        self.assertEqual(frame.sub("", svg), frame.sub("", again))


class RealTerminal(unittest.TestCase):
    def test_the_command_sees_a_terminal_of_the_given_width(self) -> None:
        program = (
            "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size(1).columns);"
            " sys.exit(3)"
        )
        code, written = capture.record([sys.executable, "-c", program])
        self.assertEqual((code, written), (3, f"True {capture.COLUMNS}\r\n"))


if __name__ == "__main__":
    unittest.main()
