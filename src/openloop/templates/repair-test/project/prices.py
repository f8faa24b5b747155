"""Prices in cents."""


def total(prices, discount=0):
    """The sum of the prices, less a discount in percent, rounded down."""
    return sum(prices) - discount
