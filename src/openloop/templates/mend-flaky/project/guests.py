"""The list of guests."""


def names(people):
    """Everybody once, in the order of the alphabet."""
    return ", ".join(set(people))
