"""Print steps=N, the lines run for 200 random numbers; a wrong answer is a failure."""

import os
import random
import sys
from itertools import combinations

sys.path.insert(0, os.getcwd())

from pairs import pairs

STEPS = [0]


def step(frame, event, argument):
    STEPS[0] += event == "line"
    return step


numbers = random.SystemRandom().sample(range(2000), 200)
total = sum(random.SystemRandom().sample(numbers, 2))
sys.settrace(step)
answer = pairs(list(numbers), total)
sys.settrace(None)
expected = sum(first + second == total for first, second in combinations(numbers, 2))
if answer != expected:
    sys.exit(f"wrong: {answer!r} pairs, expected {expected}")
print(f"steps={STEPS[0]}")
