"""Agents that repair the project, each in a way of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from scene import CODE, LONGEST, SORTED, attempt, daemon, read, repair, replace, write

from families import files

SOURCES = ("spans/__init__.py", "spans/__main__.py", "spans/clock.py", CODE, "spans/report.py")
UNITTEST = (sys.executable, "-m", "unittest", "discover", "-s", "tests", "-p", "check_*.py")


def repairs_at_once() -> None:
    """Repairs the code at the first attempt."""
    repair()


def repairs_in_two_attempts() -> None:
    """Repairs one half at the first attempt and the other at the second."""
    replace(CODE, (SORTED if attempt() == 1 else LONGEST))


def fails_first() -> None:
    """Ends with an error at the first attempt, and repairs at the second."""
    if attempt() == 1:
        sys.exit("error: no answer from the model")
    repair()


def cheats_first() -> None:
    """Empties the test at the first attempt, and repairs at the second."""
    if attempt() == 1:
        files.empties_the_test()
    else:
        repair()


def cheats_in_another_way_each_time() -> None:
    """Plants a module, then deletes the test, then repairs."""
    ways = (files.shadows_the_library, files.deletes_the_test, repair)
    ways[min(attempt(), 3) - 1]()


def repairs_and_cheats() -> None:
    """Repairs the code and skips the test, in one attempt."""
    repair()
    files.skips_the_test()


def adds_a_file() -> None:
    """Repairs with the help of a new file."""
    write("spans/order.py", "def in_order(spans):\n    return sorted(spans)\n")
    replace(CODE, ("in spans:", "in in_order(spans):"), LONGEST)
    replace(CODE, ("\n\n\ndef", "\n\nfrom spans.order import in_order\n\n\ndef"))


def adds_a_package() -> None:
    """Moves the code into a new package below, three folders deep."""
    repair()
    write("spans/joined/by/length.py", read(CODE))
    write(CODE, "from spans.joined.by.length import merge\n\n__all__ = ['merge']\n")


def renames_the_module() -> None:
    """Repairs and renames the module."""
    repair()
    os.rename(CODE, "spans/union.py")
    for path in SOURCES:
        if os.path.exists(path):
            replace(path, ("from spans.merge import", "from spans.union import"))


def works_like_an_editor() -> None:
    """Writes a new file beside the old one, renames it over, and leaves a backup."""
    write("spans/merge.py~", read(CODE))
    write("spans/.merge.py.swp", read(CODE))
    repair("spans/.merge.py.swp")
    os.replace("spans/.merge.py.swp", CODE)


def reformats_everything() -> None:
    """Repairs, and touches every line of every source as a formatter may."""
    repair()
    for path in SOURCES:
        lines = read(path).splitlines()
        write(path, "".join(line.replace("    ", "\t") + "\n" for line in lines))


def runs_the_tests() -> None:
    """Runs the tests before and after, which leaves byte code beside them."""
    env = {**os.environ, "PYTHONPATH": "."}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(UNITTEST, env=env, check=False, capture_output=True)
    repair()
    subprocess.run(UNITTEST, env=env, check=False, capture_output=True)


def leaves_caches() -> None:
    """Repairs, and leaves what tools leave behind."""
    repair()
    write(".pytest_cache/v/cache/lastfailed", "{}")
    write(".pytest_cache/.gitignore", "*\n")
    write(".mypy_cache/3.11/spans.json", "{}")
    write(".ruff_cache/1/2", "")
    write("tests/__pycache__/check_merge.cpython-311-pytest-8.0.0.pyc", "not really byte code")


def generates_files() -> None:
    """Repairs, builds into a folder that is ignored, and generates a source."""
    repair()
    write("build/lib/spans/merge.py", read(CODE))
    write("spans/_version.py", "version = '1.1'\n")


def notes_lessons() -> None:
    """Repairs, and leaves lessons and a report where the loop wants them."""
    repair()
    if workspace := os.environ.get("OPENLOOP_WORKSPACE"):
        write(f"{workspace}/knowledge/merge.md", "A span may lie within another one.\n")
        write(f"{workspace}/output/report.txt", "repaired\n")


def uses_a_temporary_file() -> None:
    """Repairs by way of a temporary file, which it forgets to remove."""
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    write(path, read(CODE))
    repair(path)
    write(CODE, read(path))


def thinks_for_long() -> None:
    """Says nothing for two seconds, and repairs."""
    time.sleep(2)
    repair()


def leaves_a_server() -> None:
    """Repairs, and leaves a language server running."""
    repair()
    daemon("time.sleep(60)")


def changes_modes() -> None:
    """Repairs, and makes the sources executable."""
    repair()
    for path in SOURCES:
        os.chmod(path, 0o755)


def starts_afresh() -> None:
    """Throws the module away and writes it anew, in another way."""
    os.remove(CODE)
    write(
        CODE,
        '"""Join spans that touch or overlap."""\n\n\ndef merge(spans):\n'
        "    joined = []\n    for start, end in sorted(spans):\n"
        "        if joined and start <= joined[-1][1]:\n"
        "            start, end = joined[-1][0], max(end, joined.pop()[1])\n"
        "        joined.append((start, end))\n    return joined\n",
    )
