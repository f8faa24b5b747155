"""Loops of one fleet whose agent, of one account, is at its provider's limit."""

from __future__ import annotations

import json
import os
import sys
import unittest
from typing import Any

from fleet.fleets import Place, names
from support import Case, environment

SLOW = True  # left out by scripts/run_tests.sh --quick

FIRST = "a"
OTHERS = ("b", "c", "d", "e", "f", "g", "h")
RESET = 8  # seconds after the first launch of the agent

# Notes each launch of its own. Until the reset it prints what the real agent prints at its limit.
AGENT = """
import json, math, os, sys, time
name = os.path.basename(os.path.dirname(os.environ["OPENLOOP_WORKSPACE"]))
now = time.time()
with open("launches", "a") as file:
    file.write(f"{name} {now}\\n")
with open("launches") as file:
    reset = math.ceil(float(file.readline().split()[1])) + RESET
refused = now < reset
if refused:
    info = {"status": "rejected", "resetsAt": reset}
    print(json.dumps({"type": "rate_limit_event", "rate_limit_info": info}))
else:
    open(f"repaired-{name}", "w").close()
words = "You've hit your limit" if refused else "repaired"
print(json.dumps({"type": "result", "is_error": refused, "result": words}))
sys.exit(refused)
""".replace("RESET", str(RESET))


class SharedLimit(Case):
    def test_one_loop_learns_of_a_limit_and_the_others_wait_without_trying(self) -> None:
        shared = os.path.join(self.folder, "state")
        known = os.path.join(shared, "openloop", "limits", "claude.json")
        name = 'name=$(basename "$(dirname "$OPENLOOP_WORKSPACE")")'
        # The others come to their agent once the limit is known.
        wait = f'test "$name" = {FIRST} || until [ -e {known} ]; do sleep 0.05; done'
        program = os.path.join(self.folder, "agent.py")
        with open(program, "w", encoding="utf-8") as file:
            file.write(AGENT)
        config = {
            "total_rounds": 2,
            "commands": {
                "verify": f'{name}; test -e "repaired-$name" || {{ {wait}; false; }}',
                "fix": {"run": f"{sys.executable} {program}", "agent": "claude"},
            },
        }
        place = Place(self.folder, config, tasks=names(FIRST, *OTHERS), max_parallel=8)
        place.do("run", env={**environment(), "XDG_STATE_HOME": shared})
        self.assertEqual({"complete"}, set(place.states().values()))
        launches = [line.split() for line in place.read("launches").splitlines()]
        self.assertEqual(
            sorted((FIRST, FIRST, *OTHERS)), sorted(task for task, _ in launches), launches
        )
        self.assertEqual(FIRST, launches[0][0])
        again = [float(moment) for _, moment in launches[1:]]
        self.assertGreaterEqual(min(again), float(launches[0][1]) + RESET)
        self.assertGreater(max(again) - min(again), 1.0, "all of them came back at once")
        for task in OTHERS:
            notes = [event.get("text", "") for event in self.record(place, task)]
            self.assertTrue(
                any("was not tried: another loop met its limit" in text for text in notes), task
            )

    def record(self, place: Place, task: str) -> list[dict[str, Any]]:
        path = f"fleet.fleet/tasks/{task}/workspace/events.jsonl"
        return [json.loads(line) for line in place.read(path).splitlines()]


if __name__ == "__main__":
    unittest.main()
