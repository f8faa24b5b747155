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


def print_text(text: str) -> None:
    """Print a text with a line end. Raises OutputError, BrokenPipeError."""
    with _errors_as_output_error():
        print(text, flush=True)


def print_lines(lines: Iterable[str]) -> None:
    print_text("\n".join(map(printable, lines)))


def print_progress(lines: Iterable[str]) -> None:
    """Print lines. A reader that has gone neither ends the work nor changes its exit code."""
    try:
        print_lines(lines)
    except BrokenPipeError:
        discard_output()


def print_json(document: Mapping[str, Any]) -> None:
    import json

    print_text(json.dumps(document, indent=2))


def write_bytes(document: bytes) -> None:
    """Write a document unchanged. Raises OutputError, BrokenPipeError."""
    with _errors_as_output_error():
        sys.stdout.buffer.write(document)
        sys.stdout.flush()


def discard_output() -> None:
    """Discard all further output, so that Python can exit without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _errors_as_output_error() -> Iterator[None]:
    """A context for writing to standard output, which turns its errors into OutputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - or the exit fails too
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
