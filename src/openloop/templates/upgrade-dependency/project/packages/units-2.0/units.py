"""units 2.0: the unit is named, and what comes back is rounded to one digit."""

MILES = 0.621371


def convert(value, *, to):
    """Kilometres in another unit."""
    return round(value * {"mi": MILES, "km": 1}[to], 1)
