"""Times of a day as text and as minutes since midnight."""


def minutes(text):
    hours, _, rest = text.partition(":")
    return 60 * int(hours) + int(rest)


def write(count):
    return f"{count // 60}:{count % 60:02}"


def read(text):
    """`9:00-10:30` as (540, 630). Raises ValueError for anything else."""
    start, _, end = text.partition("-")
    span = minutes(start), minutes(end)
    if span[0] > span[1]:
        raise ValueError(f"{text} ends before it begins")
    return span
