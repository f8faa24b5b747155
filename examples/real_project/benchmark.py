"""How many sessions a cache of logins keeps in memory: python3 benchmark.py

Nothing here is timed: the figure is the same on every machine. A teacher stays logged in all
day, and three hundred classes come and go, one after the other.
"""

import gc
from itertools import count
from typing import ClassVar
from weakref import WeakSet

from cachetools import TLRUCache

CLASSES = [30, 25, 20] * 100  # pupils in each
DAY = 24 * 3600  # seconds


class Session:
    """The key of a login. Those that are still somewhere in memory are counted."""

    in_memory: ClassVar["WeakSet[Session]"] = WeakSet()

    def __init__(self) -> None:
        Session.in_memory.add(self)


def main() -> None:
    clock = count().__next__
    logins = TLRUCache(100, ttu=lambda session, name, now: now + DAY, timer=clock)
    logins[Session()] = "teacher"
    for pupils in CLASSES:
        attend(logins, pupils)
    gc.collect()
    print(f"TLRUCache: sessions_in_memory={len(Session.in_memory)}")


def attend(logins: "TLRUCache[Session, str]", pupils: int) -> None:
    sessions = [Session() for _ in range(pupils)]
    for number, session in enumerate(sessions):
        logins[session] = f"pupil {number}"
    for session in sessions:
        logins.pop(session, None)


if __name__ == "__main__":
    main()
