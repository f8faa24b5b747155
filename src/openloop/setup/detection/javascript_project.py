"""Detects verify and scan of a JavaScript project from the scripts of package.json."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from openloop.setup.detection.ecosystems import ProjectCommands
from openloop.setup.detection.project_listing import ProjectListing

_RUNNERS = (  # lock file, package manager, how it runs a script
    ("pnpm-lock.yaml", "pnpm", "pnpm run {}"),
    ("yarn.lock", "yarn", "yarn run {}"),
    ("bun.lock", "bun", "bun run {}"),
    ("bun.lockb", "bun", "bun run {}"),
    ("package.json", "npm", "npm run --silent {}"),
)
_STARTS = r"(?:^|&& *|\|\| *|; *)(?:[A-Z_]+=\S+ +)*([a-z@][\w./-]*)"  # words that start a command
_LARGEST = 1 << 20  # bytes of a package.json; some list thousands of exports
_WATCHES = r"--watch\b|\breact-scripts test|\bng test|\bvitest\b(?! (run|--run))"
_CACHES = (  # what passes tests from a cache, which a change could fill; what has it run them
    (r"\bnx (run|run-many|affected)\b", "NX_SKIP_NX_CACHE=true "),
    (r"\bturbo\b", "TURBO_FORCE=true "),
)
_MUTATES = r"--(write|fix|output)\b"
_CALL = r"\b(?:npm|pnpm|yarn|bun)(?: run)?(?: --?[\w-]+)* ([\w:./-]+)"  # of another script
_PLAIN_CALL = rf"{_CALL}(?: --workspaces)?(?: --if-present)?"
_OTHER_TESTS = ("test:unit", "test-unit", "unit", "test:ci", "test-ci", "test-coverage")
_LINTS = (("lint", "lint:check", "check:lint"), ("typecheck", "type-check", "check:type", "types"))
_TABLES = ("ava", "mocha", "jest", "tap", "c8", "nyc", "vitest")  # settings inside package.json
_FILE = r"(?<![\w./-])(?:\./)?([\w-][\w.-]*\.[cm]?[jt]sx?)\b"
_STARTED = (  # a script that a command of package.json starts, or loads first
    r"\b(?:node|tsx|ts-node|babel-node|bash|sh)(?: --?[\w=.:/-]+)* (?:\./)?([\w][\w./-]*\.\w+)"
    r"|(?:-r|--require|--import|--loader)[ =](?:\./)?([\w][\w./-]*\.\w+)"
)
_SETTINGS = ("jest.config*", "vitest.config*", "vite.config*", "karma.conf*", ".mocharc*")
_LOADED = (  # what a test program loads before the tests, or in place of its own parts
    r"""\b(?:setupFiles\w*|globalSetup|globalTeardown|testEnvironment|resolver|runner|testRunner"""
    r"""|require|file|import)["']?\s*:\s*(\[[^\]]*\]|["'][^"']*["'])"""
)
_QUOTED = r"""["'](?:<rootDir>/|\./)?([\w][\w./-]*)["']"""


def detect_commands(project: ProjectListing) -> ProjectCommands | None:
    if not project.has("package.json"):
        return None
    package = read_package(project)
    if package is None:
        return ProjectCommands("JavaScript", "package.json is not a JSON object that can be read")
    scripts = _Scripts(project, package)
    verify, why = _verify(scripts)
    return ProjectCommands(
        name="JavaScript",
        why=why,
        verify=verify,
        scan=_scan(scripts) if verify else "",
        example="npm test --silent",
        protect=_mentioned(project, package, scripts),
        protect_anywhere=("package.json", "__mocks__/**"),
    )


def lacks_dependencies(project: ProjectListing) -> bool:
    """Whether package.json names dependencies and there is no sign that any are installed."""
    package = read_package(project) or {}
    needs = package.get("dependencies") or package.get("devDependencies")
    there = ("node_modules", ".pnp.cjs", ".pnp.js")
    return bool(needs) and not any(
        os.path.exists(os.path.join(project.root, name)) for name in there
    )


def started(project: ProjectListing, script: str) -> list[str]:
    """The programs that a script of package.json starts."""
    package = read_package(project)
    return _Scripts(project, package).started(script) if package else []


