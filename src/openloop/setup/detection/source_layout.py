"""Finds the sources of a project and the files that decide its checks, for the globs of a policy.

Everything that is not a source stays out of `allow`, so a change of it is undone. What decides
whether the tests pass is protected by name as well, because gates are held to `protect` too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate

from openloop.setup.detection import javascript_project
from openloop.setup.detection.project_listing import ProjectListing, top_name

_CODE = re.compile(
    r".+\.(py[ix]?|[cm]?[jt]sx?|vue|svelte|rs|go|[ch]|cc|cpp|cxx|hh|hpp|hxx|inc|java|kt|kts|scala"
    r"|groovy|rb|php|cs|fs|vb|swift|exs?|erl|lua|pl|pm|sh|bash|zsh|l|y)"
)
_TEST_FOLDER = re.compile(
    r"_*(tests?|typetests|specs?|benchmarks?|e2e|snapshots|mocks|fixtures|testdata|cypress)_*"
    r"|(.+[-_.])(tests?|specs?|snapshots|mocks)([-_.].+)?"
    r"|(tests?|spec|tap)[-_].+|[\w.]*[a-z.](Tests?|Specs)(\..+)?|(Test|Spec)s?([A-Z]\w*)?"
    r"|.+[-_]testing([-_.].+)?|test(util|helper|support|lib|kit|harness)s?"
)
_TEST_FILES = (
    # Not of shells and Go, where such a name is rather a source about tests.
    *("test[_-]*.[!bgsz]*", "*[_-]test.[!bsz]*", "*_tests.[!bsz]*", "test.*", "tests.*"),
    *("*.test.*", "*.spec.*", "*.test-d.*", "*.tst.*", "*.e2e.*", "*.cy.*", "*.snap", "*.bats"),
    *("run[_-]tests*", "runtests*", "*.feature"),
    *("check-*", "conftest.py", "spec_*", "*_spec.*", "*Test.java", "*Tests.java"),
    *("*Test.kt", "*Tests.kt"),
    *("*Test.php", "*Test.cs", "*Tests.cs", "*Tests.fs", "testhelp*", "test[Hh]elper*"),
    "*test_helper*",
)
_SETTINGS_FILES = (  # names of files that say how to build and test
    *("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "hatch.toml", ".flake8"),
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".coveragerc", "mypy.ini", ".mypy.ini"),
    *("ruff*.toml", ".ruff.toml", ".pylintrc", "requirements*.txt", "manage.py"),
    *("package.json", "pnpm-workspace.yaml", "tsconfig*.json", "jsconfig.json", ".npmrc"),
    *(".yarnrc*", ".pnpmfile.cjs", "*.config.*", "vitest[.-]*", "babel.*", ".*rc", ".*rc.*"),
    *("*.conf.js", "*.conf.[cm]js", "*.conf.ts"),
    *("biome.json*", "*eslintignore", "lerna.json", "nx.json", "turbo.json", "deno.json*"),
    "bunfig.toml",
    *("Cargo.toml", "build.rs", "rust-toolchain*", "clippy.toml", ".clippy.toml"),
    *("go.mod", "go.work", ".golangci.*", "Makefile*", "makefile", "GNUmakefile", "*.mk"),
    *("CMakeLists.txt", "CMakePresets.json", "*.cmake", "meson.build", "meson*options*"),
    *("configure", "configure.ac", "justfile", "Justfile", ".justfile", "Taskfile*"),
    *("pom.xml", "mvnw", "build.gradle*", "settings.gradle*", "gradle.properties", "gradlew"),
    *("*.sln", "*.slnx", "*.csproj", "*.fsproj", "*.runsettings", "*.props", "*.targets"),
    *("global.json", "[nN]u[gG]et.[cC]onfig", "Build.ps1"),
    *("Gemfile", "Rakefile", "*.gemspec", ".rspec", ".rubocop.yml", "mix.exs"),
    *("composer.json", "phpunit.xml*", "phpstan*.neon*", "psalm*.xml", "phpcs.xml*", "build.xml"),
    *("BUILD", "BUILD.bazel", "WORKSPACE", "MODULE.bazel", "*checkstyle*.xml"),
)
_SETTINGS_FOLDERS = (".cargo", ".config", ".configs", ".mvn", ".tshy", "gradle/wrapper")
_TOOL_FOLDER = re.compile(
    r"(?i)scripts?|tools?|tasks?|ci|cmake|m4|meson|configs?|contrib|release|packaging|patches|hooks"
    r"|support|verify|fuzz(ing)?|_*perf(ormance)?([-_].*)?|bench.*|metrics|docker|build-support"
    r"|build-?src|gradle|subprojects|vendor|third[-_]party|codemods|integrations?|overrides|rake|rakelib"
)
_TOOL_FILES = ("bench*", "[gG]runtfile*", "[gG]ulpfile*", "[rR]ollup*", "release.*", "build.*")
PROSE_FOLDER = re.compile(
    r"(?i)docs?([-_].*)?|documentation|website|_?site|media|images?|img|assets|licen[cs]es?|man"
    r"|screenshots|share|completions?|changelog.*|requirements|specs-?docs|skills|wiki|rfcs"
)
_SAMPLES = (  # some tests run what is there
    *("examples", "example", "samples", "demos", "demo", "playground", "playgrounds", "sandbox"),
    *("tutorial", "tutorials"),
)
# At the root: their settings.
_TEST_PROGRAMS = ("jest", "vitest", "playwright", "karma", "mocha", "rubocop")
_GO_HELPERS = re.compile(r"(^|/)internal/(?:.+/)?([a-z]+test)/[^/]+\.go")
_JVM_FOLDER = re.compile(r"src/(\w+)/(?:java|kotlin|groovy|scala|resources)/")
_SCRIPT_FOLDERS = ("bin", "libexec", "sbin")  # with code that has no ending
_MANIFESTS = (
    *("package.json", "Cargo.toml", "pom.xml", "build.gradle", "build.gradle.kts"),
    *("pyproject.toml", "setup.py", "go.mod"),
)
_APART = (_TEST_FOLDER, _TOOL_FOLDER, PROSE_FOLDER, re.compile("|".join(_SAMPLES)))
_TESTS, _SETTINGS, _TOOLS = (
    re.compile("|".join(map(translate, globs)))
    for globs in (_TEST_FILES, _SETTINGS_FILES, _TOOL_FILES)
)
_PACKAGES = 300  # of JavaScript, whose package.json is read
_DEPTH = 3  # of folders in which a part of the project may have a manifest
_FEW = 6  # files of one kind that are named one by one
_SIBLINGS = 3  # parts beside each other that are named together


@dataclass(frozen=True, slots=True)
class PolicyGlobs:
    """Globs for a policy: protect what decides the checks, allow changes of the sources."""

    protect: tuple[str, ...]
    allow: tuple[str, ...]


def policy_globs(
    project: ProjectListing, also: Iterable[str] = (), anywhere: Iterable[str] = ()
) -> PolicyGlobs:
    """The globs for a project. also: further ones to protect. anywhere: names of files that would
    decide whether the tests pass if they were created in a source folder."""
    found = _sorted_globs(project, with_tools=True)
    if not found.allow:  # nothing else is there: then the tools are the program
        found = _sorted_globs(project, with_tools=False)
    whole = [f"/{glob.removesuffix('**')}" for glob in found.protect if glob.endswith("/**")]
    own = [glob for glob in also if not glob.startswith(tuple(whole))]
    allow = [glob for glob in found.allow if glob not in own]
    protect = [*found.protect, *own]
    protect += [f"{name}/**" for name in _SETTINGS_FOLDERS if project.has(name)]
    protect += [f"{name}/**" for name in _SAMPLES if project.has(name)]
    for glob in allow:
        if glob.endswith("/**"):
            protect += [f"{glob}/{name}" for name in anywhere]
        elif "*." in glob:
            protect += [f"{glob.rpartition('/')[0]}/{name}" for name in anywhere]
    return PolicyGlobs(tuple(dict.fromkeys(protect)), tuple(allow))


def _sorted_globs(project: ProjectListing, *, with_tools: bool) -> PolicyGlobs:
    """The globs by the names of files and folders. with_tools: whether tools are protected; they
    count as sources otherwise."""
    parts = _parts(project)
    shown = _globs_of_parts(parts)
    programs = _packages_without_tests(project)
    own = (*_TEST_PROGRAMS, *_features(project))
    protect: dict[str, None] = {}
    allow: dict[str, None] = {}
    loose: dict[tuple[str, str], list[str]] = defaultdict(list)  # sources beside a manifest
    data = (f"{folder}/*" for folder in project.test_data)
    for path in (*project.files, *data):
        part = next(folder for folder in _folders_above(path) if folder in parts)
        place, inside = shown[part], path[len(part) :].lstrip("/")
        head, _, rest = inside.partition("/")
        if not rest:
            if glob := _protecting_glob(head, with_tools):
                protect[f"{place}/{glob}"] = None
            elif _CODE.fullmatch(head):
                loose[place, head.rpartition(".")[2]].append(head)
        elif _is_for_checks(head, with_tools) or (not part and head in own):
            protect[_anchored(f"{place}/{head}/**")] = None
        elif match := _JVM_FOLDER.match(inside):
            is_source = match[1].lower().endswith("main")
            chosen = allow if is_source else protect
            chosen[_anchored(f"{place}/src/{match[1]}/**")] = None
        elif not PROSE_FOLDER.fullmatch(head) or path.endswith(".go"):
            folder = _anchored(f"{place}/{head}/**")
            if _CODE.fullmatch(path) or (head in _SCRIPT_FOLDERS and "." not in rest):
                allow[folder] = None
            if glob := _nested_glob(path, len(path) - len(rest), programs):
                protect[f"{folder}/{glob}"] = None
    for (place, ending), names in loose.items():
        several = len(set(names)) > _FEW
        globs = [f"*.{ending}"] if several else sorted(set(names))
        allow |= dict.fromkeys(f"{place}/{glob}" for glob in globs)
    return PolicyGlobs(tuple(protect), tuple(allow))


def _is_for_checks(folder: str, with_tools: bool) -> bool:
    """Whether a folder beside a manifest is one of tests, tools or samples."""
    tools = with_tools and (_TOOL_FOLDER.fullmatch(folder) or folder in _SAMPLES)
    return bool(_TEST_FOLDER.fullmatch(folder) or tools)


def _features(project: ProjectListing) -> set[str]:
    """Folders at the root with features in Gherkin: their steps lie there too."""
    return {top_name(path) for path in project.named("*.feature") if path.count("/") == 1}


def _anchored(glob: str) -> str:
    """The glob without its first slash: one in its middle anchors it to the root already."""
    return glob.removeprefix("/")


def _protecting_glob(name: str, with_tools: bool) -> str:
    """The glob for a test, a setting or a tool beside a manifest; "" for another file."""
    if _TESTS.match(name):
        return next(glob for glob in _TEST_FILES if fnmatchcase(name, glob))
    is_hidden = name.startswith(".") and _CODE.fullmatch(name)
    if is_hidden or _SETTINGS.match(name) or (with_tools and _TOOLS.match(name)):
        return name
    return ""


def _nested_glob(path: str, start: int, programs: set[str]) -> str:
    """The glob for a test or a setting among sources. start: where the path below the source
    folder begins."""
    for match in re.finditer("/", path[start:]):
        folder = path[: start + match.start()]
        name = folder.rpartition("/")[2]
        if _TEST_FOLDER.fullmatch(name) and folder not in programs:
            return f"{name}/**"
    if helper := _GO_HELPERS.search(path):  # of this project's tests alone, as Go enforces
        return f"{helper[2]}/**"
    name = path.rpartition("/")[2]
    if name == "test.py":  # among sources rather a part of the program
        return ""
    globs = _TEST_FILES if _TESTS.match(name) else _SETTINGS_FILES if _SETTINGS.match(name) else ()
    return next((glob for glob in globs if fnmatchcase(name, glob)), "")


def _parts(project: ProjectListing) -> set[str]:
    """The root, folders below it that have a manifest of their own, and those between."""
    parts = {""}
    needed = _needed_packages(project)
    for path in project.named(*_MANIFESTS):
        folder = path.rpartition("/")[0]
        is_near = folder.count("/") < _DEPTH
        if folder and is_near and (folder in needed or not _is_apart(folder)):
            parts.update(_folders_above(path))  # those above hold parts, not sources of their own
    return parts


def _needed_packages(project: ProjectListing) -> set[str]:
    """Folders of JavaScript packages that another package needs to run: part of the program,
    whatever they are called."""
    packages = {
        path.rpartition("/")[0]: javascript_project.read_package(project, path) or {}
        for path in project.named("package.json")[:_PACKAGES]
    }
    needed = {
        name
        for folder, package in packages.items()
        if not _is_apart(folder)
        for name in package.get("dependencies") or ()
    }
    return {folder for folder, package in packages.items() if package.get("name") in needed}


def _is_apart(folder: str) -> bool:
    """Whether one of the names of a path is that of tests, tools, prose or samples."""
    return any(pattern.fullmatch(name) for pattern in _APART for name in folder.split("/"))


def _globs_of_parts(parts: set[str]) -> dict[str, str]:
    """How each part is written at the start of a glob: `/packages/*` for many beside each other."""
    beside: dict[str, list[str]] = defaultdict(list)
    for part in parts - {""}:
        beside[part.rpartition("/")[0]].append(part)
    shown = {"": ""}
    for above, some in beside.items():
        for part in some:
            shown[part] = f"/{above}/*" if len(some) >= _SIBLINGS else f"/{part}"
            shown[part] = shown[part].replace("//", "/")
    return shown


def _folders_above(path: str) -> Iterator[str]:
    """The folders above a path, the nearest first, the root last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _packages_without_tests(project: ProjectListing) -> set[str]:
    """Packages of Python: one that is called test may well be a part of the program."""
    tests = (path for path in project.files if _TESTS.match(path.rpartition("/")[2]))
    tested = {folder for path in tests for folder in _folders_above(path)}
    return {path.rpartition("/")[0] for path in project.named("__init__.py")} - tested
