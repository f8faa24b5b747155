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
from dataclasses import dataclass
from typing import Any, NamedTuple

from openloop.states import Step

ENTRIES = 2000  # looked at in all, so that a home folder or a data set costs no more
FOLDER_ENTRIES = 500  # of one folder, so that a heap of data cannot hide its neighbours
FILE_BYTES = 65_536  # read of one file
FILES_READ = 60  # of one kind, for what their text says
START_FOLDERS = 4  # of unittest, before pytest is the simpler answer

REPLACE_ME = "echo 'replace me: write the command that proves this project works' >&2; exit 1"

# Not the project's own work; folders whose names begin with a dot are left out as well.
_ASIDE = re.compile(
    "node_modules|v?env|virtualenv|site-packages|__pycache__|vendor|third_party|deps|build|dist"
    "|target|out|bin|obj|coverage|htmlcov|examples|samples|docs|fixtures|testdata"
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
    """Look at the project below `root`, bounded in entries and bytes.

    Never raises for what it finds there, or does not: then verify is REPLACE_ME.
    """
    tree = _Tree.below(root)
    kits = [kit for kind in _KINDS if (kit := kind(tree))]
    kits.sort(key=lambda kit: not kit.verify)  # stable: the order of _KINDS stays
    play, on_play = _play(tree)
    benchmark, baseline = _benchmark(tree)
    commands = {
        Step.PLAY: play,
        Step.SCAN: next((kit.scan for kit in kits if kit.scan), ""),
        Step.VERIFY: next((kit.verify for kit in kits if kit.verify), REPLACE_ME),
    }
    return Detection(
        commands={step: command for step, command in commands.items() if command},
        found=[*_told(kits), *_on_scan(kits), *_limits(tree, kits), on_play, *_on(baseline)],
        tests=_united([*(kit.tests for kit in kits), (benchmark,) if benchmark else ()]),
        sources=_united(kit.sources for kit in kits),
        baseline=baseline,
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
            entries, seen, complete = _entries(root, waiting.popleft(), min(left, FOLDER_ENTRIES))
            left -= seen
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
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(os.path.join(self.root, path), flags)
        except (OSError, ValueError):
            return ""
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return os.read(descriptor, FILE_BYTES).decode("utf-8-sig", "replace") if is_file else ""
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def says(self, path: str, pattern: str) -> bool:
        return bool(re.search(pattern, self.text(path), re.MULTILINE))

    def telling(self, paths: Iterable[str], pattern: str) -> list[str]:
        """Those of the first files whose text matches."""
        return [path for path in itertools.islice(paths, FILES_READ) if self.says(path, pattern)]


def _entries(root: str, folder: str, limit: int) -> tuple[list[tuple[str, bool]], int, bool]:
    """Up to `limit` (path, is a folder) of one folder by name; how many were seen; if all were."""
    try:
        with os.scandir(os.path.join(root, folder)) as scan:
            seen = list(itertools.islice(scan, limit + 1))
    except (OSError, ValueError):
        return [], 0, True
    entries = []
    for entry in sorted(seen[:limit], key=lambda entry: entry.name):
        kind = _kind(entry)
        if kind is not None and _is_plain(entry.name):
            entries.append((f"{folder}/{entry.name}".lstrip("/"), kind))
    return entries, len(seen), len(seen) <= limit


def _kind(entry: os.DirEntry[str]) -> bool | None:
    """True for a folder to go into, False for a file, None for what is left out."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return None if entry.name.startswith(".") or _ASIDE.fullmatch(entry.name) else True
        return False if entry.is_file() else None
    except OSError:
        return None  # a symlink to itself


def _is_plain(name: str) -> bool:
    """A name that can stand in a command, a glob and JSON: no option, placeholder, stray byte."""
    return name.isprintable() and name[0] != "-" and not set(name) & set("{}*?[]\\")


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
    """The top folders and files with code that is neither a test nor a tool's settings."""
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
        if any(tree.says(name, r"^pythonpath\b") for name, _ in _PYTEST_SETTINGS):
            paths = ""
        return f"{paths}python3 -m pytest -q", f"{reason} (pytest must be installed for python3)"
    written = tree.telling(tests, r"\bdef test")
    if tree.says("manage.py", "DJANGO_SETTINGS_MODULE") and written:
        return "python3 manage.py test", "manage.py is Django's"
    cases = tree.telling(written, r"\bunittest\b|TestCase")
    if not cases:
        return "", "no tests were seen"
    cases += tests[FILES_READ:]  # unread, but likely of the same kind: none may be left out
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
    if users := tree.telling(tests, r"^[ \t]*(import|from) pytest\b"):
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
        starts = {start for start in starts if start not in packages}
    return sorted(starts)


def _unittest(tree: _Tree, start: str, cases: list[str]) -> str:
    mine = [path for path in cases if path.startswith(f"{start}/" if start else "")]
    names = [_base(path) for path in mine]
    pattern = next(
        glob
        for glob in ("test_*.py", "*_test.py", "test*.py", "*test*.py")
        if all(fnmatch.fnmatchcase(name, glob) for name in names)
    )
    command = f"python3 -m unittest discover -s {shlex.quote(start or '.')} -p '{pattern}'"
    # Relative imports need the package's own name, which discovery takes from the top folder.
    relative = f"{start}/__init__.py" in tree.files and tree.telling(mine, r"^[ \t]*from \.")
    return f"{command} -t ." if relative else command


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
_SCRIPT_ENDINGS = ("js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx")


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
    command = "npm test --silent" if run.startswith("npm") else run.format("test")
    if re.search(_WATCHES, test):
        command = f"CI=true {command}"  # without it they wait for edits and never end
    lints = [name for name in ("lint", "typecheck") if name in scripts]
    scans = [run.format(name) for name in lints or ("build",) if name in scripts]
    return _Kit(
        name="JavaScript",
        why=f"package.json has {'a' if test else 'no'} test script ({lock})",
        verify=command if test else "",
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
    beside = [f"*.{word}.{end}" for word in ("test", "spec") for end in _SCRIPT_ENDINGS]
    return (*folders, *(f"**/{glob}" for glob in beside if tree.named(glob)))


# --- what a table can say ---


class _Way(NamedTuple):
    """A command that fits where `file` is there, and its text and the file `beside` it match."""

    command: str
    file: str = ""
    text: str = ""
    beside: str = ""

    def fits(self, tree: _Tree) -> bool:
        there = all(tree.has(name) for name in (self.file, self.beside) if name)
        return there and (not self.text or tree.says(self.file, self.text))


class _Rule(NamedTuple):
    """An ecosystem known by a file at the root; the first way that fits is taken.

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


_JVM_TESTS = ("*Test.java", "*Tests.java", "Test*.java", "*Test.kt", "*Tests.kt", "*Spec.groovy")
_CLIPPY = "cargo clippy --all-targets"
_CTEST = " && ctest --test-dir build --output-on-failure --no-tests=error"
_CMAKE = "cmake -S . -B build && cmake --build build"
_RAKE_TEST = r"TestTask|\btask\W+test\b"
_RULES = (
    _Rule(
        "Rust",
        ("Cargo.toml",),
        (_Way("cargo test --workspace", "Cargo.toml", r"^\[workspace\]"), _Way("cargo test")),
        (
            _Way(_CLIPPY, "clippy.toml"),
            _Way(_CLIPPY, "Cargo.toml", r"^\[(workspace\.)?lints\.clippy"),
            _Way("cargo check --all-targets"),
        ),
        proof=("*.rs",),
        proof_text=r"#\[(\w+::)*test\b|#\[cfg\(test\)\]|#\[rstest|^[ \t]*//[/!] ```",
        tests=("tests/**",),
        sources=("src/**", "crates/**"),
    ),
    _Rule(
        "Go",
        ("go.mod",),
        (_Way("go test ./..."),),
        (_Way("golangci-lint run", ".golangci.yml"), _Way("go vet ./...")),
        proof=("*_test.go",),
        proof_text=r"^func (Test|Fuzz|Example)",
        tests=("**/*_test.go", "**/testdata/**"),
        sources=("**/*.go",),
    ),
    _Rule(
        "Gradle",
        ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
        (_Way("./gradlew test", "gradlew"), _Way("gradle test")),
        proof=_JVM_TESTS,
        tests=("**/src/test/**",),
        sources=("**/src/main/**",),
    ),
    _Rule(
        "Maven",
        ("pom.xml",),
        (_Way("./mvnw -B test", "mvnw"), _Way("mvn -B test")),
        proof=_JVM_TESTS,
        tests=("**/src/test/**",),
        sources=("**/src/main/**",),
    ),
    _Rule(
        ".NET",
        ("*.sln", "*.slnx", "*.csproj", "*.fsproj"),
        (_Way("dotnet test"),),
        (_Way("dotnet build"),),
        proof=("*.csproj", "*.fsproj"),
        proof_text=r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>true|MSTest\.Sdk",
        tests=("**/*Tests.cs", "**/*Tests.fs"),
        sources=("src/**",),
    ),
    _Rule(
        "Elixir",
        ("mix.exs",),
        (_Way("mix test"),),
        (_Way("mix compile --warnings-as-errors"),),
        proof=("*_test.exs",),
        tests=("test/**",),
        sources=("lib/**",),
    ),
    _Rule(
        "PHP",
        ("composer.json",),
        (
            _Way("composer run-script test", "composer.json", r'"test"\s*:\s*["\[]'),
            _Way("vendor/bin/phpunit", "phpunit.xml"),
            _Way("vendor/bin/phpunit", "phpunit.xml.dist"),
        ),
        (
            _Way("vendor/bin/phpstan analyse", "phpstan.neon"),
            _Way("vendor/bin/phpstan analyse", "phpstan.neon.dist"),
            _Way("composer run-script lint", "composer.json", r'"lint"\s*:\s*["\[]'),
        ),
        proof=("*Test.php",),
        tests=("tests/**",),
        sources=("src/**", "app/**"),
    ),
    _Rule(
        "Ruby",
        ("Gemfile", "Rakefile", "*.gemspec"),
        (
            _Way("bundle exec rspec", "spec", beside="Gemfile"),
            _Way("rspec", "spec"),
            _Way("bundle exec rake test", "Rakefile", _RAKE_TEST, beside="Gemfile"),
            _Way("rake test", "Rakefile", _RAKE_TEST),
        ),
        (
            _Way("bundle exec rubocop", ".rubocop.yml", beside="Gemfile"),
            _Way("rubocop", ".rubocop.yml"),
        ),
        proof=("*_spec.rb", "*_test.rb", "test_*.rb"),
        tests=("spec/**", "test/**"),
        sources=("lib/**", "app/**"),
    ),
    _Rule(
        "CMake",
        ("CMakeLists.txt",),
        (
            _Way(
                _CMAKE + _CTEST,
                "CMakeLists.txt",
                r"(?i)^[ \t]*(enable_testing|include\s*\(\s*CTest)",
            ),
        ),
        (_Way(_CMAKE),),
        tests=("tests/**", "test/**"),
        sources=("src/**", "include/**"),
    ),
)
_ENVIRONMENTS = (  # they run what the rules above and Python would run, slower
    _Rule("tox", ("tox.ini",), (_Way("tox", "tox.ini", r"^\[(tox|testenv)"),)),
    _Rule("tox", ("pyproject.toml",), (_Way("tox", "pyproject.toml", r"^\[tool\.tox"),)),
    _Rule("nox", ("noxfile.py",), (_Way("nox"),)),
)


def _ruled(rule: _Rule) -> Callable[[_Tree], _Kit | None]:
    def kind(tree: _Tree) -> _Kit | None:
        marker = tree.first(*rule.markers)
        way = next((way for way in rule.verify if way.fits(tree)), None)
        if not marker or not (way or rule.scan):
            return None
        proven = way is not None and _proven(tree, rule)
        seen = marker if way is None else way.file or marker
        return _Kit(
            name=rule.name,
            why=f"{seen} is there" if proven else f"{seen} is there, but no tests were seen",
            verify=way.command if way and proven else "",
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


class _Runner(NamedTuple):
    name: str
    files: tuple[str, ...]
    target: str  # how one begins, {} its name


_RUNNERS = (
    _Runner(
        "make",
        ("GNUmakefile", "makefile", "Makefile"),
        r"^([\w.-]+ ){0,9}{}( [\w.-]+){0,9} ?:(?!=)",
    ),
    _Runner("just", ("justfile", "Justfile", ".justfile"), r"^@?{}( [^:=\n]*)?:(?!=)"),
)


def _run_by(runner: _Runner) -> Callable[[_Tree], _Kit | None]:
    def kind(tree: _Tree) -> _Kit | None:
        file = tree.first(*runner.files)
        targets = [
            word
            for word in ("test", "check", "lint")
            if file and tree.says(file, runner.target.replace("{}", word))
        ]
        if not targets:
            return None
        proof = next((word for word in targets if word != "lint"), "")
        scan = next((word for word in reversed(targets) if word != proof), "")
        return _Kit(
            name=runner.name,
            why=f"{file} has the targets {', '.join(targets)}",
            verify=f"{runner.name} {proof}" if proof else "",
            scan=f"{runner.name} {scan}" if scan else "",
            tests=tuple(f"{folder}/**" for folder in ("tests", "test") if tree.has(folder)),
            sources=("src/**",) if tree.has("src") else (),
        )

    return kind


# In the order in which one is made verify: a language's own test command first, then whoever
# calls it for the person.
_KINDS: tuple[Callable[[_Tree], _Kit | None], ...] = (
    _python,
    _javascript,
    *(_ruled(rule) for rule in _RULES),
    *(_run_by(runner) for runner in _RUNNERS),
    *(_ruled(rule) for rule in _ENVIRONMENTS),
)


# --- play and baseline ---

_PROGRAMS = ("main.py", "app.py", "run.py", "demo.py")
_SERVES = (
    r"\b(flask|fastapi|uvicorn|aiohttp|tornado|http\.server|socketserver|serve_forever"
    r"|start_server|streamlit|gradio)\b"
)
_UNSUITED = (
    (_SERVES, "looks like a server"),
    (r"\b(tkinter|pygame|curses|PyQt\d|PySide\d)\b", "opens a window or a screen"),
    (r"\b(argparse|sys\.argv|click|typer|docopt)\b", "takes arguments"),
    (r"\binput\(|\bsys\.stdin\b", "asks its user"),
    (r"\bwhile (True|1)\b", "may not end by itself"),
)


def _play(tree: _Tree) -> tuple[str, str]:
    """A command that uses the program ("" when none can be known), and a sentence on it."""
    refusals = []
    for path in _PROGRAMS:
        if not tree.says(path, r"^if __name__ =="):
            continue
        if not (refusal := _unsuited(tree, path)):
            return f"python3 {path}", f"play: {path} runs as it is; make it use more if it can."
        refusals.append(f"{path} {refusal}")
    for path in tree.named("__main__.py"):
        if path.count("/") == 1:
            refusals.append(f"python3 -m {_folder(path)} may need arguments")
    if (_scripts(tree) or {}).get("start"):
        refusals.append("the start script of package.json may be a server")
    because = f" ({'; '.join(refusals)})" if refusals else ""
    return "", f"play is left out{because}: write a command that uses the program as people do."


def _unsuited(tree: _Tree, path: str) -> str:
    """Why a program should not be run unattended without arguments, as far as text can tell."""
    text = tree.text(path)
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    texts = [text, *(tree.text(f"{name}.py") for name in imported[:FILES_READ])]
    return next(
        (why for pattern, why in _UNSUITED if any(re.search(pattern, text) for text in texts)), ""
    )


_BENCHMARKS = (
    (".py", "python3"),
    (".sh", "sh"),
    (".js", "node"),
    (".mjs", "node"),
    (".rb", "ruby"),
)
_PRINTS = r"\b(print|echo|console\.log|write|puts)"
_PRINTED = (  # inside a string: a name, =, and a number or where one is filled in
    r"[\"'`](?:[^\"'`\n]*?(?:\s|\\n))?([A-Za-z_]\w*)=(?=[{%$#0-9]|[\"']\s*[+.])"
)
_SMALLER_IS_BETTER = r"time|second|latency|loss|err|bytes|size|memory|(^|_)ms$"


def _benchmark(tree: _Tree) -> tuple[str, dict[str, Any] | None]:
    """A benchmark whose text says that it prints `name=number`, as a baseline yet to be enabled."""
    for folder, stem, (ending, program) in itertools.product(
        ("", "benchmarks/", "bench/", "scripts/"), ("benchmark", "bench"), _BENCHMARKS
    ):
        path = f"{folder}{stem}{ending}"
        names = re.findall(_PRINTED, tree.text(path)) if tree.says(path, _PRINTS) else []
        if names:
            name = "score" if "score" in names else names[0]
            return path, _baseline(f"{program} {path}", name)
    return "", None


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


def _on_scan(kits: list[_Kit]) -> list[str]:
    return [f"scan is `{kit.scan}` ({kit.name})." for kit in kits if kit.scan][:1]


def _limits(tree: _Tree, kits: list[_Kit]) -> list[str]:
    """What a person should know before trusting the proposal."""
    told = []
    if not any(kit.verify for kit in kits):
        told.append("No test command was found: verify fails until you replace it.")
        told += [f"{path} was seen below the root: is that the project?" for path in _below(tree)]
    if not tree.whole:
        told.append(f"Only {ENTRIES} entries were looked at, and {FOLDER_ENTRIES} of one folder.")
    if environment := tree.first(".venv", "venv"):
        told.append(f"{environment} is there: activate it before a run, or name its python3.")
    return told


def _below(tree: _Tree) -> list[str]:
    markers = {"pyproject.toml", "package.json"}.union(*(rule.markers for rule in _RULES))
    return [path for path in tree.named(*markers) if 0 < path.count("/") <= 2][:3]


def _on(baseline: dict[str, Any] | None) -> list[str]:
    if baseline is None:
        return []
    command, name = baseline["command"], baseline["metric_name"]
    return [f"`{command}` prints {name}=…: set the baseline's value, then enable it."]


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:2])
    return f"{shown} and {len(paths) - 2} more" if len(paths) > 2 else shown


def _united(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain.from_iterable(groups)))
