"""Titles as parts of an address."""


def slug(title: str) -> str:
    return title.lower().replace(" ", "-")
