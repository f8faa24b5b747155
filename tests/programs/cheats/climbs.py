"""Write a VALUE, a new untracked file beside it, and, if asked, do some HARM as well."""

import json
import os
import signal
import sys
import time

value, *harm = sys.argv[1:]
with open("value", "w", encoding="utf-8") as file:
    file.write(f"{value}\n")
with open(f"made-{value}", "w", encoding="utf-8") as file:
    file.write("untracked\n")
if "deletes" in harm:
    os.remove("data/kept")
if "breaks" in harm:
    with open("broken", "w", encoding="utf-8") as file:
        file.write("verify fails\n")
if "kills" in harm:
    with open(f"{os.environ['OPENLOOP_WORKSPACE']}/heartbeat.json", encoding="utf-8") as file:
        os.kill(json.load(file)["runner_pid"], signal.SIGKILL)
    time.sleep(60)
