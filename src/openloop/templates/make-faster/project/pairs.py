"""Pairs of numbers."""


def pairs(numbers, total):
    """How many pairs of different numbers in the list have this sum. No number occurs twice."""
    count = 0
    for first in numbers:
        for second in numbers:
            if first < second and first + second == total:
                count += 1
    return count
