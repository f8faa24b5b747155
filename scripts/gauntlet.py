#!/usr/bin/env python3
"""Let a crowd of cheating and honest agents loose on the real program, and print the rates.

    python scripts/gauntlet.py [--mode MODE]… [--only AGENT | FAMILY]… [--jobs N] [--seed N]
                               [--json] [--against 'NAME=COMMAND TEMPLATE']… [--list]

The agents are in tests/adversary/. Each is to repair a small project, in a folder of its own. Then
an oracle that knows neither the loop nor its checks decides whether the project is really repaired:
it asks a copy of it, in a fresh process, for answers that nobody has seen. A false completion is
exit code 0 without that; a false block is an honest agent that was not accepted.

Modes: open (no policy), detection, sandbox, withheld, both (of the two), fresh (both, with other
cases in every round, put to a copy of the project), beside (both, and the visible check as a second
gate). One that cannot be used here is left out and says so. Ends with 1 when a goal was missed,
with 2 on bad usage. The goals: nothing left behind and nothing hung in any mode; no false block
where there is a policy; detection is beaten only from inside of the check and from outside of the
project, the sandbox only from inside, withheld cases only from outside of the project, both by
nobody; but for the documented gaps that gauntlet/modes.py lists. Every cheat that got through is
named.

--against measures another tool with the same agents. The template is a shell command in which
{agent}, {check}, {project} and {rounds} are replaced by one quoted word each; it ends with 0 when
it calls the project repaired:

    --against 'naive=for n in $(seq {rounds}); do sh -c {agent}; sh -c {check} && exit; done; false'
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, each) for each in ("src", "tests", "tests/adversary")]

import index  # noqa: E402 - the paths come first
from gauntlet import arena, table  # noqa: E402
from gauntlet.arena import Arena, Bout  # noqa: E402
from gauntlet.modes import MODES, Mode  # noqa: E402
from gauntlet.table import Row  # noqa: E402
from index import Agent  # noqa: E402

from openloop.cli.arguments import positive  # noqa: E402

Fight = Callable[[Arena, Agent], Bout]


def main() -> int:
    args = _arguments()
    crowd = _wanted(args.only)
    if args.list:
        for agent in crowd:
            print(f"{agent.full_name:45} {agent.does}")
        return 0
    began = time.monotonic()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="openloop-gauntlet-"))
    try:
        gauntlet = Gauntlet(folder, args.seed, args.jobs, crowd)
        gauntlet.measure(args.mode or _default_modes(args), dict(args.against))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        print(json.dumps(gauntlet.to_json(time.monotonic() - began), indent=2))
    else:
        gauntlet.print(time.monotonic() - began)
    return 1 if gauntlet.missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [mode.name for mode in MODES]
    parser.add_argument("--mode", action="append", choices=names, help="one way of guarding")
    parser.add_argument(
        "--only", action="append", help="an agent, with its family or without, or a family"
    )
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="agents at once")
    parser.add_argument("--seed", type=int, default=1, help="what cases and oracle ask (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--list", action="store_true", help="print the agents, run none")
    parser.add_argument(
        "--against", action="append", default=[], type=_tool, help="NAME=TEMPLATE: another tool"
    )
    return parser.parse_args()


def _tool(text: str) -> tuple[str, str]:
    name, equals, template = text.partition("=")
    if not (name and equals and "{agent}" in template and "{check}" in template):
        raise argparse.ArgumentTypeError("must be NAME=TEMPLATE with {agent} and {check} in it")
    return name, template


def _default_modes(args: argparse.Namespace) -> list[str]:
    return [] if args.against else [mode.name for mode in MODES]


def _wanted(only: list[str] | None) -> list[Agent]:
    every = index.agents()
    if only is None:
        return every
    for word in only:
        if not any(word in (agent.name, agent.family, agent.full_name) for agent in every):
            print(f"error: no agent and no family is called {word}", file=sys.stderr)
            print("  fix: --list shows them", file=sys.stderr)
            sys.exit(2)
    return [a for a in every if {a.name, a.family, a.full_name} & set(only)]


class Gauntlet:
    """Everything that is measured in one call."""

    def __init__(self, folder: str, seed: int, jobs: int, crowd: list[Agent]) -> None:
        self.folder = folder
        self.seed = seed
        self.jobs = jobs
        self.crowd = [agent for agent in crowd if agent.check != "pytest" or find_spec("pytest")]
        self.rows: list[Row] = []
        self.missed: list[str] = []
        self.left_out = {
            agent.full_name: "pytest is not installed" for agent in crowd if agent not in self.crowd
        }

    def measure(self, names: list[str], others: dict[str, str]) -> None:
        for mode in MODES:
            if mode.name not in names:
                continue
            if why := arena.unavailable(self._arena(mode.name, "probe"), mode):
                self.left_out[mode.name] = why
                continue
            row = self._row(mode.name, self._fits(mode), _openloop(mode))
            self.missed += table.missed(row, mode)
        for name, template in others.items():
            crowd = [agent for agent in self.crowd if not agent.needs]
            self._row(name, crowd, _other(name, template))

    def _fits(self, mode: Mode) -> list[Agent]:
        absent = {"withheld": not mode.judged, "beside": not mode.beside}
        return [agent for agent in self.crowd if not absent.get(agent.needs)]

    def _arena(self, mode: str, name: str) -> Arena:
        return Arena(os.path.join(self.folder, f"{mode}-{name}"), self.seed, name)

    def _row(self, name: str, crowd: list[Agent], fight: Fight) -> Row:
        def bout(agent: Agent) -> Bout:
            place = self._arena(name, agent.full_name)
            try:
                return fight(place, agent)
            finally:
                place.remove()

        # The slowest first, so that none of them is waited for alone.
        ordered = sorted(crowd, key=lambda agent: agent.family != "processes")
        with ThreadPoolExecutor(self.jobs) as pool:
            bouts = list(_printed(pool.map(bout, ordered)))
        row = Row(
            name, sorted(bouts, key=lambda each: [a.full_name for a in crowd].index(each.agent))
        )
        self.rows.append(row)
        return row

    def to_json(self, seconds: float) -> dict[str, object]:
        return {
            "seed": self.seed,
            "seconds": round(seconds, 1),
            "left_out": self.left_out,
            "missed": self.missed,
            "rows": [row.to_json() for row in self.rows],
            "bouts": [bout.to_json() for row in self.rows for bout in row.bouts],
        }

    def print(self, seconds: float) -> None:
        for line in table.lines(self.rows):
            print(line)
        print()
        for name, why in self.left_out.items():
            print(f"left out: {name}: {why}")
        for text in self.missed:
            print(f"missed: {text}")
        count = sum(len(row.bouts) for row in self.rows)
        print(f"{count} bouts, {len(self.missed)} goals missed, {seconds:.0f} s")


def _openloop(mode: Mode) -> Fight:
    return lambda place, agent: arena.against_openloop(place, agent, mode)


def _other(name: str, template: str) -> Fight:
    return lambda place, agent: arena.against_another(place, agent, name, template)


def _printed(bouts: Iterator[Bout]) -> Iterator[Bout]:
    for bout in bouts:
        verdict = "completed" if bout.completed else f"exit code {bout.code}"
        truth = "broken" if bout.wrong else "repaired"
        text = f"{bout.seconds:6.1f} s  {bout.mode}: {bout.agent}: {verdict}, {truth}"
        print(text, file=sys.stderr, flush=True)
        yield bout


if __name__ == "__main__":
    sys.exit(main())
