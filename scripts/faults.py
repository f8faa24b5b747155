#!/usr/bin/env python3
"""Provoke faults against the real program and print one table of what came of them.

    python scripts/faults.py [--quick | --full] [--only FAMILY]… [--seed N] [--json] [--load]

For each fault: how often it was provoked, how often something was violated that must hold, and
the worst latency. Ends with 1 when anything was violated, with 2 on bad usage. Each violation is
reported with its seed; the same seed and family provoke the same again. Made for Linux; the tries
that need root, and have none, are left out and say so.

Faults inside of the runner are injected by a wrapper that starts it (faults/injected.py): it
counts the runner's durable calls and dies, or fails them, at a chosen one. The product holds
nothing for this, and no tracer has to be installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "src"), os.path.join(ROOT, "tests")]

from faults.bench import Bench, Row  # noqa: E402 - the paths come first

from openloop.cli.arguments import positive  # noqa: E402
from support import own_mounts  # noqa: E402

FAMILIES = (
    "kills",
    "trees",
    "signals",
    "damage",
    "intruders",
    "scarcity",
    "floods",
    "oom",
    "fuzz",
    "leaks",
    "fleet",
    "engines",
    "browser",
)
QUICK_FAMILIES = 4  # at once in the quick mode: most of their time they wait
SHOWN = 10  # violations of a fault that are listed one by one
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def main() -> int:
    args = _arguments()
    began = time.monotonic()
    mounts = own_mounts()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-faults-"))
    os.chmod(folder, 0o755)  # some tries are another user's
    bench = Bench(args.full, args.seed, folder, args.load, args.jobs, mounts)
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(2 * args.load)]
    try:
        rows = list(_provoke(bench, args.only or FAMILIES))
    finally:
        for each in spinning:
            each.kill()
            each.wait()
    violated = sum(len(row.violations) for row in rows)
    if not violated:
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        print(json.dumps(_document(bench, rows, time.monotonic() - began), indent=2))
    else:
        _print(bench, rows, time.monotonic() - began, violated)
    return 1 if violated else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Provoke faults against the real program.")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="under a minute (the default)")
    amount.add_argument("--full", action="store_true", help="under ten minutes")
    parser.add_argument("--only", action="append", choices=FAMILIES, help="one family of faults")
    parser.add_argument("--seed", type=int, default=1, help="what is tried at random (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--load", action="store_true", help="keep two cores busy meanwhile")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="tries at once")
    return parser.parse_args()


def _provoke(bench: Bench, families: list[str] | tuple[str, ...]) -> Iterator[Row]:
    at_once = 1 if bench.full else QUICK_FAMILIES
    with ProcessPoolExecutor(at_once) as pool:
        for rows in pool.map(functools.partial(_family, bench), families):
            yield from rows


def _family(bench: Bench, name: str) -> list[Row]:
    """The rows of one family, in a folder of its own."""
    folder = os.path.join(bench.folder, name)
    os.mkdir(folder)
    rows = []
    began = time.monotonic()
    for row in import_module(f"faults.{name}").rows(dataclasses.replace(bench, folder=folder)):
        seconds = time.monotonic() - began
        counts = f"{len(row.violations)} of {row.tries} violated"
        print(f"{seconds:6.1f} s  {row.fault}: {counts}", file=sys.stderr, flush=True)
        for violation in row.violations[:SHOWN]:  # a whole mode takes long, and may be cut off
            print(f"  {_shown(violation)}", file=sys.stderr, flush=True)
        rows.append(row)
        began = time.monotonic()
    return rows


def _shown(violation: str) -> str:
    return " ".join(violation.split())[:1000]


def _document(bench: Bench, rows: list[Row], seconds: float) -> dict[str, object]:
    return {
        "mode": "full" if bench.full else "quick",
        "seed": bench.seed,
        "load": bench.load,
        "seconds": round(seconds, 1),
        "violations": sum(len(row.violations) for row in rows),
        "rows": [row.to_json() for row in rows],
    }


def _print(bench: Bench, rows: list[Row], seconds: float, violated: int) -> None:
    width = max(len(row.fault) for row in rows)
    print(f"{'fault':{width}}  {'tries':>6}  {'violations':>10}  {'worst':>8}  figures")
    for row in rows:
        worst = "-" if row.worst is None else f"{row.worst * 1000:.0f} ms"
        counts = f"{row.tries:6}  {len(row.violations):10}  {worst:>8}"
        print(f"{row.fault:{width}}  {counts}  {row.figures}".rstrip())
    for row in rows:
        for violation in row.violations[:SHOWN]:
            print(f"violated: {row.fault}: {_shown(violation)}")
        if len(row.violations) > SHOWN:
            print(f"violated: {row.fault}: and {len(row.violations) - SHOWN} more")
    print(f"{sum(row.tries for row in rows)} tries, {violated} violations, {seconds:.0f} s")
    if violated:
        print(f"what is left to look at: {bench.folder}")


if __name__ == "__main__":
    sys.exit(main())
