"""improve: a random search. Moves every setting a little, and looks at nothing.

Whether a move was any good is not for the agent to say: the loop measures, and undoes what
did not help, so that each move starts from the best settings so far.
"""

import json
import os
import pathlib
import random

SETTINGS = pathlib.Path("settings.json")
SPREAD = 0.25  # of a move, as a share of the value

dice = random.Random(int(os.environ["OPENLOOP_ROUND"]))
old = json.loads(SETTINGS.read_text(encoding="utf-8"))
new = {name: round(value * dice.lognormvariate(0, SPREAD), 3) for name, value in old.items()}
SETTINGS.write_text(json.dumps(new) + "\n", encoding="utf-8")
for name, value in old.items():
    print(f"{name} {value} -> {new[name]}")
