#!/usr/bin/env python3
"""Draw assets/openloop-demo.svg: what a terminal shows at the end of the demo's run.

    python scripts/capture_demo.py [FILE]

Runs scripts/demo.sh on a pseudo-terminal, follows on a small screen of its own what is written
there, and takes the rows of `openloop run`. Live lines that were redrawn are gone by then, as for
a person. Two captures differ in durations and in the head of the record, and in nothing else.
Ends with 1 when the demo did not end complete.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, "scripts", "demo.sh")
PICTURE = os.path.join(ROOT, "assets", "openloop-demo.svg")
FIRST, AFTER = "$ openloop run", "==="  # the rows that are shown: from one that begins so …
COLUMNS = 84  # of the terminal; a longer line goes on in the next row
COLUMN, ROW, MARGIN, BAR = 9.2, 21, 20, 34  # of the picture, in its units
STYLES = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow"}
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")

Cell = tuple[str, str]  # a character and its style, "" for none


@dataclass
class Terminal:
    """The part of a terminal that OpenLoop uses: lines, `\\r`, erase line, colours."""

    lines: list[list[Cell]] = field(default_factory=lambda: [[]])
    column: int = 0
    style: str = ""

    def feed(self, text: str) -> None:
        """Raises ValueError at a control sequence that this terminal does not know."""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                sequence = _ESCAPE.match(text, at)
                if sequence is None:
                    raise ValueError(f"unknown escape sequence {text[at : at + 12]!r}")
                self._control(sequence[1], sequence[2])
                at = sequence.end()
            else:
                self._character(text[at])
                at += 1

    def _control(self, numbers: str, letter: str) -> None:
        if letter == "K" and numbers == "2":
            self.lines[-1].clear()
        elif letter == "m" and numbers in ("", "0"):
            self.style = ""
        elif letter == "m" and numbers in STYLES:
            self.style = STYLES[numbers]
        else:
            raise ValueError(f"unknown control sequence ESC[{numbers}{letter}")

    def _character(self, character: str) -> None:
        if character == "\n":
            self.lines.append([])
            self.column = 0
        elif character == "\r":
            self.column = 0
        elif not character.isprintable():
            raise ValueError(f"unknown control character {character!r}")
        else:
            line = self.lines[-1]
            line += [(" ", "")] * (self.column - len(line))
            line[self.column : self.column + 1] = [(character, self.style)]
            self.column += 1


def main(words: list[str]) -> int:
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print(__doc__)
        return 0 if words in (["-h"], ["--help"]) else 2
    code, written = record([DEMO])
    if code != 0:
        print(f"error: the demo ended with {code}\n{written}", file=sys.stderr)
        return 1
    terminal = Terminal()
    terminal.feed(written)
    path = words[0] if words else PICTURE
    with open(path, "w", encoding="utf-8") as file:
        file.write(picture(run_of(terminal.lines)))
    print(path)
    return 0


def record(command: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of its own: (exit code, what it wrote there)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    # A session of its own, so that nothing of it reads from the terminal that we sit at.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**plain, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    ) as process:
        os.close(theirs)
        data = b""
        while chunk := _read(ours):
            data += chunk
    os.close(ours)
    return process.returncode, data.decode()


def _read(terminal: int) -> bytes:
    """What was written next; nothing once the last writer has gone (EIO on Linux)."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def run_of(lines: list[list[Cell]]) -> list[list[Cell]]:
    """The lines of the run, without empty ones around them."""
    texts = ["".join(character for character, _ in line) for line in lines]
    first = next(i for i, text in enumerate(texts) if text.startswith(FIRST))
    after = next(i for i, text in enumerate(texts) if i > first and text.startswith(AFTER))
    while not texts[after - 1].strip():
        after -= 1
    return lines[first:after]


def picture(lines: list[list[Cell]]) -> str:
    """The SVG. A line is one text, so that it is selected and copied whole, however many rows."""
    y = BAR + MARGIN + 8
    texts = []
    for line in lines:
        rows = [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)] or [[]]
        spans = "".join(_row(row, y + ROW * number) for number, row in enumerate(rows))
        texts.append(f'  <text xml:space="preserve">{spans}</text>\n')
        y += ROW * len(rows)
    width = round(2 * MARGIN + COLUMN * COLUMNS)
    return FRAME.format(
        width=width,
        height=y,
        inner_width=width - 1,
        inner_height=y - 1,
        bar=BAR,
        bar_right=width - 9,
        row=ROW,
        texts="".join(texts),
    )


def _row(row: list[Cell], y: int) -> str:
    """A row at its place; its length is given, whatever monospace font the reader has."""
    if not row:
        return ""
    spans = "".join(_span(text, style) for text, style in _runs(row))
    length = f"{COLUMN * len(row):.1f}"
    return f'<tspan x="{MARGIN}" y="{y}" textLength="{length}">{spans}</tspan>'


def _span(text: str, style: str) -> str:
    return f'<tspan class="{style}">{escape(text)}</tspan>' if style else escape(text)


def _runs(row: list[Cell]) -> list[tuple[str, str]]:
    """Neighbours of one style together: (text, style)."""
    runs: list[tuple[str, str]] = []
    for character, style in row:
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + character, style)
        else:
            runs.append((character, style))
    return runs


FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-labelledby="title">
  <title id="title">A terminal: openloop run repairs the broken demo in two rounds</title>

  <!-- Drawn by scripts/capture_demo.py from a real run. -->
  <style>
    .window {{ fill: #0d1117; stroke: #30363d }}
    .bar {{ fill: #161b22 }}
    .loop {{ fill: #7f89ff }}
    .gate {{ fill: none; stroke: #2bbd86; stroke-width: 8 }}
    text {{
      font: 15px/{row}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
      fill: #d1d7de;
      white-space: pre;
    }}
    .bold {{ font-weight: bold }}
    .dim {{ fill: #8b949e }}
    .red {{ fill: #ff7b72 }}
    .green {{ fill: #3fb950 }}
    .yellow {{ fill: #d29922 }}
  </style>

  <rect class="window" x=".5" y=".5" width="{inner_width}" height="{inner_height}" rx="8"/>
  <path class="bar" d="M1 {bar}V9a8 8 0 0 1 8 -8H{bar_right}a8 8 0 0 1 8 8V{bar}Z"/>
  <g transform="translate(12 7) scale(.32)">
    <path class="loop" d="M16 51A28 28 0 1 1 48 51V48A16 16 0 0 0 46.7 41.6
                          A20 20 0 1 0 17.3 41.6A16 16 0 0 0 16 48Z"/>
    <path class="gate" d="M24 64V48a8 8 0 0 1 16 0V64"/>
  </g>
{texts}</svg>
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
