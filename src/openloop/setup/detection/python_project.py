"""Detects verify and scan of a Python project."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex

from openloop.setup.detection.ecosystems import Candidate, ProjectCommands
from openloop.setup.detection.project_listing import FILES_READ, ProjectListing

START_FOLDERS = 4  # of unittest, before pytest is the simpler answer

_ENVIRONMENTS = (".venv/bin/", "venv/bin/")  # the folders of their programs
_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "requirements.txt", "manage.py")
_PYTEST = "-m pytest -q"
_CONFIGURED_PYTEST = (
    Candidate(_PYTEST, "pyproject.toml", r"^\[tool\.pytest"),
    Candidate(_PYTEST, "pytest.ini"),
    Candidate(_PYTEST, ".pytest.ini"),
    Candidate(_PYTEST, "pytest.toml"),
    Candidate(_PYTEST, "tox.ini", r"^\[pytest\]"),
    Candidate(_PYTEST, "setup.cfg", r"^\[tool:pytest\]"),
)
_HATCH = (  # hatch's own test environment, where the project has settings for it
    Candidate("hatch test", "hatch.toml", r"^\[envs\.hatch-test"),
    Candidate("hatch test", "pyproject.toml", r"^\[tool\.hatch\.envs\.hatch-test"),
)
# Only what runs with the project's own settings and without arguments of ours.
_LINTERS = (
    Candidate("ruff check .", "ruff.toml"),
    Candidate("ruff check .", ".ruff.toml"),
    Candidate("ruff check .", "pyproject.toml", r"^\[tool\.ruff"),
    Candidate("flake8", ".flake8"),
    Candidate("flake8", "setup.cfg", r"^\[flake8\]"),
    Candidate("flake8", "tox.ini", r"^\[flake8\]"),
    Candidate("mypy", "mypy.ini", r"^(files|packages|modules)\b"),
    Candidate("mypy", ".mypy.ini", r"^(files|packages|modules)\b"),
    Candidate(
        "mypy", "pyproject.toml", r"^\[tool\.mypy\](\n(?!\[).*)*\n(files|packages|modules)\b"
    ),
    Candidate("mypy", "setup.cfg", r"^\[mypy\](\n(?!\[).*)*\n(files|packages|modules)\b"),
)
_CALLERS = ("Makefile", "justfile", "tox.ini")  # that may call a linter
_DJANGO = Candidate("manage.py", "manage.py", "DJANGO_SETTINGS_MODULE")
_TEST_FILES = ("test_*.py", "*_test.py", "tests.py")
_CASES = r"\bunittest\b|TestCase"
_DOCTESTS = r"--doctest-glob[= ]+[\"']?([\w*./-]+)"


def detect_commands(project: ProjectListing) -> ProjectCommands | None:
    modules, marker = project.named("*.py"), project.first(*_MARKERS)
    configured = any(candidate.fits(project) for candidate in _CONFIGURED_PYTEST)
    if not modules and not marker:
        return None
    programs = next((folder for folder in _ENVIRONMENTS if project.has(f"{folder}python")), "")
    python = f"{programs}python" if programs else "python3"
    verify, why = _verify(project, project.named(*_TEST_FILES), python)
    scan = f"{python} manage.py check" if _DJANGO.fits(project) else _scan(project, programs)
    return ProjectCommands(
        name="Python",
        why=why,
        verify=verify,
        scan=scan,
        example=f"{python} -m pytest -q",
        protect=("**/*.egg-info/entry_points.txt", *_doctests(project)),
        # Entry points of an installed package may load a plugin of pytest before any test.
        protect_anywhere=("conftest.py", "????customize", "????customize.*", "entry_points.txt"),
        doubtful=not (marker or configured),
    )


def _scan(project: ProjectListing, programs: str) -> str:
    """The command of the configured linters.

    programs: the folder of the environment's programs. A linter that is installed there runs from
    there.
    """
    linters = dict.fromkeys(candidate.command for candidate in _LINTERS if candidate.fits(project))
    commands = [_as_called(project, command) for command in linters]
    called = " && ".join(
        f"{programs}{command}" if project.has(programs + command.split()[0]) else command
        for command in commands
    )
    # Its cache finds a file clean by its time and mode, which a change can give to other contents.
    # With `fix = true` in its settings it would edit the project in place of reporting.
    return called.replace("ruff check", "ruff check --no-cache --no-fix")


def _as_called(project: ProjectListing, command: str) -> str:
    """A linter's command with the paths that the project's own call of it names, if any."""
    program = command.removesuffix(" .")
    for name in _CALLERS:
        call = re.search(rf"\b{program}((?: [\w./-]+)+)[ \t]*$", project.text(name), re.MULTILINE)
        if call and " -" not in call[1]:
            return program + call[1]
    return command


def _doctests(project: ProjectListing) -> list[str]:
    """Files of prose whose examples pytest runs."""
    texts = [
        project.text(candidate.file) for candidate in _CONFIGURED_PYTEST if candidate.fits(project)
    ]
    return [f"/{glob}" for text in texts for glob in re.findall(_DOCTESTS, text)]


# --- verify ---


def _verify(project: ProjectListing, tests: list[str], python: str) -> tuple[str, str]:
    """The command that runs the tests ("" if there are none), and why it is that one."""
    for candidate in _HATCH:
        if candidate.fits(project):
            return candidate.command, f"{candidate.file} configures hatch test"
    paths = _path(project)
    pytest = f"{paths}{python} {_PYTEST}"
    if reason := _pytest_reason(project, tests):
        if any(
            project.text_matches(candidate.file, r"^pythonpath\b")
            for candidate in _CONFIGURED_PYTEST
        ):
            pytest = f"{python} {_PYTEST}"
        return pytest, f"{reason} (pytest must be installed for {python})"
    written = project.with_text(tests, r"\bdef test")
    if _DJANGO.fits(project) and written:
        return f"{python} {_DJANGO.command} test", "manage.py is Django's"
    cases = project.with_text(written, _CASES)
    if not cases:
        return "", "no tests were seen"
    if project.with_text(cases, r"^[ \t]*(from|import) django\b"):
        return "", "the tests are Django's, and there is no manage.py that has settings for them"
    if program := _test_program(project):
        return f"{paths}{python} -m {program}", f"the package {program} runs the tests"
    cases += tests[FILES_READ:]  # unread, but likely of the same kind: none may be left out
    starts = _starts(project, cases)
    if len(starts) > START_FOLDERS:
        why = f"unittest cannot discover {len(starts)} folders without __init__.py in one go"
        return pytest, why
    commands = [f"{paths}{python} {_unittest(project, start, cases)}" for start in starts]
    return " && ".join(commands), _some(cases, "hold") + " unittest cases"


def _pytest_reason(project: ProjectListing, tests: list[str]) -> str:
    for candidate in _CONFIGURED_PYTEST:
        if candidate.fits(project):
            return f"{candidate.file} configures pytest"
    if conftest := project.named("conftest.py"):
        return f"{conftest[0]} is pytest's"
    if users := project.with_text(tests, r"^[ \t]*(import|from) pytest\b"):
        return _some(users, "import") + " pytest"
    written = project.with_text(tests, r"\bdef test")
    if written and not project.with_text(written, _CASES):
        return _some(written, "hold") + " plain test functions"
    return ""


def _test_program(project: ProjectListing) -> str:
    """The package whose `__main__` runs the tests; "" if there is none."""
    return next(
        (
            os.path.dirname(path).removeprefix("src/").replace("/", ".")
            for path in project.named("__main__.py")
            if re.search(r"(^|/)tests?/__main__\.py$", path)
            and f"{os.path.dirname(path)}/__init__.py" in project.files
        ),
        "",
    )


def _path(project: ProjectListing) -> str:
    """A prefix that lets tests import a project in src/ that is not installed."""
    in_src = any(re.fullmatch(r"src/(\w+/__init__|\w+)\.py", path) for path in project.files)
    return "PYTHONPATH=src " if in_src else ""


def _starts(project: ProjectListing, cases: list[str]) -> list[str]:
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


def _unittest(project: ProjectListing, start: str, cases: list[str]) -> str:
    mine = [path for path in cases if path.startswith(f"{start}/" if start else "")]
    names = [os.path.basename(path) for path in mine]
    pattern = next(
        glob
        for glob in ("test_*.py", "*_test.py", "test*.py", "*test*.py")
        if all(fnmatch.fnmatchcase(name, glob) for name in names)
    )
    command = f"-m unittest discover -s {shlex.quote(start or '.')} -p '{pattern}'"
    # Relative imports need the package's own name, which discovery takes from the top folder.
    relative = f"{start}/__init__.py" in project.files and project.with_text(
        mine, r"^[ \t]*from \."
    )
    return f"{command} -t ." if relative else command


def _some(paths: list[str], verb: str) -> str:
    """`test_a.py holds`, `test_a.py, test_b.py and 3 more hold`."""
    if len(paths) == 1:
        return f"{paths[0]} {verb}s"
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f"{', '.join(paths[:2])}{more} {verb}"
