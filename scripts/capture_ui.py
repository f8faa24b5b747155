#!/usr/bin/env python3
"""Take the pictures of the web page in assets/ui/: real loops, played in Chromium.

Usage: scripts/capture_ui.py [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENV = {**os.environ, "PYTHONPATH": os.path.join(ROOT, "src"), "PYTHONUNBUFFERED": "1"}
OPENLOOP = (sys.executable, "-m", "openloop")
SIZES = {"wide": (1280, 800), "middle": (768, 800), "narrow": (320, 800)}
BREAKER = {"max_consecutive_failures": 2}
# Draws the page that a game shows after so many levels: bars, the last one lit.
DRAW = """
import os, struct, sys, zlib
level, width, height = int(sys.argv[1]), 320, 180
def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
def pixel(x, y):
    if x // 64 < level and y > 140 - 24 * (x // 64) and x % 64 > 8:
        return (64, 160, 110) if x // 64 == level - 1 else (52, 98, 160)
    return (24, 26, 32)
rows = b"".join(b"\\0" + bytes(c for x in range(width) for c in pixel(x, y)) for y in range(height))
parts = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
parts += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
with open(os.environ["OPENLOOP_ATTACHMENTS"] + "/end.png", "wb") as file:
    file.write(b"\\x89PNG\\r\\n\\x1a\\n" + parts)
"""
LOOPS = {
    "levels": {
        "mission": "Every level of the game can be played",
        "commands": {
            "play": f"{sys.executable} draw.py $OPENLOOP_ROUND; echo level $OPENLOOP_ROUND reached",
            "fix": "echo LEVELS = $OPENLOOP_ROUND > levels.py; echo the door of level 2 opens now",
            "verify": "echo 41 tests; test $OPENLOOP_ROUND -gt 2",
        },
        "policy": {"protect": ["tests/**"]},
        "total_rounds": 5,
    },
    "solver": {
        "mission": "The solver scores 0.9 on the benchmark",
        "commands": {"verify": "echo ok", "improve": "sleep 0.1; echo another heuristic"},
        "baseline": {
            "command": "echo score=0.$((4 + OPENLOOP_ROUND))",
            "regex": r"score=([0-9.]+)",
            "value": 0.9,
        },
        "total_rounds": 4,
    },
    "docs": {
        "mission": "Every document matches its schema",
        "commands": {"fix": "echo tried", "verify": "echo 'error: unknown key'; exit 1"},
        "limits": BREAKER,
        "total_rounds": 4,
    },
}
LIVE = {
    "mission": "Every test of the parser passes",
    "commands": {
        "verify": "for i in $(seq 9999); do "
        "printf 'test_token_%03d \\033[32mok\\033[0m\\n' $i; sleep 0.1; done"
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the pictures of the web page.")
    parser.add_argument("--out", default=os.path.join(ROOT, "assets", "ui"))
    out = os.path.abspath(parser.parse_args().out)
    with tempfile.TemporaryDirectory() as folder:
        for name, config in LOOPS.items():
            words = [*OPENLOOP, "run", made(folder, name, config), "--quiet"]
            subprocess.run(words, env=ENV, check=False)  # two of them do not complete
        live = subprocess.Popen(
            [*OPENLOOP, "run", made(folder, "parser", LIVE), "--quiet"], env=ENV
        )
        words = [*OPENLOOP, "ui", folder, "--port", "0", "--no-open"]
        page = subprocess.Popen(words, env=ENV, stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(3)  # so that the live log holds something to see
            assert page.stdout
            address = page.stdout.readline().strip()
            for name, (width, height) in SIZES.items():
                for dark in (False, True):
                    viewport = {"width": width, "height": height, "dark": dark}
                    take(folder, address, out, name, viewport)
        finally:
            for process in (live, page):
                process.terminate()
                process.wait()
    return 0


def made(folder: str, name: str, config: dict[str, object]) -> str:
    """A workspace; returns its path."""
    path = os.path.join(folder, name, ".openloop", name)
    os.makedirs(path)
    with open(os.path.join(path, "openloop.json"), "w", encoding="utf-8") as file:
        json.dump({"version": 1, **config}, file)
    with open(os.path.join(folder, name, "draw.py"), "w", encoding="utf-8") as file:
        file.write(DRAW)
    return path


def take(folder: str, address: str, out: str, name: str, viewport: dict[str, object]) -> None:
    """The overview, a loop, a step and a live log, in one size and scheme."""
    base, _, token = address.partition("/?token=")
    scheme = "dark" if viewport["dark"] else "light"
    steps = [
        {"open": f"/?token={token}", "url": "/"},
        {"expect": {"text": "4 loops"}},
        {"screenshot": f"loops-{name}-{scheme}"},
        {"click": "text=The solver scores"},
        {"expect": {"text": "Timeline"}},
        {"screenshot": f"loop-{name}-{scheme}"},
        {"click": "text=OpenLoop"},
        {"click": "text=Every level"},
        {"click": "text=diff: 1 file"},
        {"expect": {"at": ".diff.added", "text": "LEVELS"}},
        {"script": "document.querySelector('[data-round]').scrollIntoView(); return true"},
        {"screenshot": f"step-{name}-{scheme}"},
        {"click": "text=OpenLoop"},
        {"click": "text=Every test"},
        {"click": 'text="log"'},
        {"expect": {"at": ".log", "text": "test_token"}},
        {"screenshot": f"log-{name}-{scheme}"},
    ]
    play = os.path.join(folder, "play.json")
    with open(play, "w", encoding="utf-8") as file:
        json.dump({"version": 1, "base": base, "viewport": viewport, "steps": steps}, file)
    kept = os.path.join(folder, "pictures")
    subprocess.run([*OPENLOOP, "browse", play, "--out", kept], env=ENV, check=True)
    for picture in os.listdir(kept):
        if picture.startswith(("loops-", "loop-", "step-", "log-")):
            os.replace(os.path.join(kept, picture), os.path.join(out, picture))


if __name__ == "__main__":
    sys.exit(main())
