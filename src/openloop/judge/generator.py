"""Fresh cases: made by a trusted command from a seed, other ones for every round.

They are against a program that records the inputs it is judged by and later answers those alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
from dataclasses import replace
from typing import IO

from openloop.core.clock import monotonic
from openloop.core.errors import ConfigError, JudgeError, OpenLoopError
from openloop.core.text import printable
from openloop.fs.programs import is_below
from openloop.judge import cases
from openloop.judge.cases import Case, GeneratorLine
from openloop.judge.pool import GRACE, LARGEST, CaseFile, Interrupted
from openloop.process.guard_client import GuardClient
from openloop.process.messages import Ended, NotStarted, Start
from openloop.process.signals import Interrupts


def expand(sheet: CaseFile, seed: str) -> CaseFile:
    """The sheet with cases in place of the lines that make some; of these, nothing is to be seen.

    Raises JudgeError where a command fails, ConfigError where it prints no cases, Interrupted.
    """
    found: list[Case] = []
    for entry in sheet.entries:
        if isinstance(entry, Case):
            found.append(entry)
        else:
            found += _made(entry, sheet, seed)
    for case, _ in cases.repeated(found):
        what = f"two cases are called {printable(case.name)}"
        raise ConfigError((OpenLoopError(what, where=sheet.given, fix="give each its own name"),))
    return replace(sheet, entries=tuple(found), hidden=_hidden(sheet))


def _hidden(sheet: CaseFile) -> str:
    """The folder that generators lie in, unless the command has to work in there."""
    folder = os.path.dirname(sheet.path)
    places = (os.getcwd(), os.environ.get("OPENLOOP_PROJECT_ROOT") or "/")
    return sheet.path if any(is_below(folder, place) for place in places) else folder


def _made(generator: GeneratorLine, sheet: CaseFile, seed: str) -> list[Case]:
    where = f"{sheet.given}, line {generator.line}"
    data = _run(generator, os.path.dirname(sheet.path), seed, where)
    made = cases.parse(data, where=f"output of {where}", names=f"case {generator.line}.")
    found = [each for each in made if isinstance(each, Case)]
    if not found or len(found) < len(made):
        what = "the generator printed no cases, or a generator of its own"
        raise JudgeError(what, where=where, fix="let it print cases, a line of JSON each")
    return found


def _run(generator: GeneratorLine, folder: str, seed: str, where: str) -> bytes:
    """What the generator prints. Every process that it starts is gone then."""
    fix = "run it by hand, with OPENLOOP_SEED set, and correct it"
    with (
        Interrupts() as interrupts,
        open(os.devnull, "rb") as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        guard = GuardClient(stdin.fileno(), 0)
        with contextlib.closing(guard):
            words, env = ["/bin/sh", "-c", generator.command], {"OPENLOOP_SEED": seed}
            streams = [each.fileno() for each in (stdin, stdout, stderr)]
            guard.run(Start(1, words, folder, env, GRACE), streams)
            why = _wait(guard, generator.timeout, interrupts)
        if why:
            last = _read(stderr)[-2000:].decode(errors="replace").strip().splitlines()
            detail = f": {printable(last[-1])}" if last else ""
            raise JudgeError(f"the generator {why}{detail}", where=where, fix=fix)
        data = _read(stdout)
        if len(data) > LARGEST:
            raise JudgeError(f"the generator printed over {LARGEST >> 20} MB", where=where, fix=fix)
        return data


def _wait(guard: GuardClient, timeout: float, interrupts: Interrupts) -> str:
    """Why it failed, "" when it did not. Raises Interrupted on a signal."""
    deadline = monotonic() + timeout
    while (left := deadline - monotonic()) > 0:
        ready, _, _ = select.select([guard.socket.fileno(), interrupts.wakeup], [], [], left)
        if interrupts.received:
            raise Interrupted(128 + interrupts.received[0])
        messages = guard.read() if guard.socket.fileno() in ready else []
        if messages is None:
            return "lost its guard"
        for message in messages:
            match message:
                case NotStarted():
                    return f"was not started: {message.why}"
                case Ended():
                    code = message.status
                    return f"ended with {os.waitstatus_to_exitcode(code)}" if code else ""
    return f"ran longer than {timeout:g} s"


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(LARGEST + 1)
