"""A slow version that is easy to trust: tries one coin more until the amount can be reached."""

import sys

amount, *coins = map(int, sys.stdin.read().split())
reached, used = {0}, 0
while amount not in reached:
    more = {have + coin for have in reached for coin in coins if have + coin <= amount} - reached
    if not more:
        print("impossible")
        break
    reached |= more
    used += 1
else:
    print(used)
