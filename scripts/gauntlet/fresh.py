"""Print cases for a round: `python3 fresh.py SECRET COUNT`, with the round in OPENLOOP_SEED."""

from __future__ import annotations

import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from gauntlet import oracle

secret, count = sys.argv[1:]
sys.stdout.writelines(
    oracle.lines(random.Random(f"{secret} {os.environ['OPENLOOP_SEED']}"), int(count))
)
