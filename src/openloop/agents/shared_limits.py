"""Limits of accounts, kept where all loops of one user see them.

A loop whose agent was refused writes the moment from which it may be tried again; the others wait
without trying. A file holds one account's limit. It is a hint: if a file cannot be read or
written, each loop learns of the limit by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import NamedTuple

from openloop.agents.failures import LONGEST as LONGEST_SENTENCE
from openloop.agents.reset_time import LONGEST
from openloop.core.text import printable


class SharedLimit(NamedTuple):
    """until: seconds since 1970. says: the agent's own message."""

    until: float
    says: str


def folder() -> str:
    base = os.environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.local/state")
    return os.path.join(base, "openloop", "limits")


def path_of(agent: str, account: str) -> str:
    """The file of one account of an agent."""
    words = f"{agent}@{account}" if account else agent
    safe = re.sub(r"[^\w.@-]", lambda found: f"%{ord(found[0]):02x}", words).lstrip(".")
    return os.path.join(folder(), f"{safe[:120]}.json")


def known(agent: str, account: str) -> SharedLimit | None:
    """The limit of an account that is not over; None without one."""
    try:
        with open(path_of(agent, account), "rb") as file:
            found = json.loads(file.read(1 << 16))
        until, says = float(found["until"]), str(found.get("says", ""))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    ahead = until - time.time()
    if not 0 < ahead < LONGEST:
        return None
    return SharedLimit(until, printable(says)[:LONGEST_SENTENCE])


def save(agent: str, account: str, limit: SharedLimit) -> None:
    """Write a limit for the other loops."""
    path = path_of(agent, account)
    new = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(OSError):
        os.makedirs(folder(), mode=0o700, exist_ok=True)
        with open(new, "w", encoding="utf-8") as file:
            json.dump({"until": limit.until, "says": limit.says}, file)
        os.replace(new, path)


def remove_reached(agent: str, account: str, until: float) -> None:
    """Remove a limit that ends at `until` or before: a loop has waited for it, whatever the clock
    says now."""
    limit = known(agent, account)
    if limit is not None and limit.until <= until:
        with contextlib.suppress(OSError):
            os.unlink(path_of(agent, account))


def remove_expired(agent: str, account: str) -> None:
    """Remove a limit that is over. A later one was met after this session began, and stays."""
    if known(agent, account) is None:
        with contextlib.suppress(OSError):
            os.unlink(path_of(agent, account))
