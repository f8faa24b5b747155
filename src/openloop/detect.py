"""What commands fit a project, read from its files alone: nothing is ever run.

A proposal for a person to look over, so every choice comes with a sentence that says what was
seen. Where nothing proves the project, verify is a command that fails: a gate that passes
without having measured anything would be worse than none.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import re
import shlex
import stat
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openloop.states import Step

ENTRIES = 2000  # looked at in all, so that a home folder or a data set costs no more
FOLDER_ENTRIES = 500  # of one folder, so that a heap of data cannot hide its neighbours
FILE_BYTES = 65_536  # read of one file
FILES_READ = 60  # of one kind, for what their text says
START_FOLDERS = 4  # of unittest, before pytest is the simpler answer

REPLACE_ME = "echo 'replace me: write the command that proves this project works' >&2; exit 1"

# Not the project's own work; folders whose names begin with a dot are left out as well.
ASIDE = frozenset(
    ["node_modules", "venv", "env", "virtualenv", "site-packages", "__pycache__", "vendor", "third_party", "build", "dist", "target", "out", "bin", "obj", "coverage", "htmlcov", "examples", "samples", "docs", "fixtures", "testdata", "deps"]
)


@dataclass(frozen=True, slots=True)
class Detection:
    """What `init` may write, and why.

    commands: by step; verify is always there. found: sentences. tests, sources: globs for
    `policy.protect` and `policy.allow`. baseline: a disabled block without its `value`, or None.
    """

    commands: dict[Step, str]
    found: list[str]
    tests: list[str]
    sources: list[str]
    baseline: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Kit:
    """What one ecosystem offers a project; "" where it has nothing to offer."""

    name: str
    why: str = ""
    verify: str = ""
    scan: str = ""
    tests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def detect(root: str) -> Detection:
    """Look at the project below `root`, bounded in entries and bytes; never raises for its state."""
    tree = _Tree.below(root)
    kits = [kit for kind in _KINDS if (kit := kind(tree))]
    able = sorted(kits, key=lambda kit: not kit.verify)  # stable: the order of _KINDS stays
    play, on_play = _play(tree)
    benchmark, on_benchmark = _benchmark(tree)
    commands = {
        Step.PLAY: play,
        Step.SCAN: next((kit.scan for kit in able if kit.scan), ""),
        Step.VERIFY: next((kit.verify for kit in able if kit.verify), REPLACE_ME),
    }
    return Detection(
        commands={step: command for step, command in commands.items() if command},
        found=[*_told(able), *_limits(tree, commands), on_play, *on_benchmark],
        tests=_united([kit.tests for kit in kits] + [benchmark.protect]),
        sources=_united(kit.sources for kit in kits),
        baseline=benchmark.block,
    )


# --- the project's files ---


@dataclass(frozen=True, slots=True)
class _Tree:
    """The files of a project as far as they were looked at; paths relative, with slashes."""

    root: str
    files: tuple[str, ...]
    whole: bool

    @classmethod
    def below(cls, root: str) -> _Tree:
        files: list[str] = []
        waiting, left, whole = deque([""]), ENTRIES, True
        while waiting and left > 0:
            entries, complete = _entries(root, waiting.popleft(), min(left, FOLDER_ENTRIES))
            left -= len(entries)
            whole = whole and complete
            files += [path for path, is_folder in entries if not is_folder]
            waiting += [path for path, is_folder in entries if is_folder]
        return cls(root, tuple(files), whole and not waiting)

    def has(self, name: str) -> bool:
        """Asked of the disk: a heap of other files at the root cannot hide a project file."""
        if "*" in name:
            return any("/" not in path for path in self.named(name))
        return os.path.exists(os.path.join(self.root, name))

    def first(self, *names: str) -> str:
        return next((name for name in names if self.has(name)), "")

    def named(self, *patterns: str) -> list[str]:
        """The files whose own name, not path, matches one of the patterns."""
        return [
            path
            for path in self.files
            if any(fnmatch.fnmatchcase(_base(path), pattern) for pattern in patterns)
        ]

    def text(self, path: str) -> str:
        """What a file begins with; "" for one that is missing, unreadable or not regular."""
        try:
            # O_NONBLOCK: a FIFO must not hang us.
            descriptor = os.open(
                os.path.join(self.root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except (OSError, ValueError):
            return ""
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return file.read(FILE_BYTES).decode("utf-8-sig", "replace")

    def says(self, path: str, pattern: str) -> bool:
        return bool(re.search(pattern, self.text(path), re.MULTILINE))

    def telling(self, paths: Iterable[str], pattern: str) -> list[str]:
        """Those of the first files whose text matches."""
        return [path for path in itertools.islice(paths, FILES_READ) if self.says(path, pattern)]


def _entries(root: str, folder: str, limit: int) -> tuple[list[tuple[str, bool]], bool]:
    """Up to `limit` (path, is a folder) of one folder by name, and whether that was all."""
    try:
        with os.scandir(os.path.join(root, folder)) as scan:
            seen = list(itertools.islice(scan, limit + 1))
    except (OSError, ValueError):
        return [], True
    entries = []
    for entry in sorted(seen[:limit], key=lambda entry: entry.name):
        kind = _kind(entry)
        if kind is not None and _is_plain(entry.name):
            entries.append((f"{folder}/{entry.name}".lstrip("/"), kind))
    return entries, len(seen) <= limit


def _kind(entry: os.DirEntry[str]) -> bool | None:
    """True for a folder to go into, False for a file, None for what is left out."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return None if entry.name.startswith(".") or entry.name in ASIDE else True
        return False if entry.is_file() else None
    except OSError:
        return None  # a symlink to itself


