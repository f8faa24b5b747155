"""Standard output of the commands, also when it is closed or full."""

from __future__ import annotations

import contextlib
import os
import sys

from openloop.core.errors import OutputError
from openloop.core.text import printable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


def say(text: str) -> None:
    """Print it. Raises OutputError, BrokenPipeError."""
    with _given():
        print(text, flush=True)


def say_lines(lines: Iterable[str]) -> None:
    say("\n".join(map(printable, lines)))


def say_lines_to_whoever_listens(lines: Iterable[str]) -> None:
    """Print lines. A reader that has gone neither ends the work nor changes its exit code."""
    try:
        say_lines(lines)
    except BrokenPipeError:
        nobody_listens()


def say_json(document: Mapping[str, Any]) -> None:
    import json

    say(json.dumps(document, indent=2))


def give(document: bytes) -> None:
    """Write a document unchanged. Raises OutputError, BrokenPipeError."""
    with _given():
        sys.stdout.buffer.write(document)
        sys.stdout.flush()


def nobody_listens() -> None:
    """Discard all further output, so that Python can exit without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _given() -> Iterator[None]:
    """A context for writing to standard output, which turns its errors into OutputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - or the exit fails too
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
