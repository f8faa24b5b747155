"""Loops that a YAML file describes: ralph.yml, and loop.yaml with its bounds and its gate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from openloop.agents import catalog
from openloop.core.text import counted
from openloop.fs import files
from openloop.setup.findings import Finding, ok, problem, warning
from openloop.setup.missions import plain_yaml
from openloop.setup.missions.foreign_loop import ForeignLoop, protection

_LIMIT = 1 << 20  # bytes of a file of bounds
_WORD = "LOOP_COMPLETE"  # what ends a loop of ralph.yml that names no other word
_DEFAULT_ROUNDS, _DEFAULT_SECONDS = 100, 14400  # of ralph.yml, by its documentation
_CANNOT_FAIL = re.compile(r"\s*(true|:|exit 0|echo\b.*)\s*$|.*\|\|\s*(true|:)\s*$")


def read_ralph_yml(loop: ForeignLoop, text: str) -> ForeignLoop | None:
    """A loop of ralph.yml; None where the file is something else."""
    document = plain_yaml.read(text)
    settings = plain_yaml.at(document.values, "event_loop")
    cli = plain_yaml.at(document.values, "cli")
    if not isinstance(settings, dict) and not isinstance(cli, dict):
        return None
    settings = settings if isinstance(settings, dict) else {}
    loop.agent = _known_agent(plain_yaml.at(document.values, "cli", "backend"))
    loop.prompt = str(settings.get("prompt_file") or "PROMPT.md")
    word = settings.get("completion_promise") or _WORD
    fix = "let a command decide: openloop init --from writes a mission with verify"
    what = f"the loop ends when the agent prints {word!r}: it accepts the agent's own word"
    loop.findings = [problem(f"{loop.name}: {what}", fix), *_unread(loop.name, document)]
    loop.rounds = _count(settings, "max_iterations") or _DEFAULT_ROUNDS
    seconds = _count(settings, "max_runtime_seconds") or _DEFAULT_SECONDS
    loop.limits = {"max_runtime_seconds": seconds}
    if idle := _count(settings, "idle_timeout_secs"):
        loop.limits["stall_timeout_seconds"] = idle
    loop.findings.append(
        ok(f"{loop.name}: at most {counted(loop.rounds, 'round')} and {seconds} s")
    )
    loop.findings += protection(loop, [])
    loop.left_out = [f"the word {word!r}, which ends nothing here"]
    taken = ("event_loop", "cli")
    loop.left_out += [f"`{key}`" for key in document.values if key not in taken]
    return loop


def read_loop_yaml(loop: ForeignLoop, text: str) -> ForeignLoop | None:
    """A loop of loop.yaml, with its file of bounds; None where the file is something else."""
    document = plain_yaml.read(text)
    values = document.values
    if not {"gate", "bounds", "spec", "runner"} & set(values):
        return None
    here = os.path.dirname(loop.name)
    loop.prompt = os.path.join(here, str(values["spec"])) if values.get("spec") else ""
    loop.agent = _known_agent(plain_yaml.at(values, "runner", "default"))
    forbidden = values.get("forbid")
    globs = forbidden if isinstance(forbidden, list) else []
    loop.protect = [os.path.join(here, one) for one in globs if isinstance(one, str)]
    loop.findings = [*_unread(loop.name, document), *_gate(loop, values), *_bounds(loop, values)]
    loop.findings += protection(loop, [])
    loop.findings += _unprotected(loop)
    taken = ("gate", "bounds", "spec", "runner", "forbid", "name", "description")
    loop.left_out += [f"`{key}`" for key in values if key not in taken]
    return loop


def _gate(loop: ForeignLoop, values: Mapping[str, Any]) -> Iterator[Finding]:
    run, kind = plain_yaml.at(values, "gate", "run"), plain_yaml.at(values, "gate", "kind")
    if not isinstance(run, str):
        if kind:
            fix = "write its command into verify yourself"
            yield warning(f"{loop.name}: a gate of the kind {kind} has no command to read", fix)
            loop.left_out.append(f"its gate of the kind {kind}")
        else:
            fix = "name a command that proves the work"
            yield problem(f"{loop.name}: no gate: it accepts the agent's own word", fix)
    elif _CANNOT_FAIL.match(run):
        fix = "let it run what proves the work"
        yield problem(f"{loop.name}: the gate `{run}` cannot fail", fix)
    else:
        loop.gate = run
        yield ok(f"{loop.name}: the gate `{run}` decides")


def _bounds(loop: ForeignLoop, values: Mapping[str, Any]) -> Iterator[Finding]:
    name = values.get("bounds")
    bounds = name if isinstance(name, dict) else {}
    where = loop.name
    if isinstance(name, str):
        where = os.path.normpath(os.path.join(os.path.dirname(loop.name), name))
        try:
            data = files.read(os.path.join(loop.folder, where), limit=_LIMIT)
        except OSError as error:
            what = f"{where} cannot be read: {error.strerror or 'it is no regular file'}"
            yield problem(what, "write max_iterations into it")
            return
        document = plain_yaml.read(data.decode(errors="replace"))
        bounds = document.values
        yield from _unread(where, document)
    loop.rounds = _count(bounds, "max_iterations")
    named = {
        "max_wallclock_s": "max_runtime_seconds",
        "max_tokens": "max_tokens",
        "no_progress_window": "max_consecutive_failures",
    }
    loop.limits = {own: n for key, own in named.items() if (n := _count(bounds, key))}
    if loop.rounds:
        yield ok(f"{where}: at most {counted(loop.rounds, 'round')}")
    else:
        yield problem(f"{where}: no brake: max_iterations is not set", "set max_iterations")
    if "max_runtime_seconds" not in loop.limits:
        yield warning(f"{where}: no limit of time: max_wallclock_s is not set", "set it")
    left = [key for key in bounds if key not in (*named, "max_iterations") and bounds[key]]
    loop.left_out += [f"`{key}` of {where}" for key in left]


def _unprotected(loop: ForeignLoop) -> Iterator[Finding]:
    """Files that the gate runs and the agent may edit."""
    from openloop.config.globs import Globs

    words = [word.removeprefix("./") for word in re.split(r"[\s;|&'\"]+", loop.gate)]
    programs = [w for w in words if w.endswith((".py", ".sh", ".js", ".ts", ".mjs"))]
    guarded = Globs(tuple(loop.protect))
    for path in programs:
        there = os.path.isfile(os.path.join(loop.folder, path))
        if there and not guarded.matches(os.fsencode(path)):
            fix = f"add it to forbid: {path}"
            yield problem(f"{loop.name}: the gate runs {path}, which the agent may edit", fix)


def _unread(name: str, document: plain_yaml.YamlDocument) -> Iterator[Finding]:
    if document.unread:
        lines = ", ".join(map(str, document.unread[:10]))
        more = " and more" if len(document.unread) > 10 else ""
        fix = "they are more than plain keys and values; look at them yourself"
        yield warning(f"{name}: these lines could not be read: {lines}{more}", fix)


def _count(values: Mapping[str, Any], key: str) -> int | None:
    """A positive number; None where there is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value <= 10**9 else None


def _known_agent(name: Any) -> str:
    return name if isinstance(name, str) and name in catalog.names() else ""
