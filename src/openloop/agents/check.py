"""Whether an agent can be called: its program, its version, its options, a login. Nothing here
starts a session, so nothing costs money."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from typing import Any, NamedTuple

from openloop.agents.preset import Preset

PATIENCE = 20.0  # seconds for a program that only prints something
_VERSION = re.compile(r"\d+\.\d+(?:[\w.+-]*\w)?")


class Check(NamedTuple):
    """The check of one agent. path: where its program lies, "" when it is not installed. version:
    "" when it says none. missing: options of the preset that its help does not name; None when it
    was not run or prints no help. login: the variable or file that shows a key or a login, "" for
    none."""

    preset: Preset
    path: str
    version: str = ""
    missing: tuple[str, ...] | None = None
    login: str = ""

    def to_json(self) -> dict[str, Any]:
        preset = self.preset
        return {
            "name": preset.name,
            "source": preset.source or "openloop",
            "run": preset.run,
            "note": preset.note_for(""),
            "install": preset.install,
            "installed": bool(self.path),
            "path": self.path or None,
            "reports": list(preset.reading.reports),
            "seen": preset.seen or None,
            "tried": preset.tried,
            "version": self.version or None,
            "missing_options": None if self.missing is None else list(self.missing),
            "login": self.login or None,
        }


def check_agent(preset: Preset, *, start: bool) -> Check:
    """Check one agent. start: ask its program for its version and its help."""
    path = shutil.which(preset.program) or ""
    login = _login(preset)
    if not (path and start):
        return Check(preset, path, login=login)
    version = _VERSION.search(_output([path, "--version"]))
    words = preset.help.split()[1:] if preset.help else ["--help"]
    return Check(preset, path, version[0] if version else "", _missing(preset, path, words), login)


def _missing(preset: Preset, path: str, words: list[str]) -> tuple[str, ...] | None:
    text = _output([path, *words])
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))
    if not known:
        return None
    return tuple(flag for flag in preset.flags if flag not in known and f"{flag}=" not in text)


def _login(preset: Preset) -> str:
    for name in preset.keys:
        if os.environ.get(name):
            return f"{name} is set"
    for path in preset.logins:
        if os.path.exists(os.path.expanduser(path)):
            return f"{path} is there"
    return ""


def _output(words: list[str]) -> str:
    """The output of a program; "" when it cannot be started or does not end."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
            start_new_session=True,
        )
    except OSError:
        return ""
    try:
        out, _ = process.communicate(timeout=PATIENCE)
        return out.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# --- for people --------------------------------------------------------------------------


def table(checks: list[Check]) -> list[str]:
    """One line for each agent."""
    lines = []
    for one in checks:
        state = one.version or ("installed" if one.path else "-")
        reported = ", ".join(one.preset.reading.reports) or "nothing"
        own = "  (your own)" if one.preset.source else ""
        line = f"{one.preset.name:<10} {state:<12} reports {reported}{own}"
        lines.append(line + "".join(f"\n{'':<11}{words}" for words in obstacles(one)))
    return "\n".join(lines).splitlines()


def details(one: Check) -> list[str]:
    """The lines that describe one agent."""
    preset = one.preset
    tried = {"edited": "it changed a file by itself", "flags": "its options were accepted"}
    facts = (
        ("program", one.path or f"not installed{f'; {preset.install}' * bool(preset.install)}"),
        ("version", one.version),
        ("tried", f"{preset.seen}: {tried.get(preset.tried, 'not run')}" if preset.seen else ""),
        ("command", preset.run),
        ("note", preset.note_for("")),
        ("reports", ", ".join(preset.reading.reports) or "nothing"),
        ("state", ", ".join(preset.state)),
        ("login", one.login or f"none seen: {', '.join((*preset.keys, *preset.logins))}"),
        ("preset", preset.source or "ships with openloop"),
    )
    lines = [preset.name, *(f"  {name:<9} {words}" for name, words in facts if words)]
    return lines + [f"  {'warning':<9} {words}" for words in obstacles(one)]


def obstacles(one: Check) -> list[str]:
    """The reasons found why the agent could not work."""
    found = []
    if one.missing:
        found.append(f"it does not know {', '.join(one.missing)}: it may be too old or too new")
    if one.path and not one.login and (one.preset.keys or one.preset.logins):
        found.append("neither a key nor a login is to be seen")
    return found
