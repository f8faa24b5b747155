#!/usr/bin/env python3
"""Measure OpenLoop against what it cannot be faster than, and print one table.

    python scripts/bench.py [--quick | --full] [--only ROW]… [--json]
                            [--against 'NAME=COMMAND TEMPLATE']… [--seed N]

Absolute times differ from machine to machine and from hour to hour, so every figure stands beside
its floor: the least that does the same, measured in the same run, in turn (A B A B …, the order
shuffled each time), medians quoted. A goal is a ratio of the two wherever there is a floor.

--against measures another tool that runs a command over and over. In its template, {rounds} is how
often and {command} the command, quoted: 'plain=for n in $(seq {rounds}); do sh -c {command}; done'.
The shell runs it in an empty folder.

This is a benchmark and no test: it ends with 0 whatever it measured, with 2 on bad usage, with 1
when something could not be measured. Made for Linux. Say nothing about figures that were taken
while the machine was busy: the load stands below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bench import browser, commands, crowd, fleet, growth, resources, startup, trees
from bench.lab import TIMES, Lab, Row, Tool, Trouble, machine, say

ROWS: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "version": startup.version,
    "help": startup.help,
    "status": startup.status,
    "doctor": startup.doctor,
    "start": startup.start,
    "noop": commands.noop,
    "durable": commands.durable,
    "gap": commands.gap,
    "result": commands.result,
    "log": resources.log,
    "idle": resources.idle,
    "tree": resources.tree,
    "memory": resources.resident,
    "growth": growth.growth,
    "crowd": crowd.crowd,
    "trees": trees.trees,
    "fleet": fleet.fleet,
}
ON_REQUEST = {"browser": browser.play}  # it takes Playwright, which is not everywhere


def main() -> int:
    args = _arguments()
    began = time.monotonic()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-bench-"))
    lab = Lab(args.full, folder, random.Random(args.seed), tuple(args.against))
    here = machine(folder)
    try:
        lab.build()
        rows = list(_measure(lab, args.only or ROWS))
    except (Trouble, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    here |= {"load_after": round(os.getloadavg()[0], 2)}
    seconds = round(time.monotonic() - began, 1)
    if args.json:
        print(json.dumps(_document(args, here, seconds, rows), indent=2))
    else:
        _print(here, seconds, rows)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure OpenLoop against its floors.")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="under a minute (the default)")
    amount.add_argument("--full", action="store_true", help="under ten minutes")
    parser.add_argument(
        "--only", action="append", choices=(*ROWS, *ON_REQUEST), help="one row of the table"
    )
    parser.add_argument(
        "--against",
        action="append",
        type=_tool,
        default=[],
        metavar="NAME=TEMPLATE",
        help="another tool, its command with {rounds} and {command}",
    )
    parser.add_argument("--seed", type=int, default=1, help="for the order of the samples (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _tool(text: str) -> Tool:
    name, equals, template = text.partition("=")
    if not (name and equals and "{rounds}" in template and "{command}" in template):
        raise argparse.ArgumentTypeError(
            f"must be NAME=TEMPLATE with {{rounds}} and {{command}} in it, got {text!r}"
        )
    return Tool(name, template)


def _measure(
    lab: Lab, keys: list[str] | dict[str, Callable[[Lab], Iterator[Row]]]
) -> Iterator[Row]:
    for key in keys:
        began = time.monotonic()
        yield from {**ROWS, **ON_REQUEST}[key](lab)
        for once, again in lab.controls:
            yield Row(key, f"A/A control of {key}", once, again, "s", name="the same twice")
        lab.controls.clear()
        say(f"{time.monotonic() - began:6.1f} s  {key}")


def _document(
    args: argparse.Namespace, here: dict[str, object], seconds: float, rows: list[Row]
) -> dict[str, object]:
    return {
        "mode": "full" if args.full else "quick",
        "seed": args.seed,
        "machine": here,
        "seconds": seconds,
        "rows": [row.to_json() for row in rows],
    }


def _print(here: dict[str, object], seconds: float, rows: list[Row]) -> None:
    head = ("what", "floor", "OpenLoop", "ratio", "goal", "held")
    table = [head, *map(_cells, rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(head))]
    for cells in table:
        first, *rest = (
            text.ljust(width) if n == 0 else text.rjust(width)
            for n, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())
    for row in rows:
        if row.note:
            print(f"note: {row.what}: {row.note}")
    print(
        f"{here['cores']} cores ({here['processor']}), {here['system']}, Python {here['python']}, "
        f"{here['file_system']}, load {here['load']} before and {here['load_after']} after, "
        f"{seconds:.0f} s"
    )


def _cells(row: Row) -> tuple[str, ...]:
    what = row.what if row.name == "OpenLoop" else f"{row.what}, {row.name}"
    return (
        what,
        "-" if row.floor is None else _amount(row.floor, row.unit),
        _amount(row.figure, row.unit),
        "-" if row.ratio is None else f"{row.ratio:.2f} {TIMES}",
        str(row.goal) if row.goal else "-",
        {None: "-", True: "yes", False: "no"}[row.held],
    )


def _amount(figure: float, unit: str) -> str:
    return f"{figure:.3g} {unit}".rstrip() if figure < 1000 else f"{figure:.0f} {unit}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
