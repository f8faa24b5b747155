"""What the sandbox costs a change: changes that do nothing, in it and outside of it, in turn.

    python3 scripts/sandbox_cost.py [TURNS]

Each turn is a run of ten rounds with the sandbox and one without. Prints the medians and the best
times in milliseconds, from the record of a change's start to that of its end.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

SRC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")
ROUNDS = 10


def changes(folder: str, sandbox: str) -> list[float]:
    """Milliseconds of every change of one run."""
    workspace = os.path.join(folder, "ws")
    for name in ("ws", "project/src", "project/tests"):
        os.makedirs(os.path.join(folder, name))
    document = {
        "version": 1,
        "project_root": "project",
        "total_rounds": ROUNDS,
        "commands": {"scan": "false", "fix": "true", "verify": "false"},
        "policy": {"sandbox": sandbox, "protect": ["tests/**"]},
        "limits": {"max_consecutive_failures": ROUNDS + 1},
    }
    with open(os.path.join(workspace, "openloop.json"), "w", encoding="utf-8") as file:
        json.dump(document, file)
    subprocess.run(
        [sys.executable, "-m", "openloop", "run", workspace, "--quiet"],
        env={**os.environ, "PYTHONPATH": SRC},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    with open(os.path.join(workspace, "events.jsonl"), encoding="utf-8") as file:
        events = [event for event in map(json.loads, file) if event["step"] == "fix"]
    at = {kind: [e["elapsed"] for e in events if e["event"] == kind] for kind in KINDS}
    return [1000 * (end - start) for start, end in zip(*at.values(), strict=True)]


KINDS = ("step_started", "step_finished")


def main(turns: int) -> None:
    found: dict[str, list[float]] = {"none": [], "bwrap": []}
    for _ in range(turns):
        for sandbox, times in found.items():
            with tempfile.TemporaryDirectory() as folder:
                times += changes(folder, sandbox)
    for sandbox, times in found.items():
        median, best = statistics.median(times), min(times)
        print(f"{sandbox:<6} {len(times)} changes, median {median:.0f} ms, best {best:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
