"""The pictures in assets/: sizes, and SVGs that stand alone."""

from __future__ import annotations

import glob
import os
import re
import struct
import unittest
import xml.etree.ElementTree as ET

from support import ROOT

ASSETS = os.path.join(ROOT, "assets")
SVG = "{http://www.w3.org/2000/svg}"
SIZES = {  # width and height in pixels
    "openloop-logo.png": (1200, 256),
    "openloop-social-preview.png": (1280, 640),
    "openloop-mark.png": (512, 512),
    "openloop-icon.png": (64, 64),
}
# what has a picture fetch, run or embed something
FOREIGN = ("script", "foreignObject", "image", "feImage", "iframe", "animate", "set", "a")


def svgs() -> list[str]:
    return sorted(glob.glob(os.path.join(ASSETS, "*.svg")))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class Pngs(unittest.TestCase):
    def test_sizes(self) -> None:
        """The signature, then the IHDR chunk: width, height, and 8 bits of RGBA or RGB."""
        self.assertEqual({os.path.basename(p) for p in glob.glob(f"{ASSETS}/*.png")}, set(SIZES))
        for name, size in SIZES.items():
            with self.subTest(name=name):
                data = read(os.path.join(ASSETS, name))
                self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
                self.assertEqual(data[12:16], b"IHDR")
                width, height, bits, colours = struct.unpack(">IIBB", data[16:26])
                self.assertEqual((width, height), size)
                self.assertEqual(bits, 8)
                self.assertIn(colours, (2, 6))
                self.assertEqual(data[-8:-4], b"IEND")

    def test_each_is_rendered_by_the_script(self) -> None:
        """With the size that is asked for here, from an SVG that is there."""
        script = read(os.path.join(ROOT, "scripts", "render_assets.sh")).decode()
        rendered = re.findall(r"^render (\S+) (\S+) (\d+) (\d+)$", script, re.MULTILINE)
        self.assertEqual({png: (int(w), int(h)) for _, png, w, h in rendered}, SIZES)
        for source, *_ in rendered:
            self.assertIn(os.path.join(ASSETS, source), svgs())


class Svgs(unittest.TestCase):
    def test_there_are_some(self) -> None:
        names = {os.path.basename(path) for path in svgs()}
        self.assertLessEqual({"openloop-logo.svg", "openloop-mark.svg"}, names)

    def test_each_stands_alone(self) -> None:
        for path in svgs():
            with self.subTest(path=os.path.basename(path)):
                text = read(path).decode()
                root = ET.fromstring(text)
                self.assertEqual(root.tag, f"{SVG}svg")
                self.assertIn("viewBox", root.attrib)
                self.assertTrue((root.findtext(f"{SVG}title") or "").strip())
                self.assertEqual(re.findall(r"@import|@font-face|<!DOCTYPE|<\?xml-style", text), [])
                for target in re.findall(r"url\(([^)]*)\)", text):
                    self.assertTrue(target.startswith("#"), target)
                for element in root.iter():
                    self.assertTrue(element.tag.startswith(SVG), element.tag)
                    self.assertNotIn(element.tag.removeprefix(SVG), FOREIGN)
                    for name, value in element.attrib.items():
                        self.check_attribute(name, value)

    def check_attribute(self, name: str, value: str) -> None:
        if name.rpartition("}")[2] in ("href", "src"):
            self.assertTrue(value.startswith("#"), value)
        self.assertFalse(name.startswith("on"), name)
        self.assertNotIn("://", value)

    def test_ids_that_are_used_are_there(self) -> None:
        for path in svgs():
            with self.subTest(path=os.path.basename(path)):
                root = ET.fromstring(read(path))
                ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
                self.assertEqual(len(ids), len(set(ids)))
                used = {e.attrib["href"][1:] for e in root.iter() if "href" in e.attrib}
                self.assertLessEqual(used, set(ids))


if __name__ == "__main__":
    unittest.main()
