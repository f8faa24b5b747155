"""The debugging pipe to the browser: JSON messages, each ended by a NUL.

One thread and one poll: a caller that waits for an answer handles the events that arrive meanwhile.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Mapping
from typing import Any

from openloop.browser.failure import BrowserRefused, NoAnswer
from openloop.core.clock import monotonic

ANSWER = 10.0  # seconds that an answer may take
_LARGEST = 64 << 20  # bytes of a message; what is larger is dropped
_BLOCK = 1 << 18  # bytes

Message = Mapping[str, Any]


class Pipe:
    """The connection to a browser, in both directions."""

    def __init__(self, reading: int, writing: int, on_event: Callable[[Message], None]) -> None:
        """reading, writing: descriptors, closed with this. on_event: called with every event; it
        may `send`, and must not wait."""
        self._reading = reading
        self._writing = writing
        self._on_event = on_event
        self._number = 0
        self._incoming = bytearray()
        self._searched = 0  # bytes of it that hold no NUL
        self._is_dropping = False
        self._outgoing = bytearray()
        self._answers: dict[int, Message | None] = {}
        self._asked: dict[int, str] = {}  # number of a message that is waited for → its session
        self._watched: dict[int, Callable[[], None]] = {reading: self._read}
        self.dropped = 0  # messages that were too large
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the descriptor can be read, from `pump`."""
        self._watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self._watched.pop(descriptor, None)

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        """Send a message whose answer nobody waits for; its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._outgoing += json.dumps(message).encode() + b"\0"
        self._write()
        return self._number

    def ask(self, method: str, session: str = "", **parameters: Any) -> int:
        """Send a message whose answer `result` waits for."""
        number = self.send(method, session, **parameters)
        self._answers[number] = None
        self._asked[number] = session
        return number

    def forget(self, session: str, why: str) -> None:
        """Answer all open commands of a page that has gone with an error."""
        for number, asked in self._asked.items():
            if asked == session and self._answers[number] is None:
                self._answers[number] = {"error": {"message": why}}

    def result(self, number: int, within: float = ANSWER) -> Any:
        """The answer. within: seconds. Raises NoAnswer, BrowserRefused."""
        deadline = monotonic() + within
        try:
            self.wait_for(lambda: self._answers[number] is not None, deadline)
        finally:
            answer = self._answers.pop(number)
            del self._asked[number]
        if answer is None:
            raise NoAnswer(f"the page did not answer within {within:.3g} s")
        if "error" in answer:
            raise BrowserRefused(str(answer["error"].get("message", "the browser refused")))
        return answer.get("result", {})

    def call(
        self, method: str, session: str = "", *, within: float = ANSWER, **parameters: Any
    ) -> Any:
        """`ask` and `result` in one."""
        return self.result(self.ask(method, session, **parameters), within)

    def idle(self, seconds: float) -> None:
        """Handle the events of the next `seconds`."""
        deadline = monotonic() + seconds
        while self.pump(deadline):
            pass

    def wait_for(self, condition: Callable[[], object], deadline: float) -> bool:
        """Handle messages until the condition holds; False once the deadline has passed."""
        while not condition():
            if not self.pump(deadline):
                return False
        return True

    def pump(self, deadline: float) -> bool:
        """Handle the next messages; False once the deadline has passed."""
        left = deadline - monotonic()
        if left <= 0:
            return False
        poll = select.poll()
        for descriptor in self._watched:
            poll.register(descriptor, select.POLLIN)
        if self._outgoing:
            poll.register(self._writing, select.POLLOUT)
        for descriptor, _ in poll.poll(left * 1000):
            if descriptor == self._writing:
                self._write()
            elif descriptor in self._watched:
                self._watched[descriptor]()
        return True

    def _write(self) -> None:
        while self._outgoing:
            try:
                written = os.write(self._writing, memoryview(self._outgoing)[:_BLOCK])
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._outgoing.clear()  # its end is reported by whoever reads
                return
            del self._outgoing[:written]

    def _read(self) -> None:
        try:
            data = os.read(self._reading, _BLOCK)
        except BlockingIOError:
            return
        if not data:  # its guard will tell how it ended
            self.unwatch(self._reading)
            return
        self._incoming += data
        while (end := self._incoming.find(b"\0", self._searched)) >= 0:
            message = bytes(self._incoming[:end])
            del self._incoming[: end + 1]
            self._searched = 0
            if self._is_dropping:
                self._is_dropping = False
            else:
                self._handle(message)
        self._searched = len(self._incoming)
        if self._searched > _LARGEST:
            self.dropped += not self._is_dropping
            self._is_dropping = True
            self._incoming.clear()
            self._searched = 0

    def _handle(self, data: bytes) -> None:
        try:
            message: Message = json.loads(data)
        except RecursionError:  # a page may nest what it says as deeply as it likes
            self.dropped += 1
            return
        if "id" not in message:
            self._on_event(message)
        elif message["id"] in self._answers:
            self._answers[message["id"]] = message

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)
