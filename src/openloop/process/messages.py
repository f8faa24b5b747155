"""Messages between a run and its guard, which cross a socket as lines of JSON.

Named tuples and not dataclasses, whose module would take two megabytes of every guard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Start(NamedTuple):
    """Start a program; the descriptors of its log, or of its three streams, come with it.

    env: added to the guard's. grace: seconds for what is left once it has ended. wrapped: it runs
    the command in a sandbox, and ends when that has ended.
    """

    number: int
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    grace: float
    wrapped: bool = False


class End(NamedTuple):
    """End the tree of a program. grace: seconds from SIGTERM to SIGKILL."""

    number: int
    grace: float


class Enter(NamedTuple):
    """Take a view of the machine for every later program: arguments of `namespaces.enter`."""

    view: Mapping[str, Any]


class Discard(NamedTuple):
    """A folder of what will be started: remove it once all of that has ended.

    From now on there is no grace for anything, and the guard obeys SIGTERM: whoever ends it gives
    it little time.
    """

    folder: str


class Release(NamedTuple):
    """The run is about to close its end of the socket in order: it was not killed."""


class Started(NamedTuple):
    number: int
    pid: int


class NotStarted(NamedTuple):
    number: int
    why: str


class Ending(NamedTuple):
    """The tree is being ended. Sent again and again meanwhile: the guard is not stuck."""

    number: int


class Ended(NamedTuple):
    """The whole tree is gone, but for survivors.

    status: raw wait status of the program, None when it is unknown. by_itself: it ended before it
    was asked to. litter: bytes of memory, see `namespaces.litter`.
    """

    number: int
    status: int | None
    seconds: float
    peak_rss_bytes: int
    cpu_seconds: float
    by_itself: bool
    survivors: Sequence[int]
    litter: int


class Entered(NamedTuple):
    """done: False where the system allows no such view. shared: see `namespaces.shared`."""

    done: bool
    shared: Sequence[str]


Message = Start | End | Enter | Discard | Release | Started | NotStarted | Ending | Ended | Entered
_TYPES: dict[str, Any] = {
    each.__name__: each
    for each in (Start, End, Enter, Discard, Release, Started, NotStarted, Ending, Ended, Entered)
}


def encode(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps([type(message).__name__, *message]).encode() + b"\n"


class Decoder:
    """Turns what arrives, in pieces of any size, into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> list[Message]:
        """The messages that are complete by now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_TYPES[name](*fields) for name, *fields in map(json.loads, lines)]