def _is_plain(name: str) -> bool:
    """A name that can stand in a command, a glob and JSON: no control bytes, no placeholder."""
    return name.isprintable() and not set(name) & set("{}*?[]\\")


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _top(path: str) -> str:
    return path.partition("/")[0]


# --- Python ---

_PYTEST_SETTINGS = (
    ("pyproject.toml", r"^\[tool\.pytest"),
    ("pytest.ini", ""),
    (".pytest.ini", ""),
    ("tox.ini", r"^\[pytest\]"),
    ("setup.cfg", r"^\[tool:pytest\]"),
)
_LINTERS = (  # command ({} is where the sources go), and the settings that speak for it
    ("ruff check .", (("ruff.toml", ""), (".ruff.toml", ""), ("pyproject.toml", r"^\[tool\.ruff"))),
    ("flake8 {}", ((".flake8", ""), ("setup.cfg", r"^\[flake8\]"), ("tox.ini", r"^\[flake8\]"))),
    (
        "mypy {}",
        (
            ("mypy.ini", ""),
            (".mypy.ini", ""),
            ("pyproject.toml", r"^\[tool\.mypy\]"),
            ("setup.cfg", r"^\[mypy\]"),
        ),
    ),
)
_TEST_FILES = ("test_*.py", "*_test.py", "tests.py")
_NOT_SOURCES = frozenset(("setup.py", "conftest.py", "noxfile.py", "manage.py"))


def _python(tree: _Tree) -> _Kit | None:
    modules = tree.named("*.py")
    if not modules and not tree.first("pyproject.toml", "setup.py", "setup.cfg"):
        return None
    tests = tree.named(*_TEST_FILES)
    sources = _python_sources(modules, tests)
    verify, why = _python_verify(tree, tests)
    return _Kit(
        name="Python",
        why=why,
        verify=verify,
        scan=_python_scan(tree, sources or sorted({_top(path) for path in tests})),
        tests=_python_globs(tree, tests),
        sources=tuple(name if name.endswith(".py") else f"{name}/**" for name in sources),
    )


def _python_sources(modules: list[str], tests: list[str]) -> list[str]:
    """Top folders and files that hold code but no tests alone."""
    held = set(tests)
    return sorted(
        {
            _top(path)
            for path in modules
            if path not in held
            and _base(path) not in _NOT_SOURCES
            and _top(path) not in ("tests", "test")
            and not fnmatch.fnmatchcase(path, "bench*.py")
        }
    )


def _python_globs(tree: _Tree, tests: list[str]) -> tuple[str, ...]:
    folders = {_top(path) for path in tests} & {"tests", "test"}
    loose = {
        f"**/{pattern}"
        for pattern in _TEST_FILES
        for path in tests
        if _top(path) not in folders and fnmatch.fnmatchcase(_base(path), pattern)
    }
    shared = {"**/conftest.py"} if tree.named("conftest.py") else set()
    return tuple(sorted({f"{folder}/**" for folder in folders} | loose | shared))