def test_and_lint_scripts(project: ProjectListing) -> str:
    """The text of the scripts of package.json that test and lint, with those that they call."""
    scripts = _Scripts(project, read_package(project) or {})
    names = ("test", *_OTHER_TESTS, *(name for names in _LINTS for name in names))
    return "\n".join(map(scripts.whole, names))


class _Scripts:
    """The scripts of package.json, and how they are run."""

    def __init__(self, project: ProjectListing, package: dict[str, Any]) -> None:
        named = package.get("scripts")
        pairs = named.items() if isinstance(named, dict) else ()
        self.texts = {name: text for name, text in pairs if isinstance(text, str) and text.strip()}
        manager = str(package.get("packageManager", "")).partition("@")[0]
        self.lock, self._manager, self._call = next(
            (runner for runner in _RUNNERS if project.has(runner[0]) or runner[1] == manager),
            _RUNNERS[-1],
        )

    def run(self, name: str) -> str:
        call = "npm test --silent" if (self._manager, name) == ("npm", "test") else ""
        # Without CI some test programs wait for edits and never end.
        script = self.whole(name)
        variables = "CI=true " if re.search(_WATCHES, script) else ""
        variables += "".join(words for caches, words in _CACHES if re.search(caches, script))
        return variables + (call or self._call.format(name))

    def whole(self, name: str) -> str:
        """The text of a script with those that it calls, and those before and after it."""
        texts, waiting, seen = [], [name], set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self.texts:
                continue
            seen.add(name)
            texts.append(self.texts[name])
            waiting += [f"pre{name}", f"post{name}", *re.findall(_CALL, self.texts[name])]
        return "\n".join(texts)

    def started(self, name: str) -> list[str]:
        """Words at the start of the commands of a script, and of those that it calls."""
        return list(dict.fromkeys(re.findall(_STARTS, self.whole(name), re.MULTILINE)))

    def mutates(self, name: str) -> bool:
        return bool(re.search(_MUTATES, self.whole(name)))


def read_package(project: ProjectListing, path: str = "package.json") -> dict[str, Any] | None:
    """A package.json; None when it cannot be read."""
    try:
        package = json.loads(project.text(path, _LARGEST))
    except (ValueError, RecursionError):
        return None
    return package if isinstance(package, dict) else None


def _verify(scripts: _Scripts) -> tuple[str, str]:
    """The command that runs the tests ("" if there is none), and why it is that one."""
    test = scripts.texts.get("test", "")
    if not test or "no test specified" in test:
        return "", f"package.json has no test script ({scripts.lock})"
    if not scripts.mutates("test"):
        return scripts.run("test"), f"package.json has a test script ({scripts.lock})"
    why = "the test script of package.json changes files (--fix, --write)"
    parts = [re.fullmatch(_PLAIN_CALL, part.strip()) for part in test.split("&&")]
    kept = [part[1] for part in parts if part and not scripts.mutates(part[1])]
    if not kept or not all(parts):
        kept = [
            name for name in _OTHER_TESTS if name in scripts.texts and not scripts.mutates(name)
        ]
        kept = kept[:1]
    return " && ".join(map(scripts.run, kept)), why + ("; the rest of it is used" if kept else "")


def _scan(scripts: _Scripts) -> str:
    """The project's own lint scripts that only look, unless its tests run them anyway."""
    tested = scripts.whole("test")
    chosen = []
    for names in _LINTS:
        fit = [name for name in names if name in scripts.texts and not scripts.mutates(name)]
        if fit and not any(scripts.texts[name] in tested for name in fit):
            chosen.append(scripts.run(fit[0]))
    return " && ".join(chosen)


def _mentioned(
    project: ProjectListing, package: dict[str, Any], scripts: _Scripts
) -> tuple[str, ...]:
    """Unpublished files that the test script or the settings of a test program name."""
    tables = json.dumps([package.get(table) for table in _TABLES])
    script = scripts.whole("test")
    settings = "".join(project.text(path) for path in project.named(*_SETTINGS) if "/" not in path)
    names = re.findall(_FILE, script + tables)
    names += ["".join(pair) for pair in re.findall(_STARTED, script)]
    for loaded in re.findall(_LOADED, tables + settings):
        names += re.findall(_QUOTED, loaded)
    mains = json.dumps([package.get(key) for key in ("main", "module", "exports", "bin", "types")])
    files = set(project.files)
    return tuple(f"/{name}" for name in dict.fromkeys(names) if name in files and name not in mains)
