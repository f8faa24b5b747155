"""Settings that git ignores: `policy.allow` does not count ignored files, so a change could create
one of them and decide what a gate does."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import product
from typing import NamedTuple

from openloop.fs import git
from openloop.fs.ignore_rules import reader
from openloop.setup.detection import javascript_project
from openloop.setup.detection.project_listing import ProjectListing

_PATIENCE = 10.0  # seconds for the ignore rules
_SEVERAL = 3  # settings that differ in their ending or their folder alone are named together
_JS, _YAML = ("js", "cjs", "mjs"), ("yaml", "yml")
_SCRIPTS = (*_JS, "ts", "cts", "mts")
_ENV = (".env", ".env.local", ".env.test", ".env.test.local")


def _each(stem: str, endings: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{stem}.{ending}" for ending in endings)


class Settings(NamedTuple):
    """What a program reads when it is there.

    program: a regular expression for its name in a command. names: paths of its settings. beside:
    in each folder with such a file; "" for the root. made: names that it creates by itself: these
    count only where they are there.
    """

    program: str
    names: tuple[str, ...]
    beside: str = ""
    made: tuple[str, ...] = ()


SETTINGS = (
    # Python
    Settings("pytest|tox|nox|hatch", ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")),
    Settings("pytest|tox|nox|hatch", ("pyproject.toml", "tox.ini", "setup.cfg", "conftest.py")),
    Settings("tox", ("tox.toml",)),
    Settings("nox", ("noxfile.py",)),
    Settings("hatch", ("hatch.toml",)),
    Settings(r"manage\.py", ("local_settings.py", "settings_local.py"), beside="settings.py"),
    Settings("ruff", ("ruff.toml", ".ruff.toml")),
    Settings("flake8", (".flake8", "setup.cfg", "tox.ini")),
    Settings("mypy", ("mypy.ini", ".mypy.ini")),
    # JavaScript
    Settings("npm|npx|pnpm", (".npmrc",)),
    Settings("pnpm", (".pnpmfile.cjs", "pnpm-workspace.yaml")),
    Settings("yarn", (".yarnrc", ".yarnrc.yml", ".pnp.cjs", ".pnp.loader.mjs")),
    Settings("bun", ("bunfig.toml", *_ENV)),
    Settings("deno", ("deno.json", "deno.jsonc")),
    Settings(r"dotenv|dotenvx|--env-file(-if-exists)?", _ENV, "package.json"),
    Settings("mocha", _each(".mocharc", (*_JS, "json", "jsonc", *_YAML)), "package.json"),
    Settings("jest", _each("jest.config", (*_SCRIPTS, "json")), "package.json"),
    Settings("vitest", _each("vitest.config", _SCRIPTS), "package.json"),
    Settings("vitest", _each("vite.config", _SCRIPTS), "package.json"),
    Settings("vitest", _each("vitest.workspace", (*_SCRIPTS, "json"))),
    Settings("ava", _each("ava.config", _JS), "package.json"),
    Settings("tap", (".taprc",)),
    Settings("karma", _each("karma.conf", ("js", "cjs", "ts"))),
    Settings("playwright", _each("playwright.config", _SCRIPTS)),
    Settings("cypress", (*_each("cypress.config", _SCRIPTS), "cypress.env.json")),
    Settings("c8|nyc", (".c8rc", ".c8rc.json", ".nycrc", *_each(".nycrc", ("json", *_YAML)))),
    Settings(
        "jest|babel|babel-node|@babel/register",
        (".babelrc", *_each(".babelrc", (*_JS, "json")), *_each("babel.config", (*_JS, "json"))),
    ),
    Settings("swc|@swc/.*", (".swcrc",)),
    Settings("tsc|tsx|ts-node", ("tsconfig.json",), "package.json"),
    Settings("eslint|xo", _each("eslint.config", _SCRIPTS)),
    Settings("eslint", (".eslintignore", ".eslintrc", *_each(".eslintrc", (*_JS, "json", *_YAML)))),
    Settings("turbo", ("turbo.json",)),
    Settings("nx", ("nx.json",)),
    Settings("lerna", ("lerna.json",)),
    # other languages
    Settings("cargo", (".cargo/config.toml", ".cargo/config", "rust-toolchain", "build.rs")),
    Settings("cargo", ("rust-toolchain.toml", "clippy.toml", ".clippy.toml")),
    Settings("go", ("go.work", "vendor/modules.txt")),
    Settings("golangci-lint", _each(".golangci", (*_YAML, "toml", "json"))),
    Settings("gradlew?", ("gradle.properties", "local.properties", "gradle/libs.versions.toml")),
    Settings("gradlew?", _each("build", ("gradle", "gradle.kts"))),
    Settings("gradlew?", _each("settings", ("gradle", "gradle.kts"))),
    Settings("gradlew?", _each("buildSrc/build", ("gradle", "gradle.kts"))),
    Settings(
        "gradlew",
        ("gradle/wrapper/gradle-wrapper.properties",),
        made=("gradle/wrapper/gradle-wrapper.jar",),
    ),
    Settings("mvnw?", (".mvn/maven.config", ".mvn/jvm.config", ".mvn/extensions.xml")),
    Settings(
        "mvnw",
        (".mvn/wrapper/maven-wrapper.properties",),
        made=(".mvn/wrapper/maven-wrapper.jar",),
    ),
    Settings("dotnet", _each("Directory.Build", ("props", "targets", "rsp"))),
    Settings("dotnet", ("Directory.Packages.props", "NuGet.Config", "nuget.config", "global.json")),
    Settings("dotnet", ("*.csproj.user",), "*.csproj"),
    Settings("dotnet", ("*.fsproj.user",), "*.fsproj"),
    Settings("phpunit", ("phpunit.xml", "phpunit.dist.xml", "phpunit.xml.dist")),
    Settings("phpstan", ("phpstan.neon", "phpstan.neon.dist", "phpstan.dist.neon")),
    Settings("bundle", (".bundle/config",)),
    Settings("rspec", (".rspec", ".rspec-local")),
    Settings("rubocop", (".rubocop.yml",)),
    Settings("mix", ("config/test.exs", "config/test.secret.exs", "config/test.local.exs")),
    Settings("make", ("GNUmakefile", "makefile")),
    Settings("just", (".justfile",)),
    Settings("set dotenv-load", (".env",)),
)
# `python -m` imports from the root first, and *.so stands in many a .gitignore. A project with
# sources to compile may build such modules there.
_EXTENSION_MODULES = ("*.so", "*/__init__*.so")
_COMPILED = ("*.c", "*.cc", "*.cpp", "*.pyx", "*.rs", "*.f90")
# Where a command says what it runs, and the files that it reads when they are there.
_CALLED = {
    "make": (("GNUmakefile", "makefile", "Makefile"), r"^(?:-|s)include +([\w./-]+)"),
    "cmake": (("CMakeLists.txt",), r"(?i)^\s*include *\( *([\w./-]+) +OPTIONAL"),
    "just": (("justfile", "Justfile", ".justfile"), r"^import\? +['\"]([\w./-]+)"),
    "tox": (("tox.ini", "tox.toml", "pyproject.toml"), ""),
    "nox": (("noxfile.py",), ""),
    "composer": (("composer.json",), ""),
    "rake": (("Rakefile",), ""),
}


def ignored_settings(project: ProjectListing, commands: str) -> tuple[str, ...]:
    """Globs of the settings that these commands read and git ignores, present or not.

    commands: their text.
    """
    paths = [os.fsencode(path) for path in _read_by(project, commands)]
    ignored = ignored_by_git(project.root, paths)
    if ignored is None:
        ignored = set(paths)  # none may be created
    return _patterns([os.fsdecode(path) for path in paths if path in ignored])


def ignored_by_git(root: str, paths: Collection[bytes]) -> set[bytes] | None:
    """The paths that git ignores, none outside of a repository; None if that cannot be known."""
    if not paths or not git.has_repository(os.fsencode(root)):
        return set()
    end = time.monotonic() + _PATIENCE

    def tick(_: int) -> None:
        if time.monotonic() > end:
            raise TimeoutError

    try:
        rules = reader.read(root, os.path.join(root, ".openloop"), tick)
    except (TimeoutError, ValueError):
        return None
    return set(rules.ignored(paths))


def _patterns(paths: list[str]) -> tuple[str, ...]:
    """The globs of the paths; one for several that differ in their ending or their folder alone."""
    for together in (_any_ending, _any_folder):
        several = Counter(map(together, paths))
        paths = [
            glob if (glob := together(path)) and several[glob] >= _SEVERAL else path
            for path in paths
        ]
    # A slash in the middle of a glob ties it to the root.
    return tuple(dict.fromkeys(path if "/" in path else f"/{path}" for path in paths))


def _any_ending(path: str) -> str:
    stem, _, ending = path.rpartition(".")
    return f"{stem}.*" if ending in (*_SCRIPTS, *_YAML, "json") else ""


def _any_folder(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return os.path.join(os.path.dirname(folder), "*", name) if folder else ""


def _read_by(project: ProjectListing, commands: str) -> Iterator[str]:
    """The paths, each once, that these commands read when they are there."""
    texts, optional = [commands], []
    if _starts("npm|npx|pnpm|yarn|bun", commands):
        texts.append(javascript_project.test_and_lint_scripts(project))
    for program, (files, includes) in _CALLED.items():
        if _starts(program, commands):
            text = "\n".join(map(project.text, files))
            texts.append(text)
            optional += re.findall(includes, text, re.MULTILINE) if includes else []
    text = "\n".join(texts)
    seen = dict.fromkeys(optional)
    if _starts(r"python[\d.]*|pytest", text) and not project.named(*_COMPILED):
        seen |= dict.fromkeys(_EXTENSION_MODULES)
    for row in SETTINGS:
        if not _starts(row.program, text):
            continue
        there = [name for name in row.made if project.has(name)]
        for folder, name in product(_folders(project, row.beside), (*row.names, *there)):
            seen[os.path.join(folder, name)] = None
    yield from (path for path in seen if not path.startswith(("/", "../")))


def _starts(program: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w@.-])(?:{program})(?![\w-])", text))


def _folders(project: ProjectListing, beside: str) -> Iterable[str]:
    """The root, or the folders of the files with such a name."""
    if not beside:
        return ("",)
    return dict.fromkeys(os.path.dirname(path) for path in project.named(beside))
