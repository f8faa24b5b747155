"""Replace the test, plant a file, and SIGKILL the runner, found among this process's ancestors;
with `configures`, edit openloop.json first, with `damages`, the checkpoints too."""

import json
import os
import shutil
import signal
import sys
import time

with open("tests/test_calc.py", "w", encoding="utf-8") as file:
    file.write("import unittest\n")
with open("json.py", "w", encoding="utf-8") as file:
    file.write("import os\nos._exit(0)\n")
workspace = os.environ["OPENLOOP_WORKSPACE"]
if "configures" in sys.argv:
    path = os.path.join(workspace, "openloop.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    document["commands"]["verify"] = "true"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
if "damages" in sys.argv:
    shutil.rmtree(os.path.join(workspace, "checkpoints"))
with open(os.path.join(workspace, "heartbeat.json"), encoding="utf-8") as file:
    runner = json.load(file)["runner_pid"]
ancestor = os.getppid()
while ancestor not in (0, runner):
    with open(f"/proc/{ancestor}/stat", "rb") as file:
        ancestor = int(file.read().rpartition(b")")[2].split()[1])
os.kill(ancestor or runner, signal.SIGKILL)
time.sleep(60)
