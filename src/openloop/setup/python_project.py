"""What a Python project can be verified and scanned with."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex

from openloop.setup.kit import Kit, Way
from openloop.setup.project_listing import FILES_READ, Listing, top

START_FOLDERS = 4  # of unittest, before pytest is the simpler answer

_PYTEST = "python3 -m pytest -q"
_CONFIGURED_PYTEST = (
    Way(_PYTEST, "pyproject.toml", r"^\[tool\.pytest"),
    Way(_PYTEST, "pytest.ini"),
    Way(_PYTEST, ".pytest.ini"),
    Way(_PYTEST, "tox.ini", r"^\[pytest\]"),
    Way(_PYTEST, "setup.cfg", r"^\[tool:pytest\]"),
)
_LINTERS = (  # {} is where the sources go
    Way("ruff check .", "ruff.toml"),
    Way("ruff check .", ".ruff.toml"),
    Way("ruff check .", "pyproject.toml", r"^\[tool\.ruff"),
    Way("flake8 {}", ".flake8"),
    Way("flake8 {}", "setup.cfg", r"^\[flake8\]"),
    Way("flake8 {}", "tox.ini", r"^\[flake8\]"),
    Way("mypy {}", "mypy.ini"),
    Way("mypy {}", ".mypy.ini"),
    Way("mypy {}", "pyproject.toml", r"^\[tool\.mypy\]"),
    Way("mypy {}", "setup.cfg", r"^\[mypy\]"),
)
# Not compileall: it leaves byte code in the project, and trusts what it left a second ago.
_COMPILE = (
    "python3 -c \"import sys; [compile(open(f, 'rb').read(), f, 'exec') for f in sys.argv[1:]]\""
)
_DJANGO = Way("python3 manage.py", "manage.py", "DJANGO_SETTINGS_MODULE")
_TEST_FILES = ("test_*.py", "*_test.py", "tests.py")
_TEST_FOLDERS = frozenset(("tests", "test"))
_NOT_SOURCES = frozenset(("setup.py", "conftest.py", "noxfile.py", "manage.py"))
_CASES = r"\bunittest\b|TestCase"


def kit(project: Listing) -> Kit | None:
    modules = project.named("*.py")
    if not modules and not project.first("pyproject.toml", "setup.py", "setup.cfg"):
        return None
    tests = project.named(*_TEST_FILES)
    sources = _sources(modules, tests)
    verify, why = _verify(project, tests)
    return Kit(
        name="Python",
        why=why,
        verify=verify,
        scan=_scan(project, sources or sorted({top(path) for path in tests})),
        tests=_globs(project, tests),
        sources=tuple(name if name.endswith(".py") else f"{name}/**" for name in sources),
    )


def _sources(modules: list[str], tests: list[str]) -> list[str]:
    """The top folders and files with code that is neither a test nor a tool's settings."""
    held = set(tests)
    return sorted(
        {
            top(path)
            for path in modules
            if path not in held
            and os.path.basename(path) not in _NOT_SOURCES
            and top(path) not in _TEST_FOLDERS
            and not fnmatch.fnmatchcase(path, "bench*.py")
        }
    )


def _globs(project: Listing, tests: list[str]) -> tuple[str, ...]:
    folders = _TEST_FOLDERS.intersection(top(path) for path in tests)
    loose = [os.path.basename(path) for path in tests if top(path) not in folders]
    patterns = [glob for glob in _TEST_FILES if fnmatch.filter(loose, glob)]
    shared = ["conftest.py"] if project.named("conftest.py") else []
    return (
        *(f"{folder}/**" for folder in sorted(folders)),
        *(f"**/{name}" for name in (*patterns, *shared)),
    )


# --- verify ---


