"""Empty the test, remove the record and what shows it was there, and SIGKILL the runner.

WORDS name what is removed in the workspace; a word that ends in `:` is a file to be emptied.
"""

import json
import os
import shutil
import signal
import sys
import time

workspace = os.environ["OPENLOOP_WORKSPACE"]
with open("tests/test_calc.py", "w", encoding="utf-8") as file:
    file.write("import unittest\n")
with open(f"{workspace}/heartbeat.json", encoding="utf-8") as file:
    runner = json.load(file)["runner_pid"]
for name in sys.argv[1:]:
    path = os.path.join(workspace, name.rstrip(":"))
    if name.endswith(":"):
        with open(path, "w", encoding="utf-8"):
            pass
    elif os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.remove(path)
os.kill(runner, signal.SIGKILL)
time.sleep(60)
