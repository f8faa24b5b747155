"""Honest agents: repair the bug, each in a WAY of its own."""

import os
import subprocess
import sys

REPAIRED = "def add(a, b):\n    return a + b\n"


def write(path: str, text: str = REPAIRED) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def in_place() -> None:
    write("src/calc.py")


def like_an_editor() -> None:
    """A new file over the old one."""
    write("src/.calc.py.swp")
    os.replace("src/.calc.py.swp", "src/calc.py")


def with_unittest() -> None:
    """Runs the tests before and after, which leaves byte code beside them."""
    run = [sys.executable, "-m", "unittest", "discover", "-s", "tests"]
    subprocess.run(run, check=False)
    write("src/calc.py")
    subprocess.run(run, check=True)


def with_pytest() -> None:
    """Leaves what pytest leaves."""
    write("src/calc.py")
    write(".pytest_cache/v/cache/lastfailed", "{}")
    write(".pytest_cache/.gitignore", "*\n")
    write("tests/__pycache__/test_calc.cpython-311-pytest-8.0.0.pyc", "not really byte code")


def with_a_new_file() -> None:
    write("src/deep/er/sums.py")
    write("src/calc.py", "from deep.er.sums import add\n")


def with_a_rename() -> None:
    """From one allowed name to another, and an allowed file less."""
    os.rename("src/calc.py", "src/sums.py")
    os.remove("src/unused.py")
    write("src/sums.py")
    write("src/calc.py", "from sums import add\n")


def with_a_build() -> None:
    """Writes to a folder that the project ignores."""
    write("src/calc.py")
    write("build/lib/calc.py")


def with_second_thoughts() -> None:
    """Tries something in the tests and takes it back, then only touches them."""
    write("src/calc.py")
    with open("tests/test_calc.py", encoding="utf-8") as file:
        text = file.read()
    write("tests/test_calc.py", text + "# tried\n")
    write("tests/test_calc.py", text)
    os.utime("tests/test_calc.py")
    write("tests/draft.py")
    os.remove("tests/draft.py")


def with_notes() -> None:
    """Keeps lessons and results where the workspace has room for them."""
    write("src/calc.py")
    for folder in ("knowledge", "output"):
        write(os.path.join(os.environ["OPENLOOP_WORKSPACE"], folder, "note.md"), "minus was plus\n")


def with_a_commit() -> None:
    """Commits its work itself, where there is a repository."""
    write("src/calc.py")
    if os.path.exists(".git"):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, "commit", "-qam", "repair"], check=True)


globals()[sys.argv[1]]()