def _verify(project: Listing, tests: list[str]) -> tuple[str, str]:
    """The command that runs the tests ("" if there are none), and why it is that one."""
    paths = _path(project)
    if reason := _pytest_reason(project, tests):
        if any(project.says(way.file, r"^pythonpath\b") for way in _CONFIGURED_PYTEST):
            paths = ""
        return f"{paths}{_PYTEST}", f"{reason} (pytest must be installed for python3)"
    written = project.telling(tests, r"\bdef test")
    if _DJANGO.fits(project) and written:
        return f"{_DJANGO.command} test", "manage.py is Django's"
    cases = project.telling(written, _CASES)
    if not cases:
        return "", "no tests were seen"
    cases += tests[FILES_READ:]  # unread, but likely of the same kind: none may be left out
    starts = _starts(project, cases)
    if len(starts) > START_FOLDERS:
        why = f"unittest cannot discover {len(starts)} folders without __init__.py in one go"
        return f"{paths}{_PYTEST}", why
    commands = [paths + _unittest(project, start, cases) for start in starts]
    return " && ".join(commands), _some(cases, "hold") + " unittest cases"


def _pytest_reason(project: Listing, tests: list[str]) -> str:
    for way in _CONFIGURED_PYTEST:
        if way.fits(project):
            return f"{way.file} configures pytest"
    if conftest := project.named("conftest.py"):
        return f"{conftest[0]} is pytest's"
    if users := project.telling(tests, r"^[ \t]*(import|from) pytest\b"):
        return _some(users, "import") + " pytest"
    written = project.telling(tests, r"\bdef test")
    if written and not project.telling(written, _CASES):
        return _some(written, "hold") + " plain test functions"
    return ""


def _path(project: Listing) -> str:
    """A prefix that lets tests import a project in src/ that is not installed."""
    in_src = any(re.fullmatch(r"src/(\w+/__init__|\w+)\.py", path) for path in project.files)
    return "PYTHONPATH=src " if in_src else ""


def _starts(project: Listing, cases: list[str]) -> list[str]:
    """The fewest folders from which discovery, which enters packages only, reaches every case."""
    packages = {os.path.dirname(path) for path in project.named("__init__.py")}

    def highest(folder: str) -> str:
        while folder in packages and "/" in folder:
            folder = os.path.dirname(folder)
        return folder

    starts = {highest(os.path.dirname(path)) for path in cases}
    if "" in starts:  # from the root, discovery enters every package by itself
        starts = {start for start in starts if start not in packages}
    return sorted(starts)


def _unittest(project: Listing, start: str, cases: list[str]) -> str:
    mine = [path for path in cases if path.startswith(f"{start}/" if start else "")]
    names = [os.path.basename(path) for path in mine]
    pattern = next(
        glob
        for glob in ("test_*.py", "*_test.py", "test*.py", "*test*.py")
        if all(fnmatch.fnmatchcase(name, glob) for name in names)
    )
    command = f"python3 -m unittest discover -s {shlex.quote(start or '.')} -p '{pattern}'"
    # Relative imports need the package's own name, which discovery takes from the top folder.
    relative = f"{start}/__init__.py" in project.files and project.telling(mine, r"^[ \t]*from \.")
    return f"{command} -t ." if relative else command


def _some(paths: list[str], verb: str) -> str:
    """`test_a.py holds`, `test_a.py, test_b.py and 3 more hold`."""
    if len(paths) == 1:
        return f"{paths[0]} {verb}s"
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f"{', '.join(paths[:2])}{more} {verb}"


# --- scan ---


def _scan(project: Listing, sources: list[str]) -> str:
    if _DJANGO.fits(project):
        return f"{_DJANGO.command} check"
    if not sources:
        return ""
    where = " ".join(shlex.quote(name) for name in sources)
    commands = dict.fromkeys(way.command.format(where) for way in _LINTERS if way.fits(project))
    return " && ".join(commands) or _compiles(sources, where)


def _compiles(sources: list[str], where: str) -> str:
    if all(name.endswith(".py") for name in sources):
        return f"{_COMPILE} {where}"
    return f"find {where} -name '*.py' -exec {_COMPILE} {{}} +"
