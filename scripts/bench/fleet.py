"""Many tasks: what the coordinator of a fleet costs, and real loops beside xargs."""

from __future__ import annotations

import json
import os
import shlex
import statistics
from collections.abc import Iterator

from bench.lab import Goal, Lab, Row, in_turn, medians

METER = """
import json, resource, sys, time
from openloop.cli import main
began = time.perf_counter()
main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
with open("/proc/self/status", encoding="utf-8") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak": peak * 1024 / 1e6,
                  "seconds": time.perf_counter() - began}))
"""
# A launcher whose runs are over at once: it writes what a launch would write.
SIMULATED = {
    "submit": "launch={launch}; cd {folder} && "
    'echo \'{"pid": 1, "start": "1", "boot": ""}\' >claim && '
    'echo \'{"launch": "\'$launch\'", "code": 0, "seconds": 1, "beat": {"round": 1}}\' >new && '
    "mv new end.json && echo 1",
    "poll": "true",
    "cancel": "true",
}
AT_ONCE = 200


def fleet(lab: Lab) -> Iterator[Row]:
    few, many = lab.amount(100, 1_000), lab.amount(1_000, 10_000)
    base = _run(_tasks(lab, 1))["cpu"]
    cost: dict[int, list[float]] = {few: [], many: []}
    for _ in range(lab.amount(2, 3)):
        for count in lab.chance.sample((few, many), 2):
            place = _tasks(lab, count)
            done = _run(place)
            cost[count].append((done["cpu"] - base) / count * 1e3)
            if count == many:
                last, peak = place, done["peak"]
    each = {count: statistics.median(figures) for count, figures in cost.items()}
    words = f"a fleet of {many:,} tasks"
    goal = Goal(2, "ms")
    yield Row("fleet", f"{words}: CPU of the coordinator for each", None, each[many], "ms", goal)
    what = f"{words}, against {few:,}: CPU for each"
    yield Row("fleet", what, each[few], each[many], "ms", Goal(1.3))
    again = _run(last)
    most = max(peak, again["peak"])
    yield Row("fleet", f"{words}: memory at its most", None, most, "MB", Goal(80, "MB"))
    what = f"{words}, all over: run again"
    yield Row("fleet", what, None, again["seconds"], "s", Goal(1, "s"))
    taken = [lab.seconds(lab.openloop, "fleet", "status", last.path) for _ in range(5)]
    figure = statistics.median(taken)
    yield Row("fleet", f"{words}: status", None, figure, "s", Goal(0.3, "s"))
    yield _beside_xargs(lab)


class _Place:
    def __init__(self, lab: Lab, folder: str) -> None:
        self.lab = lab
        self.path = os.path.join(folder, "fleet.json")


def _tasks(lab: Lab, count: int) -> _Place:
    folder = lab.fresh("fleet")
    lines = [json.dumps({"name": f"t{n}", "mission": f"mission {n}"}) for n in range(count)]
    _write(folder, "tasks.jsonl", "\n".join(lines) + "\n")
    _write(folder, "openloop.json", '{"version": 1, "commands": {"verify": "true"}}')
    document = {"version": 1, "tasks_file": "tasks.jsonl", "launcher": SIMULATED}
    _write(folder, "fleet.json", json.dumps({**document, "max_parallel": AT_ONCE}))
    return _Place(lab, folder)


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def _run(place: _Place) -> dict[str, float]:
    """CPU, memory and seconds of one `fleet run`, its children left out."""
    lab = place.lab
    out = lab.output(lab.python, "-c", METER, "fleet", "run", place.path)
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def _beside_xargs(lab: Lab) -> Row:
    """The same loops, all at once: started by the fleet, and by xargs."""
    loops = lab.amount(8, 50)
    config = {"version": 1, "total_rounds": 1, "commands": {"verify": "sleep 1"}}

    def folder() -> str:
        found = lab.fresh("real")
        for n in range(loops):
            os.mkdir(os.path.join(found, f"w{n}"))
            _write(os.path.join(found, f"w{n}"), "openloop.json", json.dumps(config))
        return found

    def ours() -> float:
        place = folder()
        tasks = [{"name": f"w{n}", "workspace": f"w{n}"} for n in range(loops)]
        document = {"version": 1, "max_parallel": loops, "tasks": tasks}
        _write(place, "fleet.json", json.dumps(document))
        path = os.path.join(place, "fleet.json")
        return lab.seconds(lab.openloop, "fleet", "run", path)

    def theirs() -> float:
        place = shlex.quote(folder())
        run = f"{shlex.quote(lab.openloop)} run --quiet"
        text = f"ls -d {place}/w* | xargs -P {loops} -n 1 {run}"
        return lab.seconds("/bin/sh", "-c", text)

    found = medians(in_turn(lab, lab.amount(2, 3), {"floor": theirs, "openloop": ours}))
    what = f"{loops} real loops at once, against xargs -P"
    return Row("fleet", what, found["floor"], found["openloop"], "s", Goal(1.3))