def _python_verify(tree: _Tree, tests: list[str]) -> tuple[str, str]:
    """The command that runs the tests ("" if there are none), and why it is that one."""
    paths = _python_path(tree)
    if reason := _pytest_reason(tree, tests):
        if tree.says("pyproject.toml", r"^pythonpath\b"):
            paths = ""
        return f"{paths}python3 -m pytest -q", f"{reason} (pytest must be installed for python3)"
    written = tree.telling(tests, r"\bdef test")
    if tree.says("manage.py", "DJANGO_SETTINGS_MODULE") and written:
        return "python3 manage.py test", "manage.py is Django's"
    cases = tree.telling(written, r"\bunittest\b|TestCase")
    if not cases:
        return ("", "no tests were seen")
    starts = _unittest_starts(tree, cases)
    if len(starts) > START_FOLDERS:
        why = f"unittest cannot discover {len(starts)} folders without __init__.py in one go"
        return f"{paths}python3 -m pytest -q", why
    commands = [paths + _unittest(tree, start, cases) for start in starts]
    return " && ".join(commands), f"{_some(cases)} hold unittest cases"


def _pytest_reason(tree: _Tree, tests: list[str]) -> str:
    for name, pattern in _PYTEST_SETTINGS:
        if tree.has(name) and tree.says(name, pattern):
            return f"{name} configures pytest"
    if conftest := tree.named("conftest.py"):
        return f"{conftest[0]} is pytest's"
    if users := tree.telling(tests, r"^\s*(import|from) pytest\b"):
        return f"{_some(users)} import pytest"
    written = tree.telling(tests, r"\bdef test")
    if written and not tree.telling(written, r"\bunittest\b|TestCase"):
        return f"{_some(written)} hold plain test functions"
    return ""


def _python_path(tree: _Tree) -> str:
    """A prefix that lets tests import a project in src/ that is not installed."""
    in_src = any(re.fullmatch(r"src/(\w+/__init__|\w+)\.py", path) for path in tree.files)
    return "PYTHONPATH=src " if in_src else ""


def _unittest_starts(tree: _Tree, cases: list[str]) -> list[str]:
    """The fewest folders from which discovery, which enters packages only, reaches every case."""
    packages = {_folder(path) for path in tree.named("__init__.py")}

    def highest(folder: str) -> str:
        while folder in packages and "/" in folder:
            folder = _folder(folder)
        return folder

    starts = {highest(_folder(path)) for path in cases}
    if "" in starts:  # from the root, discovery enters every package by itself
        starts = {start for start in starts if _top(start) not in packages} | {""}
    return sorted(starts)


def _unittest(tree: _Tree, start: str, cases: list[str]) -> str:
    mine = [path for path in cases if path.startswith(f"{start}/" if start else "")]
    names = [_base(path) for path in mine]
    pattern = next(
        glob
        for glob in ("test_*.py", "*_test.py", "test*.py", "*test*.py")
        if all(fnmatch.fnmatchcase(name, glob) for name in names)
    )
    is_package = start and f"{start}/__init__.py" in tree.files
    # Relative imports need the package's own name, which discovery takes from the top folder.
    top = (_folder(start) or ".") if is_package and tree.telling(mine, r"^\s*from \.") else ""
    command = f"python3 -m unittest discover -s {shlex.quote(start or '.')} -p '{pattern}'"
    return f"{command} -t {shlex.quote(top)}" if top else command


def _python_scan(tree: _Tree, sources: list[str]) -> str:
    if tree.says("manage.py", "DJANGO_SETTINGS_MODULE"):
        return "python3 manage.py check"
    if not sources:
        return ""
    where = " ".join(shlex.quote(name) for name in sources)
    commands = [
        command.format(where)
        for command, settings in _LINTERS
        if any(tree.has(name) and tree.says(name, pattern) for name, pattern in settings)
    ]
    return " && ".join(commands) or f"python3 -m compileall -q {where}"


# --- JavaScript ---

_LOCKS = (  # lock file, how to run a script
    ("pnpm-lock.yaml", "pnpm run {}"),
    ("yarn.lock", "yarn run {}"),
    ("bun.lock", "bun run {}"),
    ("bun.lockb", "bun run {}"),
    ("package.json", "npm run --silent {}"),
)
_WATCHES = r"--watch\b|\breact-scripts test|\bng test|\bvitest\b"
_JS_TESTS = ("*.test.[cm]ts", "*.spec.[cm]ts") + tuple(
    f"*.{word}.{ending}" for word in ("test", "spec") for ending in ("js", "mjs", "cjs", "jsx")
)
_JS_TESTS += ("*.test.ts", "*.test.tsx", "*.spec.ts", "*.spec.tsx")


