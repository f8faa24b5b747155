"""Print how many of fifty made-up days `merge` gets right, as `score=`, 0 to 1."""

import random

from spans import merge


def days():
    chance = random.Random(50)
    for _ in range(50):
        starts = [chance.randrange(0, 1380, 10) for _ in range(chance.randint(2, 8))]
        yield [(start, start + 10 * chance.randint(1, 6)) for start in starts]


def expected(day):
    """The same day, joined."""
    joined = []
    for start, end in sorted(day):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


if __name__ == "__main__":
    right = [merge(list(day)) == expected(day) for day in days()]
    print(f"score={sum(right) / len(right):.2f}")
