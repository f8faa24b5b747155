"""The processes of a play: programs under guards, and all descendants that guards leave behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from openloop.process import tree
from openloop.process.guard_client import GuardClient, ending
from openloop.process.messages import NotStarted, Start, TreeEnded

_GRACE = 2.0  # seconds for what a server does when it is asked to end
_OVERDUE = 15.0  # seconds in which the guard must have ended what is left


class GuardedProgram:
    """A program under a guard of its own, which ends its process tree even if OpenLoop dies."""

    def __init__(self, discard: str = "") -> None:
        """discard: a folder that the guard removes at its end, also one that is made later."""
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # in the place of a run's lock
        try:
            self._guard = GuardClient(null)
        finally:
            os.close(null)
        if discard:
            self._guard.remove_at_end(discard)
        self.socket = self._guard.socket
        self.ending = ""  # how the program ended: "exit code 1", "SIGKILL"

    def start(
        self, words: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[int]
    ) -> None:
        """streams: standard input, output and error. Closes them."""
        with contextlib.suppress(OSError):  # the socket reports a dead guard
            self._guard.start(Start(1, words, cwd, env, _GRACE), streams)
        for stream in streams:
            os.close(stream)

    def read_messages(self) -> bool:
        """Read the messages of the guard, when its socket is readable; whether the program has
        ended."""
        messages = self._guard.read()
        if messages is None:
            self.ending = "its guard was killed"
            return True
        for message in messages:
            if isinstance(message, NotStarted):
                self.ending = f"not started: {message.why}"
            elif isinstance(message, TreeEnded):
                code, signal = ending(message.status)
                self.ending = signal or f"exit code {code}"
        return bool(self.ending)

    def end(self, *, at_once: bool) -> None:
        """Order the guard to end the process tree. at_once: without a grace period."""
        self._guard.end(1, 0.0 if at_once else _GRACE)

    def close(self) -> None:
        """Wait until no process is left, after `end`."""
        self.socket.settimeout(_OVERDUE)
        with contextlib.suppress(OSError):
            while not self.ending:
                self.read_messages()
        self._guard.close(_OVERDUE)


class Descendants:
    """All descendants of this process; it adopts those that a killed guard leaves behind."""

    def __init__(self) -> None:
        tree.become_subreaper()
        self._not_ours = tuple(tree.descendants(os.getpid())) if tree.reap()[0] else ()

    def end(self) -> None:
        """End the processes that are left once the guards are gone."""
        if tree.reap()[0]:
            tree.end(
                lambda: tree.below_us(without=self._not_ours),
                grace=0.0,
                empty=lambda: not tree.reap()[0],
                pause=tree.sleep,
            )
