"""The violations of one step: in words for people, and as paths to restore.

Imports little: every run reports its findings, most of them none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from openloop.core.text import printable_path

_NAMED = 3  # paths that a sentence names
_RECORDED = 200  # paths that the record names


class StepViolations(NamedTuple):
    """The violations of one step.

    text: in words, "" for none. paths: the same, printable. to_reference, to_before: paths to
    restore to the start of the run, or to before the step; includes paths that must be undone but
    are no violation.
    """

    text: str = ""
    paths: tuple[str, ...] = ()
    to_reference: tuple[bytes, ...] = ()
    to_before: tuple[bytes, ...] = ()

    def with_planted(self, planted: Sequence[str]) -> StepViolations:
        """A copy with these printable paths, created in place of withheld files."""
        found = self.with_words([f"put something where {path} was withheld" for path in planted])
        return found._replace(paths=(*self.paths, *planted)[:_RECORDED])

    def with_words(self, phrases: Sequence[str]) -> StepViolations:
        """A copy with these violations."""
        words = listed(phrases)
        return self._replace(text="; ".join(filter(None, (self.text, words))))

    @property
    def restores_nothing(self) -> bool:
        return not (self.to_reference or self.to_before)

    @property
    def restored_paths(self) -> list[bytes]:
        """The paths to restore, without litter."""
        paths = (*self.to_reference, *self.to_before)
        if not paths:
            return []
        from openloop.policy.path_rules import is_litter  # slow to import

        return [path for path in paths if not is_litter(path)]


def recorded_paths(paths: Iterable[bytes]) -> tuple[str, ...]:
    """The paths that the record names, printable."""
    return tuple(printable_path(path) for path in tuple(paths)[:_RECORDED])


def listed(phrases: Sequence[str]) -> str:
    """The first three phrases, and the number of the others."""
    more = f" and {len(phrases) - _NAMED} more" if len(phrases) > _NAMED else ""
    return ", ".join(phrases[:_NAMED]) + more
