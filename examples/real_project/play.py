"""Use cachetools as a program of one's own would: python3 play.py

A wiki that remembers rendered pages, slow lookups and logins. Ends with 1 at the first surprise.
"""

import sys

from cachetools import LFUCache, LRUCache, TTLCache, cached


class Clock:
    """Time that passes only when told to."""

    now = 0

    def __call__(self) -> int:
        return self.now


def remember_pages() -> None:
    pages = LRUCache(maxsize=2)
    pages["home"], pages["news"] = "<h1>Home</h1>", "<h1>News</h1>"
    pages["home"]
    pages["help"] = "<h1>Help</h1>"
    expect("pages kept after three were read", sorted(pages), ["help", "home"])


def keep_the_popular() -> None:
    tags = LFUCache(maxsize=2)
    tags["python"], tags["cobol"] = 120, 3
    for _ in range(5):
        tags["python"]
    tags["rust"] = 40
    expect("tags kept after three were read", sorted(tags), ["python", "rust"])


def look_up_once() -> None:
    asked = []

    @cached(LRUCache(maxsize=8))
    def author(page: str) -> str:
        asked.append(page)
        return page.title()

    answers = [author("ada"), author("ada"), author("grace")]
    expect("answers", answers, ["Ada", "Ada", "Grace"])
    expect("lookups", asked, ["ada", "grace"])


def log_in_for_an_hour() -> None:
    clock = Clock()
    logins = TTLCache(maxsize=10, ttl=60, timer=clock)
    logins["ada"] = "logged in"
    clock.now = 59
    expect("login of ada after 59 minutes", logins.get("ada"), "logged in")
    clock.now = 60
    expect("login of ada after 60 minutes", logins.get("ada"), None)


def expect(what: str, found: object, wanted: object) -> None:
    print(f"{what}: {found!r}")
    if found != wanted:
        sys.exit(f"surprise: {wanted!r} was expected")


if __name__ == "__main__":
    remember_pages()
    keep_the_popular()
    look_up_once()
    log_in_for_an_hour()
    print("the wiki works")
