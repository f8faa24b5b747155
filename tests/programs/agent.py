"""A coding agent by a script: each call takes the next line of its plan.

    agent.py FOLDER

FOLDER/plan is JSON lines. `print` is a list of records that are printed (text as it stands),
`edit` writes the file that the verify gate looks for, `sleep` is in seconds, `exit` the exit code.
`reset` replaces `@RESET` in what is printed by a time so many seconds from now. The last line is
taken again and again. FOLDER/calls gets a line for each call.
"""

import fcntl
import json
import os
import sys
import time


def main() -> int:
    folder = sys.argv[1]
    with open(os.path.join(folder, "calls"), "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = len(file.readlines())
        file.write(f"{time.time():.3f} {os.getcwd()}\n")
    with open(os.path.join(folder, "plan"), encoding="utf-8") as file:
        plan = [json.loads(line) for line in file]
    act = plan[min(number, len(plan) - 1)]
    if act.get("edit"):
        with open("fixed", "w", encoding="utf-8") as file:
            file.write("yes\n")
    for record in act.get("print", []):
        text = record if isinstance(record, str) else json.dumps(record)
        print(text.replace('"@RESET"', str(int(time.time() + act.get("reset", 0)))), flush=True)
        time.sleep(act.get("between", 0))
    time.sleep(act.get("sleep", 0))
    return int(act.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main())
