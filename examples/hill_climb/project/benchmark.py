"""How many questions a search takes, on average over random starts: every run differs a little."""

import random
import statistics

from problems import bowl, plate, valley
from simplex import minimum

STARTS = 60

dice = random.SystemRandom()
counts = [
    minimum(function, [dice.uniform(-2, 2) for _ in range(dimensions)])[1]
    for function, dimensions in ((bowl, 3), (valley, 2), (plate, 2))
    for _ in range(STARTS)
]
print(f"questions={statistics.fmean(counts):.1f}")
