"""Takes pictures of a page once it stands still, checks them, and compares them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openloop.browser import targets
from openloop.browser.failure import BrowserRefused, Failure
from openloop.browser.page import Page
from openloop.browser.pipe import Pipe
from openloop.browser.plays import locators
from openloop.core.clock import monotonic

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type → bytes of a pixel of 8 bits a channel
_LARGEST = 64 << 20  # bytes of pixels that are looked at
_QUALITY = 60  # of a JPEG, in percent


def capture_when_still(
    page: Page, options: Mapping[str, Any], patience: float, within: float
) -> bytes:
    """A PNG of the page, once two in a row are equal or the patience has run out. within: how
    long the page may take for one. Both in seconds."""
    how = _how(page, options, within)
    frames = page.frames()
    _try_injected(page, frames, "freeze")
    try:
        deadline = monotonic() + patience
        before = _shot(page, how, within)
        while (now := _shot(page, how, within)) != before and monotonic() < deadline:
            before = now
        return base64.b64decode(now)
    finally:
        _try_injected(page, frames, "thaw")


def capture_now(page: Page, kind: str, within: float) -> bytes:
    """A picture of the page as it is now, a "png" or "jpeg". within: seconds. Raises NoAnswer,
    BrowserRefused, Gone."""
    how = {"quality": _QUALITY} if kind == "jpeg" else {}
    answer = page.call(
        "Page.captureScreenshot", within=within, format=kind, optimizeForSpeed=True, **how
    )
    return base64.b64decode(answer["data"])


def _how(page: Page, options: Mapping[str, Any], within: float) -> dict[str, Any]:
    if "at" in options:
        spot = targets.wait_until_actionable(
            page, locators.parse(options["at"]), within, anywhere=True
        )
        box = page.call_injected(spot.frame, "box")
        return {"clip": {**box, "scale": 1}}
    return {"captureBeyondViewport": True} if options.get("full") else {}


def _try_injected(page: Page, frames: list[str], function: str) -> None:
    for frame in frames:
        try:
            page.call_injected(frame, function)
        except BrowserRefused:  # the frame has gone
            continue


def _shot(page: Page, how: Mapping[str, Any], within: float) -> str:
    full = how.get("captureBeyondViewport")
    extra = dict(how)
    if full:
        size = page.call("Page.getLayoutMetrics", within=within)["cssContentSize"]
        extra["clip"] = {**size, "scale": 1}
    answer = page.call(
        "Page.captureScreenshot", within=within, format="png", optimizeForSpeed=True, **extra
    )
    return str(answer["data"])


# --- one colour ---------------------------------------------------------------------------


def is_one_colour(png: bytes) -> bool:
    """Whether every pixel of the picture is the same.

    Rows of a PNG are filtered, and a row of one colour below another one can be filtered in five
    ways only: so each row is compared with those, and nothing is decoded.
    """
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    size = _CHANNELS.get(colour, 0)
    if depth != 8 or not size or width * height * size > _LARGEST:
        return False
    rows = zlib.decompress(b"".join(_data(png)))
    length = width * size + 1
    pixel = rows[1 : size + 1]
    allowed = set(_rows(pixel, width, above=False))
    for start in range(0, len(rows), length):
        if rows[start : start + length] not in allowed:
            return False
        allowed = set(_rows(pixel, width, above=True)) if start == 0 else allowed
    return True


def _rows(pixel: bytes, width: int, *, above: bool) -> Iterator[bytes]:
    """The ways in which a PNG can filter a row of one colour. above: whether an equal row is above
    it."""
    nothing = bytes(len(pixel))
    half = bytes(value - value // 2 for value in pixel)
    rest = nothing * (width - 1)
    yield b"\0" + pixel * width
    yield b"\1" + pixel + rest
    yield b"\2" + (nothing if above else pixel) * width
    yield b"\3" + (half + rest if above else pixel + half * (width - 1))
    yield b"\4" + (nothing if above else pixel) + rest


def _data(png: bytes) -> Iterator[bytes]:
    """The image data of a PNG."""
    if not png.startswith(_SIGNATURE):
        return
    position = len(_SIGNATURE)
    while position + 8 <= len(png):
        size, kind = struct.unpack(">I4s", png[position : position + 8])
        if kind == b"IDAT":
            yield png[position + 8 : position + 8 + size]
        position += 12 + size


# --- comparison ---------------------------------------------------------------------------

# Colours are compared as they stand in the files. A channel may be off by as much as two programs
# that round differently are.
_COMPARE = """
async (one, other) => {
  const read = async (data) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const options = {colorSpaceConversion: "none", premultiplyAlpha: "none"};
    const bitmap = await createImageBitmap(new Blob([bytes], {type: "image/png"}), options);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return {canvas, context, ...{width: bitmap.width, height: bitmap.height}};
  };
  const wanted = await read(one), seen = await read(other);
  if (wanted.width !== seen.width || wanted.height !== seen.height) {
    const size = ({width, height}) => `${width} x ${height}`;
    return {sizes: [size(wanted), size(seen)]};
  }
  const pixels = ({context, width, height}) => context.getImageData(0, 0, width, height);
  const left = pixels(wanted), right = pixels(seen), marked = pixels(seen);
  let different = 0;
  for (let at = 0; at < left.data.length; at += 4) {
    let off = 0;
    for (let c = 0; c < 4; c++) {
      off = Math.max(off, Math.abs(left.data[at + c] - right.data[at + c]));
    }
    if (off > 2) {
      different++;
      marked.data.set([255, 0, 80, 255], at);
    } else {
      for (let c = 0; c < 3; c++) marked.data[at + c] = 191 + marked.data[at + c] / 4;
    }
  }
  seen.context.putImageData(marked, 0, 0);
  const blob = await seen.canvas.convertToBlob({type: "image/png"});
  const reader = new FileReader();
  const url = await new Promise((done) => {
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
  return {different, all: left.data.length / 4, picture: url.slice(url.indexOf(",") + 1)};
}
"""


@dataclass(frozen=True, slots=True)
class PictureComparison:
    """The difference of two pictures. different: the share of the pixels, from 0 to 1. picture: a
    PNG that marks them. sizes: of both pictures, when they differ."""

    different: float
    picture: bytes = b""
    sizes: tuple[str, ...] = ()


class PictureComparer:
    """Compares pictures in a page of its own, which no page of the play can reach."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._session = ""

    def compare(self, wanted: bytes, seen: bytes, within: float) -> PictureComparison:
        """The difference between two pictures. Raises Failure when one of them cannot be
        decoded."""
        if not self._session:
            self._session = self._open()
        texts = [base64.b64encode(png).decode() for png in (wanted, seen)]
        expression = f'({_COMPARE})("{texts[0]}", "{texts[1]}")'
        answer = self._pipe.call(
            "Runtime.evaluate",
            self._session,
            within=within,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise Failure("one of the pictures cannot be read as a PNG")
        found = answer["result"]["value"]
        if "sizes" in found:
            return PictureComparison(1.0, sizes=tuple(found["sizes"]))
        part = found["different"] / found["all"]
        return PictureComparison(part, base64.b64decode(found["picture"]))

    def _open(self) -> str:
        context = self._pipe.call("Target.createBrowserContext")["browserContextId"]
        target = self._pipe.call(
            "Target.createTarget", url="about:blank", browserContextId=context
        )["targetId"]
        attached = self._pipe.call("Target.attachToTarget", targetId=target, flatten=True)
        return str(attached["sessionId"])
