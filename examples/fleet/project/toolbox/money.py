"""Amounts that are shared out."""


def share(cents: int, people: int) -> list[int]:
    return [cents // people] * people
