"""play.html: each step and its picture, in one file that needs no other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from openloop.core.text import printable

MOST = 24 << 20  # bytes of pictures after which only that of a failure is added
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em;
  color: #1d2733; background: #fff }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(15em, 1fr)); gap: 1em;
  list-style: none; padding: 0 }
li { border: 1px solid #cbd3dc; border-radius: 6px; padding: .6em; overflow-wrap: anywhere }
li.failed { border-color: #c4314b; border-width: 2px }
img { width: 100%; border: 1px solid #e3e8ee; display: block; margin-bottom: .4em }
.failed b { color: #c4314b }
small { color: #5b6877 }
pre { background: #f3f5f8; padding: .8em; overflow: auto; max-height: 24em }
@media (prefers-color-scheme: dark) {
  body { color: #dbe2ea; background: #14181d }
  pre { background: #1d232b }
  li { border-color: #3a4451 }
  .failed b { color: #ff7b8f }
}
"""


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """One step. image: its bytes, PNG or JPEG; b"" for none. notes: lines below."""

    title: str
    passed: bool
    seconds: float
    image: bytes
    notes: Sequence[str]


def document(name: str, verdict: str, frames: Sequence[FilmFrame], console: bytes) -> bytes:
    """The page. console: the text of console.log."""
    items = [_item(number, frame) for number, frame in enumerate(frames, 1)]
    console_text = console[-65536:].decode(errors="replace")
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{_text(name)}</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>{_STYLE}</style></head><body>
<h1>{_text(name)}</h1><p>{_text(verdict)}</p>
<ol>
{"".join(items)}</ol>
<h2>Console</h2>
<pre>{escape(console_text) if console_text else "(nothing)"}</pre>
</body></html>
"""
    return text.encode(errors="backslashreplace")


def _item(number: int, frame: FilmFrame) -> str:
    kind = "passed" if frame.passed else "failed"
    notes = "".join(f"<br>{_text(note)}" for note in frame.notes)
    picture = _picture(frame.image, frame.title)
    return (
        f'<li class="{kind}">{picture}<b>{number}. {_text(frame.title)}</b>'
        f"{notes}<br><small>{kind}, {frame.seconds:.2f} s</small></li>\n"
    )


def _picture(image: bytes, title: str) -> str:
    if not image:
        return ""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(image).decode()
    return f'<img alt="{_text(title)}" src="data:image/{kind};base64,{data}">'


def _text(words: str) -> str:
    return escape(printable(words))
