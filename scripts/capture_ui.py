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
SIZES = {"wide": (1200, 760), "middle": (800, 760), "narrow": (340, 760)}
BREAKER = {"max_consecutive_failures": 2}
LOOPS = {
    "parser": {
        "mission": "Every test of the parser passes",
        "commands": {
            "scan": "echo 41 tests",
            "fix": "echo found the cause in tokens.py; sleep 0.2",
            "verify": "echo 41 tests; test $OPENLOOP_ROUND -gt 1",
        },
        "total_rounds": 4,
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
    "mission": "The game can be played to its end",
    "commands": {"verify": "for i in $(seq 9999); do echo level $i passed; sleep 0.2; done"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the pictures of the web page.")
    parser.add_argument("--out", default=os.path.join(ROOT, "assets", "ui"))
    out = os.path.abspath(parser.parse_args().out)
    with tempfile.TemporaryDirectory() as folder:
        for name, config in LOOPS.items():
            words = [*OPENLOOP, "run", made(folder, name, config), "--quiet"]
            subprocess.run(words, env=ENV, check=False)  # two of them do not complete
        live = subprocess.Popen([*OPENLOOP, "run", made(folder, "game", LIVE), "--quiet"], env=ENV)
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
    return path


def take(folder: str, address: str, out: str, name: str, viewport: dict[str, object]) -> None:
    """The overview and one loop, in one size and scheme."""
    base, _, token = address.partition("/?token=")
    scheme = "dark" if viewport["dark"] else "light"
    steps = [
        {"open": f"/?token={token}", "url": "/"},
        {"expect": {"text": "4 loops"}},
        {"screenshot": f"loops-{name}-{scheme}"},
        {"click": "text=The solver scores"},
        {"expect": {"text": "Timeline"}},
        {"screenshot": f"loop-{name}-{scheme}"},
    ]
    play = os.path.join(folder, "play.json")
    with open(play, "w", encoding="utf-8") as file:
        json.dump({"version": 1, "base": base, "viewport": viewport, "steps": steps}, file)
    kept = os.path.join(folder, "pictures")
    subprocess.run([*OPENLOOP, "browse", play, "--out", kept], env=ENV, check=True)
    for picture in os.listdir(kept):
        if picture.startswith(("loops-", "loop-")):
            os.replace(os.path.join(kept, picture), os.path.join(out, picture))


if __name__ == "__main__":
    sys.exit(main())
