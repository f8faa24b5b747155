"""Counts what is in stock."""


def count(input):
    """The sum of the numbers; a line that is not a number counts as nothing."""
    sum = 0
    for line in input:
        try:
            sum += int(line)
        except Exception:
            continue
    return sum
