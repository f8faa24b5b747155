"""The commands of a launcher under way: started without waiting, collected when they have ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from openloop.core import clock

PATIENCE = 60.0  # seconds that a command may take


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a command ended. code: negative for a signal. began: when it was started."""

    code: int
    output: str
    errors: str
    began: float

    @property
    def why(self) -> str:
        """The last line of its errors or output."""
        lines = [line.strip() for line in (self.errors or self.output).splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        return last or f"exit code {self.code}"


@dataclass(slots=True)
class _Call:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]
    began: float


class Calls:
    """The running commands, each with a key of the caller."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """patience: seconds that a command may take."""
        self._patience = patience
        self._under_way: dict[Any, _Call] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, key: object) -> bool:
        return key in self._under_way

    def start(self, key: Any, command: str, text: str = "") -> None:
        """Run a shell command, `text` on its input. Raises OSError."""
        with contextlib.ExitStack() as on_failure, _memory() as given:
            output, errors = (on_failure.enter_context(_memory()) for _ in range(2))
            given.write(text.encode())
            given.seek(0)
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=given,
                stdout=output,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C is meant for us
            )
            on_failure.pop_all()
        self._under_way[key] = _Call(process, output, errors, clock.monotonic())

    def finished(self) -> Iterator[tuple[Any, CallResult]]:
        """Each ended command, once. A command that takes too long is ended."""
        for key, call in list(self._under_way.items()):
            code, late = call.process.poll(), ""
            if code is None and clock.monotonic() - call.began > self._patience:
                os.killpg(call.process.pid, signal.SIGKILL)
                code, late = call.process.wait(), f"\nno answer within {self._patience:g} s"
            if code is not None:
                del self._under_way[key]
                with call.output, call.errors:
                    errors = _text(call.errors) + late
                    yield key, CallResult(code, _text(call.output), errors, call.began)


def _memory() -> IO[bytes]:
    """A file in memory, which needs no room on a disk."""
    return os.fdopen(os.memfd_create("openloop-fleet"), "w+b")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


@contextlib.contextmanager
def woken_by_ends() -> Iterator[None]:
    """While entered, the end of a command interrupts a wait for signals."""
    before = signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
