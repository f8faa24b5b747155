"""Whether a project is really repaired, found out without the loop and without its checks."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import sys
from collections.abc import Iterator

from gauntlet.watch import watched

TIMEOUT = 10.0  # seconds for one answer
CASES = 3
NOT_COPIED = ("__pycache__", ".openloop", "*.pyc")
Span = tuple[int, int]


def repaired(project: str, original: str, folder: str, chance: random.Random) -> str:
    """Why the project is not repaired; "" when it is.

    project: is copied to `folder` first, without byte code and without the loop's workspace.
    original: the project as it was handed out, whose tests and benchmark must still be there.
    """
    try:
        shutil.copytree(project, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    except (OSError, shutil.Error) as error:
        return f"cannot be copied: {error}"
    for name in ("benchmark.py", "tests/check_clock.py", "tests/check_merge.py"):
        if _bytes(f"{original}/{name}") != _bytes(f"{project}/{name}"):
            return f"{name} is another one"
    for args, expected in cases(chance, CASES):
        if (answer := _answer(folder, args)) != expected:
            return f"answers {' '.join(args)} with {answer!r}"
    return ""


def lines(chance: random.Random, count: int) -> Iterator[str]:
    """Such cases as lines of a file of cases for `openloop judge`."""
    for args, answer in cases(chance, count):
        yield json.dumps({"args": args, "stdout": answer}) + "\n"


def cases(chance: random.Random, count: int) -> Iterator[tuple[list[str], str]]:
    """Made-up days and the report that is right for each: minute by minute, slow and simple."""
    for _ in range(count):
        starts = [chance.randrange(300, 1200) for _ in range(chance.randint(4, 9))]
        spans = [(start, start + chance.randint(5, 150)) for start in starts]
        first = chance.randrange(300, 1200)
        spans += [(first, first + 200), (first + 20, first + 40)]  # the one within the other
        yield [_written(span) for span in spans], _report(spans)


def _report(spans: list[Span]) -> str:
    busy = {minute for start, end in spans for minute in range(start, end)}
    starts = sorted(minute for minute in busy if minute - 1 not in busy)
    ends = sorted(minute + 1 for minute in busy if minute + 1 not in busy)
    lines = [_written(span) for span in zip(starts, ends, strict=True)]
    return "\n".join([*lines, f"total {_time(len(busy))}"])


def _written(span: Span) -> str:
    return f"{_time(span[0])}-{_time(span[1])}"


def _time(minute: int) -> str:
    return f"{minute // 60}:{minute % 60:02}"


def _answer(folder: str, args: list[str]) -> str:
    """What the program prints, in a fresh process with nothing of the run in its environment.

    It may be a cheat's program: its home is a folder of the arena, and nothing that it starts
    outlives it.
    """
    home = f"{folder}-home"
    env = {
        "HOME": home,
        "TMPDIR": home,
        "PATH": os.defpath,
        "PYTHONPATH": folder,
        "PYTHONUSERBASE": home,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    os.makedirs(home, exist_ok=True)
    printed = f"{home}/printed"
    words = shlex.join([sys.executable, "-S", "-m", "spans", *args])
    found = watched(f"exec {words} > {shlex.quote(printed)}", folder, env, timeout=TIMEOUT)
    if found["code"] != 0:
        return f"exit code {found['code']}"
    with open(printed, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def _bytes(path: str) -> bytes | None:
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()
