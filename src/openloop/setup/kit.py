"""What one ecosystem offers a project, and when one of its commands fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from openloop.setup.project_listing import Listing


@dataclass(frozen=True, slots=True)
class Kit:
    """Commands and globs for a project of one ecosystem; "" where it has nothing to offer.

    why: what was seen, the first half of a sentence. tests, sources: globs.
    """

    name: str
    why: str
    verify: str = ""
    scan: str = ""
    tests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Way(NamedTuple):
    """A command that fits where `file` is there and says `text`, and `beside` is there too.

    file: "" for the file that the ecosystem was known by.
    """

    command: str
    file: str = ""
    text: str = ""
    beside: str = ""

    def fits(self, project: Listing, marker: str = "") -> bool:
        there = not self.beside or project.has(self.beside)
        return there and project.says(self.file or marker, self.text)
