"""Messages between a runner and its guard: lines of JSON on a socket.

Named tuples, because `dataclasses` would cost every guard two megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args


class Start(NamedTuple):
    """Start a program; sent with the descriptors of its log or its three streams.

    env: added to the guard's. grace: seconds for processes that outlive it. wrapped: it runs the
    command in a sandbox, and exits after it.
    """

    number: int
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    grace: float
    wrapped: bool = False


class EndTree(NamedTuple):
    """End the tree of a program. grace: seconds from SIGTERM to SIGKILL."""

    number: int
    grace: float


class EnterView(NamedTuple):
    """Run every later program in a view: arguments of `namespaces.enter`."""

    view: Mapping[str, Any]


class RemoveFolder(NamedTuple):
    """Remove this folder of the programs once all of them have ended.

    From now on the guard grants no grace period and obeys SIGTERM, to end quickly.
    """

    folder: str


class Release(NamedTuple):
    """The runner is about to close the socket in order: it was not killed."""


class Started(NamedTuple):
    number: int
    pid: int


class NotStarted(NamedTuple):
    number: int
    why: str


class TreeEnding(NamedTuple):
    """The tree is being ended. Repeated meanwhile, to show that the guard is not stuck."""

    number: int


class TreeEnded(NamedTuple):
    """The whole tree is gone, except survivors.

    status: raw wait status of the program, None when it is unknown. by_itself: it ended
    unasked. private_bytes_used: bytes of memory, see `namespaces.private_bytes_used`.
    """

    number: int
    status: int | None
    seconds: float
    peak_rss_bytes: int
    cpu_seconds: float
    by_itself: bool
    survivors: Sequence[int]
    private_bytes_used: int


class Entered(NamedTuple):
    """The answer to `EnterView`. done: False where the system allows no such view. shared: see
    `namespaces.shared`."""

    done: bool
    shared: Sequence[str]


Message = (
    Start
    | EndTree
    | EnterView
    | RemoveFolder
    | Release
    | Started
    | NotStarted
    | TreeEnding
    | TreeEnded
    | Entered
)
_TYPES: dict[str, Any] = {each.__name__: each for each in get_args(Message)}


def encode(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps([type(message).__name__, *message]).encode() + b"\n"


class Decoder:
    """Decodes messages from pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_TYPES[name](*fields) for name, *fields in map(json.loads, lines)]
