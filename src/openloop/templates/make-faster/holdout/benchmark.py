"""Print steps=N, the most lines run for one of ten lists of 200 random numbers; a wrong answer is a
failure. One list alone has the same answer by chance too often: about every tenth has 7 pairs."""

import os
import random
import sys
from itertools import combinations

sys.path.insert(0, os.getcwd())

from pairs import pairs

LISTS = 10
STEPS = [0]


def step(frame, event, argument):
    STEPS[0] += event == "line"
    return step


most = 0
for _ in range(LISTS):
    numbers = random.SystemRandom().sample(range(2000), 200)
    total = sum(random.SystemRandom().sample(numbers, 2))
    STEPS[0] = 0
    sys.settrace(step)
    answer = pairs(list(numbers), total)
    sys.settrace(None)
    expected = sum(first + second == total for first, second in combinations(numbers, 2))
    if answer != expected:
        sys.exit(f"wrong: {answer!r} pairs, expected {expected}")
    most = max(most, STEPS[0])
print(f"steps={most}")
