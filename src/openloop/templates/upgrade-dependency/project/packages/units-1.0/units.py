"""units 1.0"""

MILES = 0.621371


def convert(value, unit):
    """Kilometres in another unit."""
    return value * {"mi": MILES, "km": 1}[unit]
