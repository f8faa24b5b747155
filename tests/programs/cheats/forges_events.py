"""Append events that chain correctly and say that all went well, then SIGKILL the runner.

`change`: that the change ended; `round`: also that verify passed and the round was complete.
"""

import hashlib
import json
import os
import signal
import sys
import time

workspace = os.environ["OPENLOOP_WORKSPACE"]
with open(f"{workspace}/heartbeat.json", encoding="utf-8") as file:
    beat = json.load(file)
with open("tests/test_calc.py", "w", encoding="utf-8") as file:
    file.write("import unittest\n")
path = f"{workspace}/events.jsonl"
with open(path, "rb") as file:
    lines = file.read().splitlines()
events = [json.loads(line) for line in lines]
measured = next(event for event in events if event["event"] == "step_finished")
started = next(event for event in events if event["event"] == "step_started")
ended = next(event for event in events if event["event"] == "round_finished")
passed = {"outcome": "passed", "exit_code": 0, "detail": "", "error": ""}
fix = {"step": "fix", "log_path": beat["log_path"], "log_sha256": "0" * 64, "log_bytes": 0}
verify = {"log_path": "logs/round-0002-verify.log"}
forged = [{**measured, **passed, **fix}]
if sys.argv[1] == "round":
    forged += [{**started, **verify}, {**measured, **passed, **verify}]
    verdict = {"outcome": "repaired", "decision": "complete", "reason": "every gate passed"}
    forged += [{**ended, **verdict, "artifact": "artifacts/round-0002.json"}]
    over = {"event": "run_finished", "status": "complete", "reason": "every gate passed"}
    forged += [{**{k: ended[k] for k in ("seq", "time", "run", "elapsed", "prev")}, **over}]
    forged[-1] = {**forged[-1], "step": None}
with open(path, "ab") as file:
    for event in forged:
        event |= {"seq": events[-1]["seq"] + 1, "round": 2}
        event["prev"] = event.pop("prev") and hashlib.sha256(lines[-1]).hexdigest()
        events.append(event)
        lines.append(json.dumps(event).encode())
        file.write(lines[-1] + b"\n")
os.remove(f"{workspace}/heartbeat.json")
os.kill(beat["runner_pid"], signal.SIGKILL)
time.sleep(60)
