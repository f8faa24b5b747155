"""All presets: those that ship, and the user's own, which take precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache

from openloop.agents import preset
from openloop.agents.preset import Preset
from openloop.core.errors import ConfigError, OpenLoopError, UsageError
from openloop.core.text import nearest, printable

SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "presets")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LARGEST = 1 << 20  # bytes of a preset


def own_folder() -> str:
    """The folder of the user's own presets."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "openloop", "agents")


def shipped() -> tuple[str, ...]:
    """The names of the presets that ship, in order."""
    return tuple(sorted(_in(SHIPPED)))


def names() -> tuple[str, ...]:
    """Every preset's name, in order."""
    return tuple(sorted({*shipped(), *_in(own_folder())}))


def _in(folder: str) -> list[str]:
    return [stem for stem in _stems(folder) if _NAME.fullmatch(stem)]


def _stems(folder: str) -> list[str]:
    try:
        found = os.listdir(folder)
    except OSError:  # most users have no presets of their own
        return []
    return [name.removesuffix(".json") for name in sorted(found) if name.endswith(".json")]


def _misnamed() -> Iterator[OpenLoopError]:
    """Files of the user's that would be ignored because of their names."""
    for stem in _stems(own_folder()):
        if not _NAME.fullmatch(stem) and not stem.startswith("."):
            fix = "use at most 40 small letters and digits, with - and _ between them"
            path = os.path.join(own_folder(), f"{stem}.json")
            yield UsageError("no preset can have this name", where=path, fix=fix)


def preset_named(name: str, *, where: str = "--agent", fix: str = "") -> Preset:
    """The preset of this name. where, fix: for the message when there is none. Raises UsageError
    for an unknown name, ConfigError for a broken file of the user's."""
    known = names()
    if name not in known:
        near = _nearest(name, known)
        raise UsageError(
            f"no agent preset is called {name!r}" + (f"; did you mean {near}?" if near else ""),
            where=where,
            fix=fix
            or f"one of {', '.join(known)}; or leave --agent out and write commands.fix yourself",
        )
    return _read(name, own_folder())


@cache
def _read(name: str, own: str) -> Preset:
    path = os.path.join(own, f"{name}.json")
    if not os.path.lexists(path):
        with open(os.path.join(SHIPPED, f"{name}.json"), "rb") as file:
            return preset.parse(file.read(), name, where=f"presets/{name}.json")
    try:
        if not os.path.isfile(path):
            raise OSError(None, "not a regular file")
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        what, fix = f"the preset cannot be read: {error.strerror}", "correct it, or move it away"
        raise UsageError(what, where=path, fix=fix) from None
    if len(data) > LARGEST:
        what = f"the preset is larger than {LARGEST >> 20} MiB"
        raise UsageError(what, where=path, fix="shorten it, or move it away")
    return preset.parse(data, name, where=path, source=path)


def every() -> tuple[Mapping[str, Preset], tuple[OpenLoopError, ...]]:
    """(every preset by its name, the errors of those that are broken)."""
    found: dict[str, Preset] = {}
    errors: list[OpenLoopError] = [*_misnamed()]
    for name in names():
        try:
            found[name] = preset_named(name)
        except ConfigError as error:
            errors += error.problems
        except UsageError as error:
            errors.append(error)
    return found, tuple(errors)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    """The preset's name for a product's full name or a misspelt one, or ""."""
    word = printable(name.strip().lower())
    parts = word.replace("_", "-").split("-")
    return next((one for one in known if one in parts), "") or nearest(word, known)
