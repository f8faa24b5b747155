"""The policy on real files: what a step did to the project, and what of it is put back.

Protected paths have one reference, their state when the run began. Everything else is compared
with the state before the change. The pictures of both are kept in the workspace's checkpoint
store, and what is protected in an unlinked file of this process as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from openloop import checkpoint, manifest
from openloop.checkpoint import Checkpoints, Vault
from openloop.config import Config, Policy
from openloop.config import OnViolation as Mode
from openloop.diffs import changed_lines
from openloop.globs import Globs
from openloop.ignored import IgnoreRules
from openloop.manifest import Manifest
from openloop.mission import Mission
from openloop.text import printable
from openloop.workspace import CHECKPOINTS, HOME

REFERENCE, BEFORE, BEST = "reference", "before", "best"  # names of pictures in the store
_SHOWN = 8  # paths that a sentence names; the record names up to _RECORDED
_RECORDED = 200


@dataclass(frozen=True, slots=True)
class Undo:
    """What one step did that is not to stay.

    text: in words, "" when nothing of it breaks the policy. targets: for each picture of the
    store the paths that are put back to it.
    """

    text: str = ""
    paths: tuple[str, ...] = ()
    to_reference: tuple[bytes, ...] = ()
    to_before: tuple[bytes, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.to_reference or self.to_before)


@dataclass(slots=True)
class _Touched:
    """Paths by what happened to them."""

    created: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)

    @property
    def all(self) -> list[bytes]:
        return sorted({*self.created, *self.changed, *self.removed})


class Rules:
    """The policy's patterns as questions about a path."""

    def __init__(self, policy: Policy | None) -> None:
        self.policy = policy
        self._protect = Globs(policy.protect if policy else ())
        self._allow = None if policy is None or policy.allow is None else Globs(policy.allow)
        self._caches_too = bool(policy) and any("pyc" in glob for glob in policy.protect)
        self.keeps_git = bool(policy) and any(".git" in g.split("/") for g in policy.protect)

    def protects(self, path: bytes) -> bool:
        return self._protect.matches(path) and (self._caches_too or not is_cache(path))

    def covers(self, path: bytes) -> bool:
        """Whether the path lies in what is protected, byte-code caches included."""
        return self._protect.matches(path)

    def allows(self, path: bytes) -> bool:
        return self._allow is None or self._allow.matches(path)

    @property
    def has_allow(self) -> bool:
        return self._allow is not None


def is_cache(path: bytes) -> bool:
    """Byte code that an interpreter writes beside what it reads."""
    return b"__pycache__" in path.split(b"/") or path.endswith((b".pyc", b".pyo"))


_TOOL_CACHES = (b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis", b".coverage")


def _is_litter(path: bytes) -> bool:
    """What checks leave behind when anyone runs them: taken away, and nobody's fault."""
    return is_cache(path) or path.split(b"/")[0] in _TOOL_CACHES
