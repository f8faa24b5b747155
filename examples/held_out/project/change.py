"""The fewest coins that make an amount: reads `AMOUNT COIN COIN …`, prints a number."""

import sys


def fewest(amount, coins):
    """How many coins it takes; None when no coins make the amount."""
    used = 0
    for coin in sorted(coins, reverse=True):
        used += amount // coin
        amount %= coin
    return used if amount == 0 else None


amount, *coins = map(int, sys.stdin.read().split())
answer = fewest(amount, coins)
print("impossible" if answer is None else answer)