def _javascript(tree: _Tree) -> _Kit | None:
    if not tree.has("package.json"):
        return None
    scripts = _scripts(tree)
    if scripts is None:
        return _Kit("JavaScript", "package.json is not a JSON object that can be read")
    lock, run = next((lock, run) for lock, run in _LOCKS if tree.has(lock))
    test = scripts.get("test", "")
    if "no test specified" in test:
        test = ""
    command = run.format("test").replace("npm run --silent test", "npm test --silent")
    lints = [name for name in ("lint", "typecheck") if name in scripts]
    scans = [run.format(name) for name in lints or ("build",) if name in scripts]
    return _Kit(
        name="JavaScript",
        why=f"package.json has {'a' if test else 'no'} test script ({lock})",
        verify=("CI=true " * bool(re.search(_WATCHES, test)) + command) if test else "",
        scan=" && ".join(scans),
        tests=_javascript_tests(tree),
        sources=tuple(f"{name}/**" for name in ("src", "lib", "app") if tree.has(name)),
    )


def _scripts(tree: _Tree) -> dict[str, str] | None:
    """The scripts of package.json; None when it cannot be read."""
    try:
        package = json.loads(tree.text("package.json"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(package, dict):
        return None
    scripts = package.get("scripts")
    pairs = scripts.items() if isinstance(scripts, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str) and text.strip()}


def _javascript_tests(tree: _Tree) -> tuple[str, ...]:
    folders = [f"{name}/**" for name in ("test", "tests", "__tests__") if tree.has(name)]
    beside = {re.sub(r"^[^.]*", "*", _base(path)) for path in tree.named(*_JS_TESTS)}
    return (*folders, *sorted(f"**/{glob}" for glob in beside if glob.count(".") == 2))


# --- what a table can say ---


class _Way(NamedTuple):
    """A command that fits when every file is there and the first one's text matches."""

    command: str
    files: tuple[str, ...] = ()
    text: str = ""

    def fits(self, tree: _Tree) -> bool:
        return all(tree.has(name) for name in self.files) and (
            not self.text or tree.says(self.files[0], self.text)
        )


class _Rule(NamedTuple):
    """An ecosystem known by a file at the root.

    proof: names of test files, and what one of them must say, where the test command passes
    when it finds no tests at all.
    """

    name: str
    markers: tuple[str, ...]
    verify: tuple[_Way, ...]
    scan: tuple[_Way, ...] = ()
    proof: tuple[str, ...] = ()
    proof_text: str = ""
    tests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


_CMAKE = (
    "cmake -S . -B build && cmake --build build"
    " && ctest --test-dir build --output-on-failure --no-tests=error"
)
_RULES = (
    _Rule(
        "Rust",
        ("Cargo.toml",),
        verify=(
            _Way("cargo test --workspace", ("Cargo.toml",), r"^\[workspace\]"),
            _Way("cargo test"),
        ),
        scan=(
            _Way("cargo clippy --all-targets", ("clippy.toml",)),
            _Way("cargo clippy --all-targets", (".clippy.toml",)),
            _Way("cargo clippy --all-targets", ("Cargo.toml",), r"^\[(workspace\.)?lints\.clippy"),
            _Way("cargo check --all-targets"),
        ),
        proof=("*.rs",),
        proof_text=r"#\[(\w+::)*test\b|#\[cfg\(test\)\]|#\[rstest|^\s*//[/!] ```",
        tests=("tests/**",),
        sources=("src/**", "crates/**"),
    ),
    _Rule(
        "Go",
        ("go.mod",),
        verify=(_Way("go test ./..."),),
        scan=(_Way("golangci-lint run", (".golangci.yml",)), _Way("go vet ./...")),
        proof=("*_test.go",),
        proof_text=r"^func (Test|Fuzz|Example)",
        tests=("**/*_test.go", "**/testdata/**"),
        sources=("**/*.go",),
    ),
    _Rule(
        "Deno",
        ("deno.json", "deno.jsonc"),
        verify=(_Way("deno test"),),
        scan=(_Way("deno lint"),),
        proof=("*_test.ts", "*.test.ts", "*_test.js", "*.test.js"),
        tests=("**/*_test.*", "**/*.test.*"),
    ),
    _Rule(
        "Gradle",
        ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
        verify=(_Way("./gradlew test", ("gradlew",)), _Way("gradle test")),
        proof=("*Test.java", "*Tests.java", "*Test.kt", "*Tests.kt", "*Spec.groovy", "*Spec.kt"),
        tests=("src/test/**", "**/src/test/**"),
        sources=("src/main/**", "**/src/main/**"),
    ),
    _Rule(
        "Maven",
        ("pom.xml",),
        verify=(_Way("./mvnw -B test", ("mvnw",)), _Way("mvn -B test")),
        proof=("*Test.java", "Test*.java", "*Tests.java", "*TestCase.java", "*Test.kt"),
        tests=("src/test/**", "**/src/test/**"),
        sources=("src/main/**", "**/src/main/**"),
    ),
    _Rule(
        ".NET",
        ("*.sln", "*.slnx", "*.csproj", "*.fsproj"),
        verify=(_Way("dotnet test"),),
        scan=(_Way("dotnet build"),),
        proof=("*.csproj", "*.fsproj"),
        proof_text=r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>true|MSTest\.Sdk",
        tests=("**/*.Tests/**", "**/*Tests.cs"),
        sources=("src/**",),
    ),
    _Rule(
        "Elixir",
        ("mix.exs",),
        verify=(_Way("mix test"),),
        scan=(_Way("mix compile --warnings-as-errors"),),
        proof=("*_test.exs",),
        tests=("test/**",),
        sources=("lib/**",),
    ),
    _Rule(
        "PHP",
        ("composer.json",),
        verify=(
            _Way("composer run-script test", ("composer.json",), r'"test"\s*:\s*["\[]'),
            _Way("vendor/bin/phpunit", ("phpunit.xml",)),
            _Way("vendor/bin/phpunit", ("phpunit.xml.dist",)),
        ),
        scan=(
            _Way("vendor/bin/phpstan analyse", ("phpstan.neon",)),
            _Way("vendor/bin/phpstan analyse", ("phpstan.neon.dist",)),
            _Way("composer run-script lint", ("composer.json",), r'"lint"\s*:\s*["\[]'),
            _Way("composer validate"),
        ),
        tests=("tests/**",),
        sources=("src/**", "app/**"),
    ),
    _Rule(
        "Ruby",
        ("Gemfile", "Rakefile", "*.gemspec"),
        verify=(
            _Way("bundle exec rspec", ("spec", "Gemfile")),
            _Way("rspec", ("spec",)),
            _Way("bundle exec rake test", ("Rakefile", "Gemfile"), r"TestTask|task\W+test\b"),
            _Way("rake test", ("Rakefile",), r"TestTask|task\W+test\b"),
        ),
        scan=(
            _Way("bundle exec rubocop", (".rubocop.yml", "Gemfile")),
            _Way("rubocop", (".rubocop.yml",)),
        ),
        proof=("*_spec.rb", "*_test.rb", "test_*.rb"),
        tests=("spec/**", "test/**"),
        sources=("lib/**", "app/**"),
    ),
    _Rule(
        "Swift",
        ("Package.swift",),
        verify=(_Way("swift test"),),
        scan=(_Way("swift build"),),
        proof=("*Tests.swift", "*Test.swift"),
        tests=("Tests/**",),
        sources=("Sources/**",),
    ),
    _Rule(
        "CMake",
        ("CMakeLists.txt",),
        verify=(
            _Way(_CMAKE, ("CMakeLists.txt",), r"(?i)^\s*(enable_testing|include\s*\(\s*CTest)"),
        ),
        scan=(_Way("cmake -S . -B build && cmake --build build"),),
        tests=("tests/**", "test/**"),
        sources=("src/**", "include/**"),
    ),
    _Rule(
        "tox",
        ("tox.ini", "pyproject.toml"),
        verify=(
            _Way("tox", ("tox.ini",), r"^\[(tox|testenv)"),
            _Way("tox", ("pyproject.toml",), r"^\[tool\.tox"),
        ),
    ),
    _Rule("nox", ("noxfile.py",), verify=(_Way("nox"),)),
    _Rule(
        "shell",
        ("run_tests.sh", "test.sh", "scripts/run_tests.sh", "scripts/test.sh"),
        verify=tuple(
            _Way(f"{shell} {name}", (name,), text)
            for name in ("run_tests.sh", "test.sh", "scripts/run_tests.sh", "scripts/test.sh")
            for shell, text in (("bash", r"\A#!.*\bbash\b"), ("sh", ""))
        ),
    ),
)


def _ruled(rule: _Rule) -> Callable[[_Tree], _Kit | None]:
    def kind(tree: _Tree) -> _Kit | None:
        marker = tree.first(*rule.markers)
        verify = next((way for way in rule.verify if way.fits(tree)), None)
        if not marker or not (verify or rule.scan):
            return None
        proven = _proven(tree, rule)
        return _Kit(
            name=rule.name,
            why=f"{((verify and verify.files) or (marker,))[0]} is there"
            + ("" if verify and proven else ", but no tests were seen"),
            verify=verify.command if verify and proven else "",
            scan=next((way.command for way in rule.scan if way.fits(tree)), ""),
            tests=tuple(glob for glob in rule.tests if _may_hold(tree, glob)),
            sources=tuple(glob for glob in rule.sources if _may_hold(tree, glob)),
        )

    return kind


def _proven(tree: _Tree, rule: _Rule) -> bool:
    """Whether there are tests to run, as far as that can be seen."""
    if not rule.proof or not tree.whole:
        return True
    return any(tree.says(path, rule.proof_text) for path in tree.named(*rule.proof))


def _may_hold(tree: _Tree, glob: str) -> bool:
    return glob.startswith("**/") or tree.has(_top(glob))


# --- task runners ---

_RUNNERS = (  # name, its files, how it is called, how a target begins
    (
        "make",
        ("GNUmakefile", "makefile", "Makefile"),
        "make {}",
        r"^([\w-]+ )*{}( [\w-]+)*\s*:(?!=)",
    ),
    ("just", ("justfile", "Justfile", ".justfile"), "just {}", r"^@?{}( [^:=]*)?:(?!=)"),
    ("task", ("Taskfile.yml", "Taskfile.yaml"), "task {}", r"^  {}:"),
)


def _runner(
    name: str, files: tuple[str, ...], call: str, target: str
) -> Callable[[_Tree], _Kit | None]:
    def kind(tree: _Tree) -> _Kit | None:
        file = tree.first(*files)
        targets = [
            word
            for word in ("test", "tests", "check", "lint")
            if file and tree.says(file, target.replace("{}", word))
        ]
        proves = [word for word in targets if word != "lint"]
        scans = [word for word in targets if word == "lint" or word in proves[1:]]
        if not targets:
            return None
        return _Kit(
            name=name,
            why=f"{file} has the targets {', '.join(targets)}",
            verify=call.format(proves[0]) if proves else "",
            scan=call.format(scans[-1]) if scans else "",
            tests=tuple(f"{folder}/**" for folder in ("tests", "test") if tree.has(folder)),
            sources=("src/**",) if tree.has("src") else (),
        )

    return kind


# In the order in which one is made verify: a language's own test command first, then whoever
# calls it for the person.
_KINDS: tuple[Callable[[_Tree], _Kit | None], ...] = (
    _python,
    _javascript,
    *(_ruled(rule) for rule in _RULES[:-3]),
    *(_runner(*runner) for runner in _RUNNERS),
    *(_ruled(rule) for rule in _RULES[-3:]),
)


# --- play and baseline ---

_ENTRIES = ("main.py", "app.py", "run.py", "demo.py")
_UNSUITED = (
    (
        r"\b(flask|fastapi|uvicorn|aiohttp|tornado|http\.server|socketserver|serve_forever"
        r"|start_server|streamlit|gradio)\b",
        "looks like a server",
    ),
    (r"\b(tkinter|pygame|curses|PyQt\d|PySide\d)\b", "opens a window or a screen"),
    (r"\b(argparse|sys\.argv|click|typer|docopt)\b", "takes arguments"),
    (r"\binput\(|\bsys\.stdin\b", "asks its user"),
    (r"\bwhile (True|1)\b", "may not end by itself"),
)


def _play(tree: _Tree) -> tuple[str, str]:
    """A command that uses the program ("" when none can be known), and a sentence on it."""
    entries = [name for name in _ENTRIES if tree.says(name, r"^if __name__ ==")]
    modules = [path for path in tree.named("__main__.py") if path.count("/") == 1]
    refusals = []
    for path in (*entries, *modules):
        call = _folder(path)
        if refusal := _unsuited(tree, path):
            refusals.append(f"{path} {refusal}")
        else:
            command = f"python3 -m {call}" if call else f"python3 {path}"
            return command, f"play: {path} can be run as it is; make it use more of the program."
    because = f" ({'; '.join(refusals)})" if refusals else ""
    return (
        "",
        f"play is left out{because}: write a command that uses the program as a person would.",
    )


def _unsuited(tree: _Tree, path: str) -> str:
    """Why a program should not be run unattended without arguments, as far as text can tell."""
    text = tree.text(path)
    if _base(path) == "__main__.py" and re.search(r"^\s*from \.|^\s*import ", text, re.MULTILINE):
        return "starts something else"
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    texts = [text, *(tree.text(f"{name}.py") for name in imported[:FILES_READ])]
    return next(
        (why for pattern, why in _UNSUITED if any(re.search(pattern, text) for text in texts)), ""
    )


@dataclass(frozen=True, slots=True)
class _Benchmark:
    block: dict[str, Any] | None = None
    protect: tuple[str, ...] = field(default=())


_BENCHMARKS = (  # file ending, how to run it
    (".py", "python3 {}"),
    (".sh", "sh {}"),
    (".js", "node {}"),
    (".mjs", "node {}"),
    (".rb", "ruby {}"),
)
_PRINTED = (
    r"(?:print|echo|log|write|puts)\w*\b[^\n]*?[\"'`\s\\n]"
    r"(?!(?:sep|end|file|flush)=)([A-Za-z_]\w*)=(?=[{%$#0-9\"'])"
)
_SMALLER_IS_BETTER = r"time|second|latency|loss|err|bytes|size|memory|_ms$|^ms$"


def _benchmark(tree: _Tree) -> tuple[_Benchmark, list[str]]:
    """A baseline to be enabled by a person, where a benchmark prints `name=number` by its text."""
    for folder, stem, (ending, call) in itertools.product(
        ("", "benchmarks/", "bench/", "scripts/"), ("benchmark", "bench"), _BENCHMARKS
    ):
        path = f"{folder}{stem}{ending}"
        names = re.findall(_PRINTED, tree.text(path)) if tree.has(path) else []
        if names:
            name = "score" if "score" in names else names[0]
            block = _baseline(call.format(path), name)
            told = f"{path} prints {name}=…: a baseline is there; set its value and enable it."
            return _Benchmark(block, (path,)), [told]
    return _Benchmark(), []


def _baseline(command: str, name: str) -> dict[str, Any]:
    smaller = re.search(_SMALLER_IS_BETTER, name, re.IGNORECASE)
    return {
        "enabled": False,
        "command": command,
        "metric_name": name,
        "regex": rf"\b{name}=([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)",
        "direction": "less_equal" if smaller else "greater_equal",
    }


# --- saying it ---


def _told(kits: list[_Kit]) -> list[str]:
    """A sentence for each ecosystem: the first is used, the others are named."""
    told = []
    for index, kit in enumerate(kits):
        if not kit.verify:
            end = "."
        elif index == 0:
            end = f": verify is `{kit.verify}`."
        else:
            end = f": not used, but could be; its tests run with `{kit.verify}`."
        told.append(f"{kit.name}: {kit.why}{end}")
    return told


def _limits(tree: _Tree, commands: dict[Step, str]) -> list[str]:
    """What a person should know before trusting the proposal."""
    told = []
    if commands[Step.VERIFY] == REPLACE_ME:
        told.append("No test command was found: verify fails until you replace it.")
        told += [f"{path} was seen below the root: is that the project?" for path in _below(tree)]
    if not tree.whole:
        told.append(f"Only the first {ENTRIES} entries were looked at, {FOLDER_ENTRIES} a folder.")
    if environment := tree.first(".venv", "venv"):
        told.append(f"{environment} is there: activate it before a run, or name its python3.")
    return told


def _below(tree: _Tree) -> list[str]:
    markers = (
        "pyproject.toml",
        "package.json",
        *(name for rule in _RULES for name in rule.markers),
    )
    return [path for path in tree.named(*markers) if 0 < path.count("/") <= 2][:3]


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:2])
    return f"{shown} and {len(paths) - 2} more" if len(paths) > 2 else shown


def _united(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain.from_iterable(groups)))
