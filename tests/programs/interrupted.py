"""Run openloop on a slow disk, with a signal in the middle of one long scan: PLAN WORDS…

PLAN is a JSON object: {"in": "module:function", "signal": "SIGINT", "seconds": 0.3}. As soon as the
named function begins with a piece of its work, the signal comes; from then on each piece takes that
many seconds, or only as many pieces as "pieces" says. Without "signal" it is only slow. Exit code
98: the signal ended the function's work, or did not, against "ends", which is true by default. 99:
the function never worked.
"""

import json
import os
import signal
import sys
import time

plan = json.loads(sys.argv[1])
module, function = plan["in"].split(":")
came = {"reached": False, "ended": False}
naps = iter(range(plan.get("pieces", 10**9)))


def is_at_work():
    frame = sys._getframe(2)
    while frame:
        code = frame.f_code
        if code.co_qualname == function and code.co_filename.endswith(f"/{module}.py"):
            return True
        frame = frame.f_back
    return False


def slow(tick):
    def piece(watch, seen):
        here = is_at_work()
        try:
            if came["reached"]:
                time.sleep(0 if next(naps, None) is None else plan["seconds"])
            elif here:
                came["reached"] = True
                if "signal" in plan:
                    os.kill(os.getpid(), signal.Signals[plan["signal"]])
            tick(watch, seen)
        except BaseException:
            came["ended"] = here
            raise

    return piece


from openloop.cli import main  # noqa: E402
from openloop.runner.snapshot_watch import SnapshotWatch  # noqa: E402

SnapshotWatch.tick, SnapshotWatch.show = slow(SnapshotWatch.tick), slow(SnapshotWatch.show)
code = main(sys.argv[2:])
if not came["reached"]:
    sys.exit(99)
sys.exit(98 if "signal" in plan and came["ended"] != plan.get("ends", True) else code)
