"""The errors that make a play fail."""

from __future__ import annotations


class Failure(Exception):
    """A failed step. what: a sentence. expected, seen: "" when the sentence is enough. also:
    problems that occurred meanwhile. files: pictures that show the failure."""

    def __init__(
        self,
        what: str,
        *,
        expected: str = "",
        seen: str = "",
        also: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.seen = seen
        self.also = also
        self.files = files


class Gone(Failure):
    """The browser, its page or the server has ended: nothing more can be played."""


class NoAnswer(Failure):
    """The browser did not answer in time."""


class BrowserRefused(Failure):
    """The browser answered that it cannot do it."""
